"""Learning rates, momenta and windows at sampled steps, from formulas written here and not in the scripts."""

import math

import pytest

from .scripts import ALL, RETIMED, load

# name: (steps, warm-up, warm-down) of the trapezoid
TRAPEZOIDS = {
    "short/2": (9_536, 256, 2_048),
    "short/4": (6_200, 0, 1_800),
    "short/5": (5_100, 0, 1_450),
    "short/6": (5_100, 0, 1_450),
    "short/8": (4_578, 0, 1_308),
    "short/9": (3_200, 0, 914),
    "short/10": (3_242, 0, 926),
    "short/11": (3_000, 0, 900),
    "short/12": (1_875, 0, 562),
    "short/13": (1_750, 0, 640),
    "short/15": (1_480, 0, 600),
    "short/17": (1_490, 0, 600),
}
STEPS = {name: steps for name, (steps, _, _) in TRAPEZOIDS.items()} | {"short/1": 19_560, "optimization/36": 3_250}
STEPS |= dict.fromkeys(RETIMED, 1_770)
VALIDATE_EVERY = {"short/1": 250, "short/2": 128}


def trapezoid(t: int, n: int, w: int, c: int) -> float:
    if t < w:
        return (t + 1) / w
    return 1.0 if t < n - c else (n - t) / c


def expected_scale(name: str, t: int) -> float:
    n = STEPS[name]
    if name == "short/1":
        if t < 700:
            return (t + 1) / 700
        return 0.5 * (1 + math.cos(math.pi * (t - 700) / (n - 700)))
    if name == "optimization/36":
        f = t / n
        return 1.0 if f < 0.3 else (1 - f) / 0.7
    if name in RETIMED:
        w = min((1 - t / n) / 0.4, 1)
        return w * 1 + (1 - w) * 0.1
    return trapezoid(t, *TRAPEZOIDS[name])


@pytest.mark.parametrize("name", ALL)
def test_the_learning_rate_follows_the_recipes_schedule(name: str) -> None:
    module = load(name)
    args = module.Hyperparameters()
    n = STEPS[name]
    assert args.num_iterations == n
    assert args.val_loss_every == VALIDATE_EVERY.get(name, 125)
    w, c = TRAPEZOIDS[name][1:] if name in TRAPEZOIDS else (700, int((0.4 if name in RETIMED else 0.7) * n))
    steps = {0, 1, max(w - 1, 0), w, n // 3, n // 2, n - c - 1, n - c, n - c + 1, n - 2, n - 1}
    assert len(steps) >= 8
    for t in sorted(steps):
        assert module.learning_rate_scale(t, args) == pytest.approx(expected_scale(name, t), rel=1e-12, abs=1e-15), t


@pytest.mark.parametrize("name", [name for name in ALL if name != "optimization/36"])
def test_a_run_shortened_for_a_test_still_has_a_learning_rate_worth_the_name(name: str) -> None:
    module = load(name)
    args = module.Hyperparameters(num_iterations=20)
    scales = [module.learning_rate_scale(t, args) for t in range(20)]
    assert max(scales) >= 0.75 and all(0 < scale <= 1 for scale in scales)


@pytest.mark.parametrize(
    ("name", "steps"),
    [(f"short/{number}", 500) for number in (9, 10, 11, 12)]
    + [(f"short/{number}", 300) for number in (13, 15, 17, 21.1, 24)],
)
def test_the_momentum_of_muon_warms_up_from_085_to_095(name: str, steps: int) -> None:
    module = load(name)
    args = module.Hyperparameters()
    for t in (0, 1, 50, 149, 150, 299, 300, 301, 499, 500, 501, 1_700):
        assert module.muon_momentum(t, args) == pytest.approx(0.85 + 0.10 * min(t / steps, 1), rel=1e-12), t


@pytest.mark.parametrize("name", ["short/4", "short/5", "short/6", "short/8", "optimization/36"])
def test_the_momentum_of_the_other_muons_is_constant(name: str) -> None:
    assert load(name).Hyperparameters().muon_momentum == 0.95
    assert not hasattr(load(name), "muon_momentum")


def test_the_window_of_record_12_is_1024() -> None:
    assert load("short/12").Hyperparameters().window == 1024


@pytest.mark.parametrize("name", ["short/13", "short/15"])
def test_the_window_of_records_13_and_15_grows_from_64_to_1792_in_steps_of_64(name: str) -> None:
    module, n = load(name), STEPS[name]
    args = module.Hyperparameters()
    windows = [module.window_size(t, args) for t in range(n + 1)]
    assert windows[0] == 64 and windows[n] == 1_792 and sorted(set(windows)) == list(range(64, 1_793, 64))
    for t in (0, 1, 64, 65, 125, 500, 875, 1_000, 1_400, n - 65, n - 64, n - 1, n):
        assert windows[t] == 64 * math.floor((1728 * t / n + 64) / 64), t


def test_the_window_of_record_17_grows_from_1_block_to_14() -> None:
    module = load("short/17")
    args = module.Hyperparameters()
    windows = [module.window_size(t, args) for t in range(1_491)]
    assert windows[0] == 1 and windows[1_490] == 14 and sorted(set(windows)) == list(range(1, 15))
    for t in range(1_491):
        f = t / 1_490
        assert windows[t] == math.floor(((1 - f) * 64 + f * 1_792 + 64) / 128), t


@pytest.mark.parametrize("name", RETIMED)
def test_the_long_window_of_records_21_and_24_grows_from_1_block_to_14(name: str) -> None:
    module = load(name)
    args = module.Hyperparameters()
    windows = [module.window_size(t, args) for t in range(1_771)]
    assert windows[131] == 1 and windows[132] == 2 and windows[1_770] == 14
    for t in range(1_771):
        # the least multiple of 128 tokens that reaches the line, by adding
        size = 128
        while size * 1_770 < 1_728 * t:
            size += 128
        assert windows[t] == size // 128, t


def test_the_optimization_script_validates_every_125_steps_and_every_25_in_the_last_tenth() -> None:
    module = load("optimization/36")
    args = module.Hyperparameters()
    due = [t for t in range(3_251) if module.validation_is_due(t, args)]
    assert due == [*range(0, 2_876, 125), *range(2_925, 3_251, 25)]
