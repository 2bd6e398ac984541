"""What a session of fresh runs will take before it begins: its stages, how many runs each has, time and price."""

from dataclasses import dataclass
from typing import Literal

from harness.compare import interleaving
from harness.core import stats
from harness.evidence.contents import Evidence
from harness.maintain import stages
from harness.maintain.session_price import spent_s, usual_run_s
from harness.maintain.session_work import Work
from harness.score import references, scoring
from harness.verdict.scored import LEAST_SCORED

# By simulation with a true mean of 3.2787 and a standard deviation of 0.0013; see the statistics in docs/judging.md.
USUAL_RUNS = 12.5
# A gain of 0.2 s of 75 s, with the spread of one host, decides a comparison after 8.3 pairs on average.
USUAL_PAIRS = 8.3

Doing = Literal["parent", "comparison", "reference", "scores", "probe", "runs"]


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
    project, subject = work.project, work.subject
    elsewhere = tuple(run.wall_time_s for run in submitted.runs if run.wall_time_s is not None)
    here = usual_run_s(project, subject)
    run_s = here if here is not None else stats.mean(list(elsewhere)) if elsewhere else None
    score_s = scoring.usual_wall_time_s(project, work.chain)
    parents = stages.missing_of_parent(work)
    parent = Step("parent", "of the parent, whose work is compared", parents, parents, run_s)
    steps = [parent, *_comparison(work, run_s), *_reference(work, run_s)]
    runs_before = sum(step.usual for step in steps if step.doing == "comparison") / 2
    alone = _alone(work, runs_before)
    scored = len(work.chain.scores.keys() & {*work.finished})
    wanted = LEAST_SCORED if work.is_timed else work.session.declared or 0
    left = max(0, wanted - scored)
    tokens = subject.track.validation_tokens
    scores = Step("scores", f"each on {tokens:,} validation tokens and as many of other text", left, left, score_s)
    probes = 0 if stages.probe_folder(project, work.session) is not None else len(stages.plan_probe(work).runs)
    probe = Step("probe", "of the quick probe, on prepared tokens, some of an honest script", probes, probes, run_s)
    runs = Step("runs", "of the candidate alone", *alone, run_s)
    steps += [scores, probe, runs] if work.is_timed else [runs, scores, probe]
    return Outlook(tuple(steps), spent_s(project, work.session), here is None and run_s is not None)


def _comparison(work: Work, run_s: float | None) -> list[Step]:
    if work.session.comparison is None:
        return []
    stored = stages.own_comparison(work.project, work.session)
    if stored is not None and not stored.unfinished:
        return []
    made = 0 if stored is None else len(stored.runs)
    most = 2 * interleaving.DEFAULT_PAIRS - made
    usual = max(1.0, 2 * USUAL_PAIRS - made)
    return [Step("comparison", "in pairs with the current record", most, usual, run_s)]


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
        return work.subject.ruleset.significance.bounds[-1][1], USUAL_RUNS
    most = stages.missing_runs(work)
    return most, max(0.0, USUAL_RUNS - done - before) if most else 0.0
