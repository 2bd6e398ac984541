"""Write a picture as SVG text by hand, so that its bytes are the same on every machine.

A drawing library would make them depend on its version and on the fonts of the machine, and a board could then not be
compared by its bytes. Text stays text: the reader's own font is drawn, so its width is estimated, and for a wide one
(DejaVu Sans), because a label must fit in every font. The colours follow the reader's scheme, and the background is
drawn too, because a page may be dark where the browser's scheme is light. A phone shows a picture of 560 px at 400 px,
where letters of 14 px are 10 px high.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape

from harness.board.scales import Scale

WIDTH = 560
SIZE, SMALL = 16, 14  # of letters, px
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 40, 34  # room around what is drawn
_NARROW, _WIDE = frozenset(" ijlI.,:;'|![]()·-ftr/"), frozenset("mwMW@%—…")

# name: in light, in dark. All that text is written in has a contrast of at least 4.5 to the background, as WCAG asks; claim
# and grid are surfaces and lines.
_COLOURS = {
    "back": ("#ffffff", "#0d1117"),
    "ink": ("#1f2328", "#e6edf3"),
    "muted": ("#59636e", "#9198a1"),
    "grid": ("#d1d9e0", "#30363d"),
    "claim": ("#9aa4af", "#6e7681"),
    "accent": ("#bc4c00", "#f0883e"),
    "c0": ("#59636e", "#9198a1"),
    "c1": ("#0969da", "#58a6ff"),
    "c2": ("#1a7f37", "#3fb950"),
    "c3": ("#8250df", "#bc8cff"),
    "c4": ("#9a6700", "#d29922"),
    "c5": ("#bf3989", "#f778ba"),
}
_TEXT = (
    "text{font:16px system-ui,-apple-system,'Segoe UI',sans-serif}text.small{font-size:14px}text.bold{font-weight:600}"
    "text.halo{stroke-width:4px;paint-order:stroke;stroke-linejoin:round}path,line{fill:none}.dash{stroke-dasharray:5 4}"
)


def _style(used: Iterable[str]) -> str:
    """Write the style of the colours that are used. No variables of CSS: some programs that show SVG know none."""
    light, dark = ("".join(_painted(name, _COLOURS[name][i]) for name in sorted({*used, "back"})) for i in (0, 1))
    return f"{_TEXT}{light}@media (prefers-color-scheme:dark){{{dark}}}"


def _painted(name: str, colour: str) -> str:
    if name == "back":
        return f".back{{fill:{colour}}}text.halo{{stroke:{colour}}}"
    return f"text.{name},.{name}.full{{fill:{colour}}}path.{name},line.{name}{{stroke:{colour}}}"


def number(value: float) -> str:
    """Write a coordinate with at most one decimal."""
    shown = f"{value:.1f}".removesuffix(".0")
    return "0" if shown == "-0" else shown


def plain(text: str) -> str:
    """Make foreign text fit for a label: XML allows no control characters, and those that turn text round mislead."""
    return "".join(char if char.isprintable() else " " for char in text)


def text_width(text: str, size: float = SIZE) -> float:
    """Estimate how wide a text is in px, for a wide font."""
    return size * sum(map(_em, text))


def _em(char: str) -> float:
    if char in _NARROW:
        return 0.41
    if unicodedata.east_asian_width(char) in "WF" or char in _WIDE:
        return 1.0
    return 0.74 if char.isupper() else 0.64


def wrap(text: str, width: float, *, most: int, size: float = SIZE, end: str = "") -> list[str]:
    """Break a text into at most so many lines; what does not fit is cut, and says so with an ellipsis.

    end: is never cut, and stands behind the last line.
    """
    words = plain(text).split() or [""]
    lines = [words.pop(0)]
    while words:
        last = len(lines) == most
        ends = end if len(words) == 1 or last else ""
        if text_width(f"{lines[-1]} {words[0]}{ends}", size) <= width:
            lines[-1] += f" {words.pop(0)}"
        elif last:
            lines[-1] += f" {words[0]}…"
            break
        else:
            lines.append(words.pop(0))
    room = text_width(end, size)
    return [_cut(line, width, size) for line in lines[:-1]] + [_cut(lines[-1], width - room, size) + end]


def _cut(line: str, width: float, size: float) -> str:
    if text_width(line, size) <= width:
        return line
    line = line.removesuffix("…").rstrip()
    while line and text_width(f"{line}…", size) > width:
        line = line[:-1].rstrip()
    return f"{line}…"


class Drawing:
    """One picture: what is drawn later lies above. A kind is a colour, and what else the style knows."""

    def __init__(self, height: float, title: str, *, width: float = WIDTH) -> None:
        self.width, self.height, self._title = width, height, plain(title)
        self._parts: list[str] = []
        self._used: set[str] = set()

    def _add(self, part: str, kind: str) -> None:
        self._parts.append(part)
        self._used |= set(kind.split()) & _COLOURS.keys()

    def text(self, x: float, y: float, text: str, kind: str = "ink", *, anchor: str = "start") -> None:
        """Write a text with its baseline at y."""
        end = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._add(f'<text x="{number(x)}" y="{number(y)}" class="{kind}"{end}>{escape(plain(text))}</text>', kind)

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """Draw a straight line."""
        ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
        self._add(f'<line {ends} class="{kind}"/>', kind)

    def path(self, points: Sequence[tuple[float, float]], kind: str, width: float = 2) -> None:
        """Draw a line through points."""
        through = "L".join(f"{number(x)} {number(y)}" for x, y in points)
        self._add(f'<path d="M{through}" class="{kind}" stroke-width="{number(width)}"/>', kind)

    def dot(self, x: float, y: float, radius: float, kind: str) -> None:
        """Draw a full circle."""
        self._add(f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" class="{kind} full"/>', kind)

    def bar(self, x1: float, x2: float, y: float, height: float, kind: str) -> None:
        """Draw a bar between two places, at least 1 px wide."""
        left, wide = min(x1, x2), max(abs(x2 - x1), 1)
        box = f'x="{number(left)}" y="{number(y)}" width="{number(wide)}" height="{number(height)}"'
        self._add(f'<rect {box} class="{kind} full"/>', kind)

    def svg(self) -> str:
        """Return the whole picture."""
        size = f'width="{number(self.width)}" height="{number(self.height)}"'
        box = f'viewBox="0 0 {number(self.width)} {number(self.height)}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} {box} role="img">',
                f"<title>{escape(self._title)}</title>",
                f"<style>{_style(self._used)}</style>",
                '<rect width="100%" height="100%" class="back"/>',
                *self._parts,
                "</svg>",
                "",
            ]
        )


def frame(drawing: Drawing, y: Scale, name: str) -> None:
    """Draw the lines of a value axis with their values, and say above what they are."""
    drawing.text(8, 22, name, "muted small")
    for value in y.ticks(6):
        drawing.line(LEFT, y(value), drawing.width - RIGHT, y(value), "grid")
        drawing.text(LEFT - 6, y(value) + 5, f"{value:,.6g}", "muted small", anchor="end")


def tick(drawing: Drawing, x: float, name: str) -> None:
    """Name a place of the axis below."""
    half = text_width(name, SMALL) / 2
    place = min(max(x, half + 2), drawing.width - half - 2)
    drawing.line(x, drawing.height - BOTTOM, x, drawing.height - BOTTOM + 5, "muted")
    drawing.text(place, drawing.height - 12, name, "muted small", anchor="middle")
