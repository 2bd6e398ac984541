"""Put the plan of a comparison into words: which scripts, in what they run, in which order, how long and at what price."""

from collections.abc import Iterable
from typing import Any

from harness.compare import cost as compare_cost
from harness.compare import decision, noise, pairs, session_cost
from harness.compare.arms import Contender
from harness.compare.interleaving import Plan
from harness.compare.pairs import Rule
from harness.core.task import Track
from harness.core.text import plural
from harness.machine import computer
from harness.store.comparisons import Caches, other_torch
from harness.store.layout import Project
from harness.ui import plan_data

BY_CLAIMS = "; by a record's claim and starts of others on 8×H100, nothing has run here"


def script(contender: Contender) -> str:
    """Describe the script: its kind, its record or submission, its file."""
    kinds = {
        "submission": "the submission",
        "record": "the script of the record",
        "reimplementation": "a reimplementation of the record",
        "original": "the frozen original of the record",
        "merged": "the merged script of the record",
    }
    folder = "" if contender.name == contender.subject.name else f" ({contender.subject.name})"
    file = f"{contender.subject.entry} ({contender.subject.script_sha256[:12]})"
    return f"{kinds[contender.kind]} {contender.name}{folder}: {file}"


def environment(contender: Contender) -> str:
    """Describe the environment that a script runs in."""
    if not contender.requirement_sets:
        return f"in the harness's own environment, torch {contender.torch or 'not installed'}"
    made = contender.environment
    if made is not None:
        return f"in an environment of its own, torch {made.torch} ({', '.join(made.requirements)})"
    requirement_sets = [", ".join(requirements) for requirements in dict.fromkeys(contender.requirement_sets)]
    return f"in an environment of its own, made before the first run: {', or else '.join(requirement_sets)}"


def torches(a: str | None, b: str | None) -> str | None:
    """Say what a difference of torch means; None where there is none, or it is not known yet."""
    if not other_torch(a, b):
        return None
    return f"A runs with torch {a} and B with torch {b}: any difference is due to script and torch together"


def varies(spread: noise.Spread | None, track: Track, rule: Rule) -> str:
    """Say which differences can be decided where runs vary as they do here, or as is usual where nothing ran."""
    if spread is not None:
        return varies_here(spread, rule)
    is_gpu = track.hardware.kind == "gpu"
    where, known = ("a quiet 8-GPU host", noise.QUIET) if is_gpu else ("CPUs that others share", noise.SHARED)
    by, below = (
        " to ".join(dict.fromkeys(f"{100 * share:.2g}" for share in shares))
        for shares in (known, [pairs.decidable_gain(share, rule) for share in known])
    )
    return f"not known here yet; on {where} runs vary by {by} %, and a difference below {below} % {_stays(rule)}"


def varies_here(spread: noise.Spread, rule: Rule) -> str:
    """Say which differences can be decided at a measured spread, and whether records usually gain less."""
    least = pairs.decidable_gain(spread.share, rule)
    said = (
        f"{spread.runs} runs here vary by {_percent(spread.share)}: a difference below {_percent(least)} {_stays(rule)}"
    )
    usual = f"too noisy for what records gain, {_percent(noise.USUAL_GAIN)} in the middle"
    return f"{said}; {usual}" if is_too_noisy(spread, rule) else said


def is_too_noisy(spread: noise.Spread | None, rule: Rule) -> bool:
    """Tell whether runs are known to vary so much that what records usually gain stays undecided."""
    return spread is not None and pairs.decidable_gain(spread.share, rule) > noise.USUAL_GAIN


def data_of(project: Project, plan: Plan) -> dict[str, Any]:
    """Return what `--plan --json` prints of a comparison of two scripts."""
    rule = decision.rule_of(plan.comparison)
    return plan_data.of_comparison(plan) | noise_data(project, plan.contenders.values(), rule)


def noise_data(project: Project, contenders: Iterable[Contender], rule: Rule) -> dict[str, Any]:
    """Return what `--plan --json` tells of the line `noise`; the value is null where too few runs are known here."""
    spread = noise.measured(project, contenders, computer.capture())
    if spread is None:
        return {"noise": None}
    gain = pairs.decidable_gain(spread.share, rule)
    told = {"spread": spread.share, "runs": spread.runs, "decidable_gain": gain}
    return {"noise": told | {"too_noisy": is_too_noisy(spread, rule)}}


def _stays(rule: Rule) -> str:
    unit = "rounds" if rule.method == pairs.JOINT_METHOD else "pairs"
    return f"stays undecided in {rule.max_pairs} {unit} more often than not"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def cautions(first: Contender, second: Contender) -> list[str]:
    cautions = []
    a, b = first.subject, second.subject
    if a.chain == b.chain:
        cautions.append("both are the same script: this shows only how much the machine varies")
    if not a.track.times_alike(a.ruleset, b.ruleset):
        cautions.append(
            f"{a.ruleset.id} and {b.ruleset.id} do not time the same sections; choose scripts that are timed alike"
        )
    for arm, contender in (("A", first), ("B", second)):
        if contender.kind == "reimplementation":
            cautions.append(f"{arm} is a reimplementation: its times say nothing about the record's own program")
    torch = torches(first.torch, second.torch)
    return cautions if torch is None else [*cautions, torch]


def runs(plan: Plan) -> str:
    """Say how many runs there are, in which order, and what decides."""
    comparison = plan.comparison
    if comparison.joint is not None:
        return f"{len(comparison.runs)}, of at most {comparison.max_pairs} rounds beside other candidates"
    count = f"{comparison.max_pairs} pairs ({len(comparison.arms)} runs)"
    blocks = " ".join(comparison.coins[:4]) + (" …" if len(comparison.coins) > 4 else "")
    order = f"in the order {blocks}, drawn by coin" if plan.drawn else "in blocks ABBA or BAAB, by coin"
    if comparison.bound is None:
        return f"{count}, {order}; one analysis at the end, p < {pairs.ALPHA:g}"
    rule = f"an interim analysis after every pair from the third, z·√pairs ≥ {comparison.bound:g}"
    return f"at most {count}, {order}; {rule}"


def caches(plan: Plan) -> str:
    """Say what the runs start from."""
    return caches_of(plan.comparison.caches, plan.unprimed)


def caches_of(state: Caches, unprimed: int) -> str:
    """Say what runs start from; unprimed: scripts that have to be primed first."""
    if state == "cold":
        return "every run starts from empty compile caches"
    primes = f"; {plural(unprimed, 'script')} to prime first, untimed, on noise" if unprimed else ""
    return f"every run starts from a copy of filled compile caches{primes}"


def begun_otherwise(state: Caches) -> str:
    """Say that a comparison goes on as it was begun, whatever is asked for."""
    begun = "empty" if state == "cold" else "filled"
    return f"it was begun with {begun} compile caches and goes on so: both at once would be mixed"


def time(plan: Plan) -> str:
    """Say how long it takes, and by what that is known."""
    comparison = plan.comparison
    rest = compare_cost.expected_rest_s(comparison, plan.usual_s, plan.unprimed)
    if rest is None:
        return "not known before the first runs: neither script has run on this machine"
    a, b = (compare_cost.expected_run_s(comparison, plan.usual_s, arm) or 0.0 for arm in ("A", "B"))
    left = len(comparison.arms) - len(comparison.runs)
    primes = f", {plural(plan.unprimed, 'priming run')} included" if plan.unprimed else ""
    by_claims = BY_CLAIMS if plan.by_claims else ""
    return f"about {span(a)} for a run of A, {span(b)} for one of B; {span(rest)} for the {left} that remain{primes}{by_claims}"


def usually(plan: Plan) -> str | None:
    """Say what the comparison takes where it is decided as early as is usual; None where that was not simulated."""
    comparison, track = plan.comparison, plan.subjects["A"].track
    a, b = (compare_cost.expected_run_s(comparison, plan.usual_s, arm) for arm in ("A", "B"))
    if comparison.bound is None or comparison.runs or track.hardware.kind != "gpu" or a is None or b is None:
        return None
    return session_cost.usual_sentence(0.2, a, b, plan.unprimed, comparison.usd_per_hour)


def price(plan: Plan) -> str:
    """Say what it costs."""
    comparison = plan.comparison
    if comparison.usd_per_hour is None:
        return "not known: give --usd-per-hour, and --budget-usd to set a limit"
    rest = compare_cost.expected_rest_s(comparison, plan.usual_s, plan.unprimed)
    cost = None if rest is None else compare_cost.cost_usd(comparison, rest)
    price = f"{comparison.usd_per_hour:g} USD an hour"
    if cost is not None:
        price += f": about {cost:.2f} USD for all runs that remain"
    if comparison.budget_usd is not None:
        spent = compare_cost.cost_usd(comparison, comparison.elapsed_s) or 0.0
        price += f"; {spent:.2f} of {comparison.budget_usd:g} USD are spent"
    return price


def span(seconds: float) -> str:
    """12 s, 3.4 min or 1.2 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
