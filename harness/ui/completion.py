"""Write the script that makes a shell complete verbs, options and names.

shtab writes it from the parser, so nothing of the harness runs when somebody presses Tab. The names of tracks, records
and submissions are listed by a few lines of `sh`. Somebody else may have named a folder of submissions, and a shell
expands what it completes: only names of letters that no shell treats specially are offered.
"""

import argparse
import shlex

import shtab

NAMES = {  # arguments that name a track, a record or a submission, by what argparse calls them
    *("subject", "names", "record", "submission", "submissions", "a", "b", "target"),
    *("start", "against", "retime", "withdraw", "upstream_row"),
}
FILES, FOLDERS = {"paths"}, {"root", "checkout", "extract", "baseline"}
LIST = r"""
root="${SPEEDRUN_ROOT:-$PWD}"
while [ -n "$root" ] && [ ! -d "$root/tracks" ]; do root="${root%/*}"; done
cd "$root" 2>/dev/null && [ -d tracks ] || exit 0
{
  ls tracks | sed -n 's/^\([a-z][a-z0-9-]*\)\.yaml$/\1/p' | grep -vx timers
  ls -d submissions/[!_.]*/ | sed 's,/$,,'
  ls -d records/*/*/ | sed 's,^records/,,; s,/$,,'
  grep -H '^number: ' records/*/*/record.yaml | sed -n 's,^records/\([^/]*\)/.*number: \([0-9]*\)$,\1/\2,p'
} 2>/dev/null | grep -E '^[A-Za-z0-9@._/-]+$' | sort -u
"""
PREAMBLE = {
    "bash": f'_speedrun_names() {{\n  compgen -W "$(sh -c {shlex.quote(LIST)})" -- "$1"\n}}\n',
    "zsh": f'_speedrun_names() {{\n  compadd -- ${{(f)"$(sh -c {shlex.quote(LIST)})"}}\n}}\n',
    "fish": f"function _speedrun_names\n  sh -c {shlex.quote(LIST)}\nend\n",
}


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for one of the shells that `PREAMBLE` names."""
    names = {"bash": "_speedrun_names", "zsh": "_speedrun_names", "fish": "(_speedrun_names)"}
    for action in _actions(parser):
        if action.dest in NAMES:
            action.complete = names  # type: ignore[attr-defined]
        elif action.dest in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell, preamble=PREAMBLE[shell]))


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [one for sub in action.choices.values() for one in sub._actions]
    return found
