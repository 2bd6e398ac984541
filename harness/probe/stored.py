"""What a probe stores beside the logs of its runs, so that its verdict can be computed again anywhere."""

from dataclasses import dataclass
from pathlib import Path

from harness.core.codec import Form
from harness.core.constraints import Line, Loss, Positive, RulesetId, Size
from harness.core.judgement import Verdict
from harness.core.task import Track
from harness.verdict import probe_rules
from harness.verdict.probe_evidence import ProbeEvidence, ProbeRun, Role

EVIDENCE, VERDICT = "probe.json", "verdict.json"
FOLDER = "probe"  # in the folder of a record that a session made, and in what a session left


@dataclass(frozen=True, slots=True)
class StoredRun:
    """One run on prepared tokens."""

    role: Role
    variant: Line
    curve: tuple[tuple[Size, Loss], ...]
    failure: Line | None


@dataclass(frozen=True, slots=True)
class StoredProbe:
    """Everything that the rules of a probe look at, but for the track."""

    subject: Line
    script_sha256: Line
    ruleset: RulesetId
    probes: tuple[Line, ...]
    known_loss: Positive
    untrained_loss: Positive
    runs: tuple[StoredRun, ...]
    parent: Line | None
    usual: dict[Role, Loss]
    tokenizer: Line | None
    scored: bool = False  # made in a session that scores the script's models, on another text too (S5)


EVIDENCE_FORM = Form(StoredProbe, "json", (1,))


def stored_evidence(evidence: ProbeEvidence, probes: tuple[str, ...], script: str) -> StoredProbe:
    """Put what a probe has to show into the form that is stored; script: all frozen files of the subject together."""
    runs = tuple(
        StoredRun(role, variant, run.curve, None if run.failure is None else " ".join(run.failure.split())[:300])
        for (role, variant), run in evidence.runs.items()
    )
    return StoredProbe(
        subject=evidence.subject,
        script_sha256=script,
        ruleset=evidence.ruleset,
        probes=probes,
        known_loss=evidence.known_loss,
        untrained_loss=evidence.untrained_loss,
        runs=runs,
        parent=evidence.parent,
        usual=evidence.usual,
        tokenizer=evidence.tokenizer,
        scored=evidence.scored,
    )


def read_stored(path: Path, *, name: str) -> StoredProbe:
    """Read what a probe stored; raises StoreError with every problem of the file."""
    return EVIDENCE_FORM.read(path, name=name)


def judge_stored(probe: StoredProbe, track: Track) -> Verdict:
    """Judge a stored probe, as it was judged when it was made."""
    evidence = ProbeEvidence(
        subject=probe.subject,
        ruleset=probe.ruleset,
        track=track,
        known_loss=probe.known_loss,
        untrained_loss=probe.untrained_loss,
        runs={(run.role, run.variant): ProbeRun(run.curve, run.failure) for run in probe.runs},
        parent=probe.parent,
        usual=probe.usual,
        tokenizer=probe.tokenizer,
        scored=probe.scored,
    )
    return probe_rules.judge(evidence, probe.probes)
