"""How fast a verified fetch is over loopback, as ratios: against curl, and against huggingface_hub alone.

    python benchmarks/fetch.py [--files 5] [--repeats 3] [--folder DIR] [--json] [--small]

Five shards of 100 M tokens (200 MB each) are served by a process of its own, with sendfile, on 127.0.0.1. Each way is
a whole process from start to exit, downloads into an empty folder, and takes turns with the others; ratios compare
medians. A file system sync between turns, outside the clock, keeps one turn's writes out of the next one's.

    curl             curl, all files at once (--parallel); nothing is checked, nothing is synced
    curl in turn     curl, one file after another
    curl + sha256    curl at once, then sha256sum of every file, also at once
    hub              huggingface_hub.snapshot_download with as many workers as files; sizes are checked, hashes are not
    fetch            speedrun fetch: sha256 while storing, headers and token ids checked
    fetch again      the second start: one stat per shard
    fetch --verify   every shard hashed again

Ratios are against the faster of curl's two ways. Aim: fetch ≤ 1.25 × curl. Start-up (Python, numpy, the hub library)
takes 0.2 s whatever the number of files. Needs 0.45 GB of disk per file (2.2 GB) and removes what it made. Exit status
1 where the aim is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AIM = 1.25
TOKENS, FEW_TOKENS = 100_000_000, 100_000  # of a shard
COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/tokens"


def names(files: int) -> list[str]:
    return ["fineweb_val_000000.bin", *(f"fineweb_train_{number:06d}.bin" for number in range(1, files))]


def make_shards(folder: Path, files: int, tokens: int) -> dict[str, str]:
    """Write the shards to serve; returns name -> sha256."""
    import numpy as np

    header = np.zeros(256, dtype="<i4")
    header[:3] = (20240520, 1, tokens)
    hashes = {}
    for seed, name in enumerate(names(files)):
        ids = np.random.default_rng(seed).integers(0, 50257, tokens, dtype=np.uint16)
        ids[0] = 50256
        raw = header.tobytes() + ids.tobytes()
        (folder / name).write_bytes(raw)
        hashes[name] = hashlib.sha256(raw).hexdigest()
    return hashes


def serve(folder: Path) -> None:
    """The server's process: prints its port, then answers until it is killed."""
    hashes = json.loads((folder / "hashes.json").read_text())

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(send=False)

        def do_GET(self) -> None:
            if self.path.startswith("/api/"):
                self.send_listing()
            else:
                self.answer(send=True)

        def answer(self, *, send: bool) -> None:
            name = self.path.rsplit("/", 1)[-1]
            size = (folder / name).stat().st_size
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            start = int(asked.group(1)) if asked else 0
            self.send_response(206 if asked else 200)
            self.send_header("ETag", f'"{hashes[name]}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(size - start))
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.end_headers()
            if send:
                with (folder / name).open("rb") as file:
                    while start < size:
                        start += os.sendfile(self.connection.fileno(), file.fileno(), start, size - start)

        def send_listing(self) -> None:
            if "/tree/" in self.path:
                data: object = [
                    {
                        "type": "file",
                        "oid": "0" * 40,
                        "size": (folder / name).stat().st_size,
                        "path": name,
                        "lfs": {"oid": sha256, "size": (folder / name).stat().st_size, "pointerSize": 134},
                    }
                    for name, sha256 in hashes.items()
                ]
            else:
                data = {"id": REPOSITORY, "sha": COMMIT, "siblings": [{"rfilename": name} for name in hashes]}
            body = json.dumps(data).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


class Bench:
    """The ways to download, each a command into an empty folder."""

    def __init__(self, folder: Path, files: int, tokens: int, port: int) -> None:
        self.folder, self.files, self.tokens = folder, files, tokens
        self.url = f"http://127.0.0.1:{port}"
        self.target = folder / "target"
        self.environment = {
            **os.environ,
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.target / "hf"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "XDG_CACHE_HOME": str(self.target),
            "PYTHONPATH": str(ROOT),
            "NO_PROXY": "127.0.0.1",
        }
        self.project = folder / "project"
        (self.project / "tracks").mkdir(parents=True)
        text = (ROOT / "tracks" / "short.yaml").read_text(encoding="utf-8")
        text = re.sub(r"repository: \S+", f"repository: {REPOSITORY}", text)
        text = re.sub(r"shard_tokens: \d+", f"shard_tokens: {tokens}", text)
        (self.project / "tracks" / "short.yaml").write_text(text, encoding="utf-8")

    def curl(self, *options: str) -> list[str]:
        command = ["curl", "-sS", "--fail", *options]
        for name in names(self.files):
            command += ["-o", str(self.target / name), f"{self.url}/datasets/{REPOSITORY}/resolve/main/{name}"]
        return command

    def curl_and_hash(self) -> list[str]:
        together = " ".join(self.curl("--parallel"))
        hashes = " & ".join(f"sha256sum {self.target / name}" for name in names(self.files))
        return ["bash", "-c", f"{together} && ( {hashes} & wait )"]

    def hub(self) -> list[str]:
        code = (
            "from huggingface_hub import snapshot_download;"
            f"snapshot_download({REPOSITORY!r}, repo_type='dataset', max_workers={self.files})"
        )
        return [sys.executable, "-c", code]

    def fetch(self, *options: str) -> list[str]:
        tokens = str((self.files - 1) * self.tokens)
        root = ["--root", str(self.project)]
        return [sys.executable, "-m", "harness", *root, "fetch", "short", "--tokens", tokens, *options]

    def time(self, command: list[str], *, keep: bool = False) -> float:
        """Seconds that the command takes as a process; into an empty folder unless `keep`."""
        if not keep:
            shutil.rmtree(self.target, ignore_errors=True)
            self.target.mkdir()
        os.sync()
        began = time.perf_counter()
        done = subprocess.run(command, env=self.environment, cwd=self.project, capture_output=True, check=False)
        seconds = time.perf_counter() - began
        if done.returncode != 0:
            raise SystemExit(f"{command[0]} failed: {done.stderr.decode()[-500:]}")
        return seconds


def measure(bench: Bench, repeats: int) -> dict[str, list[float]]:
    ways: dict[str, Callable[[], float]] = {
        "curl": lambda: bench.time(bench.curl("--parallel")),
        "curl in turn": lambda: bench.time(bench.curl()),
        "curl + sha256": lambda: bench.time(bench.curl_and_hash()),
        "hub": lambda: bench.time(bench.hub()),
        "fetch": lambda: bench.time(bench.fetch()),
        "fetch again": lambda: bench.time(bench.fetch(), keep=True),
        "fetch --verify": lambda: bench.time(bench.fetch("--verify"), keep=True),
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            times[way].append(run())
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write (default: the folder for temporary files)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
    if shutil.which("curl") is None:
        print("curl is not installed; the ratios need it", file=sys.stderr)
        return 2
    files, repeats, tokens = (2, 1, FEW_TOKENS) if args.small else (args.files, args.repeats, TOKENS)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="fetch-benchmark-") as name:
        folder = Path(name)
        (folder / "served").mkdir()
        (folder / "served" / "hashes.json").write_text(json.dumps(make_shards(folder / "served", files, tokens)))
        command = [sys.executable, __file__, "--serve", str(folder / "served")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                times = measure(Bench(folder, files, tokens, int(server.stdout.readline())), repeats)
            finally:
                server.kill()
    middle = {way: statistics.median(seconds) for way, seconds in times.items()}
    size = files * (2 * tokens + 1024)
    curl = min(middle["curl"], middle["curl in turn"])
    for way, seconds in middle.items():
        ratio = seconds / curl
        spread = f"{min(times[way]):.2f}–{max(times[way]):.2f}"
        print(
            f"{way:<16}{seconds:6.2f} s ({spread})  {size / seconds / 1e6:8,.0f} MB/s  {ratio:5.2f} × curl",
            file=sys.stderr,
        )
    print(f"fetch / hub: {middle['fetch'] / middle['hub']:.2f}; aim: fetch ≤ {AIM} × curl", file=sys.stderr)
    if args.json:
        print(json.dumps({"bytes": size, "seconds": times, "fetch_over_curl": middle["fetch"] / curl}))
    return 0 if args.small or middle["fetch"] <= AIM * curl else 1


if __name__ == "__main__":
    sys.exit(main())
