"""Parse torchrun's summary: first failed rank and exit code."""

import re

_CAUSE = b"Root Cause"
_RANK = re.compile(rb"^\s*rank\s*:\s*(\d{1,5})\b", re.MULTILINE)
_EXIT_CODE = re.compile(rb"^\s*exitcode\s*:\s*(-?\d{1,5})\b", re.MULTILINE)


def first_failure(stderr: bytes) -> tuple[int, int] | None:
    """Find the rank that failed first and its exit code (below 0: a signal); None where stderr holds no summary."""
    start = stderr.rfind(_CAUSE)
    if start < 0:
        return None
    rank, code = _RANK.search(stderr, start), _EXIT_CODE.search(stderr, start)
    return (int(rank[1]), int(code[1])) if rank and code else None
