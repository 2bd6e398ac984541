"""What a check is, and how the findings of all checks come to one verdict.

A check is a function of the evidence that returns one finding. The worst finding decides: fail before inconclusive
before pass; `not applicable` counts for nothing. Evidence that a ruleset did not require and nobody has is not
applicable, so that history is judged by the rules of its time; evidence that it requires and nobody has is
inconclusive, never pass.
"""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.core.judgement import Finding, Outcome, Verdict
from harness.evidence.contents import Evidence

E = TypeVar("E")


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
class Check(Generic[E]):
    """One rule: its id, its family of evidence, what it demands, and the function that examines evidence E."""

    rule: str
    name: str
    family: str
    demands: str  # one sentence for the table of rules
    examine: Callable[[E], Ruling]

    def __call__(self, evidence: E) -> Ruling:
        return self.examine(evidence)

    def finding(self, evidence: E) -> Finding:
        """Examine the evidence and name the rule."""
        return Finding(self.rule, self.name, *dataclasses.astuple(self.examine(evidence)))


def rule(id: str, name: str, family: str, **limits: str) -> Callable[[Callable[[E], Ruling]], Check[E]]:
    """Make a check of the function below; its docstring says what it demands, with {limits} filled in."""

    def make(examine: Callable[[E], Ruling]) -> Check[E]:
        demands = " ".join((examine.__doc__ or "").split()).format(**limits)
        return Check(id, name, family, demands, examine)

    return make


def missing(evidence: Evidence, family: str, text: str) -> Ruling:
    """Rule where evidence is missing: inconclusive if the ruleset requires it, else not applicable."""
    if evidence.requires(family):
        return Ruling("inconclusive", text)
    return Ruling("not applicable", f"{evidence.ruleset.id} did not ask for it: {text}")


def all_of(runs: int) -> str:
    """Count the runs in words: "the one run", "all 3 runs"."""
    return "the one run" if runs == 1 else f"all {runs} runs"


def names(ids: Iterable[str]) -> str:
    """Name the first two of some run ids, and say how many more there are."""
    listed = list(ids)
    shown = " and ".join(listed[:2])
    return shown if len(listed) <= 2 else f"{shown} and {len(listed) - 2} more"


def verdict_of(subject: str, ruleset: str, findings: Iterable[Finding], warnings: Iterable[str] = ()) -> Verdict:
    """Let the worst finding decide; where nothing is applicable the verdict is inconclusive."""
    findings = tuple(findings)
    seen = {finding.outcome for finding in findings}
    order: tuple[Outcome, ...] = ("fail", "inconclusive", "pass")
    worst: Outcome = next((outcome for outcome in order if outcome in seen), "inconclusive")
    return Verdict(subject, ruleset, worst, findings, tuple(warnings))


def judge(evidence: Evidence, checks: Iterable[Check[Evidence]], warnings: Iterable[str] = ()) -> Verdict:
    """Apply every check and let the worst finding decide."""
    findings = (check.finding(evidence) for check in checks)
    return verdict_of(evidence.subject, evidence.ruleset.id, findings, warnings)
