"""Each script, started as its users start it, trains; Muon beats AdamW at equal steps; bad settings end at once."""

import re
from collections.abc import Callable

import pytest
import yaml

from .scripts import ALL, RETIMED, ROOT, SHORT, TINY, arguments, load


def val_losses(log: bytes) -> list[float]:
    return [float(loss) for loss in re.findall(rb"^step:\d+/24 val_loss:([\d.]+) ", log, re.M)]


@pytest.mark.parametrize("name", ALL)
def test_the_loss_falls_in_24_steps_on_two_ranks(name: str, trained_log: Callable[[str], bytes]) -> None:
    first, middle, last = val_losses(trained_log(name))
    assert last < middle < first - 0.05


def test_muon_beats_adamw_at_equal_steps(trained_log: Callable[[str], bytes]) -> None:
    """Record 4 is record 2 with Muon on the matrices; same model, data, seed and number of steps."""
    adamw, muon = val_losses(trained_log("short/2")), val_losses(trained_log("short/4"))
    assert muon[0] == adamw[0], "both start from the same weights"
    assert muon[-1] < adamw[-1] - 0.1


def test_the_ten_untimed_steps_fall_out_of_the_times_and_the_means_follow_the_era(
    trained_log: Callable[[str], bytes],
) -> None:
    """step_avg = time / (printed step - 10), and NaN on validation lines to step 11 and training lines to step 12."""
    for name in set(SHORT) - set(RETIMED):
        lines = re.findall(
            rb"^step:(\d+)/24 (?:(val|train)_loss:[\d.]+ )?train_time:(\d+)ms step_avg:([\d.]+|nan)ms$",
            trained_log(name),
            re.M,
        )
        assert len(lines) == 3 + 24
        times = [int(time) for _, _, time, _ in lines]
        falls = [i for i in range(1, len(times)) if times[i] < times[i - 1]]
        assert [int(lines[i][0]) for i in falls] in ([11], []), "the clock starts anew before the 11th step only"
        for step, kind, time, mean in lines:
            if int(step) <= (11 if kind == b"val" else 12):
                assert mean == b"nan"
            else:
                timed = int(step) - 10
                assert float(mean) == pytest.approx(int(time) / timed, abs=0.51 / timed + 0.006)


@pytest.mark.parametrize("name", RETIMED)
def test_after_an_untimed_warm_up_every_step_is_timed_and_counts_in_the_mean(
    name: str, trained_log: Callable[[str], bytes]
) -> None:
    log = trained_log(name)
    lines = re.findall(rb"^step:(\d+)/24 (?:val_loss:\S+ )?train_time:(\d+)ms step_avg:(\d+\.\d\d)ms$", log, re.M)
    assert len(lines) == 3 + 24
    times = [int(time) for _, time, _ in lines]
    assert times == sorted(times), "the clock never starts anew"
    for step, time, mean in lines:
        steps = max(int(step), 1)
        assert float(mean) == pytest.approx(int(time) / steps, abs=0.51 / steps + 0.006)
    assert b"override:warmup_steps=2\n" in log and log.index(b"clock:start\n") < log.index(b"\nstep:0/24 ")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("n_layers=2", "'n_layers=2' is no override"),
        ("d_model", "'d_model' is no override"),
        ("d_model=wide", "takes a value of type int"),
        ("d_model=0", "takes a finite number from 1 up"),
        ("embed_lr=nan", "takes a finite number"),
        ("seed=-1", "takes a finite number from 0 up"),
    ],
)
def test_an_unknown_or_ill_typed_override_ends_with_one_sentence(name: str, argument: str, sentence: str) -> None:
    module = load(name)
    if argument.startswith("embed_lr") and not hasattr(module.Hyperparameters(), "embed_lr"):
        argument = "learning_rate=nan"
    with pytest.raises(SystemExit, match=re.escape(sentence)):
        module.parse_overrides([argument])


@pytest.mark.parametrize("name", ALL)
def test_overrides_are_typed_and_listed_without_seed_and_save(name: str) -> None:
    given = ["d_model=64", "seed=3", "adam_eps=1e-6", "save=a=b", "device=cpu"]
    args, overrides = load(name).parse_overrides(given)
    assert (args.d_model, args.seed, args.adam_eps, args.save, args.device) == (64, 3, 1e-6, "a=b", "cpu")
    assert overrides == ["d_model=64", "adam_eps=1e-6", "device=cpu"]
    assert load(name).parse_overrides([]) == (load(name).Hyperparameters(), [])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("settings", "world_size", "sentence"),
    [
        ({}, 3, "start 1, 2, 4 or 8"),
        ({"batch_size": 12}, 8, "batch_size must be a multiple of 8"),
        ({"val_tokens": 1000}, 1, "val_tokens must be a multiple of"),
        ({"d_model": 33}, 1, "d_model must be a multiple of"),
        ({"device": "tpu"}, 1, "device=tpu is unknown"),
    ],
)
def test_settings_that_cannot_run_end_with_one_sentence(
    name: str, settings: dict[str, object], world_size: int, sentence: str
) -> None:
    module = load(name)
    args, _ = module.parse_overrides(arguments(**(TINY | settings)))
    with pytest.raises(SystemExit, match=re.escape(sentence)):
        module.check_settings(args, world_size)
    module.check_settings(module.parse_overrides(arguments(**TINY))[0], 8)


@pytest.mark.parametrize("name", ALL)
def test_the_dry_settings_of_the_track_suit_every_script_on_one_and_two_ranks(name: str) -> None:
    track = yaml.safe_load((ROOT / "tracks" / f"{name.split('/')[0]}.yaml").read_text())
    args, overrides = load(name).parse_overrides(track["dry"])
    assert overrides == track["dry"] and args.device == "cpu"
    for world_size in (1, 2):
        load(name).check_settings(args, world_size)


def test_a_run_without_data_ends_before_training_and_says_what_is_missing(
    run_without_data: tuple[bytes, bytes],
) -> None:
    out, err = run_without_data
    assert b"no file matches" in err and b"set DATA_PATH" in err
    assert b"step:" not in out
