"""One browser for all tests of the site: that of the system, without a window. Where there is none, they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import sites
from tests.unit.test_site import real

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LIMIT_MS = 600_000  # a hang; each step takes a fraction of a second

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[test]'")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed; on Debian: apt install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=LIMIT_MS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this repository."""
    return sites.write(real(), tmp_path_factory.mktemp("real"))


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sites.write(sites.hostile_site(), tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def open_page(browser: Any) -> Iterator[Open]:
    """Open a page: `open_page(folder / name, "#view", width=…, …)`; at the end nothing may have failed on it."""
    opened, wrong = [], []

    def open_it(path: Path | str, view: str = "", *, width: int = 1280, **options: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(LIMIT_MS)
        opened.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(f"{request.url} failed"))
        page.goto((path.as_uri() if isinstance(path, Path) else path) + view)
        if page.query_selector("#curves") and options.get("java_script_enabled", True):
            page.wait_for_selector("#curves[data-drawn]", state="attached")
        return page

    yield open_it
    for context in opened:
        context.close()
    assert wrong == []
