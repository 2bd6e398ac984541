"""Make a submission's folder and freeze its files (`speedrun new`), so that nobody types a hash, a date or a number.

`make` fills submissions/<slug>/ from the template or from a record's script. While its author edits the script the
hashes in manifest.lock grow stale; `run` writes them anew as long as no run was made, and after that only `--refresh`
does, because runs of another script do not count.
"""

import contextlib
import datetime
import json
import os
import re
import shutil
from pathlib import Path

from harness.catalog.checkout import source_of
from harness.catalog.lookup import Catalog
from harness.catalog.manifests import LOCK, LOCK_FORM, MANIFEST, README, Lock, files_in, good_hashes, load_manifest
from harness.catalog.subjects import Subject
from harness.catalog.tracks import current_ruleset
from harness.core import yamlfile
from harness.core.constraints import show
from harness.core.errors import HarnessError, ManifestError, Problem, StoreError, YamlError, raise_if
from harness.core.task import Track
from harness.core.text import plural
from harness.store import run_files
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project, is_slug
from harness.store.ledger import Ledger, chain_of
from harness.store.packs import PACK
from harness.submission import admissible, people

TEMPLATE = "_template"


# ------------------------------------------------------------------------------------------------ making


def make(
    catalog: Catalog,
    name: str,
    start: str | None = None,
    *,
    on: str | None = None,
    by: str | None = None,
    original: bool = False,
    checkout: Path | None = None,
) -> tuple[Path, Subject]:
    """Make submissions/<today>_<name>/ from the template, or from the script of `start` (a record, a track's current one).

    on: the track, if it is not that of the script; alone it means its current record, or the template where it has none.
    by: who makes it; None: whom git names. A record without a script here is copied from its published one: from the
    cache, `checkout`, or its repository; original: from the one that its log proves, whatever was merged.
    Returns the folder and what was copied. Raises HarnessError where the folder exists, the name is not valid, nobody is
    named, the track is unknown, or an original is not available.
    """
    project = catalog.project
    folder = project.submissions / slug_of(name)
    taken = [f for f in (folder, *project.records.glob(f"*/{folder.name}")) if f.exists()]
    if taken:
        raise StoreError.at(project.show(taken[0]), "exists already", "use another name; nothing was changed")
    template = _template(project)
    track = None if on is None else catalog.track(on)
    if start is None and track is not None and catalog.current(track) is not None:
        start = track.name
    source = _source(catalog, start, original=original, checkout=checkout)
    values = _values(catalog, folder.name, source, track or source.track)
    values["contributors"] = [people.checked(by) if by is not None else people.named_by_git(project)]
    aside = project.submissions / f".{folder.name}.{os.getpid()}"
    try:
        aside.mkdir(parents=True)
        for file in source.files:
            write_atomic(aside / file, (source.files_folder / file).read_bytes())
        write_atomic(aside / MANIFEST, set_values((template / MANIFEST).read_text("utf-8"), values))
        readme = (template / README).read_text("utf-8")
        write_atomic(aside / README, readme.replace(readme.partition("\n")[0], f"# {values['title']}", 1))
        write_lock(aside, files_in(aside))
        aside.rename(folder)  # fails where somebody made it meanwhile
    except OSError as error:
        raise disk_error(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder, source


def _template(project: Project) -> Path:
    """Return the folder of the template; raises StoreError with every file of it that is missing."""
    template = project.submissions / TEMPLATE
    where = project.show(template)
    todo = f"it is part of the repository; get it back: git checkout -- {where}"
    missing = [name for name in (MANIFEST, README) if not (template / name).is_file()]
    raise_if([Problem(f"{where}/{name}", "is missing", todo) for name in missing], StoreError)
    return template


def _source(catalog: Catalog, start: str | None, *, original: bool, checkout: Path | None) -> Subject:
    """Return the script that a submission starts from; start None: the template's."""
    if start is None:
        return catalog.submission(catalog.project.submissions / TEMPLATE, frozen=False)
    place, given = source_of(checkout), checkout is not None
    return catalog.script(catalog.find(start), place, original=original, given=given, frozen=False)


def _values(catalog: Catalog, slug: str, source: Subject, track: Track) -> dict[str, object]:
    """Return what a new manifest says of itself; its parent is the record that its script is of, if that is of the track."""
    parent = source.record or catalog.parent(source)  # the template's may be a record that this project does not hold
    named = None if parent is None or parent.track != track.name else catalog.name(parent)
    return {
        "track": track.name,
        "ruleset": current_ruleset(track).id,
        "title": slug[11:].replace("-", " ").capitalize(),
        "parent": named,
        "entry": source.entry,
    }


def described(catalog: Catalog, source: Subject) -> str:
    """Say in words what a new submission is a copy of."""
    if source.record is None:
        return source.name
    kind = "the reimplementation that stands for" if source.reimplementation else "the script of"
    if not source.files_folder.is_relative_to(catalog.project.records):
        kind = "the merged script of" if source.merged else "the frozen original of"
    return f"{kind} {catalog.name(source.record)} ({source.record.title})"


def notes(catalog: Catalog, folder: Path, source: Subject) -> list[str]:
    """Say what the maker of a new submission may not expect: another spelling of their name, a script of another track."""
    manifest = load_manifest(folder)
    said = []
    if manifest.track != source.track.name:
        given = f"the script was made for {source.track.name}: give it the files and the numbers of tracks/{manifest.track}.yaml"
        said.append(f"{manifest.track} has no parent for it; {given}")
    [person] = manifest.contributors
    with contextlib.suppress(StoreError):
        if person != people.author(catalog.project) and person == people.named_by_git(catalog.project):
            said.append(
                f"its author is written {person}: a manifest names people in ASCII, and you may change it there"
            )
    return said


def slug_of(name: str) -> str:
    """Return the folder name for the name of an idea: today's date (UTC) and kebab-case; a whole slug stays."""
    if is_slug(name):
        return name
    words = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if not words or len(words) > 60 or not name.isascii():
        raise StoreError.at(ascii(name)[:80], "is not a valid name", "use 1 to 60 letters and digits, like fewer-steps")
    return f"{datetime.datetime.now(datetime.UTC).date()}_{words}"


def set_values(template: str, values: dict[str, object]) -> str:
    """Rewrite the line of every key in `values` in the template of a manifest; comments stay."""
    lines = []
    for line in template.splitlines():
        key = line.partition(":")[0]
        if key not in values:
            lines.append(line)
        elif isinstance(values[key], list):  # JSON is YAML on one line
            lines.append(f"{key}: {json.dumps(values[key], ensure_ascii=False)}")
        else:
            lines.append(yamlfile.dump({key: values[key]}).rstrip())
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------------------------------------------ freezing


def write_lock(folder: Path, files: dict[str, str]) -> None:
    """Write the hashes of a submission's files beside its manifest; raises ManifestError as `lock_of` does."""
    write_atomic(folder / LOCK, lock_of(folder, files))


def lock_of(folder: Path, files: dict[str, str]) -> str:
    """Return what the lock of these files holds.

    Raises ManifestError for a manifest of schema 1 that lists them (what people write is theirs to change), for an entry
    that is not there, and for too many files.
    """
    name = f"{folder.name}/{MANIFEST}"
    manifest = yamlfile.load(folder / MANIFEST, name=name)
    if "files" in manifest.data:
        todo = f"take the key `files` out of it; {LOCK}, which speedrun writes, holds the hashes since schema 2"
        raise ManifestError.at(name, "lists the hashes of files that have changed", todo)
    entry = manifest.data.get("entry")
    if entry not in files:
        what = f"the entry {show(entry)} is not in the folder"
        raise ManifestError.at(manifest.where(("entry",)), what, "put it there, or correct `entry`")
    text = LOCK_FORM.text(Lock(files))
    LOCK_FORM.parse(text.encode(), f"{folder.name}/{LOCK}")  # too many files are refused before anything is written
    return text


def stale(project: Project, name: str) -> tuple[Path, dict[str, str], dict[str, str]] | None:
    """A submission's folder, its files as frozen, and as they are; None where both agree or it is no submission."""
    folder = Path(name)
    if not (folder / MANIFEST).is_file():
        return None
    file = folder / (LOCK if (folder / LOCK).is_file() else MANIFEST)
    now = files_in(folder)
    try:
        held = yamlfile.load(file, name=project.show(file)).data.get("files")
    except YamlError:
        if file.name == MANIFEST:
            raise
        held = None  # a damaged lock is the tool's own to write again
    return None if now == held else (folder, good_hashes(held), now)


def refresh(catalog: Catalog, name: str) -> str:
    """Write the hashes of a submission's files beside its manifest; say what was done."""
    if not (Path(name) / MANIFEST).is_file():
        raise ManifestError.at(name, f"holds no {MANIFEST}", "name a folder under submissions/")
    try:
        subject = catalog.submission(Path(name), frozen=False)
    except HarnessError:  # files are frozen beside any manifest; `check` says what is wrong with it
        pass
    else:
        admissible.refuse(subject)
    found = stale(catalog.project, name)
    if found is None:
        return f"{name}: manifest.lock holds the hashes of all files already"
    folder, held, now = found
    write_lock(folder, now)
    made = _runs(catalog, folder, held, now)
    lost = f"; what the earlier script ran ({plural(made, 'run')}) stays in the ledger and does not count for this one"
    return f"froze {_changes(held, now)} of {catalog.project.show(folder)}{lost if made else ''}"


def freeze_for_run(catalog: Catalog, name: str, *, looking: bool = False) -> str | None:
    """Freeze a submission that has no runs yet, as `run` does first; say what was done, None where nothing changed.

    looking: say what would be done. Raises ManifestError where runs were made (they would not count for the changed
    script), and for a bad manifest.
    """
    if (Path(name) / MANIFEST).is_file():
        load_manifest(Path(name), name=catalog.project.show(Path(name)), frozen=False)
    found = stale(catalog.project, name)
    if found is None:
        return None
    folder, held, now = found
    made = _runs(catalog, folder, held, now)
    if made or (folder / PACK).is_dir():
        since = f"its {plural(made, 'run')}" if made else "its evidence was packed"
        what = f"{_changes(held, now)} changed since {since}; runs do not count for a changed script"
        todo = f"restore it, or start over with what is there: speedrun new --refresh {catalog.project.show(folder)}"
        raise ManifestError.at(catalog.project.show(folder), what, todo)
    if not looking:
        return refresh(catalog, name)
    lock_of(folder, now)
    return f"would freeze {_changes(held, now)} first"


def _runs(catalog: Catalog, folder: Path, held: dict[str, str], now: dict[str, str]) -> int:
    """Count the judged runs in this machine's ledger of the script that the manifest names and that was changed since.

    A submission begins as a copy of a record's script, whose runs are not its own: of such a script only those count
    that were made under the submission's name.
    """
    if now == held or not held:
        return 0
    chain = chain_of({name: str(digest) for name, digest in held.items()})
    starts = Ledger(catalog.project.ledger).chain(chain).starts
    started = [run_id for run_id, start in starts.items() if start.is_judged]
    if started and chain in catalog.chains():
        started = [run_id for run_id in started if _is_own(catalog.project, folder, run_id)]
    return len(started)


def _is_own(project: Project, folder: Path, run_id: str) -> bool:
    try:
        return run_files.read_run_file(run_files.run_folder(project, run_id)).subject == project.show(folder)
    except StoreError:  # its folder was removed
        return False


def _changes(held: dict[str, str], now: dict[str, str]) -> str:
    gone = [f"{name} (gone)" for name in held if name not in now]
    return ", ".join([f"{name} ({digest[:12]})" for name, digest in now.items() if held.get(name) != digest] + gone)
