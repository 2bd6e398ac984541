"""Accept several submissions of one track in one go: each has a session of its own, and they share what they can.

    sessions of all on disk → one comparison of all with the current record → each goes on alone → records

On a timed track those of which none was begun share the runs of the record and its priming: one comparison in rounds
(`compare.joining`), of which each has its own part and is judged by that alone. On a track that ranks steps they share
the parent's runs on this machine, as any two sessions do.

Hard because a candidate must be none the worse or better for its company. So which comparison a session belongs to is
settled before its first run, and the ones that are not decided go on together or not at all.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.compare import arms, interleaving, joining, joint_runs, readiness
from harness.core.errors import HarnessError, StoreError
from harness.maintain import official, stages
from harness.maintain.session_work import Stop, Work, own_comparison
from harness.store import joint, sessions
from harness.store.layout import Project
from harness.store.sessions import Session


@dataclass(frozen=True, slots=True)
class Ended:
    """How far a session came: done, stopped for a reason, or ended by an error after which the same command goes on."""

    work: Work
    stop: Stop | None = None
    error: HarnessError | None = None

    @property
    def is_done(self) -> bool:
        return self.stop is None and self.error is None

    @property
    def is_open(self) -> bool:
        """Tell whether the same command may still bring it to an end."""
        return self.error is not None or (self.stop is not None and not self.stop.final)


def plan(catalog: Catalog, subjects: Sequence[Subject], *, timer: str | None, runs: int | None) -> list[Session]:
    """Settle the sessions of several submissions, or continue those that are there; nothing is written.

    Those that are begun now and have a comparison share one. Raises StoreError as `official.plan` does for one, and for
    two tracks, for a script that is named twice, and on a timed track without a record.
    """
    require_alike(catalog, subjects)
    planned = [official.plan(catalog, subject, timer=timer, runs=runs) for subject in subjects]
    new = [session for session in planned if session.comparison is not None and not is_begun(catalog.project, session)]
    # Where a kill came before the comparison of all was stored, those whose session is there wait for the others.
    waiting = [session.comparison for session in planned if session not in new and waits(catalog.project, session)]
    if len(new) < 2 and not (new and waiting):
        return planned
    if len(new) + len(waiting) > joining.MOST_CANDIDATES:
        what = f"is compared beside more than {joining.MOST_CANDIDATES - 1} others"
        raise StoreError.at(new[0].subject, what, "name fewer at once")
    series = waiting[0] if waiting else joint.new_id(new[0].script_sha256)
    return [
        sessions.with_id(dataclasses.replace(session, comparison=series)) if session in new else session
        for session in planned
    ]


def require_alike(catalog: Catalog, subjects: Sequence[Subject]) -> None:
    """Raise HarnessError for submissions that cannot be accepted in one go."""
    first, chains = subjects[0], dict[str, str]()
    for subject in subjects:
        arms.require_one_track((first.name, first.track), (subject.name, subject.track))
        if subject.ruleset.acceptance != "session":
            what = f"is accepted on the submitter's evidence, by {subject.ruleset.id}"
            raise StoreError.at(subject.name, what, "accept it alone")
        if subject.chain in chains:
            raise StoreError.at(subject.name, f"is the same script as {chains[subject.chain]}", "name each script once")
        chains[subject.chain] = subject.name
    if len(subjects) > 1 and first.track.metric == "train_time" and catalog.current(first.track) is None:
        what = "has no record yet, with which the others would have to be compared"
        raise StoreError.at(first.track.name, what, "accept one alone first")


def is_begun(project: Project, session: Session) -> bool:
    """Tell whether a session is on disk."""
    return (sessions.session_folder(project, session) / sessions.SESSION).is_file()


def waits(project: Project, session: Session) -> bool:
    """Tell whether a session that is on disk has a comparison with others of which nothing is stored."""
    series = session.comparison
    return series is not None and joint.is_joint(series) and not joint.joint_file(project, series).is_file()


def perform(works: Sequence[Work]) -> list[Ended]:
    """Make what is missing of every session, those of one comparison first; one that is refused or breaks stops no other.

    Raises HarnessError where the comparison of several broke off, or is one of others as well: the same command goes on.
    """
    for work in works:
        if not official.is_done(work.project, work.session):
            sessions.write_session(work.project, work.session)  # all of them, before there is anything to choose by
    compare(works)
    ended = []
    for work in works:
        try:
            ended.append(Ended(work, official.perform(work)))
        except HarnessError as error:
            ended.append(Ended(work, error=error))
    return ended


def compare(works: Sequence[Work]) -> None:
    """Make the comparisons that several of these sessions share, as far as they are not decided."""
    for work in works:
        official.settle(work)
    series = dict.fromkeys(work.session.comparison for work in works if joint.is_joint(work.session.comparison))
    for one in series:
        waiting = [work for work in works if work.session.comparison == one and is_undecided(work)]
        if waiting and one is not None:
            _compare(waiting, one)


def is_undecided(work: Work) -> bool:
    """Tell whether a comparison of several has still to decide about a session."""
    comparison = own_comparison(work.project, work.session)
    return comparison is None or comparison.unfinished


def _compare(works: Sequence[Work], series: str) -> None:
    """Make one comparison until all are decided or the budget is spent; nothing where another record came meanwhile."""
    first = works[0]
    project = first.project
    require_all(works, series)
    a = stages.current_script(first.catalog, first.subject, checkout=first.checkout, allow_network=first.allow_network)
    begun = [own_comparison(project, work.session) for work in works]
    if any(one is not None and one.a.script_sha256 != a.subject.chain for one in begun):
        return
    price = first.price
    terms = interleaving.Terms(
        joining.DEFAULT_ROUNDS, usd_per_hour=price.usd_per_hour, budget_usd=price.budget_usd, cold=first.cold
    )
    candidates = [arms.Contender(work.subject, "submission", work.subject.name) for work in works]
    made = joining.plan(project, a, candidates, terms, own=series)
    joining.check(project, made)
    environments = joining.make_environments(project, made)
    with first.shown.fetching() as progress:
        ready = joining.prepare(made, environments, allow_network=first.allow_network, progress=progress)
    waiting = readiness.Waiting(first.shown.say)
    joint_runs.run(project, made, ready, first.shown.several(made), first.shown.analysis_of, waiting)


def require_all(works: Sequence[Work], series: str) -> None:
    """Raise StoreError where a session that is compared beside these, and not decided, was not named."""
    catalog = works[0].catalog
    beside = [session for session in sessions.read_sessions(catalog.project) if session.comparison == series]
    named = {work.session.id for work in works}
    missing = [
        session.subject
        for session in beside
        if session.id not in named and is_undecided(dataclasses.replace(works[0], session=session))
    ]
    if missing:
        names = " ".join([*(work.subject.name for work in works), *missing])
        what = f"is compared beside {' and '.join(missing)}, and that is not decided"
        raise StoreError.at(works[0].subject.name, what, f"name all: speedrun accept {names}")


def in_order(ended: Sequence[Ended]) -> list[Ended]:
    """Put the sessions into the order of their records: the largest gain first where time is ranked, else as given.

    Only the first can become the record there. That is the one that saved most of the time of the record before, and
    the others are not known to be faster than it.
    """
    return sorted(ended, key=lambda one: -(gain_of(one.work) or 0.0))


def gain_of(work: Work) -> float | None:
    """Return by which share a candidate is faster than the record it was compared with; None where it is not shown to be."""
    comparison = own_comparison(work.project, work.session)
    return comparison.gain if comparison is not None and comparison.outcome == "faster" else None


def undecided(ended: Sequence[Ended]) -> str | None:
    """Name a candidate whose comparison has still to decide; None where there is none."""
    for one in ended:
        if one.is_open and one.work.session.comparison is not None and is_undecided(one.work):
            return one.work.subject.name
    return None
