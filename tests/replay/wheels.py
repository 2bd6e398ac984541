"""Packages that the tests make, so that environments are made without a network."""

from __future__ import annotations

import os
import sysconfig
import zipfile
from pathlib import Path

# What torchrun does for one rank, which has a session of its own: a "torch" that is installed in a second.
TORCHRUN = """\
import os, subprocess, sys
names = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
os.environ.update(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
sys.exit(subprocess.run([sys.executable, *names], start_new_session=True).returncode)
"""


def make_wheel(folder: Path, name: str, version: str, more: dict[str, str] | None = None) -> None:
    """An installable package with nothing in it but its version, and `more` files below it."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}/__init__.py", f"__version__ = {version!r}\n")
        for path, text in (more or {}).items():
            wheel.writestr(f"{name}/{path}", text)
        write_information(wheel, info, name, version)


def write_information(wheel: zipfile.ZipFile, info: str, name: str, version: str) -> None:
    """What makes an archive a wheel."""
    wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")


def make_link(folder: Path, name: str, version: str) -> None:
    """An installable package that stands for the one of this Python: all of its packages, by a path file."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}_of_the_tests.pth", f"{sysconfig.get_path('purelib')}\n")
        write_information(wheel, info, name, version)


def make_torch(folder: Path, version: str) -> None:
    """A torch that holds nothing but torchrun for one rank."""
    make_wheel(folder, "torch", version, {"distributed/__init__.py": "", "distributed/run.py": TORCHRUN})


def only_from(folder: Path) -> dict[str, str]:
    """The variables by which pip sees this folder and nothing else."""
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}
