"""Fetch the two libraries that draw the site's charts, and their licences: `python -m harness.board.site.vendoring`.

Both lie in the repository, so that building a site asks nobody. Each package is named with its version and the sha512 of
what the registry of `npm` serves for it; anything else is refused before a byte of it is unpacked. Nothing of a package is
executed. The first two hold parts of the others, whose licences ask to be shipped with them.
"""

import base64
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import StoreError
from harness.store.files import write_atomic

FOLDER = Path(__file__).parent / "vendor"
LICENCES = "LICENCES.txt"
LIMIT_S = 600


@dataclass(frozen=True, slots=True)
class Package:
    """One published version, and the file of it that is wanted beside its licence."""

    name: str
    version: str
    sha512: str  # of the archive, base64, as npm writes it
    wanted: str | None = None


# name, version, sha512 of the archive in base64, as npm writes it
_PINNED = """
d3 7.9.2 ZKb/mONPVKzaO5UlcWcwN8bS4ezvQaYu+bsou+XgNABdGC800kwH651ADTbbTxMPHW13UlvbQafdmJQDk1w7Mg==
@observablehq/plot 0.6.17 /qaXP/7mc4MUS0s4cPPFASDRjtsWp85/TbfsciqDgU1HwYixbSbbytNuInD8AcTYC3xaxACgVX06agdfQy9W+g==
d3-ease 3.0.2 B5znKqRmKROAN4oHWQ50W/qisVjA9GXh2WMsVKdFVp4DxWmcrOsweqgUOUVsv5th96kwaZlokU6SlV4J3gak1w==
d3-geo 3.1.2 5R8ZgDQorIxmauv7R6gpE/ndz+Z0qAZssigq0aXFdvPHdY41RqtW02jrRUQAL724NdPABYXo1+gQEGBBr7uKNg==
d3-scale-chromatic 3.1.1 lA5gfN2yMvmChubmptnDiBfeGpHD7Yb1EbvCz0TZE0WHXhyR6W2allPuhKtzV5ILQRqeOdefF0qYtERReLUBDg==
d3-delaunay 6.0.6 DMQIEvSJhZCB6pwedcXaAlQ+MeKU5LlM2XakKtc73b/VM+RBiI1SRXycOEOKg2jsKj4zZ9F0KGYG6nCGwwWu/g==
delaunator 5.1.0 AGrQ4QSgssa1NGmWmLPqN5NY2KajF5MqxetNEO+o0n3ZwZZeTmt7bBnvzHWrmkZFxGgr4HdyFgelzgi06otLuQ==
robust-predicates 3.0.3 NS3levdsRIUOmiJ8FZWCP7LG3QpJyrs/TE0Zpf1yvZu8cAJJ6QMW92H1c7kWpdIHo8RvmLxN/o2JXTKHp74lUA==
internmap 2.0.3 5Hh7Y1wQbvY5ooGgPbDaL5iYLAPzMTUrjMulskHLH6wnv/A+1q5rgEaiuqEjB+oxGXIVZs1FF+R/KPN3ZSQYYg==
interval-tree-1d 1.0.4 wY8QJH+6wNI0uh4pDQzMvl+478Qh7Rl4qLmqiluxALlNvl+I+o5x38Pw3/z7mDPTPS1dQalZJXsmbvxx5gclhQ==
binary-search-bounds 2.0.5 H0ea4Fd3lS1+sTEB2TgcLoK21lLhwEJzlQv3IN47pJS976Gx4zoWe0ak3q+uYh60ppQxg9F16Ri4tS1sfD4+jA==
isoformat 0.2.1 tFLRAygk9NqrRPhJSnNGh7g7oaVWDwR0wKh/GM2LgmPa50Eg4UfyaCO4I8k6EqJHl1/uh2RAD6g06n5ygEnrjQ==
"""
_WANTED = {"d3": "dist/d3.min.js", "@observablehq/plot": "dist/plot.umd.min.js"}
PACKAGES = tuple(
    Package(name, version, sha512, _WANTED.get(name))
    for name, version, sha512 in map(str.split, _PINNED.strip().splitlines())
)


def packed(package: Package) -> bytes:
    """Return the archive of a package; raises StoreError where npm gives none, or another one than was pinned."""
    name = f"{package.name}@{package.version}"
    with tempfile.TemporaryDirectory(prefix="npm-") as folder:
        command = ["npm", "pack", name, "--silent", "--ignore-scripts"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreError.at("npm", f"cannot be run ({error})", "install Node.js with npm") from error
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(found) != 1:
            raise StoreError.at(name, "npm did not give it", f"its words: {done.stderr.strip()[:500]}")
        data = found[0].read_bytes()
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if digest != package.sha512:
        raise StoreError.at(name, f"has sha512 {digest}", "it is not what was pinned; nothing was written")
    return data


def member(archive: bytes, name: str) -> bytes:
    """Return one plain file of an archive; raises StoreError where it has none of that name."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as held:
        found = [one for one in held.getmembers() if one.isfile() and one.name.partition("/")[2] == name]
        file = held.extractfile(found[0]) if found else None
        if file is None:
            raise StoreError.at(name, "is not in the package", "name a file that is")
        return file.read()


def licence(package: Package, archive: bytes) -> str:
    """Return the licence of a package under a heading."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as held:
        names = sorted(one.name.partition("/")[2] for one in held.getmembers() if one.isfile())
    [name] = [name for name in names if name.upper().partition(".")[0] in ("LICENSE", "LICENCE")]
    text = member(archive, name).decode("utf-8")
    heading = f"{package.name} {package.version}"
    return "\n".join([heading, "=" * len(heading), "", *(line.rstrip() for line in text.strip().splitlines())]) + "\n"


def vendor(folder: Path, packages: Iterable[Package] = PACKAGES) -> list[Path]:
    """Write the wanted files of all packages and one file with their licences; return what was written."""
    written, licences = [], []
    for package in packages:
        archive = packed(package)
        licences.append(licence(package, archive))
        if package.wanted is not None:
            written.append(folder / Path(package.wanted).name)
            write_atomic(written[-1], member(archive, package.wanted))
    written.append(folder / LICENCES)
    write_atomic(written[-1], "\n".join(licences))
    return written


if __name__ == "__main__":
    for path in vendor(FOLDER):
        print(f"{path.name}  {hashlib.sha256(path.read_bytes()).hexdigest()}", file=sys.stderr)
