"""T: the reported time is the time that the harness saw.

The limits stand above what honest runs show and below what hidden work must reach to matter
(harness/evidence/timeline.py says how the differences are taken): drift of honest sections on 4 cores is below 1 ms
idle and at most 14.7 ms with 16 busy processes and injected stalls of 200 ms; one line's latency is at most 32.5 ms.
What is over a limit by no more than the delay that the observer measured there is inconclusive.
"""

import itertools
from collections.abc import Iterator, Sequence

from harness.core import stats
from harness.core.measurement import Metrics, TimedLine
from harness.evidence.contents import Evidence
from harness.evidence.timeline import Section, Timeline, read_timeline
from harness.verdict.checks import Ruling, missing, names, rule
from harness.verdict.delays import excused, excused_sum, starved_gap, worst_of

SECTION_LIMIT_S = 0.020  # drift within a section, and a late start of one
RUN_LIMIT_S = 0.030  # their sums over a run
STOP_LIMIT_S = 0.050  # at clock:stop, where one line's latency counts against the script
WALL_LIMIT_S = 0.020
GAP_SHARE, GAP_LIMIT_S = 0.20, 0.050  # a validation gap may exceed the same gap of the other runs by so much
STEP_AVG_ROUNDING_MS = 0.51, 0.0051  # of train_time, and per step


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


@rule("T1", "time never falls", "clock")
def monotone(evidence: Evidence) -> Ruling:
    """The reported train time never falls once timing has begun."""
    untimed = evidence.ruleset.untimed_steps
    for run in evidence.runs:
        before = None
        for line in run.timed_lines:
            if line.train_time_s is None or (line.step is not None and line.step <= untimed):
                continue
            if before is not None and line.train_time_s < before:
                said = f"train_time falls from {before:.3f} to {line.train_time_s:.3f} s"
                return Ruling("fail", f"{run.run_id} line {line.line}: {said}")
            before = line.train_time_s
    if not any(line.train_time_s is not None for run in evidence.runs for line in run.timed_lines):
        return missing(evidence, "clock", "the logs print no times")
    return Ruling("pass", "train_time never falls")


@rule("T2", "within the wall time", "clock", wall=_ms(WALL_LIMIT_S))
def within_wall(evidence: Evidence) -> Ruling:
    """Reported train time fits into the time from start to exit and between validations (+{wall})."""
    unseen = [run.run_id for run in evidence.runs if run.wall_time_s is None or run.train_time_s is None]
    if unseen or not evidence.runs:
        return missing(evidence, "clock", f"no outside clock for {names(unseen) or 'the runs'}")
    found: list[Ruling] = []
    for run in evidence.runs:
        assert run.wall_time_s is not None and run.train_time_s is not None
        if run.train_time_s > run.wall_time_s + WALL_LIMIT_S:
            said = f"{run.run_id} reports {run.train_time_s:.3f} s of training within {run.wall_time_s:.3f} s"
            excess = run.train_time_s - run.wall_time_s - WALL_LIMIT_S
            found.append(excused(run, excess, Ruling("fail", said, run.train_time_s, run.wall_time_s, "s")))
        for first, last in _validation_pairs(run, evidence.ruleset.untimed_steps):
            assert first.train_time_s is not None and last.train_time_s is not None
            assert first.arrival_s is not None and last.arrival_s is not None
            reported, seen = last.train_time_s - first.train_time_s, last.arrival_s - first.arrival_s
            if reported > seen + WALL_LIMIT_S:
                said = f"{run.run_id} reports {reported:.3f} s between its validations at steps {first.step} and"
                failed = Ruling("fail", f"{said} {last.step}, which arrived {seen:.3f} s apart", reported, seen, "s")
                stretch = first.arrival_s, last.arrival_s
                found.append(excused(run, reported - seen - WALL_LIMIT_S, failed, stretch))
    if found:
        return worst_of(found)
    return Ruling("pass", "no run reports more training time than passed")


def _validation_pairs(run: Metrics, untimed: int) -> Iterator[tuple[TimedLine, TimedLine]]:
    lines = [
        line
        for line in run.timed_lines
        if line.kind == "val" and line.train_time_s is not None and line.arrival_s is not None
        if line.step is not None and (untimed == 0 or line.step > untimed)
    ]
    yield from itertools.pairwise(lines)


@rule("T3", "clock marks", "clock")
def marks(evidence: Evidence) -> Ruling:
    """clock:start and clock:stop bracket every timed section; no step and no time is printed outside."""
    timelines = _timelines(evidence)
    for run, timeline in timelines:
        if timeline.flaw is not None:
            return Ruling("fail", f"{run.run_id} {timeline.flaw}")
    without = [run.run_id for run, timeline in timelines if not timeline.marked]
    if without or not timelines:
        return missing(evidence, "clock", f"{names(without) or 'no run'} printed no clock:start and clock:stop")
    count = len(timelines[0][1].sections)
    return Ruling("pass", f"all {count} timed sections of every run are bracketed, and no step lies outside")


@rule("T4", "same pace", "clock", section=_ms(SECTION_LIMIT_S), run=_ms(RUN_LIMIT_S))
def drift(evidence: Evidence) -> Ruling:
    """Printed time and ours drift apart by at most {section} a section and {run} a run (lower envelopes of 20 step
    lines or more)."""
    timelines = _stamped(evidence)
    if not timelines:
        return missing(evidence, "clock", "no outside clock has stamped the lines")
    worst, worst_sum, measured = 0.0, 0.0, 0
    found: list[Ruling] = []
    for run, timeline in timelines:
        for section in timeline.sections:
            if section.drift_s is None:
                continue
            measured += 1
            worst = max(worst, abs(section.drift_s))
            if abs(section.drift_s) > SECTION_LIMIT_S:
                found.append(
                    _over_limit(run, section, section.drift_s, "while the printed time and ours should run alike")
                )
        worst_sum = max(worst_sum, abs(timeline.drift_s))
        if abs(timeline.drift_s) > RUN_LIMIT_S:
            said = f"{run.run_id}: the sections drift by {_ms(timeline.drift_s)} in sum"
            failed = Ruling("fail", f"{said}, the limit is {_ms(RUN_LIMIT_S)}", timeline.drift_s, RUN_LIMIT_S, "s")
            found.append(excused_sum(run, abs(timeline.drift_s) - RUN_LIMIT_S, failed))
    if found:
        return worst_of(found)
    if not measured:
        return Ruling("not applicable", "no timed section holds 20 step lines to compare; T5 looks at its ends")
    said = f"the printed time keeps within {_ms(worst)} of ours in every section, {_ms(worst_sum)} over a run"
    return Ruling("pass", said, worst, SECTION_LIMIT_S, "s")


@rule("T5", "clock at its marks", "clock", section=_ms(SECTION_LIMIT_S), stop=_ms(STOP_LIMIT_S), run=_ms(RUN_LIMIT_S))
def ends(evidence: Evidence) -> Ruling:
    """The script's clock starts within {section} of clock:start and stops within {stop} of clock:stop; {run} in sum."""
    timelines = [(run, timeline) for run, timeline in _stamped(evidence) if timeline.marked]
    if not timelines:
        return missing(evidence, "clock", "no stamped clock marks")
    worst, found = 0.0, []
    for run, timeline in timelines:
        late, stops = 0.0, []
        for section in timeline.sections:
            if section.drift_s is not None and abs(section.drift_s) > SECTION_LIMIT_S:
                continue  # its offsets say nothing of its ends; T4 names it
            if section.late_start_s is not None:
                late += max(0.0, section.late_start_s)
                worst = max(worst, section.late_start_s)
                if section.late_start_s > SECTION_LIMIT_S:
                    found.append(_over_limit(run, section, section.late_start_s, "before the script began to count"))
            if section.early_stop_s is not None:
                stops.append(section.early_stop_s)
                if abs(section.early_stop_s) > STOP_LIMIT_S:
                    where = "between its last reading and clock:stop"
                    found.append(_over_limit(run, section, section.early_stop_s, where))
        # One late stamp hides nothing; stops that are late as a rule do.
        steady = stats.median(stops) * len(stops) if stops else 0.0
        for amount, where in ((late, "after clock:start"), (steady, "before clock:stop")):
            if amount > RUN_LIMIT_S:
                said = f"{run.run_id}: {_ms(amount)} in sum lie {where} and are not counted"
                failed = Ruling("fail", f"{said}, the limit is {_ms(RUN_LIMIT_S)}", amount, RUN_LIMIT_S, "s")
                found.append(excused_sum(run, amount - RUN_LIMIT_S, failed))
    if found:
        return worst_of(found)
    said = f"the script's clock starts and stops where it says, within {_ms(worst)}"
    return Ruling("pass", said, worst, SECTION_LIMIT_S, "s")


@rule("T6", "gaps alike", "clock", share=f"{GAP_SHARE:.0%}", gap=_ms(GAP_LIMIT_S))
def gaps(evidence: Evidence) -> Ruling:
    """Validation gap k exceeds that of the other runs by at most {share} and {gap}."""
    if evidence.track.metric != "train_time":
        return Ruling("not applicable", "the track ranks steps; its machines are shared and their gaps vary")
    stamped = {run.run_id: (run, timeline.sections) for run, timeline in _stamped(evidence)}
    rows = {run_id: [section.gap_s for section in sections] for run_id, (_, sections) in stamped.items()}
    counts = {len(row) for row in rows.values()}
    if len(rows) < 2 or len(counts) != 1:
        return missing(evidence, "clock", "gaps are compared between two or more stamped runs with as many validations")
    excess = 0.0
    found: list[Ruling] = []
    for k in range(counts.pop()):
        seen = {run_id: gap for run_id, row in rows.items() if (gap := row[k]) is not None}
        if len(seen) < 2:
            continue
        # Of two runs neither is usual; the shorter gap shows what the validation needs.
        usual = stats.median(list(seen.values())) if len(seen) > 2 else min(seen.values())
        for run_id, gap in seen.items():
            excess = max(excess, gap - usual)
            if gap - usual > GAP_SHARE * usual + GAP_LIMIT_S:
                said = f"{run_id} takes {gap:.3f} s in validation gap {k}, the other runs {usual:.3f} s"
                failed = Ruling("fail", f"{said}; only validation may happen there", gap, usual, "s")
                found += [starved_gap(run, sections[k], failed) for run, sections in stamped.values()]
    if found:
        # One starved run explains a gap that is longer than the others.
        return next((ruling for ruling in found if ruling.outcome == "inconclusive"), found[0])
    parent = longer_gaps(evidence, evidence.baseline, "the parent's")
    if parent is not None:
        return parent
    return Ruling("pass", f"validation gap k is alike in all runs, within {_ms(excess)}")


def longer_gaps(evidence: Evidence, beside: Sequence[Metrics], whose: str) -> Ruling | None:
    """Rule where the gaps grew by more than those of runs beside on the same machine; longer windows may explain it.

    Those may have other numbers of validations: as many gaps as the script has are expected to last as theirs do.
    """
    own = [[section.gap_s or 0.0 for section in timeline.sections] for _, timeline in _stamped(evidence)]
    rows = [
        [section.gap_s for section in read_timeline(run.timed_lines, evidence.ruleset.untimed_steps).sections]
        for run in beside
    ]
    before = [sum(gap or 0.0 for gap in row) / len(row) for row in rows if row and None not in row]
    if not before or not own:
        return None
    mine, theirs = (
        stats.median([sum(row) for row in own]),
        stats.median([len(row) * stats.median(before) for row in own]),
    )
    if mine - theirs > GAP_SHARE * theirs + GAP_LIMIT_S:
        said = f"the validation gaps take {mine:.3f} s, {whose} on this machine {theirs:.3f} s"
        return Ruling("inconclusive", f"{said}; say in the README what lengthens them", mine, theirs, "s")
    return None


@rule("T7", "step average", "logs")
def step_average(evidence: Evidence) -> Ruling:
    """The printed step_avg is train_time over the timed steps."""
    if evidence.track.metric != "train_time":
        return Ruling("not applicable", "the track does not rank time, and its scripts average as they like")
    untimed = evidence.ruleset.untimed_steps
    seen = 0
    for run in evidence.runs:
        for line in run.timed_lines:
            if line.step_avg_ms is None or line.train_time_s is None or line.step is None:
                continue
            # Train lines of scripts without untimed steps begin at 1; step 0 is divided by 1, which avoids 0.
            steps = line.step - untimed if untimed else max(line.step, 1)
            if steps <= 0 or line.step <= untimed + 1:
                continue
            seen += 1
            room_ms = STEP_AVG_ROUNDING_MS[0] + STEP_AVG_ROUNDING_MS[1] * steps
            if abs(1000 * line.train_time_s - line.step_avg_ms * steps) > room_ms:
                said = f"{run.run_id} line {line.line}: step_avg {line.step_avg_ms:.2f} ms over {steps} steps is not"
                said += f" train_time {line.train_time_s:.3f} s"
                return Ruling("fail", said, line.step_avg_ms * steps / 1e3, None, "s")
    if not seen:
        return Ruling("not applicable", "the logs print no step_avg")
    return Ruling("pass", f"step_avg fits train_time on all {seen:,} lines that print it")


# ---------------------------------------------------------------------------------------- sections


def _timelines(evidence: Evidence) -> list[tuple[Metrics, Timeline]]:
    untimed = evidence.ruleset.untimed_steps
    return [(run, read_timeline(run.timed_lines, untimed)) for run in evidence.runs]


def _stamped(evidence: Evidence) -> list[tuple[Metrics, Timeline]]:
    """Read the timelines of all runs; none where any line has no stamp, for a cut clock could hide untimed work."""
    if any(not run.timed_lines or any(line.arrival_s is None for line in run.timed_lines) for run in evidence.runs):
        return []
    return _timelines(evidence)


def _over_limit(run: Metrics, section: Section, amount: float, where: str) -> Ruling:
    limit = STOP_LIMIT_S if "clock:stop" in where else SECTION_LIMIT_S
    said = f"{run.run_id}: in the section from line {section.first_line}, {_ms(amount)} passed {where}"
    failed = Ruling("fail", f"{said}; the limit is {_ms(limit)}", amount, limit, "s")
    return excused(run, abs(amount) - limit, failed, (section.begin_s, section.end_s))


CHECKS = (monotone, within_wall, marks, drift, ends, gaps, step_average)
