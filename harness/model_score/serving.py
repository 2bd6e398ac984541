"""Load a trained model and answer inputs with logits: the confined half of a scorer.

    python -I -c <this text> SCRIPT WEIGHTS TOKENS_FD LOGITS_FD REPLIES_FD

SCRIPT is imported, not started; its `load(WEIGHTS)` gives a callable that takes tokens (B, T), int64, and returns
logits (B, T, V). Both lie in memory that is shared with whoever asks, so that only a few words go through pipes:

    ready T V TYPE    →  rows of T tokens are wanted, logits have V columns of this type
    map B [HANDLE]    ←  the shared memory now holds B rows; the handle is that of memory on a GPU for their logits
    rows R C          ←  logits of R rows of C tokens are asked for
    done              →  they are there; after `map B HANDLE`: they will be in memory of the GPU
    host              →  the handle cannot be used here: they will be in memory of the host

Other words are answered by functions of the model that `serve` is given, in one line each.

Only the standard library and torch are imported: in here there is nothing of the harness. The script shares this
process, so nothing that comes out of it is believed.
"""

import ctypes
import importlib.util
import mmap
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

NO_WORDS: Mapping[str, Callable[[Any], str]] = MappingProxyType({})
USUAL_TOKENS = 1024  # of a row, where the callable does not name its `sequence_tokens`
TRIED_TOKENS = 8  # of a first row, which shows columns and type


def import_script(path: Path) -> Any:
    """Import a script under its own name, with the files beside it within reach."""
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class DeviceMemory:
    """Memory on the GPU that another process has given a handle of; raises OSError where it cannot be opened.

    It cannot in a PID namespace of its own with drivers that look for the owner's process there.
    """

    def __init__(self, handle: str, size: int) -> None:
        class Handle(ctypes.Structure):
            _fields_ = (("reserved", ctypes.c_char * 64),)

        driver, pointer = ctypes.CDLL("libcuda.so.1"), ctypes.c_uint64()
        given = Handle.from_buffer_copy(bytes.fromhex(handle))
        peer_access = ctypes.c_uint(1)  # CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS, the only flag that there is
        status = driver.cuIpcOpenMemHandle_v2(ctypes.byref(pointer), given, peer_access)
        if status:
            raise OSError(f"cuIpcOpenMemHandle returned {status}")
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (pointer.value, False),
            "version": 3,
        }


def serve(
    script: Path,
    weights: str,
    tokens_fd: int,
    logits_fd: int,
    replies: int,
    words: Mapping[str, Callable[[Any], str]] = NO_WORDS,
) -> None:
    """Answer until standard input closes."""
    requests = os.fdopen(os.dup(0), "r")  # the script may close or replace its own
    model = import_script(script).load(weights)
    import torch

    with torch.inference_mode():
        tried = model(torch.zeros((1, TRIED_TOKENS), dtype=torch.int64))
        wanted = int(getattr(model, "sequence_tokens", USUAL_TOKENS))
        columns, kind = tried.shape[-1], tried.dtype
        os.write(replies, f"ready {wanted} {columns} {str(kind).removeprefix('torch.')}\n".encode())
        for line in requests:
            said = b"done\n"
            word, *told = line.split()
            if word == "map":
                room = int(told[0]) * wanted
                size = room * columns * kind.itemsize
                tokens = torch.frombuffer(mmap.mmap(tokens_fd, 8 * room), dtype=torch.int64)
                logits = torch.frombuffer(mmap.mmap(logits_fd, size), dtype=kind)
                if told[1:]:
                    try:
                        logits = torch.as_tensor(DeviceMemory(told[1], size), device="cuda").view(kind)
                    except (OSError, RuntimeError):
                        said = b"host\n"
            elif word in words:
                said = words[word](model).encode() + b"\n"
            else:
                rows, length = map(int, told)
                given = tokens[: rows * length].view(rows, length).clone()
                answer = model(given)
                if answer.shape != (rows, length, columns) or answer.dtype != kind:
                    raise TypeError(
                        f"logits are {tuple(answer.shape)} {answer.dtype}, not {(rows, length, columns)} {kind}"
                    )
                logits[: answer.numel()].copy_(answer.reshape(-1))
                if logits.is_cuda:
                    torch.cuda.synchronize()  # else the reader could come before the copy
            os.write(replies, said)


if __name__ == "__main__":
    tokens, logits, replies_to = map(int, sys.argv[3:6])
    serve(Path(sys.argv[1]), sys.argv[2], tokens, logits, replies_to)
