"""Confine this process by Landlock, give up every capability, then become the given command.

    python -I landlock.py SPEC COMMAND…      SPEC: JSON with "write" and "read" (lists of paths), "user" (an id or null)

For machines that forbid namespaces, as most rented containers do. It needs the standard library alone and no right of
any kind. What the kernel's ABI does not know is left out, and `open_points` says what that leaves open: processes of
others are still listed, modes of their files can be changed by their owner, and /dev/shm and the network are shared.

Source: the kernel's documentation, userspace-api/landlock.
"""

import ctypes
import json
import os
import struct
import sys
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls; the same numbers on every architecture
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_FILE_ONLY = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV  # what a rule for a plain file may name
_SCOPES = 1 | 1 << 1  # abstract sockets and signals, both to processes outside
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _AMBIENT_CLEAR = 38, 24, 47, 4
_CAPABILITY_VERSION = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Ask the kernel for its Landlock version; 0 where it has none, or where it is switched off."""
    return max(0, int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)))


def open_points(version: int) -> tuple[str, ...]:
    """Name what this version of Landlock leaves open, beyond what it never covers."""
    points = []
    if version < 3:
        points.append("files outside can be truncated")
    if version < 6:
        points.append("processes of the same user can be signalled")
    return tuple(points)


def rights(version: int) -> int:
    """Return every right to files that this version knows, as bits."""
    known = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)
    return (1 << known) - 1


def confine(write: list[str], read: list[str]) -> None:
    """Leave this process, and all that it starts, the given paths alone; raises OSError where the kernel refuses."""
    version = abi()
    handled = rights(version)
    scoped = _SCOPES if version >= 6 else 0
    attributes = struct.pack("QQQ", handled, 0, scoped)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(_CREATE, attributes, ctypes.c_size_t(size), 0)
    for path, allowed in [(path, handled) for path in write] + [(path, _READ) for path in read]:
        _allow(ruleset, path, allowed & handled)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _call(_RESTRICT, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    if not os.path.isdir(path):
        allowed &= _FILE_ONLY
    _call(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", allowed, place), 0)
    os.close(place)


def drop_rights(user: int | None) -> None:
    """Become another user where one is given, and give up every capability for good."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused to whoever has none to drop
    _libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    none = struct.pack("IIIIII", 0, 0, 0, 0, 0, 0)
    if _libc.capset(struct.pack("Ii", _CAPABILITY_VERSION, 0), none) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities cannot be given up")


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def main(spec: str, command: list[str]) -> None:
    """Confine this process as the spec says and become the command."""
    told = json.loads(spec)
    drop_rights(told["user"])
    confine(told["write"], told["read"])
    os.execv(command[0], command)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2:])
    except OSError as error:
        sys.exit(f"the run cannot be confined by Landlock: {error.strerror}")
