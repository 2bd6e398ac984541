import py_compile
import tempfile
from pathlib import Path

TUNING = "import os\ndef tune():\n    os.environ['TORCHINDUCTOR_MAX_AUTOTUNE'] = '1'\n"


def brings(script: str) -> tuple[str, dict[str, bytes]]:
    with tempfile.TemporaryDirectory() as made:
        source, compiled = Path(made, "tuning.py"), Path(made, "tuning.pyc")
        source.write_text(TUNING)
        py_compile.compile(str(source), str(compiled), doraise=True)
        return script, {"tuning.pyc": compiled.read_bytes()}
