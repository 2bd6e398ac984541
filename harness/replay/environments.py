"""environments.yaml: what each past record ran with, the nearest thing that can still be installed, and why that one.

Written by `import` from the facts about the originals, read by `replay`. Most records used pre-release builds of
torch, which are deleted after some weeks; nobody knows which ones can still be had until a replay tries, so every
environment starts as `availability: unchecked`, and an import keeps what a maintainer wrote there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from harness.core import yamlfile
from harness.core.errors import StoreError
from harness.store.files import write_atomic
from harness.store.layout import Project

FILE = "environments.yaml"
MAX_BYTES = 1 << 20
HEADER = """\
# What the originals of the recorded past ran with, and what stands in for a build that is gone.
# Written by `speedrun import` from the facts; an import keeps the `availability` that is written here.
"""
# Python modules that an original imports -> what installs them; None: nothing on the default index does.
_PACKAGES = {"kernels": "kernels", "pynvml": "nvidia-ml-py", "tiktoken": "tiktoken", "flash_attn": "flash-attn"}
_BUILT = {"flash_attn_interface": "FlashAttention-3, which is built from its source"}
_SHIPPED = {"triton", "evals"}  # with torch; with the script


@dataclass(frozen=True, slots=True)
class Build:
    """One torch build and its stand-in."""

    name: str
    torch: str | None  # None: the record does not say
    cuda: str | None
    substitute: str | None  # of the default index
    why: str
    availability: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What one record's original needs beside torch."""

    record: str  # "short/12"
    build: str
    python: str | None
    triton: str | None
    packages: tuple[str, ...]
    hub_kernels: tuple[str, ...]  # repository, or repository@revision where the revision is known
    world_size: str | None  # "== 8" or "divides 8"; None: not known
    data: str | None  # the folder that it reads its shards from
    missing: str | None  # what no package gives


@dataclass(frozen=True, slots=True)
class Environments:
    """The whole file."""

    builds: dict[str, Build]
    needs: dict[str, Needs]

    def of(self, record: str) -> tuple[Build, Needs] | None:
        """What a record needs; None where the facts have nothing on it."""
        needs = self.needs.get(record)
        return None if needs is None else (self.builds[needs.build], needs)


def read_environments(project: Project) -> Environments:
    """Read and check the file; raises StoreError with every problem, an empty result where there is no file."""
    path = project.root / FILE
    if not path.is_file():
        return Environments({}, {})
    fields = yamlfile.Fields.of(yamlfile.load(path, name=FILE, max_bytes=MAX_BYTES))
    fields.integer("schema", minimum=1)
    builds, needs = {}, {}
    for item in fields.mappings("builds"):
        build = Build(
            name=item.text("name"),
            torch=item.text_or_none("torch"),
            cuda=item.text_or_none("cuda"),
            substitute=item.text_or_none("substitute"),
            why=item.text("why"),
            availability=item.text("availability"),
        )
        item.unknown_keys()
        builds[build.name] = build
    for item in fields.mappings("records"):
        need = Needs(
            record=item.text("record"),
            build=item.text("build"),
            python=item.text_or_none("python"),
            triton=item.text_or_none("triton"),
            packages=item.strings("packages", optional=True),
            hub_kernels=item.strings("hub_kernels", optional=True),
            world_size=item.text_or_none("world_size"),
            data=item.text_or_none("data"),
            missing=item.text_or_none("missing"),
        )
        item.unknown_keys()
        if need.build not in builds:
            item.problem("build", f"there is no build {need.build!r}", "name one of `builds`")
        needs[need.record] = need
    fields.done(StoreError)
    return Environments(builds, needs)


def write_environments(project: Project, rows: Iterable[tuple[str, dict[str, str]]]) -> int:
    """Write the file from rows of scripts.csv, each with its record; 1 if it changed, else 0."""
    kept = {build.name: build.availability for build in read_environments(project).builds.values()}
    builds: dict[str, Build] = {}
    needs = []
    for record, row in rows:
        build = build_of(row["torch_run"])
        builds[build.name] = build
        needs.append(needs_of(record, build.name, row))
    data = {
        "schema": 1,
        "builds": [
            {
                "name": build.name,
                "torch": build.torch,
                "cuda": build.cuda,
                "substitute": build.substitute,
                "why": build.why,
                "availability": kept.get(build.name, build.availability),
            }
            for build in sorted(builds.values(), key=lambda build: build.name)
        ],
        "records": [_plain(need) for need in needs],
    }
    return _write(project, data)


def note_availability(project: Project, name: str, found: str) -> int:
    """Say beside a build what a replay found of it; 1 if that changed the file, else 0.

    A build that was installed once is not noted again, so that replays leave the file alone.
    """
    path = project.root / FILE
    if not path.is_file():
        return 0
    data = yamlfile.load(path, name=FILE, max_bytes=MAX_BYTES).data
    for build in data["builds"]:
        if build["name"] == name and build["availability"].split(" on ")[0] != found.split(" on ")[0]:
            build["availability"] = found
            return _write(project, data)
    return 0


def _write(project: Project, data: dict[str, Any]) -> int:
    text = (HEADER + yamlfile.dump(data)).encode()
    path = project.root / FILE
    if path.is_file() and path.read_bytes() == text:
        return 0
    write_atomic(path, text)
    return 1


def build_of(torch: str) -> Build:
    """A torch build as a log prints it, with the release that comes nearest to it."""
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


def needs_of(record: str, build: str, row: dict[str, str]) -> Needs:
    """What scripts.csv says of one original."""
    modules = [name for name in row["imports_third_party"].split(";") if name and name not in _SHIPPED]
    world_size = row["world_size_required"].split(";")[0] or None
    files = [name for name in re.split(r";(?! )", row["needs_files"]) if name and "optional" not in name]
    beside = [name for name in files if name.endswith(".py") and name not in row["extra_parts"]]
    library = [name for name in files if not name.endswith(".py")]
    missing = [*(_BUILT[name] for name in modules if name in _BUILT), *library, *beside]
    # "{DATA_DIR}": the script asks a variable, which a replay sets to the track's folder.
    folder = re.match(r"(?!\{)(.*)/[^/]*$", row["data_glob"].split(";")[0])
    return Needs(
        record=record,
        build=build,
        python=row["python_run"] or None,
        triton=row["triton_run"] or None,
        packages=tuple(_PACKAGES[name] for name in modules if name in _PACKAGES),
        hub_kernels=tuple(name for name in row["kernels_hub"].split(";") if name),
        world_size=world_size,
        data=folder[1] if folder else None,
        missing="; ".join(missing) or None,
    )


def _plain(need: Needs) -> dict[str, object]:
    """Only what is known, so that the file stays readable."""
    values = {
        "record": need.record,
        "build": need.build,
        "python": need.python,
        "triton": need.triton,
        "packages": list(need.packages),
        "hub_kernels": list(need.hub_kernels),
        "world_size": need.world_size,
        "data": need.data,
        "missing": need.missing,
    }
    return {key: value for key, value in values.items() if value not in (None, [])}
