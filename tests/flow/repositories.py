"""Git repositories that the tests make: a small project with real smoke evidence, and commands run in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests import warm

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "records" / "smoke"
RECORDS = {"muon": SMOKE / "2026-11-21_muon", "adamw": SMOKE / "2026-11-21_adamw-baseline"}
ANSWERS = "# A title\n\n## What changed?\n\nThis.\n\n## Why is it faster?\n\nIt is.\n\n"
ANSWERS += "## How was it measured, and what else did you try?\n\nHere, and nothing.\n"


class Repository:
    """One git repository with a project in it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def make(cls, root: Path, *, records: tuple[str, ...] = ("smoke/2026-11-21_muon",)) -> Repository:
        """A project with the tracks, some records and the template, committed on main."""
        root.mkdir(parents=True)
        shutil.copytree(ROOT / "tracks", root / "tracks")
        shutil.copytree(ROOT / "submissions" / "_template", root / "submissions" / "_template")
        shutil.copytree(ROOT / ".github", root / ".github", ignore=shutil.ignore_patterns("__pycache__"))
        (root / "records").mkdir()
        for name in records:
            shutil.copytree(ROOT / "records" / name, root / "records" / name)
        made = cls(root)
        made.git("init", "-q", "-b", "main")
        (root / "harness").symlink_to(ROOT / "harness")
        (root / ".git" / "info" / "exclude").write_text("/harness\n/.runs/\n/.cache/\n__pycache__/\n")
        made.speedrun("board")
        made.commit("a project")
        return made

    def environment(self, **more: str) -> dict[str, str]:
        who = {f"GIT_{role}_{what}": f"t@{role}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        clean = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(self.root)}
        return {**clean, **who, "GIT_CONFIG_GLOBAL": os.devnull, "PYTHONDONTWRITEBYTECODE": "1", **more}

    def git(self, *arguments: str, status: int = 0) -> str:
        return self.do("git", *arguments, status=status).stdout

    def do(self, *command: str, status: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.root, env=self.environment(**environment), capture_output=True, text=True, check=False
        )
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    def speedrun(self, *arguments: str, status: int = 0) -> str:
        """Run one verb; what it said."""
        done = warm.speedrun(*arguments, cwd=self.root, env=self.environment(PYTHONPATH=str(ROOT)))
        assert done.returncode == status, done.stdout + done.stderr
        return done.stderr + done.stdout

    def changes(self, *arguments: str, status: int, anew: bool = False, **environment: str) -> str:
        """Run what the workflows run; what it printed. anew: in new processes, which import everything themselves."""
        script = self.root / ".github" / "scripts" / "changes.py"
        if anew:
            return self.do(sys.executable, str(script), *arguments, status=status, **environment).stdout
        done = warm.speedrun(*arguments, cwd=self.root, env=self.environment(**environment), script=script)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)

    def branch(self, name: str) -> None:
        self.git("switch", "-q", "-c", name, "main")

    def submit(self, record: str, slug: str, *, title: str = "A test") -> Path:
        """A submission with the script and the evidence of a record that this harness measured."""
        folder = self.root / "submissions" / slug
        folder.mkdir()
        source = RECORDS[record]
        shutil.copyfile(source / "script" / "train_gpt.py", folder / "train_gpt.py")
        shutil.copytree(source / "evidence", folder / "evidence")
        files = yaml.safe_load((source / "script" / "script.yaml").read_text())["files"]
        manifest = {"schema": 1, "track": "smoke", "ruleset": "smoke@1", "title": title, "contributors": ["@t"]}
        manifest |= {"claim": "ml", "entry": "train_gpt.py", "files": files}
        (folder / "manifest.yaml").write_text(yaml.safe_dump(manifest, sort_keys=False))
        (folder / "README.md").write_text(ANSWERS)
        return folder
