"""Choose the runs of a probe: which prepared tokens the script is run on, and which honest script beside it."""

from dataclasses import dataclass, field

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core import stats
from harness.core.errors import HarnessError, StoreError
from harness.probe import stored
from harness.run import judging
from harness.store.caches import StoredCache
from harness.verdict import probe_rules
from harness.verdict.probe_evidence import NAMES, Role
from harness.verdict.scan.tokenizer import find_tokenizer

VARIANTS: dict[str, tuple[str, ...]] = {
    "known-entropy": ("known",),
    "relabelling": ("official", "relabelled"),
    "other-text": ("official", "other", "noise"),
    "warm-up": ("official", "swapped"),
    "quick": ("official", "both", "noise"),
}
QUICK = ("quick",)


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What a probe is going to do: printed by `--plan`, then done."""

    subject: Subject
    parent: Subject | None  # an honest script to run beside it
    probes: tuple[str, ...]
    usual: dict[Role, float] = field(default_factory=dict)  # final loss of finished runs on the track's own tokens
    tokenizer: str | None = None  # where the script uses the tokenizer, so that relabelling it says nothing
    scored: bool = False  # S5 holds another text against the models of the same session
    probed: bool = False  # the parent's stored quick probe passed P7, so that its run on noise has nothing to tell
    # Compile caches that the runs start from, where those that they shall not be told from do so; a script without: empty.
    caches: dict[Role, StoredCache] = field(default_factory=dict)

    @property
    def runs(self) -> tuple[tuple[Role, str], ...]:
        """Every run, the two scripts side by side on the same tokens."""
        wanted = {variant for probe in self.probes for variant in VARIANTS[probe]}
        if self.tokenizer is not None and self.scored and self.probes == QUICK:
            wanted = {"noise"}  # what another text alone would show is S5's question, which asks it more sharply
        elif self.tokenizer is not None:
            wanted = {"other" if variant == "both" else variant for variant in wanted - {"relabelled"}}
        roles: tuple[Role, ...] = ("own", "parent") if self.parent is not None else ("own",)
        known: set[tuple[Role, str]] = {(role, "official") for role in self.usual}
        if self.probed and self.probes == QUICK:
            known.add(("parent", "noise"))
        pairs = [(role, variant) for variant in NAMES if variant in wanted for role in roles]
        return tuple(pair for pair in pairs if pair not in known)

    @property
    def train_tokens(self) -> int:
        """How many tokens the script reads that reads more."""
        return max(self.subject.train_tokens, self.parent.train_tokens if self.parent else 0)


def plan(catalog: Catalog, subject: Subject, names: tuple[str, ...]) -> ProbePlan:
    """Choose the runs of the named probes, or of QUICK, and the honest script beside them: the parent, else the record.

    Where that has no script here, it is the best record that has one. A record is probed beside the record before it;
    the first of a track stands alone.
    """
    parent = _parent(catalog, subject)
    probes = QUICK if names == QUICK else tuple(name for name in probe_rules.PROBES if name in names)
    scripts: dict[Role, Subject | None] = {"own": subject, "parent": parent}
    # What a script ends at on one secret source says nothing about another.
    comparable = probes == QUICK and subject.ruleset.above_entropy is None
    losses = {role: _usual_loss(catalog, script) for role, script in scripts.items() if script and comparable}
    usual = {role: loss for role, loss in losses.items() if loss is not None}
    return ProbePlan(subject, parent, probes, usual, tokenizer_of(subject), probed=_is_probed(catalog, parent))


def tokenizer_of(subject: Subject) -> str | None:
    """Return where a script uses a tokenizer, None where it does not."""
    return find_tokenizer(subject.contents)


def _is_probed(catalog: Catalog, parent: Subject | None) -> bool:
    """Tell whether a script is a record's whose stored quick probe shows that it predicts nothing after noise (P7)."""
    if parent is None or parent.record is None:
        return False
    path = catalog.folder(parent.record) / stored.FOLDER / stored.EVIDENCE
    try:
        found = stored.read_stored(path, name=f"{parent.name}/{stored.FOLDER}/{stored.EVIDENCE}")
    except StoreError:  # no session made it; what is damaged is told by check
        return False
    ruled = {finding.rule: finding.outcome for finding in stored.judge_stored(found, parent.track).findings}
    return found.script_sha256 == parent.chain and ruled.get("P7") == "pass"


def _usual_loss(catalog: Catalog, script: Subject) -> float | None:
    """Average the final losses of a script's judged runs, packed or of this machine; None where there are none."""
    try:
        runs = judging.verify(catalog, script)[0].runs
    except HarnessError:
        return None
    losses = [run.val_loss for run in runs if run.val_loss is not None]
    return stats.mean(losses) if losses else None


def _parent(catalog: Catalog, subject: Subject) -> Subject | None:
    if subject.manifest is not None and subject.manifest.parent is not None:
        named = catalog.record(subject.manifest.parent)
        if catalog.has_script(named):
            return catalog.script_here(named)
    mine = subject.record
    others = catalog.best_with_script(subject.track, lambda record: mine is None or record.number < mine.number)
    return next((other for other in others if other.chain != subject.chain), None)
