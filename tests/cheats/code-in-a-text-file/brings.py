def brings(script: str) -> tuple[str, dict[str, bytes]]:
    return script, {"notes.txt": b"import os\ndef tune():\n    os.environ['TORCHINDUCTOR_MAX_AUTOTUNE'] = '1'\n"}
