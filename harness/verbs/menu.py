"""The first screen of the help: the verbs in groups, by what somebody wants to do."""

import shutil
import textwrap
from collections.abc import Mapping

GROUPS = {
    "Read": ("log", "show", "board"),
    "Submit": ("new", "diff", "run", "check", "pack"),
    "Compare": ("compare", "probe", "replay"),
    "Maintain": ("accept", "import"),
    "Machine": ("doctor", "fetch"),
    "Model": ("eval",),
}
ORDER = tuple(name for group in GROUPS.values() for name in group)
OPTIONS = {
    "--root DIR": "project folder (default: the nearest one that holds tracks/)",
    "--version": "print the version",
    "--completion SHELL": "print what makes bash or zsh complete verbs, options and names",
}
ABOUT = "Run, judge and rank training scripts for the NanoGPT speedrun."
MORE = "`speedrun help VERB` says what one does. Names are like short/12, smoke (its current record) or submissions/<slug>."


def first_screen(helps: Mapping[str, str]) -> str:
    """Return the help that names every verb; helps: what each does, in a line."""
    width = max(40, shutil.get_terminal_size().columns)
    lines = ["usage: speedrun [--root DIR] VERB …", "", *textwrap.wrap(ABOUT, width)]
    for group, names in GROUPS.items():
        lines += ["", group, *(line for name in names for line in _entry(name, helps[name], width, 10))]
    lines += ["", "Options", *(line for name, text in OPTIONS.items() for line in _entry(name, text, width, 20))]
    return "\n".join([*lines, "", *textwrap.wrap(MORE, width)]) + "\n"


def _entry(name: str, text: str, width: int, column: int) -> list[str]:
    indent = " " * (column + 2)
    return textwrap.wrap(text, width, initial_indent=f"  {name:<{column}}", subsequent_indent=indent)
