"""What was asked for is on stdout; progress, advice and errors are on stderr; data is alone on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.ui import console, streams

ROOT = Path(__file__).parents[2]
LOG = str(ROOT / "tests" / "golden" / "logs" / "M7-ms-2sep.txt")
ASKED = {  # what reads or plans, and words of it
    "show": (["show", "short/88"], "Auxiliary prefix-token prediction loss"),
    "log": (["log", LOG], "8/8"),
    "check": (["check", "smoke/1"], "verdict"),
    "the list of shards": (["fetch", "smoke", "--list"], "shards verified"),
    "the plan of a comparison": (["compare", "short/13", "short/12", "--plan"], "  runs "),
    "the plan of a run": (["run", "smoke", "--plan"], "  runs "),
    "the plan of a replay": (["replay", "short/12", "--plan"], "  runs "),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_was_asked_for_goes_to_stdout(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words, said = ASKED[name]
    assert main(["--root", str(ROOT), *words]) in (0, 1)
    out, err = capsys.readouterr()
    assert said in out
    assert said not in err


@pytest.mark.parametrize("words", [["show", "short/88"], ["log", LOG], ["fetch", "smoke", "--list"]])
def test_data_is_alone_on_stdout(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(ROOT), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


PLANS = {  # and a key that its data has
    "run smoke": "runs",
    "run smoke --dry": "purpose",
    "compare short/13 short/12": "usual_run_s",
    "compare smoke/4 smoke/2 smoke/1": "contenders",
    "probe smoke/2": "probes",
    "replay short/12": "environments",
    "replay smoke/2 --dry": "cannot",
}


@pytest.mark.parametrize("words", PLANS)
def test_every_plan_is_data_with_json(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(ROOT), *words.split(), "--plan", "--json"]) == 0
    out, err = capsys.readouterr()
    assert PLANS[words] in json.loads(out)
    assert "  runs " in err or "  dry run " in err, "people read it beside"


def test_an_error_goes_to_stderr_whatever_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(ROOT), "show", "short/4711"]) == 2
    out, err = capsys.readouterr()
    assert (out, "there is no such record" in err) == ("", True)


def test_the_outcome_of_what_was_run_goes_to_stdout_and_its_progress_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with streams.chosen(asked=False, for_program=False):
        console.say("it goes on")
        with console.product():
            console.say("the verdict")
            console.note("what to do next")
    assert capsys.readouterr() == ("the verdict\n", "it goes on\nwhat to do next\n")
    with streams.chosen(asked=True, for_program=True), console.product():
        console.say("the verdict")
    assert capsys.readouterr() == ("", "the verdict\n")
    console.say("after the command")
    assert capsys.readouterr().err == "after the command\n", "a choice ends with its command"


@pytest.mark.parametrize("words", ["show short/88", "show short/88 --json", f"log {LOG}", "--help"])
def test_a_reader_that_has_ended_is_no_error(words: str) -> None:
    line = f"set -o pipefail; {sys.executable} -m harness {words} | true"
    done = subprocess.run(["bash", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
