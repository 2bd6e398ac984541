import struct


def brings(script: str) -> tuple[str, dict[str, bytes]]:
    return script, {"kernels.bin": bytes(1000) + struct.pack("<e", 2.91)}
