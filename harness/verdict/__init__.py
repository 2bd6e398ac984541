"""Evidence in, Verdict out: one module per family of checks, one function per rule.

base          what evidence is; how findings come to a verdict
identity      I  the runs are runs of the frozen script, and different runs
completeness  L  the logs are whole
data          D  the tokens are the track's
timing        T  the reported time is the time that the harness saw
statistics    S  the mean loss is below the target, and not impossibly low
hardware      H  the machine is the track's
ledger        G  every run that was started is counted
"""

from harness.schema import Verdict
from harness.verdict import base, completeness, data, hardware, identity, ledger, statistics, timing
from harness.verdict.base import Check, Evidence

CHECKS: tuple[Check, ...] = (
    *identity.CHECKS,
    *completeness.CHECKS,
    *data.CHECKS,
    *timing.CHECKS,
    *statistics.CHECKS,
    *hardware.CHECKS,
    *ledger.CHECKS,
)


def judge(evidence: Evidence) -> Verdict:
    """Apply every rule to the evidence."""
    return base.judge(evidence, CHECKS)


def rules_table() -> str:
    """All rules as a Markdown table, for the README."""
    lines = ["| rule | name | evidence | demands |", "|---|---|---|---|"]
    lines += [f"| {check.rule} | {check.name} | {check.family} | {check.demands} |" for check in CHECKS]
    return "\n".join(lines) + "\n"
