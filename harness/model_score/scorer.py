"""Start a confined scorer and take logits from it, believing nothing of what it says.

It can write into the shared logits, on the host or on a GPU, at any moment, answer anything, or hang. So logits are
copied before they are looked at; their place, shape and type are known from here alone; every wait has an end. torch is
imported where it is needed, because this is imported by the interpreter of a run, and looked at by that of the harness.
"""

import contextlib
import fcntl
import mmap
import os
import re
import select
import signal
import subprocess
import threading
import time
from typing import Any

from harness.launch import processes
from harness.model_score.device_memory import DeviceMemory

REQUEST_TOKENS = 1 << 14  # so many are asked for at once, or one row
MOST_ROW_TOKENS = 1 << 16  # of a row
MOST_COLUMNS = 1 << 16
MOST_LOGITS_BYTES = 14 << 30  # of one request; a row of 65,536 tokens of GPT-2 in fp32 has 13.2 GB
WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}
TAIL_BYTES = 1 << 13  # of what a scorer says on its standard error
_NO_MEMORY = re.compile(r"^(?:[\w.]*OutOfMemoryError|MemoryError)\b|CUDA out of memory")
_READY = re.compile(rb"ready (\d{1,6}) (\d{1,6}) (\w{1,10})")


class Refused(Exception):
    """What the script did not do as it should, as a clause."""


class BrokeOff(Exception):
    """Why nothing can be said of the script, as a clause: killed, or no answer in time."""


class Scorer:
    """One confined process with one model."""

    def __init__(self, orders: dict[str, Any], told: dict[str, Any]) -> None:
        self.orders, self.limit_s = orders, orders["silence_limit_s"]
        tokens = os.memfd_create("tokens", os.MFD_ALLOW_SEALING)
        logits = os.memfd_create("logits", os.MFD_ALLOW_SEALING)
        self.shared = tokens, logits
        self.replies, theirs = os.pipe()
        self.process = subprocess.Popen(
            [*told["command"], *map(str, (tokens, logits, theirs))],
            cwd=told["cwd"],
            env=told["environment"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(tokens, logits, theirs),
            start_new_session=True,
        )
        os.close(theirs)
        self.said = b""
        self.listener = threading.Thread(target=self._listen, daemon=True)
        self.listener.start()
        self.rest = b""
        self.device: DeviceMemory | None = None  # where logits are put if both processes reach one GPU

    def _listen(self) -> None:
        assert self.process.stderr is not None
        while piece := self.process.stderr.read1(1 << 16):  # type: ignore[attr-defined]
            self.said = (self.said + piece)[-TAIL_BYTES:]

    def begin(self) -> None:
        """Wait for the model, and make the shared memory as large as its rows need."""
        found = _READY.fullmatch(self.answer())
        if found is None:
            raise Refused("it answers with something else than logits")
        self.length, self.columns, self.kind = int(found[1]), int(found[2]), found[3].decode()
        least = self.orders["columns"]
        if not 0 < self.length <= MOST_ROW_TOKENS:
            raise Refused(f"its callable asks for rows of {self.length} tokens; 1 to {MOST_ROW_TOKENS:,} can be had")
        if self.kind not in WIDTHS or not least <= self.columns <= MOST_COLUMNS:
            wanted = f"{least:,} to {MOST_COLUMNS:,} columns of float32, bfloat16 or float16"
            raise Refused(f"its logits have {self.columns:,} columns of {self.kind}; the track needs {wanted}")
        self.rows = max(1, REQUEST_TOKENS // self.length)
        room = self.rows * self.length
        sizes = 8 * room, room * self.columns * WIDTHS[self.kind]
        if sizes[1] > MOST_LOGITS_BYTES:
            raise Refused(f"its logits of one row have {sizes[1]:,} bytes; at most {MOST_LOGITS_BYTES:,} can be shared")
        for descriptor, size in zip(self.shared, sizes, strict=True):
            os.ftruncate(descriptor, size)
            # Sealed, because memory that shrinks under its reader ends it.
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.memory = [mmap.mmap(fd, size) for fd, size in zip(self.shared, sizes, strict=True)]
        try:
            self.device = DeviceMemory(sizes[1])
        except (OSError, RuntimeError):  # no GPU, or none with so much memory left
            self.device = None
        handle = f" {self.device.handle}" if self.device is not None else ""
        if self.ask(f"map {self.rows}{handle}") == b"host":
            self.free()

    def logits(self, rows: Any) -> Any:
        """Return a copy of the logits (R, C, V) of rows of tokens (R, C); raises Refused where any is not finite."""
        import torch

        count = rows.numel()
        self.memory[0][: 8 * count] = rows.contiguous().numpy().tobytes()
        self.ask("rows {} {}".format(*rows.shape))
        kind = getattr(torch, self.kind)
        if self.device is not None:
            copied = self.device.bytes.view(kind)[: count * self.columns].clone()
        else:
            shared = torch.frombuffer(self.memory[1], dtype=kind, count=count * self.columns)
            copied = shared.to("cuda" if torch.cuda.is_available() else "cpu", copy=True)
        copied = copied.view(*rows.shape, self.columns)
        if not bool(torch.isfinite(copied).all()):
            raise Refused("its logits are not all finite numbers")
        return copied

    def ask(self, line: str) -> bytes:
        """Send a request and wait until it is done; return how, `done` or `host`."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):  # `answer` says how it ended
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        said = self.answer()
        if said != b"done" and not (said == b"host" and line.startswith("map ") and self.device is not None):
            raise Refused("it answers with something else than logits")
        return said

    def free(self) -> None:
        """Give back the memory on the GPU."""
        if self.device is not None:
            self.device.free()
        self.device = None

    def answer(self) -> bytes:
        """Read one line of the scorer; raises BrokeOff where none comes in time, or it was killed."""
        until = time.monotonic() + self.limit_s
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.replies], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise BrokeOff(f"it gave no answer for {self.limit_s:g} s")
            piece = os.read(self.replies, 64)
            self.rest += piece
            if not piece:
                self.raise_end()
            if len(self.rest) > 64:
                raise Refused("it answers with something else than logits")
        line, _, self.rest = self.rest.partition(b"\n")
        return line

    def raise_end(self) -> None:
        """Raise what a scorer that ended by itself has to say."""
        try:
            code = self.process.wait(timeout=self.limit_s)
        except subprocess.TimeoutExpired:
            raise Refused("it closed its answers and went on") from None
        self.listener.join(timeout=10)
        if code < 0 or code in (128 + signal.SIGKILL, 128 + signal.SIGTERM):
            raise BrokeOff(f"it was ended by signal {-code if code < 0 else code - 128}")
        lines = [line for line in self.said.decode("utf-8", "replace").splitlines() if line.strip()]
        if lines and _NO_MEMORY.search(lines[-1]):  # of a machine that did other work, too, and a run is scored once
            raise BrokeOff("it had too little memory")
        raise Refused(
            f"it ended with {ascii(lines[-1].strip())[1:-1][:200]}" if lines else f"it ended with exit code {code}"
        )

    def end(self) -> None:
        """End the process and everything that it started."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        end_all(self.process.pid, self.orders["run_id"])
        self.process.kill()
        self.process.wait()
        self.free()
        for descriptor in (*self.shared, self.replies):
            os.close(descriptor)


def end_all(root: int, run_id: str) -> None:
    """Kill what is left of a scorer: below a process, or with its mark."""
    for _ in range(100):
        left = processes.descendants(root) | processes.marked(run_id)
        if not left:
            return
        for pid in left:
            processes.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
