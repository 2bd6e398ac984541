"""Fixtures of the tests of `eval`: a hub with the small files, and a cache of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.evals.small_texts import TextHub, small_pins


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextHub]:
    """The hub that this process talks to; the small tokenizer's files are the ones that are demanded."""
    with TextHub() as running, small_pins():
        for name, value in (("HF_ENDPOINT", running.url), ("HF_HOME", str(tmp_path / "hf")), ("NO_PROXY", "127.0.0.1")):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield running
