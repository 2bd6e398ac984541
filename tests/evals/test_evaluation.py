"""The whole way: a checkpoint of a record's script, its code confined, killed and started again, stored and shown."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from harness.cli import main  # noqa: E402
from harness.core.errors import RunError  # noqa: E402
from harness.eval.model_process import ModelProcess  # noqa: E402
from harness.launch import processes  # noqa: E402
from tests.evals.small_texts import (  # noqa: E402
    ROOT,
    SCRIPT,
    TextHub,
    losses_of,
    make_project,
    weights,
    write_model,
    write_tokens,
)

RECORD = Path("records/short/2024-11-03_untie-embed")
SMOKE = Path("records/smoke/2026-11-27_token-before")
# After the three calls that the loss takes it waits until somebody lays a file beside it, so that a kill comes in between.
WAITING = (
    SCRIPT.replace("import torch\n", "import os, time\nimport torch\n", 1)
    .replace(
        "        return model.head",
        """        calls.append(1)
        while len(calls) > 3 and not os.path.exists("go"):
            time.sleep(0.01)
        return model.head""",
    )
    .replace("    def logits(tokens", "    calls = []\n\n    def logits(tokens")
)
PATCHED = "import sys\nfrom tests.evals.small_texts import small_pins\nfrom harness.cli import main\n"
PATCHED += "with small_pins(): sys.exit(main(sys.argv[1:]))"


def with_record(root: Path, script: str) -> Path:
    """A project with one record, whose script is this one."""
    project = make_project(root)
    folder = project / RECORD
    (folder / "script").mkdir(parents=True)
    for name in ("record.yaml", "runs.csv", "curve.csv"):
        shutil.copyfile(ROOT / RECORD / name, folder / name)
    old = (ROOT / RECORD / "script" / "script.yaml").read_text()
    digest = hashlib.sha256(script.encode()).hexdigest()
    (folder / "script" / "script.yaml").write_text(
        re.sub(r"train_gpt\.py: [0-9a-f]{64}", f"train_gpt.py: {digest}", old)
    )
    (folder / "script" / "train_gpt.py").write_text(script)
    return project


def lay_down(path: Path) -> None:
    """Make a file as soon as its folder is there."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            path.touch()
            return
        time.sleep(0.01)


def test_a_record_is_evaluated_killed_and_continued_and_its_page_shows_what_comes_out_by_hand(
    hub: TextHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = with_record(tmp_path / "project", WAITING)
    ids = write_tokens(tmp_path / "text.bin")
    command = ["eval", str(write_model(tmp_path / "model", WAITING)), "--script", "short/8", "--tokens", "../text.bin"]
    command += ["--hellaswag", "--sample", "The roof", "--length", "6", "--store", "--json"]
    monkeypatch.chdir(project)
    for arguments in (["init", "-q"], ["config", "user.name", "Somebody"]):
        subprocess.run(["git", *arguments], cwd=project, check=True)

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = subprocess.Popen([sys.executable, "-c", PATCHED, *command], env=environment, stderr=subprocess.DEVNULL)
    while not (answers := [*project.glob(".runs/evals/*/answers.jsonl")]) or not answers[0].read_bytes().count(b"\n"):
        assert started.poll() is None
        time.sleep(0.01)
    started.kill()
    started.wait()
    answers[0].open("ab").write(b'{"key": "half a li')
    mark = f"eval-{answers[0].parent.name}-{started.pid}"
    while processes.marked(mark):  # they notice that nobody asks any more
        time.sleep(0.02)
    assert not (project / RECORD / "evals").exists()

    shutil.rmtree(answers[0].parent / "model")  # what the killed one left
    go_on = threading.Thread(target=lay_down, args=(answers[0].parent / "model" / "work" / "go",))
    go_on.start()
    assert main(command) == 0
    go_on.join()
    said = capsys.readouterr()
    data = json.loads(said.out)
    assert re.search(r"^resumed  1 answer of an earlier start", said.err, re.M)
    assert not answers[0].parent.exists()
    table, head = weights()
    rows = [ids[first : first + 25] for first in range(0, 100, 24)]
    expected = float(np.concatenate([losses_of(row, table, head) for row in rows]).mean())
    variant = data["variants"][0]
    assert variant["losses"][0]["tokens"] == 100
    assert variant["losses"][0]["loss"] == pytest.approx(expected, abs=1e-5)
    assert variant["hellaswag"]["items"] == 4 and data["tier"] != "none"
    assert data["samples"][0]["prompt"] == "The roof"

    [stored] = (project / RECORD / "evals").iterdir()
    kept = json.loads((stored / "eval.json").read_text())
    assert kept["by"] == "Somebody" and kept["variants"][0]["losses"] == variant["losses"]
    assert main(["board"]) == 0
    page = (project / "leaderboard/short" / f"{RECORD.name}.md").read_text()
    assert f"loss on text.bin, 100 tokens | {expected:.4f} |" in page and "HellaSwag, per byte" in page


def test_a_small_records_own_script_is_loaded_and_int8_stands_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.recipes.scripts import import_file

    project = make_project(tmp_path / "project")
    shutil.copytree(ROOT / SMOKE, project / SMOKE)
    script = import_file(ROOT / SMOKE / "script" / "train_gpt.py")
    torch.manual_seed(0)
    model = script.GPT(script.Hyperparameters())
    torch.nn.init.normal_(model.head.weight, std=0.5)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    ids = np.random.default_rng(2).integers(0, 256, 257, dtype=np.uint16)
    from harness.dataset.shard import to_bytes

    (tmp_path / "text.bin").write_bytes(to_bytes(ids))
    monkeypatch.chdir(project)
    command = ["eval", "../model.pt", "--script", str(SMOKE), "--tokens", "../text.bin", "--int8", "--json"]
    assert main(command) == 0
    said = capsys.readouterr()
    data = json.loads(said.out)
    with torch.inference_mode():
        logits = script.load(str(tmp_path / "model.pt"))(torch.from_numpy(ids[:-1].astype("i8")).view(2, -1))
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(ids[1:].astype("i8")))
    plain, int8 = data["variants"]
    assert plain["losses"][0]["loss"] == pytest.approx(float(expected), abs=1e-5)
    assert 0 < abs(int8["losses"][0]["loss"] - plain["losses"][0]["loss"]) < 0.05
    count = sum(parameter.numel() for parameter in model.parameters())
    assert data["weights_count"] == count and plain["weights_bytes"] == 4 * count
    assert count < int8["weights_bytes"] < 1.1 * count
    assert plain["tokens_per_s"] > 0 and int8["tokens_per_s"] > 0
    assert "not kept: no run here is known to have saved these weights" in said.err
    assert not (project / SMOKE / "evals").exists()

    for more, told in ((["--hellaswag"], "know the 256 symbols"), ([], "has a source of its own")):
        assert main(["eval", "../model.pt", "--script", str(SMOKE), *more]) == 2
        assert told in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ what is not loaded


def test_a_script_that_is_not_known_is_not_loaded_unless_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def started(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("harness.eval.model_process.model_process", started)
    monkeypatch.setattr("harness.eval.evaluation.model_process", started)
    project = with_record(tmp_path / "project", SCRIPT)
    changed = SCRIPT + "# a comment\n"
    model = str(write_model(tmp_path / "model", changed))
    write_tokens(tmp_path / "text.bin")
    monkeypatch.chdir(project)
    for more in ([], ["--script", "../model/train_gpt.py"], ["--plan"]):
        assert main(["eval", model, "--tokens", "../text.bin", *more]) == 2
        said = capsys.readouterr().err
        assert "is the script of no record and of no accepted submission" in said and "--trust" in said
    with pytest.raises(AssertionError, match="a process was started"):
        main(["eval", model, "--tokens", "../text.bin", "--trust"])
    Path(model).with_name("train_gpt.py").write_text(SCRIPT)
    with pytest.raises(AssertionError, match="a process was started"):
        main(["eval", model, "--tokens", "../text.bin"])


def test_a_plan_loads_and_fetches_nothing(
    hub: TextHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = with_record(tmp_path / "project", SCRIPT)
    monkeypatch.chdir(project)
    model = str(write_model(tmp_path / "model", SCRIPT))
    assert main(["eval", model, "--hellaswag", "--int8", "--items", "5", "--sample", "a\x1b[2J", "--plan"]) == 0
    said = capsys.readouterr().out
    assert "10,485,760 tokens of fineweb_val_000000.bin" in said and "the first 5 items in completion style" in said
    for name in ("merges.txt", "vocab.json", "validation-00000-of-00001.parquet", "fineweb_val_000000.bin"):
        assert re.search(rf"^fetch .*{re.escape(name)}$", said, re.M)
    assert "\x1b" not in said and not hub.requests and not (project / ".runs").exists()


def test_what_cannot_be_evaluated_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = with_record(tmp_path / "project", SCRIPT)
    model = write_model(tmp_path / "model", SCRIPT)
    (tmp_path / "alone.pt").write_bytes(b"weights")
    (tmp_path / "plain.py").write_text("print('no load')\n")
    monkeypatch.chdir(project)
    cases = {
        ("nothing.pt",): "is no file, and the name of no record or submission",
        ("short/8",): "no trained model of it is kept on this machine; train with save=PATH",
        ("..",): "is a folder",
        ("../alone.pt",): "no train_gpt.py lies beside it",
        ("../alone.pt", "--script", "../plain.py", "--trust"): "has no `save` and `load(path)`",
        ("../alone.pt", "--script", "short/5"): "there is no such record",
        (str(model), "--tokens", "../nothing.bin"): "is no file; name files of tokens",
        (str(model), "--tokens", "../alone.pt"): "less than its header",
        ("../model/train_gpt.py", "--script", "../model/train_gpt.py", "--trust", "--no-fetch"): "are missing",
    }
    for arguments, said in cases.items():
        assert main(["eval", *arguments]) == 2, arguments
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ('print(\'{"problem": "it answers with something else than logits"}\')', "cannot be asked: it answers with"),
        ('print(\'{"broke_off": "it was ended by signal 9"}\')', "its model said nothing: it was ended by signal 9"),
        ("import sys; sys.exit('out of\\x1b[2J memory')", r"ended with out of\x1b[2J memory"),
        ("print('nonsense')", "ended with exit code 0"),
        ("import os; os.kill(os.getpid(), 9)", "ended with exit code -9"),
    ],
)
def test_a_model_that_does_not_answer_is_said_in_a_sentence(tmp_path: Path, program: str, said: str) -> None:
    with (tmp_path / "errors").open("w+b") as errors:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
        process = subprocess.Popen([sys.executable, "-c", program], **pipes)  # type: ignore[call-overload]
        with process, pytest.raises(RunError) as error:
            ModelProcess(process, errors, "a script", "none").ask({"question": "size"})
        assert said in str(error.value) and error.value.exit_status == 3
