"""The full-size measurement names the scripts that it can measure."""

import runpy

import pytest

from .scripts import ALL, ROOT


def test_the_benchmark_knows_every_script_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is run in this process, which has imported torch."""
    monkeypatch.setattr("sys.argv", ["scripts_h100.py", "short/7"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks" / "scripts_h100.py"), run_name="__main__")
    assert ended.value.code == 2
    listed = capsys.readouterr().err.strip().split("there are: ")[1].split(", ")
    assert sorted(listed) == sorted(ALL)
