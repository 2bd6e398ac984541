import io
import zipfile

TUNING = "import os\ndef tune():\n    os.environ['TORCHINDUCTOR_MAX_AUTOTUNE'] = '1'\n"


def brings(script: str) -> tuple[str, dict[str, bytes]]:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("tuning.py", TUNING)
    return script, {"notes.txt": data.getvalue()}
