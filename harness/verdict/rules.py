"""R: the script does nothing that the ruleset forbids, by its text alone; what is merely odd is a warning."""

import fnmatch
import functools
import re

from harness.core.text import plural
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, missing, rule
from harness.verdict.scan import scanner
from harness.verdict.scan.places import Scan

# Kinds of warnings that an allowance of the ruleset silences.
_ALLOWED = {"environment": "reading the environment", "network": "downloads while running"}
MOST_WARNINGS = 20
_scan = functools.lru_cache(maxsize=64)(scanner.scan)  # two rules and the warnings look at the same files


def scans(evidence: Evidence) -> list[tuple[str, Scan]]:
    """Scan every Python file of the script."""
    return [(name, _scan(name, source)) for name, source in evidence.files if name.endswith(".py")]


@rule("R1", "no forbidden setting", "script")
def flags(evidence: Evidence) -> Ruling:
    """The script sets nothing that the ruleset forbids, in any spelling (its text is read, never executed)."""
    forbidden = evidence.ruleset.forbidden
    if not forbidden:
        return Ruling("not applicable", f"{evidence.ruleset.id} forbids no setting")
    files = scans(evidence)
    if not files:
        return missing(evidence, "script", "there is no script to look at")
    places = [place for _, scan in files for place in scan.flags if place.kind in forbidden]
    if places:
        more = f", and {len(places) - 1} more" if len(places) > 1 else ""
        said = f"{places[0]}{more}; {evidence.ruleset.id} forbids it"
        return Ruling("fail", said, len(places), 0, "forbidden settings")
    unreadable = [f"{name} {scan.unreadable}" for name, scan in files if scan.unreadable is not None]
    if unreadable:
        return Ruling("inconclusive", f"{unreadable[0]}, so its settings are not known")
    return Ruling("pass", f"no forbidden setting in {plural(len(files), 'file')}", 0, 0)


@rule("D3", "training files", "data")
def training_files(evidence: Evidence) -> Ruling:
    """No pattern of the script's training files matches a validation file."""
    files = scans(evidence)
    if not files:
        return missing(evidence, "data", "there is no script to look at")
    data = evidence.track.data
    validation = data.val_pattern % 0
    patterns = [(name, text, line) for name, scan in files for text, line in scan.train_patterns]
    unreadable = [f"{name} {scan.unreadable}" for name, scan in files if scan.unreadable is not None]
    for name, text, line in patterns:
        base = re.sub(r"%0?\d*d", "*", text.rpartition("/")[2])
        if fnmatch.fnmatchcase(validation, base):
            said = f"{name}:{line} trains on {text!r}, which matches the validation file {validation}"
            return Ruling("fail", said, text, data.train_pattern)
    if unreadable:
        return Ruling("inconclusive", f"{unreadable[0]}, so what it trains on is not known")
    if not patterns:
        return Ruling("pass", "no file pattern of the script is named as training data and matches a validation file")
    return Ruling("pass", f"{patterns[0][1]!r} matches no validation file")


def warnings(evidence: Evidence) -> tuple[str, ...]:
    """List what a maintainer may want to look at; it changes no verdict."""
    said: dict[str, None] = {}  # each once, in order
    for name, scan in scans(evidence):
        if scan.unreadable is not None:
            said[f"{name} {scan.unreadable}"] = None
        for place in scan.warnings:
            if _ALLOWED.get(place.kind) not in evidence.ruleset.allowed:
                said[str(place)] = None
    shown, hidden = tuple(said)[:MOST_WARNINGS], len(said) - MOST_WARNINGS
    return (*shown, f"and {hidden} more") if hidden > 0 else shown


CHECKS = (flags, training_files)
