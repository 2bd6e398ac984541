"""What somebody sees who does not know the verbs or mistypes a name."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main, verbs
from harness.ui import completion
from harness.verbs import menu

ROOT = Path(__file__).parents[2]


def said(*words: str, capsys: pytest.CaptureFixture[str], status: int = 0) -> str:
    try:
        found = main(["--root", str(ROOT), *words])
    except SystemExit as end:  # argparse ends a help so
        found = int(end.code or 0)
    assert found == status
    return "".join(capsys.readouterr())


@pytest.mark.parametrize("words", [["--help"], ["help"]])
def test_the_first_screen_groups_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = said(*words, capsys=capsys)
    places = [text.index(f"\n{group}\n") for group in menu.GROUPS]
    assert places == sorted(places)
    assert all(f"\n  {verb.name} " in text for verb in verbs())
    assert "\n  verify " not in text, "an alias is no verb to choose from"


def test_the_first_screen_fits_60_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, said("help", capsys=capsys).splitlines())) <= 60


def test_help_of_a_verb_is_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("help", "check", capsys=capsys) == said("check", "--help", capsys=capsys)
    assert "did you mean check?" in said("help", "chekc", capsys=capsys, status=2)


def test_no_verb_is_unusable_input_and_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert "\nSubmit\n" in said(capsys=capsys, status=2)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert said("--version", capsys=capsys).startswith("speedrun ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["chekc", "smoke/1"], "chekc: is no verb; did you mean check?"),
        (["show", "shrt/12"], "there is no track 'shrt'; did you mean short/12?"),
        (["show", "short/flex-atention"], "did you mean short/2024-11-19_flex-attention?"),
        (["show", "muonn"], "did you mean short/2024-10-11_muon?"),
        (["run", "smok"], "did you mean smoke?"),
        (["show", "--track", "medum"], "did you mean medium?"),
        (["check", "submissions/nothing"], "submissions/nothing: there is no such folder"),
        (["check", "/nowhere/at/all"], "/nowhere/at/all: there is no such folder"),
        (["show", "short/4711"], "short/4711: there is no such record"),
        (["show", "runz"], "runz: there is no such record or track; did you mean runs, those of this machine?"),
        (
            ["show", "tracks"],
            "tracks: there is no such record or track; `speedrun show` alone lists tracks and records",
        ),
        (
            ["check", "records/smoke"],
            "is no record; smoke alone means its current record; `speedrun show --track smoke`",
        ),
        (
            ["run", "records/smoke/"],
            "is no record; smoke alone means its current record; `speedrun show --track smoke`",
        ),
        (["check", "records"], "records: is no record; name one like short/12; `speedrun show` lists"),
        (["check", "records/smoke/2026-11-21_muon/evidence"], "the record that it belongs to: smoke/2026-11-21_muon"),
    ],
)
def test_what_was_mistyped_is_answered_with_what_was_meant(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in said(*words, capsys=capsys, status=2)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["board", "--chek"], "--chek: is no option of board; did you mean --check? `speedrun help board` says"),
        (["check", "smoke/4", "--plan"], "--plan: is no option of check; "),
        (["show", "smoke/4", "smoke/3"], "smoke/3: is one name more than show takes"),
        (["--rot=."], "--rot=.: is no option of speedrun; did you mean --root?"),
        (["show", "--fo\x1b[2Jllow"], "--fo\\x1b[2Jllow: is no option of show"),
        (["log", "no-such-folder"], "no-such-folder: there is no such file or folder; correct the path"),
        (["log", str(ROOT / "record")], f"record: there is no such file or folder; did you mean {ROOT / 'records'}?"),
        (["show", "smoke", "--by", "x"], "one thing was named; list that track with --track smoke"),
        (["check", "optimization/46"], "its runs are known by val_ema_loss, the rules judge val_loss"),
        (["check", "short/86"], "cannot be judged: no run of it is known"),
        (["run"], "the following arguments are required: subject\n"),
    ],
)
def test_what_does_not_fit_is_answered_with_what_would(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert text in said(*words, capsys=capsys, status=2)


def test_a_full_disk_below_the_output_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "harness", "show", "smoke/4"],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        2,
        "speedrun: the output: the disk is full; free some space and run the command again\n",
    )


def test_a_submission_that_was_mistyped_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tracks").mkdir()
    (tmp_path / "submissions" / "2026-11-21_fewer-steps").mkdir(parents=True)
    for name in ("submissions/2026-11-21_fewer-step", "submisions/2026-11-21_fewer-steps"):
        assert main(["--root", str(tmp_path), "check", name]) == 2
        assert "did you mean submissions/2026-11-21_fewer-steps?" in capsys.readouterr().err


def test_a_ruleset_that_was_mistyped_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(ROOT / "tracks", tmp_path / "tracks")
    folder = tmp_path / "submissions" / "2026-11-21_x"
    folder.mkdir(parents=True)
    (folder / "train_gpt.py").write_text("print(1)\n")
    (folder / "manifest.yaml").write_text(
        "schema: 2\ntrack: smoke\nruleset: smoke@22\ntitle: a\ncontributors: ['@a']\nclaim: ml\nentry: train_gpt.py\n"
    )
    assert main(["--root", str(tmp_path), "run", str(folder), "--plan"]) == 2
    assert "there is no ruleset 'smoke@22'; did you mean smoke@2?" in capsys.readouterr().err


# ------------------------------------------------------------------------------------------------ completion

TRY = """
. "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
"$(complete -p speedrun | sed 's/.*-F \\([^ ]*\\).*/\\1/')" speedrun "${COMP_WORDS[$COMP_CWORD]}" "$COMP_CWORD"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def completing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from harness.cli import build_parser

    file = tmp_path_factory.mktemp("completion") / "speedrun.bash"
    file.write_text(completion.script(build_parser(), "bash"))
    return file


def completed(file: Path, *words: str, folder: Path = ROOT) -> list[str]:
    """What bash offers for the last word."""
    line = ["bash", "-c", TRY, "bash", str(file), "speedrun", *words]
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_verbs_options_and_names(completing: Path) -> None:
    assert completed(completing, "ch") == ["check"]
    assert completed(completing, "show", "--ev") == ["--evidence"]
    assert {"smoke", "smoke/1", "smoke/2026-11-21_muon"} <= set(completed(completing, "show", "smo"))
    assert completed(completing, "compare", "smoke/4", "medium/18") == ["medium/18"]
    assert completed(completing, "check", "tim") == [], "tracks/timers.yaml is no track"
    assert completed(completing, "show", "ru") == ["runs"]
    assert completed(completing, "new", "x", "--track", "s") == ["short", "smoke"]
    assert completed(completing, "log", "--target", "s") == [], "a loss is no name"


def test_a_name_of_somebody_else_is_never_executed_by_completing_it(completing: Path, tmp_path: Path) -> None:
    (tmp_path / "tracks").mkdir()
    names = ("2026-11-21_fine", "2026-11-21_$(touch owned)", "2026-11-21_`touch owned`", "2026-11-21_a;touch owned")
    for name in names:
        (tmp_path / "submissions" / name).mkdir(parents=True)
    (tmp_path / "submissions" / "2026-11-21_b\n$(touch owned)").mkdir()
    (tmp_path / "submissions" / "2026-11-21_c\n--budget-usd").mkdir()
    assert completed(completing, "check", "submissions/2026-11-21_f", folder=tmp_path) == [
        "submissions/2026-11-21_fine"
    ]
    offered = completed(completing, "check", "", folder=tmp_path)
    assert not [word for word in offered if word.startswith("-")], "a line of a name is no option"
    assert not list(tmp_path.rglob("owned"))


def test_a_root_that_is_no_whole_path_ends_the_search_for_names() -> None:
    environment = {"PATH": os.environ["PATH"], "SPEEDRUN_ROOT": "nowhere"}
    done = subprocess.run(["sh", "-c", completion.LIST], env=environment, cwd="/", capture_output=True, timeout=600)
    assert done.stdout == b""


def test_there_is_a_script_for_every_shell_that_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    for shell in completion.PREAMBLE:
        assert "_speedrun_names" in said("--completion", shell, capsys=capsys)
