"""Sites for tests: records made here, and what a page says without scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from harness.board.site import building
from harness.board.site.building import Material
from harness.board.site.pending import Pending
from harness.core.record import Record
from tests.unit.test_board import HOSTILE, TRACKS, record, run

SCRIPT = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
TITLES = [*HOSTILE, SCRIPT, "</style></svg>{{ 7 * 7 }}{% raw %}", "\ud800 \x00 \ufeff", "'\" onmouseover=alert(1) x='"]
VOID = {"meta", "link", "img", "input", "br"}


def curve(end: float, points: int = 12) -> tuple[tuple[int, float, float], ...]:
    """A curve that falls to `end` in 1,100 steps and 80 seconds."""
    return tuple((100 * n, end + 7.5 * (1 - n / (points - 1)) ** 3, 7.3 * n) for n in range(points))


def hostile_records() -> list[Record]:
    """A record for each hostile text, with that text wherever a submitter may write."""
    return [
        record(
            number,
            90.0 - number,
            run(3.278),
            title=text,
            contributors=(text, f"@{text}"),
            pull_request=text,
            notes=text,
            withdrawn=text if number % 3 == 0 else None,
        )
        for number, text in enumerate(TITLES, 1)
    ]


def material(records: Sequence[Record], **changes: Any) -> Material:
    """What a site of these records is made of, each with a curve."""
    curves: dict[str, dict[str, Any]] = {}
    for one in records:
        curves.setdefault(one.track, {})[one.slug] = curve(3.27 + one.number / 1000)
    return Material(TRACKS, records, curves, **changes)


def hostile_site() -> dict[str, bytes | str]:
    """A site full of hostile text."""
    held = hostile_records()
    readmes = {"short": {one.slug: f"{one.title}\n\n\t{one.title}" for one in held}}
    pending = [
        Pending(text, "short" if n % 2 else None, text, text, "refused", (text, text)) for n, text in enumerate(TITLES)
    ]
    return building.render(material(held, readmes=readmes, pending=pending))


class Page(HTMLParser):
    """The elements of a page: (tag, attributes, text inside), in the order in which they end."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], str]] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        self.close()
        assert not self._open, "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            self.elements.append((tag, dict(attrs), ""))
        else:
            self._open.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        name, attributes, texts = self._open.pop()
        assert name == tag, f"<{name}> ends with </{tag}>"
        self.elements.append((name, attributes, "".join(texts)))

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]


def data_of(script: bytes | str) -> list[Any]:
    """What the one call of a data file passes."""
    text = script.decode() if isinstance(script, bytes) else script
    assert text.isascii() and text.startswith("speedrun.") and text.endswith(");\n")
    held = json.loads(f"[{text.partition('(')[2][:-3]}]")
    assert isinstance(held, list)
    return held


def write(files: dict[str, bytes | str], folder: Path) -> Path:
    """Write a site's files, without the care that the command takes."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
