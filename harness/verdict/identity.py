"""I: the runs are runs of the frozen script, unchanged, and different runs."""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable

from harness.core.measurement import Metrics
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, all_of, missing, names, rule

MIN_POINTS = 4  # losses with four decimals and the field's spread agree at one point in about one of 40 pairs


@rule("I1", "frozen script", "script")
def source(evidence: Evidence) -> Ruling:
    """Every run logs the source of the frozen script, byte for byte, and ran with its frozen files."""
    frozen = evidence.script_sha256
    if frozen is None:
        return missing(evidence, "script", "there is no frozen script to compare the logged sources with")
    other = [run for run in evidence.runs if run.log.script_sha256 not in (None, frozen)]
    if other:
        logged = other[0].log.script_sha256
        said = f"{names(run.run_id for run in other)} logged another source ({_short(logged)}) than the frozen script"
        return Ruling("fail", f"{said} ({_short(frozen)}); run the frozen script", logged, frozen)
    beside = sorted((name, hashlib.sha256(data).hexdigest()) for name, data in evidence.files)
    for run in evidence.runs:
        changed = sorted({name for name, _ in set(run.given_files or beside) ^ set(beside)})
        if changed and beside:
            said = f"{run.run_id} ran with another {changed[0]} than the frozen one; run all frozen files together"
            return Ruling("fail", said, changed[0], "the frozen files")
    silent = [run.run_id for run in evidence.runs if run.log.script_sha256 is None]
    if silent:
        return missing(evidence, "script", f"{names(silent)} logged no source")
    return Ruling("pass", f"{all_of(len(evidence.runs))} logged the frozen script {_short(frozen)}", frozen, frozen)


@rule("I2", "different runs", "seeds")
def distinct(evidence: Evidence) -> Ruling:
    """No log, seed or validation curve appears twice."""
    for what, values in (
        ("the same log", [run.log_sha256 for run in evidence.runs]),
        ("the same seed", [run.seed for run in evidence.runs]),
        ("the same curve", [curve_of(run) for run in evidence.runs]),
    ):
        twins = repeated(values)
        if twins:
            ids = names(evidence.runs[index].run_id for index in twins)
            return Ruling("fail", f"{ids} have {what}; a p-value counts independent runs only", len(twins), 0, "runs")
    if not any(run.log_sha256 or run.seed is not None or curve_of(run) for run in evidence.runs):
        return missing(evidence, "seeds", "only final figures are left of the runs")
    if evidence.requires("seeds") and any(run.seed is None for run in evidence.runs):
        return Ruling("inconclusive", "not every run logged its seed; print `seed:N` in the header")
    if len(evidence.runs) == 1:
        return Ruling("pass", "there is one run, so none appears twice")
    return Ruling("pass", f"{len(evidence.runs)} different logs, seeds and curves")


def curve_of(run: Metrics) -> Hashable:
    """Return what no other run repeats: the losses, or with few of them, which chance may repeat, the times too."""
    trained = tuple((step, loss) for step, loss, _ in run.log.curve if step)
    return trained if len(trained) >= MIN_POINTS else run.log.curve or None


@rule("I3", "no overrides", "script")
def overrides(evidence: Evidence) -> Ruling:
    """No run changes a setting by an argument; only the seed differs."""
    changed = [run for run in evidence.runs if run.log.overrides]
    if changed:
        what = ", ".join(changed[0].log.overrides[:3])
        return Ruling("fail", f"{changed[0].run_id} ran with {what}; only seed=N leaves a run rankable", what, "none")
    if all(run.log.dialect == "none" for run in evidence.runs):
        return missing(evidence, "script", "only final figures are left of the runs")
    return Ruling("pass", "no run had an override but its seed")


def repeated(values: Iterable[Hashable]) -> list[int]:
    """Find the indexes of values that appear more than once; None is no value."""
    listed = list(values)
    counts = Counter(value for value in listed if value is not None)
    return [index for index, value in enumerate(listed) if value is not None and counts[value] > 1]


@rule("I4", "same account", "machine")
def same_account(evidence: Evidence) -> Ruling:
    """Log, run.json, ledger and manifest tell the same of every run: seed, versions, GPUs, files, end, ruleset."""
    manifest = evidence.manifest
    if manifest is not None and (manifest.track, manifest.ruleset) != (evidence.track.name, evidence.ruleset.id):
        said = f"the manifest is for {manifest.ruleset}, the runs are judged by {evidence.ruleset.id}"
        return Ruling("fail", said, manifest.ruleset, evidence.ruleset.id)
    for run in evidence.runs:
        for what, logged, known in _accounts(run):
            if logged is not None and known is not None and logged != known:
                said = f"{run.run_id} logged {what} {logged}, the harness knows {known}"
                return Ruling("fail", f"{said}; pack what the run wrote", str(logged), str(known))
    if evidence.contradictions:
        said = f"{evidence.contradictions[0]}; pack what the runs wrote"
        return Ruling("fail", said, len(evidence.contradictions), 0)
    alone = [run.run_id for run in evidence.runs if run.machine is None]
    if alone or not evidence.runs:
        return missing(evidence, "machine", f"nobody but the log tells of {names(alone) or 'the runs'}")
    return Ruling("pass", "seed, versions and GPUs in every log are those that the harness knows")


def _accounts(run: Metrics) -> list[tuple[str, str | int | None, str | int | None]]:
    machine, log = run.machine, run.log
    accounts: list[tuple[str, str | int | None, str | int | None]] = [("the seed", log.seed, run.given_seed)]
    if machine is not None:
        accounts.append(("torch", _release(log.torch), _release(machine.torch)))
        accounts.append(("Python", log.python, machine.python))
    if machine is not None and machine.gpus:
        accounts.append(("the GPU", log.gpu_name, machine.gpus[0].name))
        accounts.append(("the driver", log.driver, machine.driver))
    return accounts


def _release(version: str | None) -> str | None:
    """Return the version without its build: 2.13.0 of 2.13.0+cpu."""
    return None if version is None else version.partition("+")[0]


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]


CHECKS = (source, distinct, overrides, same_account)
