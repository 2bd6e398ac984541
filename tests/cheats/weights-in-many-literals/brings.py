import base64
import random
import struct

BYTES = 212_800  # 266 kB as text


def brings(script: str) -> tuple[str, dict[str, bytes]]:
    weights = random.Random(1).randbytes(BYTES - 2) + struct.pack("<e", 2.91)
    size = BYTES // 90 // 4 * 4
    parts = [weights[begin : begin + size] for begin in range(0, BYTES, size)]
    lines = "\n".join(f"PARTS.append({base64.b85encode(part).decode()!r})" for part in parts)
    return script.replace("# Set-up\n", f"PARTS = []\n{lines}\n\n# Set-up\n"), {}
