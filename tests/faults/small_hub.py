"""A small dataset hub on 127.0.0.1 that the real huggingface_hub talks to, and that fails on demand.

`Hub` serves one dataset; a second server, the storage host, has another port and therefore another origin. Every
request is kept, with the range that was asked for, whether a token came along, and how many bytes went out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REPOSITORY = "someone/tokens"
Act = Callable[[Any, str], None]  # (handler, file name)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Request:
    """One request as the server saw it."""

    host: str  # "hub" or "storage"
    method: str
    name: str
    start: int
    token: bool
    sent: int = 0


@dataclass
class Fault:
    """What to do instead of serving a file, `times` times."""

    method: str
    act: Act
    times: int


@dataclass
class Pause:
    """Serve `after` bytes of a file, then say so and wait."""

    after: int
    reached: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)


class Hub:
    """Start with `with Hub(files) as hub`; `hub.url` is what HF_ENDPOINT must be."""

    repositories: tuple[str, ...] = (REPOSITORY,)

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = dict(files)  # what is served
        self.promised = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        self.sizes = {name: len(data) for name, data in files.items()}
        self.requests: list[Request] = []
        self.faults: dict[str, list[Fault]] = {}
        self.pauses: dict[str, Pause] = {}
        self.commit = COMMIT
        self.redirects = False  # files lie on the storage host
        self.redirects_get_only = False  # the hub describes a file itself and redirects its GET
        self.knows_ranges = True
        self.weak_etags = False
        self.git_keeps: set[str] = set()  # small files, of which the hub gives git's hash and no sha256
        self.date: str | None = None  # the server's clock
        self.lock = threading.Lock()

    def __enter__(self) -> Hub:
        self.hub = _serve(self, "hub")
        self.storage = _serve(self, "storage")
        self.url = f"http://127.0.0.1:{self.hub.server_port}"
        self.storage_url = f"http://127.0.0.1:{self.storage.server_port}"
        return self

    def __exit__(self, *error: object) -> None:
        for pause in self.pauses.values():
            pause.go_on.set()
        for server in (self.hub, self.storage):
            server.shutdown()
            server.server_close()

    def fail(self, name: str, act: Act, *, times: int = 1, method: str = "GET") -> None:
        """Do `act` instead of serving `name`, for the next `times` requests of that method ("" means any)."""
        self.faults.setdefault(name, []).append(Fault(method, act, times))

    def pause(self, name: str, after: int) -> Pause:
        """Hold the answer for `name` after so many bytes of its body."""
        self.pauses[name] = Pause(after)
        return self.pauses[name]

    def gets(self, name: str | None = None) -> list[Request]:
        """The requests that asked for bytes."""
        return [r for r in self.requests if r.method == "GET" and r.name.endswith(".bin") and name in (None, r.name)]


def status(code: int, **headers: str) -> Act:
    """A fault: answer with a status and headers (underscores stand for dashes)."""

    def act(handler: Any, name: str) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return act


def cut(after: int, *, reset: bool = False) -> Act:
    """A fault: break the connection when the file has been served up to byte `after`."""

    def act(handler: Any, name: str) -> None:
        data, start = handler.hub.files[name], handler.start_of_range()
        handler.send_head(name, start)
        handler.send_body(data[start : max(start, after)])
        if reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        handler.close_connection = True

    return act


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    host: str

    def log_message(self, *args: object) -> None:
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.hub.date or super().date_time_string(timestamp)

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = urlsplit(self.path).path
        name = unquote(path.rsplit("/", 1)[-1])
        self.seen = Request(self.host, self.command, name, self.start_of_range(), "Authorization" in self.headers)
        with self.hub.lock:
            self.hub.requests.append(self.seen)
            fault = self.next_fault(name)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if fault is not None:
                fault.act(self, name)
            elif path.startswith(
                tuple(f"/api/{kind}/{name}/tree/" for kind in ("datasets", "models") for name in self.hub.repositories)
            ):
                self.send_listing()
            elif self.host == "hub":
                self.answer_as_hub(path, name)
            else:
                self.send_file(name)

    def next_fault(self, name: str) -> Fault | None:
        for fault in self.hub.faults.get(name, []):
            if fault.times > 0 and fault.method in ("", self.command):
                fault.times -= 1
                return fault
        return None

    def answer_as_hub(self, path: str, name: str) -> None:
        wanted = re.fullmatch(r"(?:/datasets)?/([^/]+/[^/]+)/resolve/([^/]+)/(?:[^/]+/)?([^/]+)", path)
        if wanted is None or wanted.group(1) not in self.hub.repositories:
            status(404, X_Error_Code="RepoNotFound")(self, name)
        elif wanted.group(2) not in ("main", self.hub.commit):
            status(404, X_Error_Code="RevisionNotFound")(self, name)
        elif name not in self.hub.files:
            status(404, X_Error_Code="EntryNotFound")(self, name)
        elif self.hub.redirects or (self.hub.redirects_get_only and self.command == "GET"):
            self.send_response(302)
            self.send_facts(name)
            self.send_header("Location", f"{self.hub.storage_url}/signed/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.command == "HEAD":
            self.send_response(200)
            self.send_facts(name)
            self.send_header("Content-Length", str(self.hub.sizes[name]))
            self.end_headers()
        else:
            self.send_file(name)

    def send_facts(self, name: str) -> None:
        sha256 = self.hub.promised[name]
        self.send_header("X-Repo-Commit", self.hub.commit)
        if name in self.hub.git_keeps:
            self.send_header("ETag", f'"{sha256[:40]}"')
            return
        self.send_header("ETag", 'W/"something-else"' if self.hub.weak_etags else f'"{sha256}"')
        if not self.hub.weak_etags:
            self.send_header("X-Linked-Etag", f'"{sha256}"')
        self.send_header("X-Linked-Size", str(self.hub.sizes[name]))

    def lfs(self, name: str, sha256: str) -> dict[str, object]:
        return {"oid": sha256, "size": self.hub.sizes[name], "pointerSize": 134}

    def send_listing(self) -> None:
        entries = [
            {
                "type": "file",
                "oid": "0" * 40,
                "size": self.hub.sizes[name],
                "path": name,
                **({} if name in self.hub.git_keeps else {"lfs": self.lfs(name, sha256)}),
            }
            for name, sha256 in sorted(self.hub.promised.items())
        ]
        body = json.dumps(entries).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_of_range(self) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        return int(asked.group(1)) if asked else 0

    def send_head(self, name: str, start: int) -> None:
        size = len(self.hub.files[name])
        self.send_response(206 if "Range" in self.headers else 200)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - start))
        self.end_headers()

    def send_file(self, name: str) -> None:
        if not self.hub.knows_ranges:
            del self.headers["Range"]
        start = self.start_of_range()
        data = self.hub.files[name]
        self.send_head(name, start)
        pause = self.hub.pauses.get(name)
        if pause is not None and start <= pause.after < len(data) and not pause.reached.is_set():
            self.send_body(data[start : pause.after])
            pause.reached.set()
            pause.go_on.wait(60)
            start = pause.after
        self.send_body(data[start:])

    def send_body(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 16):
            piece = data[at : at + (1 << 16)]
            self.wfile.write(piece)
            self.seen.sent += len(piece)


def _serve(hub: Hub, host: str) -> ThreadingHTTPServer:
    handler = type("Handler", (Handler,), {"hub": hub, "host": host})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server
