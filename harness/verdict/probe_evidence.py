"""What a probe has to show: the runs of a script on prepared tokens, and those of an honest parent beside it."""

from dataclasses import dataclass, field
from typing import Literal

from harness.core.task import Track
from harness.verdict.checks import Ruling

Role = Literal["own", "parent"]
Curve = tuple[tuple[int, float], ...]  # (step, val_loss)

ALIKE = {"synthetic": 0.03, "hub": 0.01}  # final losses


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """What one run on prepared data printed."""

    curve: Curve
    failure: str | None = None  # how it ended, where it did not finish

    @property
    def final(self) -> float:
        return self.curve[-1][1]


@dataclass(frozen=True, slots=True)
class ProbeEvidence:
    """The runs of a script on prepared data, and of an honest parent on the same machine."""

    subject: str
    ruleset: str
    track: Track
    known_loss: float  # the least that anybody scores on the source of known entropy, nats per token
    untrained_loss: float  # ln of the size of the alphabet
    runs: dict[tuple[Role, str], ProbeRun]
    parent: str | None = None  # its name
    usual: dict[Role, float] = field(default_factory=dict)  # what a script ends at on the track's own tokens otherwise
    tokenizer: str | None = None  # where the script uses the tokenizer, so that its ids cannot be renamed
    scored: bool = False  # the models of the session's own runs are scored, on another text too (S5)

    def get(self, variant: str, role: Role = "own") -> ProbeRun | None:
        """Return a run that finished and printed losses, else None."""
        run = self.runs.get((role, variant))
        return run if run is not None and run.failure is None and run.curve else None

    def lacking(self, *variants: str) -> Ruling:
        """Rule where one of these runs has nothing to show."""
        said = []
        for variant in variants:
            run = self.runs.get(("own", variant))
            if run is not None and self.get(variant) is None:
                said.append(f"the run on {NAMES[variant]} {run.failure or 'printed no validation loss'}")
        return Ruling("inconclusive", "; ".join(said) or "its runs were not made")

    @property
    def alike(self) -> float:
        return ALIKE[self.track.data.source]

    def apart(self, one: str, other: str, role: Role = "own") -> float | None:
        """Return by how much a script ends higher on one variant than on another; None where a run is lacking."""
        first, second = self.final(one, role), self.final(other, role)
        return first - second if first is not None and second is not None else None

    def final(self, variant: str, role: Role = "own") -> float | None:
        """Return the final loss on a variant; on the track's own tokens that of the script's runs will do."""
        run = self.get(variant, role)
        if run is None:
            return self.usual.get(role) if variant == "official" else None
        return run.final


# What a run is given; the keys are the names of its folders.
NAMES = {
    "official": "the track's own tokens",
    "both": "relabelled tokens, with another held-out text",
    "known": "tokens of known entropy",
    "relabelled": "relabelled tokens",
    "other": "another held-out text",
    "noise": "noise, with the official validation text",
    "swapped": "noise until the clock started",
}
