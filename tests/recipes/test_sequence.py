"""The scripts read as a sequence: the same order in all, and what all share is the same text, so a diff shows an idea."""

import ast
import itertools
import re

import pytest

from .scripts import ALL, RETIMED, SHORT, script_path

SHARED = "What the scripts of the sequence share: settings, checks, processes, seed, log, clock"
SECTIONS = ["Data", "Model", "Optimizer", "Training", SHARED]
BANNER = re.compile(r"^# -{118}\n# (\w[^\n]*)\n# -{118}\n", re.M)


def sections(name: str) -> dict[str, str]:
    """The text of a script by its section; that before the first is under an empty name."""
    titles = BANNER.split(script_path(name).read_text())
    return dict(zip(["", *(title.split(".")[0] for title in titles[1::2])], titles[::2], strict=True))


def definitions(name: str) -> dict[str, str]:
    """The text of each function and class of a script."""
    source = script_path(name).read_text()
    lines, nodes = source.splitlines(), ast.parse(source).body
    found = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    return {node.name: "\n".join(lines[node.lineno - 1 : node.end_lineno]) for node in found}


@pytest.mark.parametrize("name", ALL)
def test_a_script_reads_data_model_optimizer_training_and_then_what_all_share(name: str) -> None:
    parts = sections(name)
    assert list(parts) == ["", *SECTIONS]
    place = {
        defined: title for title, text in parts.items() for defined in re.findall(r"^(?:def|class) (\w+)", text, re.M)
    }
    assert place["Hyperparameters"] == ""
    assert {place[defined] for defined in ("open_shard", "DistributedDataLoader", "open_data")} == {"Data"}
    assert {place[defined] for defined in ("GPT", "make_model", "load")} == {"Model"}
    assert {place[defined] for defined in ("make_optimizers", "learning_rate_scale")} == {"Optimizer"}
    assert {place[defined] for defined in ("validate", "train")} == {"Training"}
    assert list(place)[-1] == "main" and place["main"] == SHARED


def test_what_the_scripts_of_the_short_track_share_is_the_same_to_the_byte() -> None:
    assert len({sections(name)[SHARED] for name in SHORT if name not in RETIMED}) == 1
    assert len({sections(name)[SHARED] for name in RETIMED}) == 1


def test_the_scripts_that_time_all_steps_differ_from_those_before_in_rows_of_validation_and_clock_alone() -> None:
    ours, theirs = definitions(RETIMED[0]), definitions("short/17")
    shared = re.findall(r"^(?:def|class) (\w+)", sections("short/17")[SHARED], re.M)
    assert [name for name in shared if ours[name] != theirs[name]] == ["check_settings", "Clock", "times"]
    assert "".join(ours["check_settings"].split("args.val_row()")) == "".join(
        theirs["check_settings"].split("args.sequence_length")
    )


def test_between_records_21_and_24_the_optimizers_change_and_what_they_need() -> None:
    before, after = definitions("short/21.1"), definitions("short/24")
    assert before.keys() - after.keys() == set()
    assert after.keys() - before.keys() == {"ShardedAdam", "mixed_precision"}
    changed = {name for name in before if before[name] != after[name]}
    optimizer, types = {"Muon", "make_optimizers", "add_gradients"}, {"rms_norm", "Linear", "load", "validate"}
    assert changed - optimizer - types == {"Hyperparameters", "Attention", "Block", "GPT"}
    assert sections("short/21.1")["Data"] == sections("short/24")["Data"]


def test_the_optimization_track_differs_from_it_in_checks_and_clock_alone() -> None:
    """Its clock prints marks and seconds, and its ranks take shares of one batch, not those of eight recipe ranks."""
    ours, theirs = definitions("optimization/36"), definitions("short/13")
    shared = re.findall(r"^(?:def|class) (\w+)", sections("short/13")[SHARED], re.M)
    assert [name for name in shared if ours[name] != theirs[name]] == ["check_settings", "Clock", "times"]


def test_two_neighbours_read_their_data_by_the_same_text() -> None:
    """Record 1 alone shuffles, and the last two have one cursor for all ranks."""
    assert len({sections(name)["Data"] for name in SHORT[1:] if name not in RETIMED}) == 1


def test_records_13_15_and_17_differ_in_the_model_then_in_muon_and_share_all_else() -> None:
    texts = [definitions(name) for name in ("short/13", "short/15", "short/17")]
    changed = [
        {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        for before, after in itertools.pairwise(texts)
    ]
    model = {"rotary_tables", "attention_mask", "block_mask", "Attention", "Block", "GPT", "make_optimizers"}
    assert changed[0] - model == {
        *("Hyperparameters", "compiled_create_block_mask", "list_blocks", "load", "Muon", "validate", "train")
    }
    assert changed[1] - model == {"Hyperparameters", "rotate", "window_size", "train"}


def test_between_records_9_and_10_only_the_types_change() -> None:
    before, after = definitions("short/9"), definitions("short/10")
    assert before.keys() - after.keys() == {"mixed_precision"} and after.keys() - before.keys() == {"cast_to_bf16"}
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    assert changed == {"Hyperparameters", "make_model", "load", "validate", "train"}
    settings = [set(definitions(name)["Hyperparameters"].splitlines()) for name in ("short/9", "short/10")]
    assert {line.split(":")[0].strip() for line in settings[0] ^ settings[1]} == {"num_iterations", "warmdown_steps"}
    without = [
        re.sub(r"\n +with mixed_precision\(args\):|(?<=\n) +", "", before[name])
        for name in ("load", "validate", "train")
    ]
    assert without == [re.sub(r"(?<=\n) +", "", after[name]) for name in ("load", "validate", "train")]
