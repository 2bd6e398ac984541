"""Memory of a GPU that another process may write into, by the driver's own functions.

The process that asks for logits owns it, so its size is known there and nothing that the other one does can make a
reader leave it. torch's own way to share tensors is not used: it pickles, it shares what the *other* process allocated,
and it counts users in `/dev/shm`, which a confined process has for itself.
"""

import ctypes
from typing import Any

HANDLE_BYTES = 64  # CU_IPC_HANDLE_SIZE
GRANULE_BYTES = 2 << 20  # allocations below it may share a block with others, and whole blocks are shared


class DeviceMemory:
    """Bytes on this process's GPU; raises OSError where there is none, or where it cannot be shared."""

    def __init__(self, size: int) -> None:
        import torch

        if not torch.cuda.is_available():
            raise OSError("there is no GPU")
        torch.zeros(1, device="cuda")  # makes the context that the driver's functions work in
        self.driver = ctypes.CDLL("libcuda.so.1")
        self.pointer = ctypes.c_uint64()
        self.size = -(-size // GRANULE_BYTES) * GRANULE_BYTES
        self._call("cuMemAlloc_v2", ctypes.byref(self.pointer), ctypes.c_size_t(self.size))
        handle = ctypes.create_string_buffer(HANDLE_BYTES)
        try:
            self._call("cuIpcGetMemHandle", handle, self.pointer)
        except OSError:
            self.free()
            raise
        self.handle = handle.raw.hex()
        layout = {"shape": (self.size,), "typestr": "|u1", "data": (self.pointer.value, False), "version": 3}
        self.__cuda_array_interface__ = layout
        self.bytes: Any = torch.as_tensor(self, device="cuda")

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.driver, name)(*arguments)
        if status:
            raise OSError(f"{name} returned {status}")

    def free(self) -> None:
        """Give the memory back; nothing may read it afterwards."""
        self._call("cuMemFree_v2", self.pointer)
