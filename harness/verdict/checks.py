"""What evidence is, and how the findings about it come to one verdict.

A check is a function of the evidence that returns one finding. The worst finding decides: fail before inconclusive
before pass; `not applicable` counts for nothing. Evidence that a ruleset did not require and nobody has is not
applicable, so that history is judged by the rules of its time; evidence that it requires and nobody has is
inconclusive, never pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from harness.core.judgement import Finding, Outcome, Verdict
from harness.evidence.contents import Evidence


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
