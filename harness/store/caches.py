"""Compile caches that one priming run left, kept so that every timed run of the script can start from a copy.

    .runs/caches/<key>/cache.json    what it was made with, and the digest over its files
    .runs/caches/<key>/files/        the files
    .runs/caches/current             where every run that starts from one sees its own copy, whatever its id is

Hard because the script filled it and is the opponent: links, pipes and endless files are left behind, and nothing is
believed that the digest does not cover. Compiled programs name the folder that they lie in, so all runs see their copy
at one path; the run after a kill makes that path anew. A cache is stored by one rename: it is there whole or not at all.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.codec import Form
from harness.core.errors import StoreError
from harness.core.measurement import Machine
from harness.store.files import disk_error, locked, sha256_file, temporary_folder, write_atomic
from harness.store.layout import Project

FOLDER, ABOUT, FILES, CURRENT = "caches", "cache.json", "files", "current"
MOST_BYTES = 4 << 30  # compiled kernels of the largest scripts take 1 GB
MOST_FILES = 200_000
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class MadeWith:
    """All that compiled programs depend on; another script, build, GPU or driver has a cache of its own."""

    script: str  # the name of its chain: the hash of its one file, or of all names and hashes
    python: str
    torch: str | None
    triton: str | None
    gpus: tuple[str, ...]
    driver: str | None
    cpu: str  # programs for it are compiled as well
    path: str  # where runs see it, which compiled programs name

    @property
    def key(self) -> str:
        """Name its folder."""
        facts = [self.script, self.python, self.torch, self.triton, self.gpus, self.driver, self.cpu, self.path]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class StoredCache:
    """What cache.json holds."""

    schema: int
    made_with: MadeWith
    digest: str  # over the names and the bytes of its files
    files: int
    bytes: int
    run: str  # the priming run that left it
    made_at: str  # UTC
    wall_time_s: float  # of that run, up to its clock


CACHE_FORM = Form(StoredCache, "json", (SCHEMA,))


def current(project: Project) -> Path:
    """Return where a run that starts from a stored cache sees its copy."""
    return project.runs / FOLDER / CURRENT


def folder_of(project: Project, made_with: MadeWith) -> Path:
    """Return where the cache of these is kept, whether it exists or not."""
    return project.runs / FOLDER / made_with.key


def made_with(project: Project, script: str, machine: Machine, triton: str | None) -> MadeWith:
    """Say what a cache depends on; machine: as the runs of the script see it."""
    gpus = tuple(gpu.name for gpu in machine.gpus)
    path = str(current(project))
    return MadeWith(script, machine.python, machine.torch, triton, gpus, machine.driver, machine.cpu, path)


def find(project: Project, wanted: MadeWith) -> StoredCache | None:
    """Find the stored cache of these; None where there is none, or its files are not those of its digest any more."""
    folder = folder_of(project, wanted)
    if not (folder / ABOUT).is_file():
        return None
    try:
        stored = CACHE_FORM.read(folder / ABOUT, name=project.show(folder / ABOUT))
    except StoreError:
        return None
    whole = stored.made_with == wanted and digest_of(folder / FILES)[0] == stored.digest
    return stored if whole else None


@contextlib.contextmanager
def new(project: Project, wanted: MadeWith) -> Iterator[Path]:
    """Make an empty folder to fill and then `keep`; what a killed process left of another one is removed."""
    folder = folder_of(project, wanted)
    for left in folder.parent.glob(f".{folder.name}.*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
    with temporary_folder(folder) as aside:
        yield aside


def keep(project: Project, aside: Path, stored: StoredCache) -> None:
    """Put a filled folder in its place, by one rename; raises StoreError on a full disk."""
    folder = folder_of(project, stored.made_with)
    write_atomic(aside / ABOUT, CACHE_FORM.text(stored))
    try:
        shutil.rmtree(folder, ignore_errors=True)  # one that did not fit its digest
        aside.rename(folder)
    except OSError as error:
        raise disk_error(folder, error) from error


def take(left: Path, aside: Path, name: str) -> None:
    """Copy the plain files that a run left in its cache into `aside`; nothing of links, pipes and sockets.

    Raises StoreError where they are too many or too large.
    """
    count = size = 0
    try:
        for path, about in _plain_files(left):
            count, size = count + 1, size + about.st_size
            if count > MOST_FILES or size > MOST_BYTES:
                most = f"more than {MOST_FILES:,} files or {MOST_BYTES >> 30} GiB"
                raise StoreError.at(name, f"left {most} in its compile cache", "compare with --cold")
            target = aside / FILES / path.relative_to(left)
            target.parent.mkdir(parents=True, exist_ok=True)
            _copy(path, target)
        (aside / FILES).mkdir(exist_ok=True)
    except OSError as error:
        raise disk_error(left, error) from error


@contextlib.contextmanager
def at_one_path(project: Project, folder: Path) -> Iterator[None]:
    """Let the path at which runs see their cache lead to this run's own; one run at a time can have that."""
    link = current(project)
    with locked(link):
        try:
            link.unlink(missing_ok=True)
            link.symlink_to(folder)
        except OSError as error:
            raise disk_error(link, error) from error
        yield


def give(project: Project, stored: StoredCache, target: Path) -> None:
    """Copy a stored cache into a run's own folder; raises StoreError where it is not what the priming run left."""
    files = folder_of(project, stored.made_with) / FILES
    try:
        target.mkdir(exist_ok=True)
        for path, _ in _plain_files(files):
            copy = target / path.relative_to(files)
            copy.parent.mkdir(parents=True, exist_ok=True)
            _copy(path, copy)
    except OSError as error:
        raise disk_error(target, error) from error
    if digest_of(target)[0] != stored.digest:
        what = "is not what the priming run left: its digest does not fit"
        raise StoreError.at(project.show(files), what, "start the same command again: the cache is made anew")


def digest_of(folder: Path) -> tuple[str, int, int]:
    """Hash the names and the bytes of all files below a folder; return the digest, their number and their bytes.

    A link is hashed by where it leads, which no stored cache holds.
    """
    digest, count, size = hashlib.sha256(), 0, 0
    for path in sorted(folder.rglob("*"), key=os.fsencode):
        if path.is_symlink():
            line = b"link " + os.fsencode(os.readlink(path))
        elif path.is_file():
            line, count, size = sha256_file(path).encode(), count + 1, size + path.stat().st_size
        else:
            continue
        name = os.fsencode(path.relative_to(folder))
        digest.update(b"%s %d %s\n" % (line, len(name), name))
    return digest.hexdigest(), count, size


def _plain_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the regular files below a folder, through no link."""
    waiting = [folder]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(about.st_mode):
                    waiting.append(Path(entry.path))
                elif stat.S_ISREG(about.st_mode):
                    yield Path(entry.path), about


def _copy(source: Path, target: Path) -> None:
    """Copy the bytes of one file, which nobody uses any more, but through no link."""
    with os.fdopen(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file, target.open("xb") as to:
        shutil.copyfileobj(file, to, 1 << 22)
