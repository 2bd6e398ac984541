"""P: judge what a script scores on tokens that were prepared for it.

Every bound is an information bound or was measured with room to spare. On the smoke track (records 1 and 2, seeds 1
and 2): final losses of two seeds differ by up to 0.007, of a relabelled run by up to 0.009 (0.25 on the way), on
another stretch by up to 0.004; a model trained on noise scores at most 0.008 below the untrained level; on known
entropy the lowest score is 0.002 above it. On FineWeb the spread between seeds is 0.0014. Of 27 recorded curves of
history none starts below ln 50,304.
"""

from harness.core.judgement import Verdict
from harness.verdict.checks import Ruling, rule, verdict_of
from harness.verdict.probe_evidence import NAMES, Curve, ProbeEvidence, ProbeRun

ROUNDING = 0.001  # below the entropy; luck reaches it with probability e^(-0.001·N): e^-131 on the smoke track
UNTRAINED = 0.05  # below the untrained level
ALIKE_ON_THE_WAY = 1.0
NATS = "nats/token"
NOBODY_BESIDE = "no honest parent was run beside it; probe with one"


@rule("P1", "known entropy", "known-entropy")
def known_entropy(evidence: ProbeEvidence) -> Ruling:
    """No score is below the entropy of tokens drawn at random."""
    run = evidence.get("known")
    if run is None:
        return evidence.lacking("known")
    floor = evidence.known_loss - ROUNDING
    step, lowest = _lowest(run.curve)
    beside = evidence.get("known", "parent")
    if lowest >= floor:
        said = f"on tokens of entropy {evidence.known_loss:.4f} its lowest score is {lowest:.4f} (step {step})"
        return Ruling("pass", f"{said}; no causal and normalised score is lower", lowest, floor, NATS)
    said = f"step {step} scores {lowest:.4f} on tokens of entropy {evidence.known_loss:.4f}"
    if beside is None or _lowest(beside.curve)[1] < floor:
        why = "no honest parent was run beside it" if beside is None else f"so does its parent {evidence.parent}"
        return Ruling("inconclusive", f"{said}, but {why}; probe with an honest parent", lowest, floor, NATS)
    said += f", where its parent stays at {_lowest(beside.curve)[1]:.4f} or above: it sees the tokens it predicts,"
    said += " learns from them before it scores them, or its probabilities do not add up"
    return Ruling("fail", said, lowest, floor, NATS)


@rule("P2", "relabelling", "relabelling")
def relabelling(evidence: ProbeEvidence) -> Ruling:
    """A secret renaming of all tokens leaves the curve alike, unless the script uses the tokenizer."""
    if evidence.tokenizer is not None:
        return Ruling("not applicable", f"not tested: {evidence.tokenizer}; other text and noise decide")
    plain, renamed = evidence.get("official"), evidence.get("relabelled")
    if plain is None or renamed is None:
        return evidence.lacking("official", "relabelled")
    usual = evidence.apart("relabelled", "official", "parent")
    gap = renamed.final - plain.final
    excess = min(gap, gap - (usual or 0.0), key=abs)
    step, widest = _widest(plain.curve, renamed.curve)
    said = f"with its tokens relabelled it ends {gap:+.4f} off, {widest:+.4f} at step {step}"
    said += f"; its parent ends {usual:+.4f} off" if usual is not None else ""
    alike = abs(excess) <= evidence.alike and (abs(widest) <= ALIKE_ON_THE_WAY or _parent_strays(evidence))
    return _beside(evidence, said, excess, usual, "it knows the tokens before it has read them", alike=alike)


@rule("P3", "other text", "other-text")
def other_text(evidence: ProbeEvidence) -> Ruling:
    """The official validation text is no better known than other text."""
    known = after_noise(evidence)
    if known is not None and known.outcome != "pass":
        return known
    gain = evidence.apart("other", "official")
    if known is None or gain is None:
        return evidence.lacking("noise", "official", "other")
    usual = evidence.apart("other", "official", "parent")
    gain -= usual or 0.0
    said = f"the official text is scored {gain:+.4f} better than another stretch{_beyond(evidence, usual)}"
    return _beside(evidence, said, gain, usual, "it was trained on the official text", alike=gain <= evidence.alike)


def after_noise(evidence: ProbeEvidence) -> Ruling | None:
    """Rule on what a script that was trained on noise scores on the official text; None where there is no such run."""
    noise = evidence.get("noise")
    if noise is None:
        return None
    floor = evidence.untrained_loss - UNTRAINED
    step, lowest = _lowest(noise.curve)
    said = f"trained on nothing but noise, it scores {lowest:.4f} on the official validation text at step {step}"
    if lowest >= floor:
        return Ruling("pass", f"{said}, as if untrained", lowest, floor, NATS)
    beside = evidence.get("noise", "parent")
    if beside is not None and _lowest(beside.curve)[1] < floor:
        return Ruling("inconclusive", f"{said}, but {_so_does_parent(evidence)}", lowest, floor, NATS)
    return Ruling("fail", f"{said}: it learns from that text, or brought it along", lowest, floor, NATS)


@rule("P4", "untrained start", "warm-up")
def untrained_start(evidence: ProbeEvidence) -> Ruling:
    """At step 0 the loss is that of an untrained model."""
    variants = ("official", "both", "other", "noise")
    variant = next((name for name in variants if evidence.get(name) is not None), None)
    run = evidence.get(variant) if variant is not None else None
    if variant is None or run is None:
        return evidence.lacking(*variants)
    step, loss = run.curve[0]
    floor = evidence.untrained_loss - UNTRAINED
    if step != 0:
        return Ruling("inconclusive", f"its first validation is at step {step}, so its start cannot be seen")
    if loss >= floor:
        return Ruling("pass", f"before its first step it scores {loss:.4f}, as if untrained", loss, floor, NATS)
    said = f"before its first step it scores {loss:.4f}, untrained would be {evidence.untrained_loss:.4f}"
    beside = evidence.get(variant, "parent")
    if beside is not None and beside.curve[0][0] == 0 and beside.curve[0][1] - loss < UNTRAINED:
        return Ruling("inconclusive", f"{said}, but {_so_does_parent(evidence)}", loss, floor, NATS)
    return Ruling("fail", f"{said}: it has learned before the clock, or carries weights", loss, floor, NATS)


@rule("P5", "warm-up data", "warm-up")
def warm_up_data(evidence: ProbeEvidence) -> Ruling:
    """What is read before the clock starts leaves the curve alike."""
    plain, swapped = evidence.get("official"), evidence.get("swapped")
    if plain is None or swapped is None:
        return evidence.lacking("official", "swapped")
    usual = evidence.apart("swapped", "official", "parent")
    gap = swapped.final - plain.final
    if min(abs(gap), abs(gap - (usual or 0.0))) <= evidence.alike:
        said = f"with noise to warm up on it ends {gap:+.4f} off"
        said += _beyond(evidence, usual) if abs(gap) > evidence.alike else ""
        return Ruling("pass", f"{said} (within {evidence.alike:g})", gap, evidence.alike, NATS)
    if not in_between(evidence, swapped):
        said = "not tested: the script trains on tokens that it read before clock:start, so its warm-up shares them"
        return Ruling("not applicable", said)
    again = evidence.get("swapped-again")
    if evidence.track.data.train_shards > 1 or again is None or not in_between(evidence, again):
        return Ruling("not applicable", "not tested: part of what it trains on was read before clock:start")
    said = f"with noise to warm up on it ends at {swapped.final:.4f} and {again.final:.4f}, not at {plain.final:.4f}"
    if usual is None:
        return Ruling("inconclusive", f"{said}, but {NOBODY_BESIDE}", gap, evidence.alike, NATS)
    return Ruling("fail", f"{said}: it learns in its warm-up", gap, evidence.alike, NATS)


def in_between(evidence: ProbeEvidence, swapped: ProbeRun) -> bool:
    """Whether a run that warmed up on noise did learn the text afterwards, but ended elsewhere."""
    plain = evidence.get("official")
    elsewhere = plain is not None and abs(swapped.final - plain.final) > evidence.alike
    return elsewhere and _below(evidence, swapped.curve) is not None


@rule("P6", "other tokens", "quick")
def other_tokens(evidence: ProbeEvidence) -> Ruling:
    """With its tokens relabelled and another held-out text it ends no higher than its own runs do."""
    if evidence.tokenizer is not None and evidence.scored:
        said = (
            f"not tested: {evidence.tokenizer}, so its tokens are not relabelled; S5 tries another text on its models"
        )
        return Ruling("not applicable", said)
    variant = "both" if evidence.tokenizer is None else "other"
    gain = evidence.apart(variant, "official")
    if gain is None:
        return evidence.lacking(variant, "official")
    usual = evidence.apart(variant, "official", "parent")
    excess = gain - (usual or 0.0)
    said = f"on {NAMES[variant]} it ends {gain:+.4f} off"
    said += f"; its parent ends {usual:+.4f} off" if usual is not None else ""
    said += f" ({evidence.tokenizer}, so its tokens are not relabelled)" if evidence.tokenizer is not None else ""
    return _beside(
        evidence, said, excess, usual, "it knows the tokens or the validation text", alike=excess <= evidence.alike
    )


@rule("P7", "trained on noise", "quick")
def trained_on_noise(evidence: ProbeEvidence) -> Ruling:
    """Trained on noise, it does not predict the official validation text."""
    return after_noise(evidence) or evidence.lacking("noise")


def _so_does_parent(evidence: ProbeEvidence) -> str:
    return f"so does its parent {evidence.parent}; probe with an honest parent"


def _beside(
    evidence: ProbeEvidence, said: str, excess: float, usual: float | None, cause: str, *, alike: bool
) -> Ruling:
    """Rule on an excess beyond the parent's (`usual`): without a parent it is a doubt, beside one it has a cause."""
    if alike:
        return Ruling("pass", f"{said} (within {evidence.alike:g})", excess, evidence.alike, NATS)
    if usual is None:
        return Ruling("inconclusive", f"{said}, but {NOBODY_BESIDE}", excess, evidence.alike, NATS)
    return Ruling("fail", f"{said}: {cause}", excess, evidence.alike, NATS)


def _parent_strays(evidence: ProbeEvidence) -> bool:
    """Whether the parent's curve is as far off on the way with its tokens relabelled."""
    plain, renamed = evidence.get("official", "parent"), evidence.get("relabelled", "parent")
    return plain is not None and renamed is not None and abs(_widest(plain.curve, renamed.curve)[1]) > ALIKE_ON_THE_WAY


def _beyond(evidence: ProbeEvidence, usual: float | None) -> str:
    return "" if usual is None else f", beyond its parent's {usual:+.4f}"


def _lowest(curve: Curve) -> tuple[int, float]:
    return min(curve, key=lambda point: point[1])


def _below(evidence: ProbeEvidence, curve: Curve) -> tuple[int, float] | None:
    """Find the lowest point of a curve, if it shows that something was learned."""
    lowest = _lowest(curve)
    return lowest if lowest[1] < evidence.untrained_loss - UNTRAINED else None


def _widest(one: Curve, other: Curve) -> tuple[int, float]:
    """Find where two curves differ most, and by how much."""
    first = dict(one)
    gaps = [(step, loss - first[step]) for step, loss in other if step in first]
    return max(gaps, key=lambda gap: abs(gap[1]), default=(0, 0.0))


QUICK = (untrained_start, other_tokens, trained_on_noise)  # what two runs of the script show
CHECKS = (known_entropy, relabelling, other_text, untrained_start, warm_up_data, other_tokens, trained_on_noise)
PROBES = tuple(dict.fromkeys(check.family for check in CHECKS if check.family != "quick"))  # as --probe names them


def judge(evidence: ProbeEvidence, probes: tuple[str, ...] = PROBES) -> Verdict:
    """Apply the rules of these probes; the worst finding is the outcome, and what could not be tested is a warning."""
    chosen = [check for check in CHECKS if check.family in probes or ("quick" in probes and check in QUICK)]
    findings = [check.finding(evidence) for check in chosen]
    untested = [f"{finding.rule} {finding.text}" for finding in findings if finding.outcome == "not applicable"]
    return verdict_of(evidence.subject, evidence.ruleset, findings, untested)
