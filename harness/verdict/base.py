"""What evidence is, and how the findings about it come to one verdict.

A check is a function of the evidence that returns one finding. The worst finding decides: fail before inconclusive
before pass; `not applicable` counts for nothing. Evidence that a ruleset did not require and nobody has is not
applicable, so that history is judged by the rules of its time; evidence that it requires and nobody has is
inconclusive, never pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from harness.schema import Claimed, Finding, Manifest, Metrics, Outcome, Ruleset, Track, Verdict


@dataclass(frozen=True, slots=True)
class LedgerExtract:
    """The chain of ledger entries of one script, as far as the judge needs it."""

    runs_started: tuple[str, ...]  # ids of all that count, in order
    problems: tuple[str, ...]  # gaps, edits and reorderings, each naming its line
    log_hashes: dict[str, str] = field(default_factory=dict)  # id -> sha256 of the scrubbed log
    n_max: int | None = None  # how many runs a test may look at, declared before the first
    broken: tuple[str, ...] = ()  # ids of those that did not finish, which have no final loss
    open: tuple[str, ...] = ()  # ids of runs that have no end yet on this machine


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a verdict may look at."""

    subject: str  # "records/smoke/2026-11-21_muon"
    track: Track
    ruleset: Ruleset
    runs: tuple[Metrics, ...]
    script: bytes | None = None  # the frozen entry script
    script_sha256: str | None = None
    manifest: Manifest | None = None
    claim: str | None = None  # ml or systems
    claimed: Claimed | None = None
    ledger: LedgerExtract | None = None
    files: tuple[tuple[str, bytes], ...] = ()  # all frozen files, the entry among them
    baseline: tuple[Metrics, ...] = ()  # finished runs of the parent on the machine of these runs
    baseline_doubt: str | None = None  # why runs of the parent that are there cannot be believed, as a clause
    baseline_broken: int = 0  # how many of the parent's runs were broken off
    contradictions: tuple[str, ...] = ()  # what run files say otherwise than ledger and script, as sentences

    def requires(self, family: str) -> bool:
        """Whether the ruleset asks for this family of evidence."""
        return family in self.ruleset.evidence


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a check found: its outcome and sentence, before the rule's id is put to it."""

    outcome: Outcome
    text: str
    measured: float | str | None = None
    required: float | str | None = None
    unit: str | None = None
    more_runs: int | None = None  # how many more runs are likely needed for a decision


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: its id, its family of evidence, what it demands, and the function that looks."""

    rule: str
    name: str
    family: str
    demands: str  # one sentence for the README
    look: Callable[[Evidence], Ruling]

    def finding(self, evidence: Evidence) -> Finding:
        """Look at the evidence."""
        ruling = self.look(evidence)
        return Finding(
            self.rule,
            self.name,
            ruling.outcome,
            ruling.text,
            ruling.measured,
            ruling.required,
            ruling.unit,
            ruling.more_runs,
        )


def missing(evidence: Evidence, family: str, text: str) -> Ruling:
    """The ruling where evidence is missing: inconclusive if the ruleset requires it, else not applicable."""
    if evidence.requires(family):
        return Ruling("inconclusive", text)
    return Ruling("not applicable", f"{evidence.ruleset.id} did not ask for it: {text}")


def all_of(runs: int) -> str:
    """The runs, counted in words: "the one run", "all 3 runs"."""
    return "the one run" if runs == 1 else f"all {runs} runs"


def names(ids: Iterable[str]) -> str:
    """A few run ids as text: the first two and how many more."""
    listed = list(ids)
    shown = " and ".join(listed[:2])
    return shown if len(listed) <= 2 else f"{shown} and {len(listed) - 2} more"


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome that decides: fail, then inconclusive, then pass; nothing applicable is inconclusive."""
    seen = set(outcomes)
    for outcome in ("fail", "inconclusive", "pass"):
        if outcome in seen:
            return outcome
    return "inconclusive"


def judge(evidence: Evidence, checks: Iterable[Check], warnings: Iterable[str] = ()) -> Verdict:
    """Apply every check; the worst finding is the outcome."""
    findings = tuple(check.finding(evidence) for check in checks)
    outcome = worst(finding.outcome for finding in findings)
    return Verdict(evidence.subject, evidence.ruleset.id, outcome, findings, tuple(warnings))
