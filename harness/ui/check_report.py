"""Print the result of `check`: for people, as annotations of a workflow, and as the report for a pull request.

Titles, names and log lines are untrusted: they are escaped for the terminal, for Markdown and for workflow commands.
"""

import re

from harness.board.markdown import cell
from harness.catalog.checkout import source_of
from harness.catalog.lookup import Catalog
from harness.core import stats
from harness.core.errors import HarnessError
from harness.core.measurement import Metrics
from harness.core.text import plural, printable
from harness.submission import codediff
from harness.submission.inspection import Checked
from harness.ui import console, run_report


def say(catalog: Catalog, checked: Checked) -> None:
    """Print the result for people on stderr."""
    for problem in checked.problems:
        console.say(f"  {problem}", style="red")
    count = plural(len(checked.problems), "problem")
    if checked.subject is None:
        console.say(f"{checked.name}: {count}; it cannot be judged", style="red")
        return
    if checked.problems:
        console.say(f"{checked.name}: {count}", style="red")
    else:
        identity = f"({checked.subject.script_sha256[:12]}, {checked.subject.ruleset.id})"
        console.say(f"{checked.name}: manifest, names and hashes are in order {identity}")
    if checked.gathered is None or checked.verdict is None:
        if not checked.problems:
            console.say(f"it has no runs yet; make some: speedrun run {checked.name}")
        return
    run_report.say_outcome(catalog, checked.subject, checked.gathered, checked.verdict)


# ------------------------------------------------------------------------------------------ workflow commands


def workflow_lines(checked: Checked) -> list[str]:
    """Return `::error …` lines, one for each problem and each finding that is not pass."""
    lines = []
    for problem in checked.problems:
        path, line = _place(problem.where, checked.name)
        lines.append(annotation("error", path, line, f"{problem.what}; {problem.todo}"))
    manifest = f"{checked.name}/manifest.yaml"
    if checked.verdict is None:
        return lines
    for finding in checked.verdict.findings:
        if finding.outcome in ("fail", "inconclusive"):
            level = "error" if finding.outcome == "fail" else "warning"
            lines.append(annotation(level, manifest, 1, f"{finding.rule} {finding.outcome}: {finding.text}"))
    return lines + [annotation("notice", manifest, 1, warning) for warning in checked.verdict.warnings]


def annotation(level: str, path: str, line: int, text: str) -> str:
    """Return one workflow command; nothing in its parts can end it or begin another."""
    return f"::{level} file={_property(path)},line={line}::{_data(text)}"


def _data(text: str) -> str:
    shown = printable(text.replace("\n", " "))
    return shown.replace("%", "%25").replace("\r", "%0D").replace("##[", "## [")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _place(where: str, name: str) -> tuple[str, int]:
    path, _, line = where.rpartition(":")
    if path and re.fullmatch(r"[0-9]{1,9}", line):
        return path, int(line)
    return (where if where.startswith(name) else name), 1


# ------------------------------------------------------------------------------------------ Markdown


def markdown(catalog: Catalog, checked: Checked) -> str:
    """Return the report for the pull request."""
    subject, verdict, gathered = checked.subject, checked.verdict, checked.gathered
    outcome = "in order" if checked.in_order else "refused"
    lines = [f"## {cell(checked.name)}: {outcome}", ""]
    if subject is not None and subject.manifest is not None:
        manifest = subject.manifest
        about = f"by {', '.join(manifest.contributors)}; {subject.ruleset.id}; claim: {manifest.claim}"
        lines += [f"**{cell(manifest.title)}**, {cell(about)}", "", f"Code: {cell(_size(catalog, checked))}", ""]
    if checked.problems:
        lines += ["| where | what | what to do |", "|---|---|---|"]
        lines += [f"| {cell(p.where)} | {cell(p.what)} | {cell(p.todo)} |" for p in checked.problems]
        lines.append("")
    if gathered is not None:
        lines += ["| | runs | steps | train time, mean ± sd | val loss, mean ± sd |", "|---|--:|--:|--:|--:|"]
        lines.append(_figures("this submission", gathered.runs))
        parent = "its parent, same machine"
        lines += [_figures(parent, gathered.baseline) if gathered.baseline else f"| {parent} | none yet | | | |", ""]
    if verdict is not None:
        lines += ["| rule | outcome | finding |", "|---|---|---|"]
        lines += [
            f"| {f.rule} {cell(f.name)} | {f.outcome} | {cell(f.text)} |"
            for f in verdict.findings
            if f.outcome != "not applicable"
        ]
        lines += ["", f"Verdict: **{verdict.outcome}** under {cell(verdict.ruleset)}.", ""]
        lines += [f"- warning: {cell(warning)}" for warning in verdict.warnings]
    elif subject is not None:
        lines += ["It has no runs yet.", ""]
    return "\n".join(lines).rstrip() + "\n"


def _size(catalog: Catalog, checked: Checked) -> str:
    assert checked.subject is not None
    try:
        old = codediff.parent_of(catalog, checked.subject, source_of(None, allow_network=False))
    except HarnessError as error:
        return f"not compared: {error.problems[0].what}"
    return f"{codediff.between(old, checked.subject).size} against {old.name}"


def _figures(name: str, runs: tuple[Metrics, ...]) -> str:
    times = [run.train_time_s for run in runs if run.train_time_s is not None]
    losses = [run.val_loss for run in runs if run.val_loss is not None]
    steps = sorted({run.step for run in runs if run.step is not None})
    cells = [name, str(len(runs)), ", ".join(map(str, steps)), _spread(times, 2, " s"), _spread(losses, 4, "")]
    return f"| {' | '.join(cells)} |"


def _spread(values: list[float], digits: int, unit: str) -> str:
    if not values:
        return "none"
    spread = f" ± {stats.sd(values):.{digits}f}" if len(values) > 1 else ""
    return f"{stats.mean(values):.{digits}f}{spread}{unit}"
