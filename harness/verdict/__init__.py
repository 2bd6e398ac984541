"""The rules: one module per family of checks, one function per rule.

checks        what a check is; how findings come to a verdict
identity      I  the runs are runs of the frozen script, and different runs
completeness  L  the logs are whole
tokens        D  the tokens are the track's
timing        T  the reported time is the time that the harness saw
delays           what a starved machine explains
hidden_work      no more is computed outside the steps, or in a step, than the parent computes
statistics    S  the mean loss is below the target, and not impossibly low
scored        S  what the harness computes with the saved weights
hardware      H  the machine is the track's
confined      C  every run was confined as the ruleset asks
chain         G  every run that was started is counted
rules         R  the script sets nothing that is forbidden (scan: how its text is read)
program_text     it brings program text alone, with few data in it
probe_rules   P  what `speedrun probe` finds on prepared tokens; `verify` does not use it
"""

from harness.core.judgement import Finding, Verdict
from harness.evidence.contents import Evidence
from harness.verdict import (
    chain,
    checks,
    completeness,
    confined,
    hardware,
    hidden_work,
    identity,
    probe_rules,
    program_text,
    rules,
    scored,
    statistics,
    timing,
    tokens,
)
from harness.verdict.checks import Check

_FAMILIES = (
    identity,
    completeness,
    rules,
    program_text,
    tokens,
    timing,
    hidden_work,
    statistics,
    scored,
    hardware,
    confined,
    chain,
)
CHECKS: tuple[Check[Evidence], ...] = tuple(
    sorted(
        (check for family in _FAMILIES for check in family.CHECKS),
        key=lambda check: ("ILRDTSHCG".index(check.rule[0]), check.rule),
    )
)


def judge(evidence: Evidence) -> Verdict:
    """Apply every rule to the evidence."""
    return checks.judge(evidence, CHECKS, rules.warnings(evidence))


def judge_text(evidence: Evidence) -> tuple[Finding, ...]:
    """Apply the rules that look at the script's text alone."""
    return tuple(check.finding(evidence) for check in CHECKS if check.rule[0] == "R")


def rules_table() -> str:
    """Write all rules as a Markdown table, for the documentation."""
    lines = ["| rule | name | evidence | demands |", "|---|---|---|---|"]
    lines += [f"| {check.rule} | {check.name} | {check.family} | {check.demands} |" for check in CHECKS]
    lines += [f"| {check.rule} | {check.name} | probe | {check.demands} |" for check in probe_rules.CHECKS]
    return "\n".join(lines) + "\n"
