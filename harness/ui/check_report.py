"""Print the result of `check`: for people, as annotations of a workflow, and as the report for a pull request.

Titles, names and log lines are untrusted: they are escaped for the terminal, for Markdown and for workflow commands.
"""

import re
from typing import Any

from harness.board.markdown import cell
from harness.catalog.checkout import source_of
from harness.catalog.lookup import Catalog
from harness.catalog.manifests import REFRESH
from harness.catalog.subjects import Subject
from harness.core import codec, stats
from harness.core.errors import HarnessError
from harness.core.judgement import Verdict
from harness.core.measurement import Metrics
from harness.core.text import plural, printable
from harness.evidence.contents import Evidence
from harness.store.packs import PACK
from harness.submission import codediff
from harness.submission.inspection import Checked
from harness.ui import console, run_report


def say(catalog: Catalog, checked: Checked, *, every: bool = False, usd_per_hour: float | None = None) -> None:
    """Print the verdict and what to do, then what is not in order, then a count; every: all the rest too."""
    outcome = "fail" if checked.problems else None if checked.verdict is None else checked.verdict.outcome
    console.say(headline(catalog, checked), style=console.style_of(outcome or "pass"))
    for problem in checked.problems:
        console.say(f"  problem  {problem}", style="red")
    if checked.gathered is not None and checked.verdict is not None:
        run_report.say_more_runs(checked.gathered, checked.verdict, usd_per_hour)
    todo = None if checked.problems else next_step(catalog, checked)
    if todo is not None:
        console.say(f"  next     {todo}")
    if checked.subject is not None:
        run_report.say_newer(catalog.project, checked.subject)
    if checked.gathered is None or checked.verdict is None:
        return
    if every:
        _say_all(catalog, checked.subject, checked.gathered, checked.verdict)
        return
    findings = checked.verdict.findings
    console.say_findings(one for one in findings if one.outcome not in ("pass", "not applicable"))
    console.say_warnings(checked.verdict)
    if checked.subject is None:
        console.say(f"  {run_report.PAST}")
    counts = {outcome: sum(one.outcome == outcome for one in findings) for outcome in ("pass", "not applicable")}
    said = f"{plural(counts['pass'], 'rule')} passed, {counts['not applicable']} did not apply"
    console.say(f"  {said}; `--all` lists them with the runs", style="dim")


def _say_all(catalog: Catalog, subject: Subject | None, gathered: Evidence, verdict: Verdict) -> None:
    if subject is None:
        run_report.say_past(gathered, verdict)
    else:
        run_report.say_outcome(catalog, subject, gathered, verdict, every=True)


def headline(catalog: Catalog, checked: Checked) -> str:
    """Return the first line: the verdict in plain words, or that there is none yet."""
    subject, verdict, count = checked.subject, checked.verdict, plural(len(checked.problems), "problem")
    if verdict is None:
        if subject is None:
            return f"{checked.name}: cannot be judged: {count}"
        if checked.problems:
            return f"{checked.name}: not in order: {count}"
        identity = f"({subject.script_sha256[:12]}, {subject.ruleset.id})"
        return f"{checked.name}: manifest, names and hashes are in order {identity}; it has no runs yet"
    said = f"for {checked.name} under {verdict.ruleset}"
    if checked.problems:
        return f"verdict: {verdict.outcome} {said}, but its folder is not in order: {count}"
    if verdict.outcome != "pass":
        wrong = [finding.rule for finding in verdict.findings if finding.outcome == verdict.outcome]
        return f"verdict: {verdict.outcome} {said}: {', '.join(wrong)}"
    if subject is None or checked.gathered is None:
        return f"verdict: pass {said}"
    standing = run_report.standing(catalog, subject, checked.gathered, ran=False).partition("; seconds are")[0]
    return f"verdict: {'valid, but no record,' if checked.no_record else 'pass'} {said}: {standing}"


def next_step(catalog: Catalog, checked: Checked) -> str | None:
    """Say what to do first; None where nothing is left to do."""
    subject, verdict = checked.subject, checked.verdict
    if subject is None or subject.manifest is None:  # a record
        return None
    if verdict is None:
        return f"make runs: speedrun run {checked.name}"
    if verdict.outcome == "fail":
        return f"change what these findings name, then start over: {REFRESH} {checked.name}"
    if verdict.outcome == "inconclusive":
        more = next((finding.more_runs for finding in verdict.findings if finding.more_runs), None)
        have = len(checked.gathered.runs) if checked.gathered is not None else 0
        return None if more is None else f"make them: speedrun run {checked.name} --runs {have + more}"
    if checked.no_record:
        return "only fewer steps become the record; `speedrun run` with --screening tries a script without counting"
    if not (subject.folder / PACK).is_dir():
        return f"pack its evidence: speedrun pack {checked.name}"
    best = catalog.current(subject.track) if subject.track.metric == "train_time" else None
    compare = "" if best is None else f"; compare it before: speedrun compare {subject.track.name} {checked.name}"
    return f"open a pull request with this folder{compare}"


def as_data(checked: Checked) -> dict[str, Any]:
    """Return what `--json` prints of one submission or record."""
    verdict = codec.encode(checked.verdict) if checked.verdict is not None else {"subject": checked.name}
    assert isinstance(verdict, dict)
    runs = checked.gathered.runs if checked.gathered is not None else ()
    told = {"no_record": checked.no_record, "problems": [codec.encode(problem) for problem in checked.problems]}
    return {"outcome": None, **verdict, **told, "runs": [run_report.run_figures(run) for run in runs]}


# ------------------------------------------------------------------------------------------ workflow commands


def workflow_lines(checked: Checked) -> list[str]:
    """Return `::error …` lines, one for each problem and each finding that is not pass."""
    lines = []
    for problem in checked.problems:
        path, line = _place(problem.where, checked.name)
        lines.append(annotation("error", path, line, f"{problem.what}; {problem.todo}"))
    is_record = checked.subject is None or checked.subject.manifest is None
    manifest = f"{checked.name}/{'record.yaml' if is_record else 'manifest.yaml'}"
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
    outcome = "refused" if not checked.in_order else "valid, but no record" if checked.no_record else "in order"
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
        beside = "its parent" if gathered.beside is None or gathered.is_parent_beside else cell(gathered.beside)
        parent = f"{beside}, same machine"
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
