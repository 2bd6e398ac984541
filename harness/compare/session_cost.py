"""Estimate what accepting a record by time costs on 8×H100, by the functions that a plan uses; docs/costs.md shows it.

Hard because nothing of it has run here: starts are those of the field's logs, the numbers of runs come from simulation,
and what scoring takes is assumed.
"""

from dataclasses import dataclass

from harness.compare import cost
from harness.core.text import plural
from harness.store.comparisons import Caches

TRAIN_S = 75.0
USD_PER_HOUR = 24.0
CONFIRMATION_RUNS = 12.5  # of the candidate in all, until the sequential rule decides at a mean of 3.2787
# Of each script in the quick probe of a session; the parent runs beside every candidate, on the same tokens. One that does
# not use the tokenizer, as scripts do since short/88, is run on relabelled tokens as well.
PROBE_RUNS = 1
SCORED_RUNS = 4  # the fewest that S6 wants
SCORING_S = 60.0  # assumed, of one run on the GPU: six passes over the validation text; never measured
CACHES: tuple[Caches, ...] = ("warm", "cold")


@dataclass(frozen=True, slots=True)
class Estimate:
    """The runs and the seconds of one session."""

    parent_runs: float
    candidate_runs: float  # of all candidates
    probe_runs: int
    primed: int  # scripts
    seconds: float

    @property
    def usd(self) -> float:
        """Return the price of all candidates together."""
        return cost.usd(self.seconds, USD_PER_HOUR)


def estimate(gain_s: float, candidates: int, caches: Caches) -> Estimate:
    """Estimate a session that accepts so many candidates at once, each with this gain in seconds of 75 s."""
    parent, own = cost.pair_runs(gain_s) if candidates == 1 else cost.joint_runs(gain_s, candidates)
    own = max(own, candidates * CONFIRMATION_RUNS)  # a candidate runs on alone until the rule decides
    probes = 2 * PROBE_RUNS * candidates
    primed = candidates + 1 if caches == "warm" else 0
    seconds = (parent + own + probes) * cost.run_s(TRAIN_S, caches) + cost.priming_s(primed)
    return Estimate(parent, own, probes, primed, seconds + candidates * SCORED_RUNS * SCORING_S)


def table() -> str:
    """Return the table of docs/costs.md."""
    head = (
        "gain",
        "candidates",
        "caches",
        "runs of the parent",
        "of the candidates",
        "of the probe",
        "priming",
        "hours",
    )
    rows = [f"| {' | '.join((*head, 'USD', 'USD each'))} |", "|--:|---|---" + "|--:" * 7 + "|"]
    for gain_s in cost.PAIRS:
        for candidates in (1, 3):
            for caches in CACHES:
                found = estimate(gain_s, candidates, caches)
                runs = f"{found.parent_runs:.1f} | {found.candidate_runs:.1f} | {found.probe_runs} | {found.primed}"
                price = f"{found.seconds / 3600:.1f} | {found.usd:.0f} | {found.usd / candidates:.1f}"
                how = "1" if candidates == 1 else f"{candidates} at once"
                rows.append(f"| {gain_s} s | {how} | {caches} | {runs} | {price} |")
    return "\n".join(rows) + "\n"


def usual_sentence(gain_s: float, a_s: float, b_s: float, unprimed: int, usd_per_hour: float | None) -> str:
    """Say what a comparison of two scripts usually takes until it is decided, by their seconds per run."""
    a_runs, b_runs = cost.pair_runs(gain_s)
    seconds = a_runs * a_s + b_runs * b_s + cost.priming_s(unprimed)
    price = "" if usd_per_hour is None else f", {cost.usd(seconds, usd_per_hour):.2f} USD"
    primes = f", {plural(unprimed, 'priming run')} included" if unprimed else ""
    return f"a gain of {gain_s:g} s of {cost.OF_S:g} s takes {a_runs:g} pairs on average: {seconds / 3600:.1f} h{price}{primes}"
