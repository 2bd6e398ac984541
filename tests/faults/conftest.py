"""Fixtures of the fetch tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fetch_project import Place, small_dataset
from tests.faults.small_hub import Hub


@pytest.fixture(scope="session")
def dataset() -> dict[str, bytes]:
    return small_dataset()


@pytest.fixture
def hub(dataset: dict[str, bytes]) -> Iterator[Hub]:
    with Hub(dataset) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A project and a cache of their own; this process's environment points there."""
    made = Place(tmp_path, hub.url)
    for name, value in made.environment().items():
        monkeypatch.setenv(name, value)
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return made
