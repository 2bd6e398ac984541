"""One candidate's session of fresh runs: what it is made with, what is there of it, and why it stops."""

import dataclasses
import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.compare import interleaving, joining
from harness.core.judgement import Verdict
from harness.dataset.progress import Progress
from harness.evidence.contents import Evidence
from harness.launch.launcher import Launcher
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.maintain import session_judgement, session_price
from harness.maintain.session_price import Price
from harness.run import execution, judging, priming, series
from harness.store import run_files, weights
from harness.store.comparisons import Comparison, read_comparisons
from harness.store.entries import Chain
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.sessions import Session


@dataclass(frozen=True, slots=True)
class Shown:
    """How a person is told what goes on."""

    say: Callable[[str], None]
    watch: Callable[[Subject], series.Watcher]
    comparing: Callable[[interleaving.Plan], interleaving.Watcher]
    analysis: Callable[[Comparison], None]
    several: Callable[[joining.JointPlan], interleaving.Watcher]
    analysis_of: Callable[[Comparison, str], None]  # of the candidate with this letter
    priming: Callable[[Subject, str], Callable[[bytes], None]]  # a script, and the id of the run that primes it
    fetching: Callable[[], AbstractContextManager[Progress]]
    scorer: Callable[[Subject, str], series.Scorer]  # of a script, with the interpreter that its runs had


@dataclass(frozen=True, slots=True)
class Work:
    """One candidate's session, and with what it is made."""

    catalog: Catalog
    subject: Subject
    session: Session
    shown: Shown
    price: Price = dataclasses.field(default_factory=Price)
    launcher: Launcher = dataclasses.field(default_factory=TorchrunLauncher)
    checkout: Path | None = None
    allow_network: bool = True
    cold: bool = False  # asked for; a session goes on as it was begun
    beside: tuple[Session, ...] = ()  # of other candidates in the same go: one budget is for all

    @property
    def project(self) -> Project:
        return self.catalog.project

    @property
    def python(self) -> str:
        """The interpreter that the candidate's runs have."""
        return self.launcher.python if isinstance(self.launcher, TorchrunLauncher) else TorchrunLauncher().python

    @property
    def chain(self) -> Chain:
        """The ledger's entries of the candidate."""
        return Ledger(self.project.ledger).chain(self.subject.chain)

    @property
    def finished(self) -> list[str]:
        """The runs of the session that finished, in the order of the ledger."""
        own = {*self.session.runs_of(chain := self.chain)}
        return [run_id for run_id in chain.finished if run_id in own]

    @property
    def is_timed(self) -> bool:
        return self.subject.track.metric == "train_time"

    def judged(self) -> tuple[Evidence, Verdict]:
        """Judge the runs of the session so far."""
        return judging.verify(self.catalog, self.subject, session=self.session)


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a session ends before everything is there."""

    final: bool  # refused; else the same command goes on
    reasons: tuple[str, ...]
    verdict: Verdict | None = None


def unpaid(work: Work) -> Stop | None:
    """Stop for now where the next run would exceed the budget."""
    together, warm = (work.session, *work.beside), is_warm(work)
    why = session_price.unpaid(work.project, work.subject, together, work.price, warm=warm)
    return Stop(False, (why,)) if why is not None else None


def failed(work: Work) -> Stop | None:
    """Stop where a rule has failed that no further run can repair."""
    if not work.finished:
        return None
    verdict = work.judged()[1]
    reasons = session_judgement.failing(verdict)
    return Stop(True, tuple(reasons), verdict) if reasons else None


def has_weights(project: Project, run_id: str) -> bool:
    """Tell whether the weights that a run saved wait to be scored."""
    return weights.kept_file(run_files.run_folder(project, run_id)).is_file()


def prepare(work: Work, script: Subject) -> execution.Prepared:
    """Check the machine and fetch the tokens of a script whose runs are scored."""
    here = computer.capture()
    computer.check(here, script.track)
    with work.shown.fetching() as progress:
        ready = execution.prepare(script, here, allow_network=work.allow_network, progress=progress)
    planned = work.session.declared if script.chain == work.subject.chain else None
    ready = dataclasses.replace(ready, planned=planned, scored=True)
    if not is_warm(work):
        return ready
    watch, series = functools.partial(work.shown.priming, script), f"{work.session.id}.prime"
    return dataclasses.replace(ready, cache=priming.prime(work.project, ready, work.launcher, watch, series))


def own_comparison(project: Project, session: Session) -> Comparison | None:
    """Read the comparison of a session; None where it has not begun."""
    mine = (session.comparison, session.script_sha256)
    return next((c for c in read_comparisons(project) if (c.series, c.b.script_sha256) == mine), None)


def is_warm(work: Work) -> bool:
    """Tell whether the runs of a session start from filled compile caches: all of them, or none.

    Its comparison says so, else the first run that it made, else what is asked for.
    """
    if not priming.is_primed(work.subject.track):
        return False
    comparison = own_comparison(work.project, work.session)
    if comparison is not None:
        return comparison.caches == "warm"
    for run_id in work.finished[:1]:
        return run_files.read_run_file(run_files.run_folder(work.project, run_id)).cache is not None
    return not work.cold
