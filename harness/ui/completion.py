"""Write the script that makes a shell complete verbs, options and names.

shtab writes it from the parser, so nothing of the harness runs when somebody presses Tab. The names of tracks, records
and submissions are listed by a few lines of `sh`. Somebody else may have named a folder of submissions, and a shell
expands what it completes: only names of letters that no shell treats specially are offered.
"""

import argparse
import shlex

import shtab

NAMES = {  # arguments that name a track, a record or a submission, by what argparse calls them
    *("subject", "names", "submission", "submissions", "a", "b", "target"),
    *("start", "against", "retime", "withdraw", "upstream_row", "env"),
}
FILES, FOLDERS = {"paths"}, {"root", "checkout", "extract", "baseline", "site"}
ROOT = r"""
root="${SPEEDRUN_ROOT:-$PWD}"
while [ -n "$root" ] && [ ! -d "$root/tracks" ]; do
  case "$root" in */*) root="${root%/*}" ;; *) root= ;; esac
done
cd "$root" 2>/dev/null && [ -d tracks ] || exit 0
"""
TRACKS = r"""  ls tracks | sed -n 's/^\([a-z][a-z0-9-]*\)\.yaml$/\1/p' | grep -vx timers
"""
OTHERS = r"""  ls -d submissions/[!_.]*/ | sed 's,/$,,'
  ls -d records/*/*/ | sed 's,^records/,,; s,/$,,'
  grep -H '^number: ' records/*/*/record.yaml | sed -n 's,^records/\([^/]*\)/.*number: \([0-9]*\)$,\1/\2,p'
"""
SAFE = r"""} 2>/dev/null | grep -E '^[A-Za-z0-9@._][A-Za-z0-9@._/-]*$' | sort -u
"""
LIST = f"{ROOT}{{\n{TRACKS}{OTHERS}{SAFE}"
LISTS = {  # functions of the shell, and what lists the words that they offer
    "_speedrun_names": LIST,
    "_speedrun_tracks": f"{ROOT}{{\n{TRACKS}{SAFE}",
    "_speedrun_shown": f"{ROOT}{{\n  echo runs\n{TRACKS}{OTHERS}{SAFE}",
}
FUNCTIONS = {
    "bash": '{name}() {{\n  compgen -W "$(sh -c {list})" -- "$1"\n}}\n',
    "zsh": '{name}() {{\n  compadd -- ${{(f)"$(sh -c {list})"}}\n}}\n',
    "fish": "function {name}\n  sh -c {list}\nend\n",
}
PREAMBLE = {
    shell: "".join(form.format(name=name, list=shlex.quote(words)) for name, words in LISTS.items())
    for shell, form in FUNCTIONS.items()
}
# zsh: what shtab writes registers itself where it is evaluated. After `source <(speedrun --completion zsh)` it would run
# at once, and end with an error.
SOURCED = "$zsh_eval_context[-1] == eval", "$zsh_eval_context[-1] == (eval|file)"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for one of the shells that `PREAMBLE` names."""
    for action in _actions(parser):
        words = _words_of(action)
        if words is not None:
            action.complete = {"bash": words, "zsh": words, "fish": f"({words})"}  # type: ignore[attr-defined]
        elif action.dest in FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.dest in FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    written = str(shtab.complete(parser, shell, preamble=PREAMBLE[shell]))
    return written.replace(*SOURCED) if shell == "zsh" else written


def _words_of(action: argparse.Action) -> str | None:
    """Return the function that lists what an argument may be; None where it is no name."""
    if action.dest == "record":  # of `show`
        return "_speedrun_shown"
    if action.dest == "track":
        return "_speedrun_tracks"
    is_loss = action.dest == "target" and action.option_strings  # `log --target LOSS`; elsewhere it is a name
    return "_speedrun_names" if action.dest in NAMES and not is_loss else None


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    found = list(parser._actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [one for sub in action.choices.values() for one in sub._actions]
    return found
