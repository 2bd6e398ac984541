"""Say before anything is run what a submission may not bring, so that nobody pays for runs of it.

A file that is no program text, too much text, and a contributor whose letters may look like another's make the folder
unusable. What the rules on a script's text find beyond that is told beside it, because a maintainer may lift it.
"""

import contextlib
import datetime
import re

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import LOCK, MANIFEST, check_kind
from harness.catalog.subjects import Subject
from harness.catalog.tracks import current_ruleset, why_closed
from harness.core.constraints import FILE_NAME, show
from harness.core.errors import ManifestError, Problem, StoreError, raise_if
from harness.core.judgement import Finding
from harness.run import judging
from harness.store.entries import Chain
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.packs import LEDGER, PACK, read_pack_ledger
from harness.verdict.scan.formats import refusal

MOST_FILES = 64  # `check` refuses a folder with more


def problems(subject: Subject) -> list[Problem]:
    """Name what a submission may not bring, frozen or not; nothing under a ruleset that has no limits, and for a record."""
    limits, manifest = subject.ruleset.program_text, subject.manifest
    if limits is None or manifest is None:
        return []
    found, size = [], 0
    for path in sorted(subject.folder.iterdir())[:MOST_FILES]:
        if path.name == LOCK or not re.fullmatch(FILE_NAME, path.name) or check_kind(path) is not None:
            continue  # what is no plain file is refused for that
        data = path.read_bytes()
        size += len(data)
        why = refusal(path.name, data)
        if why is not None:
            todo = "take it out: a submission brings program text alone"
            found.append(Problem(f"{subject.name}/{path.name}", why, todo))
    if size > limits.total_bytes:
        what = f"its files have {size:,} bytes together"
        found.append(Problem(subject.name, what, f"a submission may bring {limits.total_bytes:,}"))
    for person in manifest.contributors:
        if not person.isascii():
            what = f"`contributors` holds {show(person)}, whose letters may look like another's"
            found.append(Problem(f"{subject.name}/{MANIFEST}", what, "write the handle or the name in ASCII"))
    return found


def closed(project: Project, subject: Subject) -> list[Problem]:
    """Name the ruleset of a submission where nothing new is judged by it any more."""
    if subject.manifest is None:
        return []
    today = datetime.datetime.now(datetime.UTC).date()
    why = why_closed(subject.track, subject.ruleset, today, first_run(project, subject))
    if why is None:
        return []
    todo = f"write `ruleset: {current_ruleset(subject.track).id}` before the first run"
    return [Problem(f"{subject.name}/{MANIFEST}", f"`ruleset` {why}", todo)]


def first_run(project: Project, subject: Subject) -> datetime.date | None:
    """Return the day of the first run of a script that counts, of this machine or packed; None where there is none."""
    pack, chains = subject.folder / PACK, []
    with contextlib.suppress(StoreError):  # where a ledger is damaged, the judge says so
        chains.append(Ledger(project.ledger).chain(subject.chain))
    with contextlib.suppress(StoreError):
        if (pack / LEDGER).is_file():
            chains.append(read_pack_ledger(pack, f"{subject.name}/{PACK}").of_script(subject.chain))
    return min((day for chain in chains if (day := _first_day(chain)) is not None), default=None)


def _first_day(chain: Chain) -> datetime.date | None:
    judged = next((run for run, start in chain.starts.items() if start.is_judged), "")
    try:
        return datetime.datetime.strptime(judged[:8], "%Y%m%d").replace(tzinfo=datetime.UTC).date()
    except ValueError:  # no run of ours has such a name
        return None


def refuse(subject: Subject) -> None:
    """Raise ManifestError with all that a submission may not bring."""
    raise_if(problems(subject), ManifestError)


def refuse_run(project: Project, subject: Subject) -> None:
    """Raise ManifestError, before anything is run, with all that a submission may not bring, and for a closed ruleset."""
    raise_if([*closed(project, subject), *problems(subject)], ManifestError)


def objections(catalog: Catalog, subject: Subject) -> tuple[Finding, ...]:
    """Return what the rules on a script's text would find against a submission, where its ruleset has limits."""
    if subject.ruleset.program_text is None or subject.manifest is None:
        return ()
    return tuple(found for found in judging.read_text(catalog, subject) if found.outcome in ("fail", "inconclusive"))
