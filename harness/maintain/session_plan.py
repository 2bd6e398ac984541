"""What a session of fresh runs will take before it begins: its stages, how many runs each has, time and price."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.catalog.subjects import Subject
from harness.compare import arms, cost, interleaving, joining, rounds, warming
from harness.compare.session_cost import CONFIRMATION_RUNS
from harness.core import stats
from harness.evidence.contents import Evidence
from harness.machine import computer
from harness.maintain import stages
from harness.maintain.session_price import spent_s, usual_run_s
from harness.maintain.session_work import Work, is_warm, own_comparison
from harness.model_score import references, scoring
from harness.store import joint
from harness.verdict.scored import LEAST_SCORED

GAIN_S = 0.2  # of 75 s; the gain whose usual number of runs a plan states

Doing = Literal["priming", "parent", "comparison", "reference", "scores", "probe", "runs"]


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of a session."""

    doing: Doing
    what: str  # in words
    most: int  # runs, or scores, that are still to be made
    usual: float  # how many that usually are
    each_s: float | None  # None: nothing like it was run here

    @property
    def usual_s(self) -> float | None:
        """How long it usually takes; None where that is not known."""
        return 0.0 if not self.usual else None if self.each_s is None else self.usual * self.each_s

    @property
    def most_s(self) -> float | None:
        """How long it takes at most; None where that is not known."""
        return 0.0 if not self.most else None if self.each_s is None else self.most * self.each_s


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is still to be done."""

    steps: tuple[Step, ...]
    spent_s: float
    from_pack: bool  # the time of a run is that of the submitter's machine

    def total_s(self, *, most: bool) -> float | None:
        """Add up all steps; None where the time of one is not known."""
        each = [step.most_s if most else step.usual_s for step in self.steps]
        return None if None in each else sum(time_s for time_s in each if time_s is not None)


def outlook(work: Work, submitted: Evidence) -> Outlook:
    """Say what a session still has to do. submitted: the submitter's evidence, whose wall times stand for unknown ones."""
    return outlooks([work], [submitted])[0]


def outlooks(works: Sequence[Work], submitted: Sequence[Evidence]) -> list[Outlook]:
    """Say what each of several sessions in one go still has to do; what they share stands with the first that needs it."""
    found: list[Outlook] = []
    compared: set[str] = set()
    once: set[Doing] = {"parent", "reference"}  # runs on this machine that serve every script with the same parent
    for number, (work, evidence) in enumerate(zip(works, submitted, strict=True)):
        series = work.session.comparison
        beside = [one for one in works if one.session.comparison == series]
        is_first = series is None or series not in compared
        compared |= {series} if series is not None else set()
        steps = _steps(work, beside if is_first else [], _own_run(work, evidence)[0], _own_score(work, evidence))
        there = {(step.doing, step.what) for one in found for step in one.steps}
        steps = [step for step in steps if step.doing not in once or (step.doing, step.what) not in there]
        if number == 0:
            steps = [*_priming(works), *steps]
        spent = spent_s(work.project, *(one.session for one in works)) if number == 0 else 0.0
        found.append(Outlook(tuple(steps), spent, _own_run(work, evidence)[1]))
    return found


def _own_run(work: Work, submitted: Evidence) -> tuple[float | None, bool]:
    """Estimate a run of the candidate, and tell whether only the submitter's machine made any."""
    here = usual_run_s(work.project, work.subject, warm=is_warm(work))
    elsewhere = [run.wall_time_s for run in submitted.runs if run.wall_time_s is not None]
    if here is not None or not elsewhere:
        return here, False
    return stats.mean(elsewhere), True


def _own_score(work: Work, submitted: Evidence) -> float | None:
    """Estimate what scoring a run of the candidate takes, by what it took here, else where it was submitted."""
    here = scoring.usual_wall_time_s(work.project, work.chain)
    elsewhere = [run.score.wall_time_s for run in submitted.runs if run.score is not None]
    return here if here is not None or not elsewhere else stats.mean(elsewhere)


def _steps(work: Work, beside: Sequence[Work], run_s: float | None, score_s: float | None) -> list[Step]:
    """List the stages of one session; beside: those whose comparison is told with it, itself included."""
    subject = work.subject
    parents, parent = stages.missing_of_parent(work), stages.parent_script(work)
    name = "the parent" if parent is None else parent.name
    steps = [Step("parent", f"of {name}, whose work is compared", parents, parents, run_s)]
    steps += [*_comparison(beside, run_s), *_reference(work, run_s)]
    alone = _alone(work, _compared_usually(work))
    scored = len(work.chain.scores.keys() & {*work.finished})
    wanted = LEAST_SCORED if work.is_timed else work.session.declared or 0
    left = max(0, wanted - scored)
    tokens = subject.track.validation_tokens
    scores = Step("scores", f"each on {tokens:,} validation tokens and as many of other text", left, left, score_s)
    probes = _probe_runs(work)
    probe = Step("probe", "of the quick probe, on prepared tokens, some of an honest script", probes, probes, run_s)
    runs = Step("runs", "of the candidate alone", *alone, run_s)
    return [*steps, *([scores, probe, runs] if work.is_timed else [runs, scores, probe])]


def _probe_runs(work: Work) -> int:
    """Count the runs of the quick probe that are still to be made, once the session's own runs are there."""
    if stages.probe_folder(work.project, work.session) is not None:
        return 0
    runs = stages.plan_probe(work).runs
    ends = work.subject.ruleset.above_entropy is None  # then its runs tell what the script ends at
    return sum(not (ends and run == ("own", "official")) for run in runs)


def _is_compared(work: Work) -> bool:
    """Tell whether the comparison of a session is still to be made, or gone on with."""
    if work.session.comparison is None:
        return False
    stored = own_comparison(work.project, work.session)
    return stored is None or stored.unfinished


def _compared_usually(work: Work) -> float:
    """Return how many runs of the candidate the rest of its comparison usually makes."""
    if not _is_compared(work):
        return 0.0
    whole = cost.ROUNDS[GAIN_S] if joint.is_joint(work.session.comparison) else cost.PAIRS[GAIN_S]
    return max(0.5, whole - len(work.finished))


def _comparison(works: Sequence[Work], run_s: float | None) -> list[Step]:
    """Tell of the comparison of one session, or of several that share it."""
    works = [work for work in works if _is_compared(work)]
    if not works:
        return []
    first, series = works[0], works[0].session.comparison
    if series is not None and joint.is_joint(series):
        whole = joining.DEFAULT_ROUNDS * (2 * len(works) + 1)
        made = 0
        if joint.joint_file(first.project, series).is_file():
            begun = joint.read_joint(first.project, series)
            whole, made = len(rounds.turns(begun.orders, begun.candidates, begun.dropped)), len(begun.runs)
        usual = max(1.0, sum(cost.joint_runs(GAIN_S, len(works))) - made)
        count = f"of {len(works)} candidates" if len(works) > 1 else "of the one candidate that is left"
        return [Step("comparison", f"in rounds {count} with the current record", whole - made, usual, run_s)]
    stored = own_comparison(first.project, first.session)
    done = 0 if stored is None else len(stored.runs)
    usual = max(1.0, sum(cost.pair_runs(GAIN_S)) - done)
    return [Step("comparison", "in pairs with the current record", 2 * interleaving.DEFAULT_PAIRS - done, usual, run_s)]


def _priming(works: Sequence[Work]) -> list[Step]:
    """Tell of the scripts that have no filled compile cache here yet, each once."""
    wanted: list[arms.Contender] = []
    for work in works:
        if not is_warm(work):
            continue
        if _is_compared(work):
            wanted.append(
                stages.current_script(
                    work.catalog,
                    work.subject,
                    checkout=work.checkout,
                    allow_network=work.allow_network,
                    plan_only=True,
                )
            )
        parent = None if stages.probe_folder(work.project, work.session) is not None else stages.plan_probe(work).parent
        here: list[Subject | None] = [work.subject, parent, stages.parent_script(work) if not work.is_timed else None]
        wanted += [arms.Contender(script, "record", script.name) for script in here if script is not None]
    if not wanted:
        return []
    count = warming.unprimed(works[0].project, wanted, computer.capture())
    return [Step("priming", "that fills a script's compile cache", count, count, cost.FIELD_START_S["cold"])]


def _reference(work: Work, run_s: float | None) -> list[Step]:
    synthetic = work.subject.track.data.source == "synthetic"
    if synthetic or references.find(work.catalog, work.subject)[0] is not None:
        return []
    return [Step("reference", "of an honest script, whose model S5 needs", 1, 1, run_s)]


def _alone(work: Work, before: float) -> tuple[int, float]:
    """Return how many runs the candidate makes alone, at most and usually; before: those that a comparison will make."""
    done = len(work.finished)
    if work.session.declared is not None:
        most = max(0, work.session.declared - done)
        return most, max(0.0, most - before)
    if not work.finished and not before:
        return work.subject.ruleset.significance.bounds[-1][1], CONFIRMATION_RUNS
    most = stages.missing_runs(work)
    return most, max(0.0, CONFIRMATION_RUNS - done - before) if most else 0.0
