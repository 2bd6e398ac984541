"""Text for people: counted nouns, foreign text made harmless for a terminal, and what a mistyped name probably meant."""

from collections.abc import Iterable

LONGEST_NAME = 200  # letters of a name that are looked at
LIKE = 0.65  # share of letters that two names have in common in the same order: "chekc" and "check" have 0.8


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: "1 run", "3 runs", "8 processes"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def printable(text: str) -> str:
    """Return `text` with control characters and invisible ones shown as escapes, fit for a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that a mistyped one is most like; None where it is like none."""
    import difflib  # only where something was mistyped

    lower = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower()[:LONGEST_NAME], lower, n=1, cutoff=LIKE)
    return lower[found[0]] if found else None
