"""Text for people: counted nouns, and foreign text made harmless for a terminal."""


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: "1 run", "3 runs", "8 processes"."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith('s') else 's'}"


def printable(text: str) -> str:
    """Return `text` with control characters and invisible ones shown as escapes, fit for a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
