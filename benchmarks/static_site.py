"""How long a site of 1,000 records takes, and how long its table takes to sort: at most 15 s and 0.1 s.

    python benchmarks/static_site.py [RECORDS] [--small]

Reading the records and drawing the board's pictures are left out. The records are those of `board.py`, each with a curve.
Sorting is measured in Chromium, where playwright and a browser are here: from the click to the end of the layout after it,
the slowest of ten clicks on different headings.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from board import make_record

from harness.board.site import building, site_folder
from harness.catalog.tracks import load_tracks

ROOT = Path(__file__).parents[1]
MOST_S = 15.0
MOST_SORT_MS = 100.0
POINTS = 12
_MEASURE = """() => {
  const times = [];
  for (const key of ["claim", "loss", "date", "idea", "by"]) {
    for (let click = 0; click < 2; click += 1) {
      const button = document.querySelector(`th.${key} button`), began = performance.now();
      button.click();
      document.body.getBoundingClientRect();
      times.push(performance.now() - began);
    }
  }
  return times;
}"""


def sorting(folder: Path) -> float | None:
    """The slowest of ten sorts in milliseconds; None without a browser."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto((folder / "tracks" / "short.html").as_uri())
        page.wait_for_selector("th button")
        slowest = max(page.evaluate(_MEASURE))
        browser.close()
    return float(slowest)


def main() -> int:
    parser = argparse.ArgumentParser(description="time of a large site")
    parser.add_argument("records", nargs="?", type=int, default=1_000)
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    count = 20 if args.small else args.records
    records = [make_record(number) for number in range(1, count + 1)]
    curve = tuple((100 * n, 3.27 + 7.5 * (1 - n / (POINTS - 1)) ** 3, 7.3 * n) for n in range(POINTS))
    tracks = load_tracks(ROOT / "tracks")
    material = building.Material(tracks, records, {"short": {record.slug: curve for record in records}})
    with tempfile.TemporaryDirectory() as scratch:
        began = time.perf_counter()
        files = building.render(material)
        made = time.perf_counter()
        site_folder.write_site(Path(scratch) / "site", files)
        written = time.perf_counter()
        slowest = None if args.small else sorting(Path(scratch) / "site")
    size = sum(len(text) for text in files.values())
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    table = len(files["tracks/short.html"]) / 1e6
    print(f"{count:,} records, {len(files):,} files, {size / 1e6:.1f} MB; page of the track {table:.2f} MB")
    print(
        f"made in {made - began:.2f} s, written in {written - made:.2f} s (together at most {MOST_S * count / 1000:g})"
    )
    sort = "not measured" if slowest is None else f"{slowest:.0f} ms (at most {MOST_SORT_MS:g})"
    print(f"sorting the table: {sort}")
    good = written - began < MOST_S * count / 1000 and (slowest is None or slowest < MOST_SORT_MS)
    return 0 if args.small or good else 1


if __name__ == "__main__":
    sys.exit(main())
