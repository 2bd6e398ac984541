"""R: what a submission brings is program text, that its reader can read, and little else beyond its parent's.

The rules that ask for this name their limits (`program_text` of a ruleset); under older ones nothing here is applicable.
What a finding of R3 or R4 names (of T8 or T9 too) is lifted by a maintainer with a reason, in `waivers` of the track's
file, for one script alone: its frozen files, byte for byte.
"""

import fnmatch
import functools
import hashlib

from harness.core.text import plural
from harness.evidence.contents import Evidence
from harness.store.ledger import chain_of
from harness.verdict.checks import Ruling, missing, rule
from harness.verdict.rules import scans
from harness.verdict.scan import carried
from harness.verdict.scan.formats import PYTHON, refusal
from harness.verdict.scan.places import Load, Scan

MOST_NAMED = 5  # lines that a finding names
_beyond = functools.lru_cache(maxsize=8)(
    lambda own, parent: carried.beyond(dict(own), dict(parent))
)  # `run` and `check` ask more than once


@rule("R2", "program text", "script")
def program_text(evidence: Evidence) -> Ruling:
    """Every file of the submission is Python or another text by its name and its bytes, and they are few together."""
    limits = evidence.ruleset.program_text
    if limits is None:
        return Ruling("not applicable", f"{evidence.ruleset.id} names no limits")
    if not evidence.files:
        return missing(evidence, "script", "there is no script to look at")
    refused = [(name, why) for name, data in evidence.files if (why := refusal(name, data)) is not None]
    if refused:
        name, why = refused[0]
        more = f", and so {'is' if len(refused) == 2 else 'are'} {len(refused) - 1} more" if len(refused) > 1 else ""
        said = f"{name} {why}{more}; a submission brings program text alone"
        return Ruling("fail", said, len(refused), 0, "other files")
    size = sum(len(data) for _, data in evidence.files)
    if size > limits.total_bytes:
        said = (
            f"{plural(len(evidence.files), 'file')} have {size:,} bytes; a submission may bring {limits.total_bytes:,}"
        )
        return Ruling("fail", said, size, limits.total_bytes, "bytes")
    said = f"{plural(len(evidence.files), 'file')} of program text, {size:,} bytes"
    return Ruling("pass", said, size, limits.total_bytes, "bytes")


@rule("R3", "data in the text", "script")
def data_in_text(evidence: Evidence) -> Ruling:
    """Literals and comments that the parent does not have, and all that the text adds to the parent's, compressed, stay
    below a limit each: a script holds no weights."""
    limits = evidence.ruleset.program_text
    if limits is None:
        return Ruling("not applicable", f"{evidence.ruleset.id} names no limits")
    if not evidence.files:
        return missing(evidence, "script", "there is no script to look at")
    if program_text(evidence).outcome != "pass":
        return Ruling("inconclusive", "what is no program text, or too much of it, was not counted")
    own, parent, against = _compared(evidence)
    found = _beyond(own, parent)
    if found.unreadable is not None:
        return Ruling("inconclusive", f"{found.unreadable}, so nothing was counted")
    most, limit = max(found.counted, found.compressed), limits.data_bytes
    said = f"{found.counted:,} bytes of literals and comments {against}, and {found.compressed:,} in all, compressed"
    if most <= limit:
        return Ruling("pass", f"{said}, of {limit:,} each", most, limit, "bytes")
    by_count = found.counted > limit
    lines = found.lines if by_count else tuple(sorted((*found.lines, *found.others), key=lambda line: -line[2]))
    named = ", ".join(f"{file}:{line} ({size:,})" for file, line, size in lines[:MOST_NAMED])
    rest = f" and {plural(len(lines) - MOST_NAMED, 'more line')}" if len(lines) > MOST_NAMED else ""
    said = f"{said}; {evidence.ruleset.id} allows {limit:,} each: {named}{rest}"
    untold = found.untold
    if evidence.parent is not None and evidence.parent.files is None:
        untold = f"{evidence.parent.name} is not here to count against: `speedrun replay --original --plan` fetches it"
    if untold is not None:
        return waived(evidence, "R3", Ruling("inconclusive", f"{said}; {untold}", most, limit, "bytes"))
    return waived(evidence, "R3", Ruling("fail", said, most, limit, "bytes"))


def _compared(evidence: Evidence) -> tuple[tuple[tuple[str, bytes], ...], tuple[tuple[str, bytes], ...], str]:
    """Return the files of a script that are not its parent's, the parent's that are not its own, and what that is called."""
    known = evidence.parent
    if known is None:
        return evidence.files, (), "(no parent is named)"
    same = {hashlib.sha256(data).hexdigest() for _, data in evidence.files} & set(known.hashes)
    own = tuple((name, data) for name, data in evidence.files if hashlib.sha256(data).hexdigest() not in same)
    if known.files is None:
        return own, (), f"(not counted against {known.name})"
    files = tuple((name, data) for name, data in known.files if hashlib.sha256(data).hexdigest() not in same)
    return own, files, f"beyond those of {known.name}"


@rule("R4", "code that is read", "script")
def code_read(evidence: Evidence) -> Ruling:
    """All code that the script runs is installed or its own Python text: no other file is imported or executed."""
    if evidence.ruleset.program_text is None:
        return Ruling("not applicable", f"{evidence.ruleset.id} names no limits")
    files = scans(evidence)
    entries = [name for name, data in evidence.files if hashlib.sha256(data).hexdigest() == evidence.script_sha256]
    if not evidence.files:
        return missing(evidence, "script", "there is no script to look at")
    if entries and not entries[0].endswith(PYTHON):
        return Ruling("fail", f"{entries[0]} is run and is no {PYTHON} file, so nothing of it was scanned")
    unread = [name for name, data in evidence.files if not name.endswith(PYTHON) and refusal(name, data) is None]
    for _, scan in files:
        for load in scan.loads:
            hit = next((name for name in unread if _means(load, name)), None)
            if hit is not None and load.kind in ("code", "values"):
                return Ruling("fail", f"{load.place}, out of {hit}, which was not scanned", hit, "scanned files")
    finders = [load for _, scan in files for load in scan.loads if load.kind == "finder"]
    for name, scan in files if finders else ():
        for module, line in scan.imports.items():
            hit = next((file for file in unread if file.partition(".")[0] == module), None)
            if hit is not None:
                said = (
                    f"{name}:{line} imports {module}, which {finders[0].place} can find in {hit}, which was not scanned"
                )
                return Ruling("fail", said, hit, "scanned files")
    doubts = [f"{name} {scan.unreadable}" for name, scan in files if scan.unreadable is not None]
    doubts += _doubts(files, unread)
    if doubts:
        more = f", and {plural(len(doubts) - 1, 'more place')}" if len(doubts) > 1 else ""
        said = f"{doubts[0]}{more}; what is run there was not scanned"
        return waived(evidence, "R4", Ruling("inconclusive", said, len(doubts), 0, "places"))
    paths = [str(load.place) for _, scan in files for load in scan.loads if load.kind == "path"]
    remark = f" ({paths[0]})" if paths else ""
    return Ruling("pass", f"no other code is run than {plural(len(files), 'Python file')} that the scan reads{remark}")


def _doubts(files: list[tuple[str, Scan]], unread: list[str]) -> list[str]:
    """Name the places where something is run that the scan does not read."""
    doubts = []
    own = {name for name, _ in files}
    for _, scan in files:
        for load in scan.loads:
            hit = next((name for name in unread if _means(load, name)), None)
            if load.blind or hit is not None or (load.kind == "code" and not load.names & own):
                doubts.append(f"{load.place}{f' ({hit})' if hit else ''}")
    return doubts


def _means(load: Load, name: str) -> bool:
    """Whether a text of a place names a file: whole, by its ending, or by a pattern."""
    return any(
        text == name
        or (text.startswith(".") and name.endswith(text))
        or ("*" in text and fnmatch.fnmatchcase(name, text))
        for text in load.names
    )


def waived(evidence: Evidence, id: str, ruling: Ruling) -> Ruling:
    """Let a finding pass that a maintainer has lifted for this script; else say what they would name."""
    chain = chain_of({name: hashlib.sha256(data).hexdigest() for name, data in evidence.files})
    for waiver in evidence.track.waivers:
        if (waiver.rule, waiver.script) == (id, chain):
            said = f"lifted by {waiver.by} on {waiver.date} ({waiver.reason}): {ruling.text}"
            return Ruling("pass", said, ruling.measured, ruling.required, ruling.unit)
    said = f"{ruling.text}; a maintainer can lift it for the script {chain}"
    return Ruling(ruling.outcome, said, ruling.measured, ruling.required, ruling.unit)


CHECKS = (program_text, data_in_text, code_read)
