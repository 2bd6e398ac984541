"""A git repository that plays the upstream: scripts as files and inside logs, and a project whose records name them."""

from __future__ import annotations

import datetime
import hashlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness.core import yamlfile
from harness.store.layout import Project
from tests.faults.projects import TRACK

SEP = "=" * 100
REPOSITORY = "somebody/upstream"
SCRIPT = b"import torch\n\nprint('a script')\n"
KERNELS = b"import triton\n"
TAIL = "step:0/10 val_loss:10.8258 train_time:0ms step_avg:nanms\nstep:10/10 val_loss:3.2753 train_time:900ms step_avg:90.00ms\n"
MACHINE = "Running python 3.12.7 (main) [GCC]\nRunning PyTorch 2.10.0+cu128 compiled for CUDA 12.8\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def log_that_leads() -> bytes:
    """Separator, source as written, separator, header, separator, log."""
    return f"{SEP}\n{SCRIPT.decode()}{SEP}\nRunning pytorch 2.6.0 compiled for CUDA 12.4\n{SEP}\n{TAIL}".encode()


def log_printed() -> bytes:
    """Source as printed, which adds one newline, separator, header, separator, log."""
    return f"{SCRIPT.decode()}\n{SEP}\n{MACHINE}{SEP}\n{TAIL}".encode()


def log_of(files: dict[str, bytes], machine: str = "") -> bytes:
    """A log since January 2026, of one, two or three files: each behind its name between two lines of 40 dashes."""
    machine = machine or (
        "Running Python 3.12.3 (main, Jan 22 2026, 20:57:42) [GCC 13.3.0]\n"
        "Running PyTorch 2.10.0+cu128 compiled for CUDA 12.8\nRunning Triton version 3.6.0\n"
    )
    (_, text), *others = files.items()
    parts = [f"\n\n{'-' * 40}\n# {name}\n{'-' * 40}\n\n".encode() + content for name, content in others]
    return text + b"".join(parts) + f"\n{SEP}\n{machine}{SEP}\n{TAIL}".encode()


def log_with_kernels() -> bytes:
    return log_of({"train_gpt.py": SCRIPT, "triton_kernels.py": KERNELS})


def log_with_two_kernels() -> bytes:
    return log_of({"train_gpt.py": SCRIPT, "triton_kernels.py": KERNELS, "dc_triton_kernels.py": KERNELS * 2})


LAYOUTS = {
    "leads": log_that_leads,
    "printed": log_printed,
    "kernels": log_with_kernels,
    "two": log_with_two_kernels,
}


@dataclass
class Upstream:
    """The repository and the project beside it."""

    folder: Path
    project: Project
    commit: str = ""
    records: list[str] = field(default_factory=list)

    def git(self, *arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        identity = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        command = ["git", "-C", str(self.folder), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip()

    def commit_files(self, files: dict[str, bytes]) -> str:
        """Commit these files; the commit's hash."""
        for name, data in files.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_bytes(data)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "files")
        self.commit = self.git("rev-parse", "HEAD")
        return self.commit

    def add_record(
        self,
        slug: str,
        kind: str,
        path: str | None,
        files: dict[str, str],
        commit: str | None = None,
        time_s: float | None = None,
        merged: dict[str, bytes] | None = None,
    ) -> str:
        """A record whose original this repository holds; its name. merged: the program at its last commit."""
        number = len(self.records) + 1
        folder = self.project.records / "tiny" / slug
        folder.mkdir(parents=True)
        original = {
            "repository": REPOSITORY,
            "commit": commit or self.commit,
            "kind": kind,
            "path": path,
            "files": files,
            "torch": None,
            "reason": "it was never published" if kind == "none" else None,
        }
        data = {
            "schema": 1,
            "track": "tiny",
            "ruleset": "tiny@1",
            "number": number,
            "kind": "record",
            "retimes": None,
            "date": datetime.date(2026, 1, number),
            "title": slug,
            "contributors": ["@somebody"],
            "pull_request": None,
            "claimed": {"train_time_s": time_s, "steps": 10, "val_loss": None, "runs": None},
            "original": original,
            "notes": None,
            "withdrawn": None,
        }
        (folder / "record.yaml").write_text(yamlfile.dump(data))
        if merged is not None:
            files = {name: sha256(text) for name, text in merged.items()}
            told = {"schema": 1, "repository": REPOSITORY, "commit": self.commit, "files": files}
            told |= {"script_sha256": "0" * 64, "torch": None, "reason": None}
            (folder / "merged.yaml").write_text(yamlfile.dump(told))
        self.records.append(f"tiny/{number}")
        return self.records[-1]


def make_upstream(root: Path) -> Upstream:
    """An empty repository and a project with the track `tiny`."""
    project = Project(root / "project")
    project.tracks.mkdir(parents=True)
    (project.tracks / "tiny.yaml").write_text(TRACK.replace("PROCESSES", "1"))
    folder = root / "host" / REPOSITORY
    folder.mkdir(parents=True)
    made = Upstream(folder, project)
    made.git("init", "--quiet", "--initial-branch", "main")
    made.git("config", "uploadpack.allowFilter", "true")
    made.git("config", "uploadpack.allowAnySHA1InWant", "true")
    return made
