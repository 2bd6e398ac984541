"""Choose the runs of a probe: which prepared tokens the script is run on, and which honest script beside it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.catalog import subjects
from harness.catalog.ranking import rank
from harness.catalog.subjects import Subject
from harness.store import records
from harness.store.layout import Project
from harness.verdict import probe_rules
from harness.verdict.probe_rules import Role

OWN: dict[str, tuple[str, ...]] = {
    "known-entropy": ("known",),
    "relabelling": ("official", "relabelled"),
    "other-text": ("official", "other", "noise"),
    "warm-up": ("official", "swapped"),
}
PARENT: dict[str, tuple[str, ...]] = {"known-entropy": ("known",), "other-text": ("official", "other")}


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What a probe is going to do: printed by `--plan`, then done."""

    subject: Subject
    parent: Subject | None  # an honest script to run beside it
    probes: tuple[str, ...]

    @property
    def runs(self) -> tuple[tuple[Role, str], ...]:
        """Every run, the two scripts side by side on the same tokens."""
        runs: list[tuple[Role, str]] = []
        for variant in probe_rules.NAMES:
            if any(variant in OWN[name] for name in self.probes):
                runs.append(("own", variant))
            if self.parent is not None and any(variant in PARENT.get(name, ()) for name in self.probes):
                runs.append(("parent", variant))
        return tuple(runs)

    @property
    def train_tokens(self) -> int:
        """How many tokens the script reads that reads more."""
        return max(self.subject.train_tokens, self.parent.train_tokens if self.parent else 0)


def plan(project: Project, subject: Subject, names: tuple[str, ...]) -> ProbePlan:
    """Choose the runs of the named probes and the honest script beside them: the parent, else the current record.

    Where that has no script here, it is the best record that has one. A record is probed beside the record before it;
    the first of a track stands alone.
    """
    probes = tuple(name for name in probe_rules.PROBES if name in names)
    parent = _parent(project, subject) if any(name in PARENT for name in probes) else None
    return ProbePlan(subject, parent, probes)


def _parent(project: Project, subject: Subject) -> Subject | None:
    if subject.manifest is not None and subject.manifest.parent is not None:
        folder = records.find_record(project, subject.manifest.parent)
        if (folder / records.SCRIPT).is_dir():
            return subjects.record(project, folder)
    known = [r for r in records.read_records(project) if r.track == subject.track.name and r.withdrawn is None]
    if subject.record is not None:
        known = [record for record in known if record.number < subject.record.number]
    for record in rank(subject.track, known):
        folder = project.records / record.track / record.slug
        if (folder / records.SCRIPT).is_dir():
            parent = subjects.record(project, folder)
            if parent.chain != subject.chain:
                return parent
    return None
