"""Choose the runs of a probe: which prepared tokens the script is run on, and which honest script beside it."""

from dataclasses import dataclass

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.verdict import probe_rules
from harness.verdict.probe_rules import Role

VARIANTS: dict[str, tuple[str, ...]] = {
    "known-entropy": ("known",),
    "relabelling": ("official", "relabelled"),
    "other-text": ("official", "other", "noise"),
    "warm-up": ("official", "swapped"),
}


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What a probe is going to do: printed by `--plan`, then done."""

    subject: Subject
    parent: Subject | None  # an honest script to run beside it
    probes: tuple[str, ...]

    @property
    def runs(self) -> tuple[tuple[Role, str], ...]:
        """Every run, the two scripts side by side on the same tokens."""
        variants = [name for name in probe_rules.NAMES if any(name in VARIANTS[probe] for probe in self.probes)]
        roles: tuple[Role, ...] = ("own", "parent") if self.parent is not None else ("own",)
        return tuple((role, variant) for variant in variants for role in roles)

    @property
    def train_tokens(self) -> int:
        """How many tokens the script reads that reads more."""
        return max(self.subject.train_tokens, self.parent.train_tokens if self.parent else 0)


def plan(catalog: Catalog, subject: Subject, names: tuple[str, ...]) -> ProbePlan:
    """Choose the runs of the named probes and the honest script beside them: the parent, else the current record.

    Where that has no script here, it is the best record that has one. A record is probed beside the record before it;
    the first of a track stands alone.
    """
    probes = tuple(name for name in probe_rules.PROBES if name in names)
    return ProbePlan(subject, _parent(catalog, subject), probes)


def _parent(catalog: Catalog, subject: Subject) -> Subject | None:
    if subject.manifest is not None and subject.manifest.parent is not None:
        named = catalog.record(subject.manifest.parent)
        if catalog.has_script(named):
            return catalog.script_here(named)
    mine = subject.record
    others = catalog.best_with_script(subject.track, lambda record: mine is None or record.number < mine.number)
    return next((other for other in others if other.chain != subject.chain), None)
