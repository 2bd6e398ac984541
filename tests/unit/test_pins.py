"""Pins are written into a track's file line by line, so every form of the file that people write must survive it."""

from __future__ import annotations

import pytest

from harness.core import yamlfile
from harness.core.errors import TrackError
from harness.core.task import Shard
from harness.dataset.pins import with_pins

COMMIT = "c" * 40
PINS = (Shard("a_000000.bin", 5, "0" * 64), Shard("b_000001.bin", None, None))
EXPECTED = [
    {"name": "a_000000.bin", "tokens": 5, "sha256": "0" * 64},
    {"name": "b_000001.bin", "tokens": None, "sha256": None},
]
HEAD = "# top\nname: x\ndata: # where from\n  repository: a/b\n"
FORMS = {
    "empty list at the end": HEAD + "  revision: null # pinned later\n  folder: d # keep\n  shards: [] # hashes\n",
    "empty list in the middle": HEAD + "  revision: null\n  shards: []\n  folder: d\n# between\ndry: []\n",
    "no shards key": HEAD + "  revision: null\n  folder: d\n# between\ndry: []\n",
    "no revision key": HEAD + "  folder: d\n  shards: []\n",
    "flow items": HEAD + "  revision: null\n  shards:\n    - {name: a_000000.bin, tokens: 5} # first\n  folder: d\n",
    "block items": HEAD + "  shards:\n    # the first\n    - name: a_000000.bin\n      tokens: 4\n  folder: d\n",
    "items at the key's own indentation": HEAD
    + "  shards:\n  - name: a_000000.bin\n    tokens: 4\n  folder: d\ndry: []\n",
    "blank lines": HEAD + "\n  revision: null\n\n  folder: d\n  shards: []\n\n# tail\n\ndry: []\n",
    "deeper indentation": "data:\n    repository: a/b\n    revision: null\n    folder: d\n    shards: []\nname: x\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_only_the_pins_differ_afterwards_and_no_comment_is_lost(form: str) -> None:
    text = FORMS[form]
    before = yamlfile.parse(text.encode(), "t").data
    written = with_pins(text, "t", COMMIT, PINS)
    after = yamlfile.parse(written.encode(), "t").data
    assert after["data"].pop("shards") == EXPECTED
    assert after["data"].pop("revision") == COMMIT
    before["data"].pop("shards", None)
    before["data"].pop("revision", None)
    assert after == before
    for line in text.splitlines():
        if "#" in line:
            assert line[line.index("#") :] in written
    assert with_pins(written, "t", COMMIT, PINS) == written


def test_a_file_whose_data_stand_on_one_line_is_refused() -> None:
    with pytest.raises(TrackError, match="line of its own"):
        with_pins("data: {repository: a/b, revision: null, shards: []}\n", "t", COMMIT, PINS)
