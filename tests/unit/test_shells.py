"""What zsh and fish offer for a line once they have read the script that `speedrun --completion` prints."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from harness.cli import build_parser
from harness.ui import completion
from tests.faults.projects import wait_for

ROOT = Path(__file__).parents[2]
# What zsh offers is handed to its function `compadd`; -O, -A and -D ask it for a list alone.
ZSHRC = """
PROMPT= RPROMPT=
unsetopt auto_list auto_menu
autoload -Uz compinit; compinit -u -D
{source}
compadd() {{
  local -a offered
  if [[ " $* " != *" -"[OAD]" "* ]]; then
    builtin compadd -O offered "$@"
    print -rl -- $offered >> offered
  fi
  builtin compadd "$@"
}}
at_end() {{ comppostfuncs=(at_end); : > ended }}
comppostfuncs=(at_end)
bindkey '^I' complete-word
: > ready
"""
LINES = {  # a line, and what is offered for its last word; a set: among others
    "speedrun ch": ["check"],
    "speedrun show --ev": ["--evidence"],
    "speedrun show ru": ["runs"],
    "speedrun show --track s": ["short", "smoke"],
    "speedrun check smo": {"smoke", "smoke/1", "smoke/2026-11-21_muon"},
    "speedrun compare smoke/4 medium/18": ["medium/18"],
    "speedrun log --target ": [],
    "speedrun check submissions/2026-11-21_": ["submissions/2026-11-21_fine"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the names of records of this one, and submissions, one of them with a name that is a command."""
    shutil.copytree(ROOT / "tracks", tmp_path / "tracks")
    (tmp_path / "records").symlink_to(ROOT / "records")
    for name in ("2026-11-21_fine", "2026-11-21_$(touch owned)", "2026-11-21_`touch owned`"):
        (tmp_path / "submissions" / name).mkdir(parents=True)
    return tmp_path


def by_fish(folder: Path) -> dict[str, list[str]]:
    """What fish offers for each line; it also offers what holds the word anywhere, which is left out here."""
    script = folder / "speedrun.fish"
    script.write_text(completion.script(build_parser(), "fish"))
    each = "source $argv[1]; for line in $argv[2..]; complete -C $line; echo end; end"
    command = ["fish", "--no-config", "-c", each, str(script), *LINES]
    home = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=home, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    found = {}
    for line, block in zip(LINES, done.stdout.split("end\n"), strict=False):
        names = [offer.partition("\t")[0] for offer in block.splitlines()]
        found[line] = [name for name in names if name.startswith(line.rpartition(" ")[2])]
    return found


def by_zsh(folder: Path, source: str, lines: Iterable[str]) -> dict[str, list[str]]:
    """What zsh offers for each line, typed on a terminal."""
    (folder / "speedrun.zsh").write_text(completion.script(build_parser(), "zsh"))
    (folder / ".zshrc").write_text(ZSHRC.format(source=source))
    home = {"PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "dumb"}
    keyboard, terminal = pty.openpty()
    ended, offered = folder / "ended", folder / "offered"
    found = {}
    zsh = subprocess.Popen(["zsh", "-i"], cwd=folder, env=home, stdin=terminal, stdout=terminal, stderr=terminal)
    try:
        assert wait_for((folder / "ready").exists)
        for line in lines:
            os.write(keyboard, f"\x15{line}\t".encode())  # Ctrl-U empties the line
            assert wait_for(ended.exists)
            found[line] = offered.read_text().split() if offered.exists() else []
            ended.unlink()
            offered.unlink(missing_ok=True)
    finally:
        zsh.kill()
        zsh.wait()
        os.close(keyboard)
        os.close(terminal)
    return found


def assert_offered(found: dict[str, list[str]], folder: Path) -> None:
    for line, wanted in LINES.items():
        names = found[line]
        assert wanted <= set(names) if isinstance(wanted, set) else sorted(names) == wanted, (line, names)
    assert not list(folder.rglob("owned")), "no name is executed"


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_verbs_options_and_names(folder: Path) -> None:
    assert_offered(by_fish(folder), folder)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_verbs_options_and_names(folder: Path) -> None:
    assert_offered(by_zsh(folder, "source <(cat speedrun.zsh)", LINES), folder)


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_takes_the_script_from_eval_too(folder: Path) -> None:
    assert by_zsh(folder, 'eval "$(<speedrun.zsh)"', ["speedrun ch"]) == {"speedrun ch": ["check"]}
