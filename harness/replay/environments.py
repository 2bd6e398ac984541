"""environments.yaml: what each past record ran with, the nearest thing that can still be installed, and why that one.

Written by `import` from the texts and logs of the originals, read by `replay`. Most records used pre-release builds of
torch, which are deleted after some weeks; nobody knows which ones can still be had until a replay tries, so every
environment starts as `availability: unchecked`, and an import keeps what a maintainer wrote there. What the default
package index lists is asked for all at once by `python -m harness.maintain.torch_index`.
"""

import dataclasses
import datetime
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from harness.core.codec import Form
from harness.core.constraints import Line, Prose, Text, show
from harness.store.files import write_atomic
from harness.store.layout import Project

FILE = "environments.yaml"
HEADER = """\
# What the originals of the recorded past ran with, and what stands in for a build that is gone.
# Written by `speedrun import` from scripts and logs; what is here stays, such as what a replay or the index said of a build.
"""
_OLD = r"(?P<found>installed|not found) on (?P<date>\d{4}-\d{2}-\d{2}) \((?P<by>.*)\)"
# Python modules that an original imports -> what installs them.
PACKAGES = {"kernels": "kernels", "pynvml": "nvidia-ml-py", "tiktoken": "tiktoken", "flash_attn": "flash-attn"}


@dataclass(frozen=True, slots=True)
class Build:
    """One torch build and its stand-in."""

    name: Line
    torch: Prose | None  # None: the record does not say
    cuda: Prose | None
    substitute: Prose | None  # of the default index
    why: Line
    availability: Annotated[str, Text("unchecked, installed or not found", rf"unchecked|{_OLD}|installed|not found")]
    checked: datetime.date | None = None  # when a replay asked for it, and on what
    checked_with: Line | None = None
    # Whether the default package index lists its release; it keeps no nightly builds, and of those nobody asks it.
    default_index: Literal["listed", "not listed", "unchecked"] | None = None
    index_checked: datetime.date | None = None

    @property
    def found(self) -> str:
        """What is known of it, in words."""
        told = self.availability + (f" on {self.checked} ({self.checked_with})" if self.checked else "")
        return told + (
            f"; {self.default_index} by the default index on {self.index_checked}" if self.index_checked else ""
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """What one record's original needs beside torch."""

    record: Line  # "short/12"
    build: Line
    python: Prose | None = None
    triton: Prose | None = None
    packages: tuple[Line, ...] = ()
    hub_kernels: tuple[Line, ...] = ()  # repository, or repository@revision where the revision is known
    world_size: Prose | None = None  # "== 8" or "divides 8"; None: not known
    data: Prose | None = None  # the folder that it reads its shards from
    missing: Prose | None = None  # what no package gives


@dataclass(frozen=True, slots=True)
class EnvironmentsFile:
    """What the file holds."""

    builds: tuple[Build, ...]
    records: tuple[Needs, ...]


FORM = Form(EnvironmentsFile, "yaml", (1,), max_bytes=1 << 20, header=HEADER)


@dataclass(frozen=True, slots=True)
class Environments:
    """The whole file, by name."""

    builds: dict[str, Build]
    needs: dict[str, Needs]

    def of(self, record: str) -> tuple[Build, Needs] | None:
        """Say what a record needs; None where the file has nothing on it."""
        needs = self.needs.get(record)
        return None if needs is None else (self.builds[needs.build], needs)


def read_environments(project: Project) -> Environments:
    """Read and check the file; raises StoreError with every problem, an empty result where there is no file."""
    path = project.root / FILE
    if not (path.exists() or path.is_symlink()):
        return Environments({}, {})
    reading = FORM.open(path, name=FILE)
    match reading.data:
        case {"builds": tuple(builds), "records": tuple(records)}:
            names = [build.get("name") for build in builds if isinstance(build, dict)]
            for index, need in enumerate(records):
                match need:
                    case {"build": str(build)} if build not in names:
                        what = f"there is no build {show(build)}"
                        reading.problem(("records", index, "build"), what, "name one of `builds`")
    file = reading.done()
    return Environments({b.name: _structured(b) for b in file.builds}, {need.record: need for need in file.records})


def _structured(build: Build) -> Build:
    """Read "installed on 2026-11-21 (Python 3.11.7, Linux x86_64)", one text in files of an older harness, as parts."""
    old = re.fullmatch(_OLD, build.availability)
    if old is None:
        return build
    checked = datetime.date.fromisoformat(old["date"])
    return dataclasses.replace(build, availability=old["found"], checked=checked, checked_with=old["by"])


def add_needs(project: Project, added: Sequence[tuple[str, Needs]]) -> int:
    """Add what new originals need, each with its torch as a log prints it ("" where it does not); 1 if that changed the file.

    What is said of a record or a build stays.
    """
    known = read_environments(project)
    builds, needs = dict(known.builds), dict(known.needs)
    for torch, need in added:
        build = build_of(torch)
        builds.setdefault(build.name, build)
        needs.setdefault(need.record, dataclasses.replace(need, build=build.name))
    return _write(project, builds, needs.values()) if added else 0


def note_availability(project: Project, name: str, found: Literal["installed", "not found"], checked_with: str) -> int:
    """Say beside a build what a replay found of it today; 1 if that changed the file, else 0.

    A build that was installed once is not noted again, so that replays leave the file alone.
    """
    known = read_environments(project)
    build = known.builds.get(name)
    if build is None or build.availability == found:
        return 0
    today = datetime.datetime.now(datetime.UTC).date()
    new = dataclasses.replace(build, availability=found, checked=today, checked_with=checked_with)
    return _write(project, known.builds | {name: new}, known.needs.values())


def note_index(project: Project, releases: Collection[str], today: datetime.date) -> int:
    """Say beside every build whether the default index lists its release; 1 if that changed the file, else 0.

    releases: what it lists. A build whose answer is the same keeps the date of the earlier one.
    """
    known = read_environments(project)
    builds = {}
    for name, build in known.builds.items():
        release = (build.torch or "").partition("+")[0]
        if not release or "dev" in release:
            new = dataclasses.replace(build, default_index="unchecked" if release else None, index_checked=None)
        else:
            new = dataclasses.replace(build, default_index="listed" if release in releases else "not listed")
            same = new.default_index == build.default_index and build.index_checked is not None
            new = new if same else dataclasses.replace(new, index_checked=today)
        builds[name] = new
    return _write(project, builds, known.needs.values())


def _write(project: Project, builds: dict[str, Build], needs: Iterable[Needs]) -> int:
    ordered = sorted(builds.values(), key=lambda build: build.name)
    text = FORM.text(EnvironmentsFile(tuple(ordered), tuple(needs))).encode()
    path = project.root / FILE
    if path.is_file() and path.read_bytes() == text:
        return 0
    write_atomic(path, text)
    return 1


def build_of(torch: str) -> Build:
    """Return a torch build as a log prints it, with the release that comes nearest to it."""
    if not torch:
        return Build("unknown", None, None, None, "the record does not say which torch it used", "unchecked")
    release, _, local = torch.partition("+")
    numbers = re.match(r"\d+\.\d+\.\d+", release)
    stable = numbers[0] if numbers else None
    cuda = f"{local[2:-1]}.{local[-1]}" if re.fullmatch(r"cu\d{3}", local) else None
    if "dev" in release:
        why = "a nightly build, kept for some weeks only; the release that came of it"
    elif "a0" in release:
        why = "a build of NVIDIA's container; the release of the same number"
    elif local:
        why = f"the same release; the default index may hold it for another CUDA than {cuda}"
    else:
        why = "the same release"
    return Build("torch-" + torch.replace("+", "-"), torch, cuda, stable, why, "unchecked")


def packages_of(modules: Iterable[str]) -> tuple[str, ...]:
    """Name the packages that these modules are in, as far as they are known to be more than torch gives."""
    return tuple(PACKAGES[name] for name in modules if name in PACKAGES)
