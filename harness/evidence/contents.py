"""The evidence that a verdict rests on, as values."""

from dataclasses import dataclass, field

from harness.core.measurement import Metrics
from harness.core.task import Manifest, Ruleset, Track
from harness.store.sessions import Session


@dataclass(frozen=True, slots=True)
class LedgerExtract:
    """The chain of ledger entries of one script, as far as the judge needs it."""

    runs_started: tuple[str, ...]  # ids of all that count, in order
    problems: tuple[str, ...]  # gaps, edits and reorderings, each naming its line
    log_hashes: dict[str, str | None] = field(default_factory=dict)  # id -> sha256 of the scrubbed log
    n_max: int | None = None  # how many runs a test may look at, declared before the first
    aborted: tuple[str, ...] = ()  # ids of those that did not finish, which have no final loss
    open: tuple[str, ...] = ()  # ids of runs that have no end yet on this machine
    absent: tuple[str, ...] = ()  # tasks of other machines that were declared and did not come back complete
    scripts_before: int = 0  # other scripts of the same folder that had judged runs
    others_tried: int | None = None  # scripts, of any folder, that were run on this track here before it


@dataclass(frozen=True, slots=True)
class ParentText:
    """The text of the script that a submission builds on."""

    name: str  # of the record
    hashes: frozenset[str] = frozenset()  # sha256 of its files
    files: tuple[tuple[str, bytes], ...] | None = None  # None where they are not on this machine


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a verdict may look at."""

    subject: str  # "records/smoke/2026-11-21_muon"
    track: Track
    ruleset: Ruleset
    runs: tuple[Metrics, ...]
    script_sha256: str | None = None  # of the frozen entry script
    manifest: Manifest | None = None
    claim: str | None = None  # ml or systems
    ledger: LedgerExtract | None = None
    files: tuple[tuple[str, bytes], ...] = ()  # all frozen files, the entry among them
    parent: ParentText | None = None  # None: it names no parent, or its ruleset asks for nothing of it
    baseline: tuple[Metrics, ...] = ()  # finished runs of the parent on the machine of these runs
    beside: str | None = None  # the script whose runs those are, or should be: "records/…"; None where there is none
    baseline_doubt: str | None = None  # why runs of the parent that are there cannot be believed, as a clause
    baseline_aborted: int = 0  # how many of the parent's runs were aborted
    contradictions: tuple[str, ...] = ()  # what run files say otherwise than ledger and script, as sentences
    packed: bool = False  # it came with a submission or a record, and was not made on this machine
    session: Session | None = None  # whose fresh runs these are; None: all that count of whoever made them
    altered: tuple[str, ...] = ()  # files of runs that are not those that the ledger hashed, as sentences

    @property
    def scripts_before(self) -> int:
        """How many other scripts of the same folder were tried."""
        return self.ledger.scripts_before if self.ledger is not None else 0

    @property
    def aborted(self) -> tuple[str, ...]:
        """The ids of counted runs that did not finish."""
        return self.ledger.aborted if self.ledger is not None else ()

    @property
    def is_parent_beside(self) -> bool:
        """Whether the runs beside are the parent's, and not another honest script's in its place."""
        return not self.requires("work") or (self.parent is not None and self.parent.name == self.beside)

    def requires(self, family: str) -> bool:
        """Whether the ruleset asks for this family of evidence."""
        return family in self.ruleset.evidence
