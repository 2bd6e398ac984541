"""Fetch single files of the hub that are no token shards, each verified: a tokenizer, the items of a test.

A pin decides where there is one. Else the hub's own sha256 decides at the first fetch; it is noted beside the file, and
from then on that is the file: what the hub offers later must be the same. The files are small, so they are hashed
whenever they are asked for.
"""

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import DatasetError
from harness.dataset import hub
from harness.dataset.progress import Progress
from harness.dataset.retry import Retrying, RetryPolicy
from harness.dataset.transfer import Transfer
from harness.store.files import disk_error, locked, sha256_file, write_atomic

_NOTE = ".json"


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository of the hub."""

    repository: str
    name: str  # with its folders
    kind: hub.Kind = "dataset"
    revision: str | None = None  # None: the main branch
    sha256: str | None = None  # None: what the first fetch gave

    @property
    def where(self) -> str:
        """Return what messages call it."""
        return f"{self.repository}/{self.name}"


@dataclass(frozen=True, slots=True)
class HeldFile:
    """A file that is on this machine and was verified."""

    path: Path
    sha256: str
    revision: str | None  # that it came from, as far as the hub said
    pinned: bool
    downloaded_bytes: int = 0


def fetch_file(
    file: HubFile,
    path: Path,
    *,
    allow_network: bool = True,
    progress: Progress | None = None,
    policy: RetryPolicy | None = None,
) -> HeldFile:
    """Have a file at `path`, verified.

    Raises DatasetError where it is missing and may not be fetched, or where its bytes are not the pinned or noted ones,
    and StoreError where it cannot be stored.
    """
    with locked(path):
        return _Fetch(file, path, allow_network, progress or Progress(), policy or RetryPolicy()).run()


class _Fetch:
    def __init__(self, file: HubFile, path: Path, allow_network: bool, progress: Progress, policy: RetryPolicy) -> None:
        self.file, self.path, self.progress = file, path, progress
        self.note = path.with_name(path.name + _NOTE)
        self.noted, self.revision = _read_note(self.note)
        self.online = allow_network and not hub.is_offline()
        self.retrying = Retrying(policy, progress.say)

    def run(self) -> HeldFile:
        wanted = self.file.sha256 or self.noted
        there = sha256_file(self.path) if self.path.is_file() else None
        if there is not None and there == wanted:
            return HeldFile(self.path, there, self.revision, self.file.sha256 is not None)
        if there is not None and wanted is not None:
            self.progress.say(f"{self.file.name}: has sha256 {there[:12]}… instead of {wanted[:12]}…; fetched again")
        if not self.online:
            why = "HF_HUB_OFFLINE forbids requests" if hub.is_offline() else "the network is off"
            what = "is missing" if there is None else "is not the file that it should be"
            raise DatasetError.at(
                self.path, f"{what} ({self.file.where}) and {why}", "fetch it: speedrun fetch hellaswag"
            )
        remote = self._describe()
        if wanted is not None and remote.sha256 != wanted:
            raise self._other_bytes(remote, wanted)
        # Nothing is to be fetched where somebody has put the right file there, which was never verified until now.
        arrived = 0 if there == remote.sha256 else self._download(remote)
        with contextlib.suppress(OSError):
            os.chmod(self.path, 0o444)
        if self.file.sha256 is None:
            write_atomic(self.note, json.dumps({"sha256": remote.sha256, "revision": remote.commit}) + "\n")
        return HeldFile(self.path, remote.sha256, remote.commit, self.file.sha256 is not None, arrived)

    def _describe(self) -> hub.RemoteFile:
        file = self.file
        ask = lambda: hub.describe(file.repository, file.revision, file.name, kind=file.kind, pinned=file.sha256)  # noqa: E731
        return self.retrying.keep_trying(file.where, ask)

    def _download(self, remote: hub.RemoteFile) -> int:
        partial = self.path.with_name(self.path.name + ".part")
        transfer = Transfer(self._describe, partial, self.retrying, self.progress)
        self.progress.expect(1, remote.bytes)
        arrived = transfer.run(remote)
        try:
            os.replace(partial, self.path)
        except OSError as error:
            raise disk_error(self.path, error) from error
        transfer.discard()
        self.progress.finish(remote.name)
        return arrived

    def _other_bytes(self, remote: hub.RemoteFile, wanted: str) -> DatasetError:
        said = f"the hub offers sha256 {remote.sha256[:12]}…"
        if self.file.sha256 is not None:
            todo = "try without HF_ENDPOINT; if that does not help, the repository was changed: tell a maintainer"
            return DatasetError.at(self.file.where, f"{said}, pinned is {wanted[:12]}…", todo)
        todo = f"results on both cannot be compared; to take the new one remove {self.note}"
        return DatasetError.at(self.file.where, f"{said}, at the first fetch here it was {wanted[:12]}…", todo)


def _read_note(path: Path) -> tuple[str | None, str | None]:
    """Return the hash and the revision of the first fetch; nothing where no note can be read."""
    try:
        said = json.loads(path.read_text("utf-8"))
        sha256, revision = str(said["sha256"]), said["revision"]
    except (OSError, ValueError, KeyError, TypeError):
        return None, None
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        return None, None
    sound = isinstance(revision, str) and re.fullmatch(r"[0-9a-f]{40}", revision)
    return sha256, revision if sound else None
