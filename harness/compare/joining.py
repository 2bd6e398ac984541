"""Plan the comparison of several candidates with one script, whose runs and priming they share.

    one track? → who is still to be decided? → same machine? → orders of all rounds → `joint_runs`

Hard because every candidate must be judged as if it were compared alone: one comparison of each on this machine, by a
rule that was fixed before its first run. So a candidate that has a comparison already is not begun anew: one that was
decided is shown, and one that was not is finished the way it was begun.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.compare import arms, cost, interleaving, pairs, rounds, warming
from harness.compare.arms import Contender, Ready
from harness.compare.decision import Readings
from harness.compare.interleaving import Terms
from harness.core.errors import MachineError, StoreError
from harness.core.measurement import Machine, Metrics
from harness.dataset.progress import Progress
from harness.machine import computer
from harness.replay import own_environment
from harness.replay.venv import Venv
from harness.run import ending, priming
from harness.store import joint, run_files
from harness.store.comparisons import Comparison, Side, read_comparisons
from harness.store.joint import Joint
from harness.store.layout import Project
from harness.store.ledger import Ledger

DEFAULT_ROUNDS = 8  # a round says as much as two pairs, so they are as much as 16
MOST_CANDIDATES = len(rounds.LETTERS)


@dataclass(frozen=True, slots=True)
class JointPlan:
    """What is going to be done, and with what."""

    joint: Joint | None  # None where nothing is left to run
    contenders: dict[str, Contender]  # A, and the candidates that take part under their letters
    decided: dict[str, Comparison]  # names of candidates whose comparison was decided before, with it
    resumed: bool = False
    drawn: bool = False  # whether the orders are final
    usual_s: dict[str, float | None] = field(default_factory=dict)
    by_claims: bool = False
    unprimed: int = 0
    settled: tuple[tuple[str, str], ...] = ()
    asked_cold: bool = False  # one that is continued may have been begun otherwise
    asked_pairs: int = DEFAULT_ROUNDS

    def readings(self, project: Project) -> dict[str, Readings]:
        """Return what reads the runs of each candidate and of A; runs of A are read once for all."""
        read: dict[str, Metrics] = {}
        a = self.contenders[rounds.A].subject
        others = {letter: contender for letter, contender in self.contenders.items() if letter != rounds.A}
        return {
            letter: Readings(project, {"A": a, "B": contender.subject}, read) for letter, contender in others.items()
        }


def plan(
    project: Project,
    a: Contender,
    candidates: Sequence[Contender],
    terms: Terms,
    *,
    plan_only: bool = False,
    own: str | None = None,
) -> JointPlan:
    """Continue the comparison of these candidates with A, or begin a new one with those that have none.

    own: the id of the one that the sessions of these candidates name, whatever was compared before. Raises TrackError
    for scripts of two tracks, StoreError for one that is named twice or has to be finished first, and
    MachineError, naming every field, where it was begun on another machine.
    """
    _check_names(a, candidates)
    here = computer.capture()
    settled = () if plan_only else tuple(ending.settle(project))
    find = functools.partial(interleaving.find_stored, project, a.subject, terms=terms, here=here)
    stored = _stored_of(project, own, candidates) if own else {one.name: find(one.subject) for one in candidates}
    decided = {name: found for name, found in stored.items() if found is not None and found.outcome != "undecided"}
    begun = {name: found for name, found in stored.items() if found is not None and found.outcome == "undecided"}
    left = [one for one in candidates if one.name not in decided]
    if not left:
        return JointPlan(None, {rounds.A: a}, decided, settled=settled)
    found = _joint_of(project, a, left, begun)
    contenders = {rounds.A: a} | dict(zip(rounds.LETTERS, left, strict=False))
    if found is not None:
        letters = {found.sides[letter].script_sha256: letter for letter in found.candidates}
        contenders = {rounds.A: a} | {letters[one.subject.chain]: one for one in left}
        for one in begun.values():
            interleaving.require_same_machine(project, one, here)
    made = found or _new(contenders, terms, here, own)
    made = dataclasses.replace(made, usd_per_hour=terms.usd_per_hour, budget_usd=terms.budget_usd, obstacles=())
    usual, by_claims = warming.usual_run_s(project, contenders, made.caches, here)
    return JointPlan(
        made,
        contenders,
        decided,
        resumed=found is not None,
        drawn=found is not None or not plan_only,
        usual_s=usual,
        by_claims=by_claims,
        unprimed=warming.unprimed(project, contenders.values(), here) if made.caches == "warm" else 0,
        settled=settled,
        asked_cold=terms.cold,
        asked_pairs=terms.pairs,
    )


def _stored_of(project: Project, own: str, candidates: Sequence[Contender]) -> dict[str, Comparison | None]:
    mine = {one.b.script_sha256: one for one in read_comparisons(project) if one.joint == own}
    return {one.name: mine.get(one.subject.chain) for one in candidates}


def _check_names(a: Contender, candidates: Sequence[Contender]) -> None:
    if len(candidates) > MOST_CANDIDATES:
        raise StoreError.at(a.name, f"is compared with more than {MOST_CANDIDATES} scripts at once", "name fewer")
    chains: dict[str, str] = {a.subject.chain: a.name}
    for one in candidates:
        arms.require_one_track((a.subject.name, a.subject.track), (one.subject.name, one.subject.track))
        if one.subject.chain in chains:
            what = f"is the same script as {chains[one.subject.chain]}"
            raise StoreError.at(one.name, what, "name each script once")
        chains[one.subject.chain] = one.name


def _joint_of(
    project: Project, a: Contender, left: Sequence[Contender], begun: Mapping[str, Comparison]
) -> Joint | None:
    """Find the unfinished comparison that these candidates are in; None where none of them was begun.

    Who is decided takes no part in it any more, even where a kill came before that was noted.
    """
    if not begun:  # a joint of which nothing else is stored has no run yet
        return None
    name, first = next(iter(begun.items()))
    if first.joint is None:
        raise StoreError.at(name, f"was compared with {a.name} alone and is not decided", _finish(a, [name]))
    found = joint.read_joint(project, first.joint)
    stored = {comparison.id: comparison for comparison in read_comparisons(project)}
    dropped = dict(found.dropped)
    for letter, comparison_id in found.comparisons.items():
        own = stored.get(comparison_id)
        if own is not None and own.outcome != "undecided":
            dropped.setdefault(letter, own.arms.count("B"))
    undecided = [found.sides[letter] for letter in found.candidates if letter not in dropped]
    if {side.script_sha256 for side in undecided} != {one.subject.chain for one in left}:
        others = [side.subject for side in undecided]
        raise StoreError.at(name, "is compared beside other candidates and not decided", _finish(a, others))
    return dataclasses.replace(found, dropped=dropped)


def _finish(a: Contender, names: Sequence[str]) -> str:
    return f"finish that first: speedrun compare {a.name} {' '.join(names)}"


def _new(contenders: Mapping[str, Contender], terms: Terms, here: Machine, own: str | None) -> Joint:
    """Return a comparison without runs, the orders of its rounds drawn."""
    subjects = {letter: contender.subject for letter, contender in contenders.items()}
    a, candidates = subjects[rounds.A], [letter for letter in subjects if letter != rounds.A]
    count = terms.pairs
    return Joint(
        schema=joint.SCHEMA,
        id=own or joint.new_id(a.chain),
        track=a.track.name,
        sides={letter: Side(one.name, one.chain, one.ruleset.id) for letter, one in subjects.items()},
        comparisons={
            letter: f"compare-{run_files.new_run_id(a.chain, subjects[letter].chain)}" for letter in candidates
        },
        machine=here,
        mode="fixed" if terms.fixed else "until-decided",
        max_pairs=count,
        bound=None if terms.fixed else pairs.BOUNDS[count],
        outlier_limit=pairs.OUTLIER_LIMIT if a.track.hardware.kind == "gpu" else pairs.SHARED_OUTLIER_LIMIT,
        orders=rounds.draw("".join(candidates), count),
        started_at=run_files.now(),
        caches="cold" if terms.cold or not priming.is_primed(a.track) else "warm",
        follows=terms.follows,
        ends_early=True,
    )


def check(project: Project, plan: JointPlan) -> None:
    """Raise MachineError, before anything is fetched, where a script cannot run here or another run disturbs."""
    if plan.joint is None:
        return
    here = computer.capture()
    for contender in plan.contenders.values():
        arms.check(contender, here)
    busy = Ledger(project.ledger).read().open
    if busy:
        what = "is still running here"
        raise MachineError.at(busy[0], what, "wait until it has ended; it would slow these runs down")


def make_environments(project: Project, plan: JointPlan) -> dict[str, Venv]:
    """Make the environments of originals, a minute or more each, once."""
    if plan.joint is None:
        return {}
    replays = {letter: contender.replay for letter, contender in plan.contenders.items()}
    return {
        letter: own_environment.make_environment(project, replay)[0]
        for letter, replay in replays.items()
        if replay is not None
    }


def prepare(
    plan: JointPlan, environments: dict[str, Venv], *, allow_network: bool = True, progress: Progress | None = None
) -> dict[str, Ready]:
    """Fetch the tokens of all scripts."""
    if plan.joint is None:
        return {}
    here = computer.capture()
    return {
        letter: arms.prepare(contender, environments.get(letter), here, allow_network=allow_network, progress=progress)
        for letter, contender in plan.contenders.items()
    }


def rest_s(plan: JointPlan) -> float | None:
    """Estimate the seconds of all runs that may still be made, priming included; None: unknown."""
    if plan.joint is None:
        return 0.0
    order = rounds.turns(plan.joint.orders, plan.joint.candidates, plan.joint.dropped)
    rest = [next_run_s(plan.joint, plan.usual_s, turn.arm) for turn in order[len(plan.joint.runs) :]]
    primes = cost.priming_s(plan.unprimed)
    return None if None in rest else primes + sum(time_s for time_s in rest if time_s is not None)


def next_run_s(made: Joint, usual_s: Mapping[str, float | None], arm: str) -> float | None:
    """Estimate the next run of a script; None: unknown."""
    own = [run.elapsed_s for run in made.runs if run.arm == arm]
    return cost.likely_s(own, usual_s.get(arm), [run.elapsed_s for run in made.runs], usual_s.values())
