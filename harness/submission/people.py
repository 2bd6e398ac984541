"""Who makes a submission, as the manifest may name them: in ASCII, because other letters may look like another's.

Git knows a name in any letters. Accents are left out where a name stays readable without them, and its author is told;
of any other name nobody but its author can say how it is written, so they are asked before a folder is made.
"""

import subprocess
import unicodedata

from harness.core.constraints import is_visible, show
from harness.core.errors import StoreError
from harness.store.layout import Project

LONGEST = 100


def author(project: Project) -> str:
    """Return git's user.name, cut to what a file of ours holds; raises StoreError where git has none."""
    try:
        done = subprocess.run(["git", "config", "user.name"], cwd=project.root, capture_output=True, check=False)
        name = done.stdout.decode("utf-8", "replace")
    except OSError:
        name = ""
    name = "".join(char for char in name if char.isprintable()).strip()[:LONGEST]
    if not name:
        raise StoreError.at("git", "has no user.name", "set your name: git config user.name 'Your Name'")
    return name


def named_by_git(project: Project) -> str:
    """Return git's user.name as a manifest may hold it; raises StoreError where it cannot be written in ASCII."""
    name = author(project)
    plain = without_accents(name)
    if plain is None:
        what = f"user.name is {name}, and a manifest names people in ASCII"
        raise StoreError.at("git", what, "say who you are: speedrun new NAME --by @handle")
    return plain


def checked(name: str) -> str:
    """Return a contributor as given; raises StoreError where a manifest may not name them so."""
    fits = name.isascii() and name.isprintable() and is_visible(name) and len(name) <= LONGEST
    if not fits or name != name.strip():
        what = f"{show(name)} is no name of 1 to {LONGEST} ASCII characters"
        raise StoreError.at("--by", what, "give a handle like @somebody, or a name in ASCII")
    return name


def without_accents(name: str) -> str | None:
    """Return a name in ASCII, its accents left out; None where it has other letters, or nothing would be seen."""
    plain = "".join(char for char in unicodedata.normalize("NFD", name) if not unicodedata.combining(char))
    return plain if plain.isascii() and is_visible(plain) else None
