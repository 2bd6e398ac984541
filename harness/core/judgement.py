"""The outcome of the rules: findings and the verdict they come to."""

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["pass", "fail", "inconclusive", "not applicable"]

ComparisonOutcome = Literal["faster", "slower", "tie", "undecided", "inconclusive"]  # of B against A
Block = Literal["ABBA", "BAAB"]  # the order of two pairs of runs


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one rule, as a sentence with its numbers."""

    rule: str  # "S1"
    name: str  # "mean below target"
    outcome: Outcome
    text: str  # a sentence: what was found; what to do
    measured: float | str | None = None
    required: float | str | None = None
    unit: str | None = None
    more_runs: int | None = None  # how many more runs are likely needed for a decision; None where that is no question

    def __str__(self) -> str:
        return f"{self.rule} {self.outcome}  {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of one submission or record under one ruleset, and what they come to."""

    subject: str
    ruleset: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...] = ()  # never change the outcome
