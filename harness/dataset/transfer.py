"""Download one file by byte range, resume it after any interruption, and hash it while it is stored.

A partial file has a fixed name beside its target, and a note that says which file it is a part of; after `kill -9` at
any byte, the next attempt hashes what is stored (1.4 GB/s) and asks for the rest. Reading and writing run in one
thread and hashing in another, on a ring of buffers; all three release Python's lock, so that the slowest of them
(0.15 s per 200 MB) sets the speed, and not their sum.
"""

import contextlib
import functools
import hashlib
import http.client
import json
import os
import queue
import re
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from harness.core.errors import DatasetError
from harness.dataset.hub import RemoteFile, answer_of, refused, same_origin, unreachable
from harness.dataset.progress import Progress
from harness.dataset.retry import Retrying, TransientFault
from harness.dataset.shard import TokenScan
from harness.dataset.snapshot import boot_id
from harness.store.files import disk_error, write_atomic

BUFFER_BYTES = 1 << 20
BUFFERS = 4
SLICE_BYTES = 1 << 17  # stored at once, or 1/64 of what is there: what a kill or a broken connection can lose


class Hasher:
    """Hashes and checks a file's bytes in a thread of its own; the buffers come back through `free`."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.scan = TokenScan()
        self.free: queue.SimpleQueue[bytearray] = queue.SimpleQueue()
        for _ in range(BUFFERS):
            self.free.put(bytearray(BUFFER_BYTES))
        self._full: queue.SimpleQueue[tuple[bytearray, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def give(self, buffer: bytearray, count: int) -> None:
        """Hash the first `count` bytes of a buffer, later; the buffer comes back through `free`."""
        self._full.put((buffer, count))

    def finish(self) -> str:
        """Wait for everything given and return the digest, in hexadecimal."""
        self._full.put(None)
        self._thread.join()
        return self.digest.hexdigest()

    def _work(self) -> None:
        while (item := self._full.get()) is not None:
            buffer, count = item
            view = memoryview(buffer)[:count]
            self.digest.update(view)
            self.scan.take(view)
            self.free.put(buffer)


class Transfer:
    """The download of one file to `partial`; `run` returns once all its bytes are there and right."""

    def __init__(
        self, describe: Callable[[], RemoteFile], partial: Path, retrying: Retrying, progress: Progress
    ) -> None:
        self.describe = describe
        self.partial = partial
        self.note = partial.with_name(partial.name + ".json")
        self.retrying = retrying
        self.progress = progress
        self.stored = 0
        self.hasher = Hasher()

    def run(self, remote: RemoteFile) -> int:
        """Fetch what is missing, compare the whole with the hub's sha256, and return how many bytes came.

        Raises DatasetError (wrong bytes or length, refused, unreachable), StoreError (disk), Stopped. The partial file
        stays unless its bytes are wrong.
        """
        resumed = self._prepare(remote)
        self.progress.begin(remote.name, remote.bytes, resumed)
        sha256 = self._fetch(remote)
        if sha256 != remote.sha256 and resumed:
            self.progress.say(f"{remote.name}: the bytes that an earlier fetch left are wrong; starting again")
            self.discard()
            self._prepare(remote)
            self.progress.advance(remote.name, -remote.bytes)
            resumed = 0
            sha256 = self._fetch(remote)
        if sha256 != remote.sha256:
            self.discard()
            raise DatasetError.at(
                remote.name,
                f"the bytes that came have the sha256 {sha256[:12]}…, the hub promises {remote.sha256[:12]}…",
                "nothing was kept; fetch again, and without HF_ENDPOINT or a proxy if it happens twice",
            )
        return remote.bytes - resumed

    def check(self) -> int:
        """Return the token count of the shard that has arrived; raises DatasetError where it is not a sound shard."""
        return self.hasher.scan.check(self.partial, name=self.partial.stem)

    def discard(self) -> None:
        """Remove the partial file and its note."""
        self.partial.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _prepare(self, remote: RemoteFile) -> int:
        """Make sure that the partial file is a part of `remote`; returns how many bytes are stored."""
        note = json.dumps({"sha256": remote.sha256, "bytes": remote.bytes})
        try:
            if self.note.exists() and self.note.read_text(encoding="utf-8") == note and self.partial.exists():
                stored = self.partial.stat().st_size
                if stored <= remote.bytes:
                    return stored
            self.discard()
            write_atomic(self.note, note)
            self.partial.touch()
        except OSError as error:
            raise disk_error(self.partial, error) from error
        return 0

    def _fetch(self, remote: RemoteFile) -> str:
        """Hash what is stored, fetch the rest, and return the sha256 of the whole."""
        self.stored, self.hasher = 0, Hasher()
        latest: RemoteFile | None = remote

        def attempt() -> None:
            nonlocal latest
            source = latest or self._describe_again(remote)
            latest = None  # a signed address expires; the next attempt asks for a new one
            self._attempt(source, file)

        try:
            with self.partial.open("r+b", buffering=0) as file:
                self._rehash(file)
                if self.stored < remote.bytes:
                    self.retrying.keep_trying(remote.name, attempt)
                if boot_id() is None:
                    os.fsync(file.fileno())
        except OSError as error:
            raise disk_error(self.partial, error) from error
        finally:
            sha256 = self.hasher.finish()
        return sha256

    def _rehash(self, file: IO[bytes]) -> None:
        """Hash the bytes that an earlier process stored."""
        while True:
            self.retrying.check()
            buffer = self.hasher.free.get()
            count = file.readinto(buffer)  # type: ignore[attr-defined]
            self.hasher.give(buffer, count)
            if count == 0:
                return
            self.stored += count

    def _describe_again(self, remote: RemoteFile) -> RemoteFile:
        latest = self.describe()
        if (latest.sha256, latest.bytes) != (remote.sha256, remote.bytes):
            raise DatasetError.at(remote.name, "it changed on the hub while it was fetched", "fetch again")
        return latest

    def _attempt(self, source: RemoteFile, file: IO[bytes]) -> None:
        """Make one request for everything that is missing."""
        before = self.stored
        try:
            with contextlib.closing(_request(source, self.stored, self.retrying.policy.timeout_s)) as response:
                if response.status != 206 and self.stored:
                    self._restart(source, file)  # this server does not support ranges
                    before = 0
                _check_length(source, self.stored, response)
                self._pump(source, response, file)
        except TransientFault as fault:
            fault.progress = self.stored > before
            raise

    def _restart(self, source: RemoteFile, file: IO[bytes]) -> None:
        file.seek(0)
        file.truncate()
        self.progress.advance(source.name, -self.stored)
        self.hasher.finish()
        self.stored, self.hasher = 0, Hasher()

    def _pump(self, source: RemoteFile, response: http.client.HTTPResponse, file: IO[bytes]) -> None:
        """Move the body of one answer to the file and the hasher, slice by slice."""
        while self.stored < source.bytes:
            buffer, filled = self.hasher.free.get(), 0
            try:
                while filled < BUFFER_BYTES and self.stored < source.bytes:
                    self.retrying.check()
                    view = memoryview(buffer)[filled : filled + max(SLICE_BYTES, self.stored >> 6)]
                    count = _receive(source, response, view)
                    if self.stored + count > source.bytes:
                        raise _wrong_length(source, "more")
                    _write(file, view[:count])
                    filled += count
                    self.stored += count
                    self.progress.advance(source.name, count)
            finally:
                self.hasher.give(buffer, filled)


def _write(file: IO[bytes], view: memoryview) -> None:
    while view:
        view = view[file.write(view) :]


def _receive(source: RemoteFile, response: http.client.HTTPResponse, view: memoryview) -> int:
    try:
        count = response.readinto(view)
    except (OSError, http.client.HTTPException) as error:
        raise _cut(str(error) or type(error).__name__) from None
    if count == 0:
        raise _cut("it ended too early")
    return count


def _cut(reason: str) -> TransientFault:
    return TransientFault(f"the connection broke ({reason[:80]})", "fetch again; only the rest will be downloaded")


class _KeepToken(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but sends no token to another host."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and not same_origin(req.full_url, newurl):
            new.remove_header("Authorization")
        return new


@functools.cache
def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_KeepToken)  # honours the proxy variables of the environment


def _request(source: RemoteFile, start: int, timeout_s: float) -> http.client.HTTPResponse:
    """Ask for a file from byte `start` on; raises DatasetError or TransientFault for every answer but 200 and 206."""
    request = urllib.request.Request(source.url, headers={**source.headers, "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        response: http.client.HTTPResponse = _opener().open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            raise _answer(source, error.code, dict(error.headers.items())) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise unreachable("the server that holds the file", getattr(error, "reason", error)) from None
    return response


def _answer(source: RemoteFile, status: int, headers: dict[str, str]) -> DatasetError | TransientFault:
    if status in (401, 403) and source.on_hub:
        return refused(source.name, status)
    if status in (401, 403, 404, 410) and not source.on_hub:
        # A signed address that has expired: asking the hub again gives a fresh one.
        return TransientFault(
            f"the storage host refuses access (HTTP {status})", "fetch again later; the part that came is kept"
        )
    if status == 404:
        return DatasetError.at(source.name, "the hub lists it but does not have it", "fetch again later")
    if status == 416:
        return _wrong_length(source, "fewer")
    return answer_of(source.name, status, headers)


def _check_length(source: RemoteFile, start: int, response: http.client.HTTPResponse) -> None:
    """Refuse an answer that is not the rest of the file."""
    if response.status == 206:
        given = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
        if given is None or int(given.group(1)) != start:
            raise TransientFault("the server sends another range than was asked for", "fetch again later")
        if given.group(3) not in ("*", str(source.bytes)):
            raise _wrong_length(source, f"{int(given.group(3)):,}")
    length = response.headers.get("Content-Length")
    if length is not None and length.isdigit() and int(length) != source.bytes - start:
        raise _wrong_length(source, f"{start + int(length):,}")


def _wrong_length(source: RemoteFile, length: str) -> DatasetError:
    return DatasetError.at(
        source.name,
        f"the hub promises {source.bytes:,} bytes, the server sends {length}",
        "fetch again later, and without HF_ENDPOINT or a proxy if it happens twice",
    )
