"""The page of a first evening: its commands are commands, in an order that works; test_contributing.py holds its output."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

from harness.cli import build_parser
from harness.ui import run_report
from tests.e2e.first_record import INTERRUPT, PAGE, Step, all_steps, forms, normalised, shortened, steps_of, text_of

STEPS = all_steps(PAGE.read_text())


def test_the_evening_goes_from_new_to_check_with_one_stop() -> None:
    commands = [step.command for step in STEPS if step.command.startswith("speedrun ")]
    words = [shlex.split(command, comments=True)[1:] for command in commands]
    assert [word for word, *_ in words] == ["new", "diff", "run", "run", "run", "pack", "check"]
    for arguments in words:
        build_parser().parse_args(arguments)
    assert [command.endswith(INTERRUPT) for command in commands] == [False, False, False, True, False, False, False]


def test_the_page_says_what_the_harness_says_when_it_is_stopped() -> None:
    [stopped] = [step.output for step in STEPS if step.command.endswith(INTERRUPT)]
    of_a_submission = SimpleNamespace(dry=False, screening=False, subject=SimpleNamespace(manifest=object()))
    assert f"\n{run_report.after_a_stop(of_a_submission)}\n" in stopped.partition("^C\n")[2]  # type: ignore[arg-type]


def test_a_block_is_written_as_it_is_read() -> None:
    block = "$ one \\\n>   more\nsaid\n> quoted\n$ two\n"
    assert steps_of(block) == [Step("one \\\n  more", "said\n> quoted\n"), Step("two", "")]
    assert text_of(steps_of(block)) == block


def test_ids_and_dates_stay_and_figures_have_forms() -> None:
    said = (
        "20261127T100337Z-386a8517-bcce of submissions/2026-11-27_fewer-steps and records/2026-11-27_x, 4.1e-05 nats\n"
    )
    ids: dict[str, str] = {}
    plain = normalised(said, {"2026-11-27"}, ids)
    assert plain == normalised(said, {"2026-11-27"}, ids)
    assert plain.startswith(
        "20261201T190000Z-386a8517-1000 of submissions/2026-12-01_fewer-steps and records/2026-11-27_x"
    )
    assert (
        forms(said)
        == forms(plain.replace("4.1e-05", "17"))
        == {"id of submissions/#-#-#_fewer-steps and records/#-#-#_x, # nats"}
    )
    findings = "".join(f"  I{n}  pass            fine\n" for n in range(9))
    assert shortened(findings + "  S1  fail            not fine\n").splitlines()[2:] == [
        "…",
        "  S1  fail            not fine",
    ]
