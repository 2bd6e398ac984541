"""The measurement at full size knows every script."""

import runpy
from pathlib import Path

import pytest

from .scripts import ALL, ROOT


def test_the_benchmark_knows_every_script_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is run in this process, which has imported torch."""
    monkeypatch.setattr("sys.argv", ["gpu.py", str(tmp_path), "--list", "--only", "start_"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"), run_name="__main__")
    assert ended.value.code == 0
    listed = capsys.readouterr().out.split()
    assert sorted(listed) == sorted(f"start_{name.replace('/', '-')}" for name in ALL)
