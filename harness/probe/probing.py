"""Make the runs of a probe, the unmodified script on prepared tokens beside an honest parent, and judge what they show.

    choose the runs → fetch the track's tokens → for each variant of them: prepare it, run, remove it → judge

Probe runs say nothing about a record: they lie in `.runs/probes/`, not among the runs, and the ledger names their
purpose, so that they never count. All runs of a probe share one seed, drawn here, so that the tokens are all that
differs between them.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core import codec
from harness.core.errors import LogError
from harness.core.judgement import Verdict
from harness.core.measurement import RunOutcome
from harness.dataset import probe_data
from harness.launch.launcher import Interrupted, Launcher, LaunchPlan
from harness.probe.material import AFTER, BEFORE, Tokens, hold, lay_out, remove_leftovers, write_variant
from harness.probe.probe_plan import ProbePlan
from harness.run import ending
from harness.run.failure import explain, run_error
from harness.run.series import Watcher
from harness.runlog import reader
from harness.store import run_files
from harness.store.entries import Started
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project, cache_folder
from harness.store.ledger import Ledger
from harness.verdict import probe_rules
from harness.verdict.probe_rules import ProbeEvidence, ProbeRun, Role

AGAIN = "start the same command again: a probe is judged as a whole"


def run(
    project: Project, plan: ProbePlan, tokens: Tokens, launcher: Launcher, watcher: Watcher
) -> tuple[Path, Verdict]:
    """Make the runs and judge them; return the folder that keeps their logs and verdict.json, and the verdict.

    Raises RunError where the script's first run breaks; one that breaks later is told of in its finding.
    """
    folder, evidence = gather(project, plan, tokens, launcher, watcher)
    verdict = probe_rules.judge(evidence, plan.probes)
    write_atomic(folder / "verdict.json", codec.to_text(verdict))
    return folder, verdict


def gather(
    project: Project, plan: ProbePlan, tokens: Tokens, launcher: Launcher, watcher: Watcher
) -> tuple[Path, ProbeEvidence]:
    """Make the runs of a plan; return the folder of their logs, and what there is to judge."""
    remove_leftovers(project)
    session = ProbeSession(project, plan, tokens, launcher, watcher)
    session.material.mkdir(parents=True)
    lock = hold(session.material)
    try:
        for variant in dict.fromkeys(variant for _, variant in plan.runs):
            session.make(variant)
        swapped = session.made.get(("own", "swapped"))
        if swapped is not None and probe_rules.in_between(session.evidence(), swapped):
            session.make("swapped", again=True)  # its ranks may have opened their files on either side of the swap
    finally:
        shutil.rmtree(session.material, ignore_errors=True)  # up to 2 GB
        if lock is not None:
            os.close(lock)
    return session.folder, session.evidence()


class ProbeSession:
    """The runs of one probe, in one folder."""

    def __init__(self, project: Project, plan: ProbePlan, tokens: Tokens, launcher: Launcher, watcher: Watcher) -> None:
        self.project, self.plan, self.tokens = project, plan, tokens
        self.launcher, self.watcher = launcher, watcher
        self.folder = project.runs / run_files.PROBES / run_files.new_run_id(plan.subject.script_sha256)
        self.material = self.folder / "data"
        self.random = probe_data.fresh_random()
        self.seed = run_files.draw_seed()
        self.made: dict[tuple[Role, str], ProbeRun] = {}

    def evidence(self) -> ProbeEvidence:
        """Collect what there is to judge so far."""
        subject, parent = self.plan.subject, self.plan.parent
        return ProbeEvidence(
            subject=subject.name,
            ruleset=subject.ruleset.id,
            track=subject.track,
            known_loss=probe_data.known_entropy(subject.track),
            untrained_loss=probe_data.untrained_loss(subject.track),
            runs=dict(self.made),
            parent=parent.name if parent else None,
        )

    def make(self, variant: str, *, again: bool = False) -> None:
        """Prepare one variant of the tokens and make every run on it."""
        folder = self.material / variant
        paths = write_variant(self.plan.subject.track, self.tokens, variant, folder, self.random)
        for role, name in self.plan.runs:
            if name == variant:
                script = self.plan.subject if role == "own" else self.plan.parent
                assert script is not None
                self.made[role, variant + ("-again" if again else "")] = self.execute(script, role, variant, paths)
        shutil.rmtree(folder, ignore_errors=True)

    def execute(self, script: Subject, role: Role, variant: str, paths: tuple[Path, ...]) -> ProbeRun:
        """Make one run and read its curve; Ctrl-C ends it and is raised."""
        number = len(self.made) + 1
        folder = self.folder / f"{number:02d}-{role}-{variant}"
        launch = LaunchPlan(
            run_id=f"{self.folder.name}-{number:02d}",
            folder=folder,
            entry=script.entry,
            processes=script.track.hardware.processes,
            seed=self.seed,
            overrides=(),
            silence_limit_s=script.track.silence_limit_s,
            time_limit_s=script.track.time_limit_s,
            tokens=script.track.data.folder,
            offered=(folder / BEFORE, folder / AFTER),
            hidden=(self.project.root, cache_folder()),
            network="downloads while running" in script.ruleset.allowed,
            saves=script.saves,  # as any run of it, so that it cannot tell a probe by its arguments
        )
        title = f"{'the script' if role == 'own' else 'its parent'} on {probe_rules.NAMES[variant]}"
        watch = self.watcher(title, number, max(number, len(self.plan.runs)))
        try:
            swap = lay_out(script, folder, self.tokens, paths, swaps=variant == "swapped")
        except OSError as error:
            raise disk_error(folder, error) from error
        outcome = self.launch(script, launch, watch if swap is None else swap.before(watch))
        if outcome.state == "finished":
            return read_probe_run(folder)
        if not self.made:
            raise run_error(self.project, folder, outcome, "the first run", again=AGAIN)
        return ProbeRun((), explain(folder, outcome)[0])

    def launch(self, script: Subject, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        """Launch one run between its two entries of the ledger; only its small files stay."""
        ledger, folder = Ledger(self.project.ledger), plan.folder
        with run_files.held(folder):
            started = Started(
                script=script.chain, run=plan.run_id, series=self.folder.name, seed=plan.seed, purpose="probe"
            )
            ledger.append(started)
            before = ledger.snapshot()
            outcome = RunOutcome("lost", None, 0.0, "nobody saw it end")
            try:
                outcome = self.launcher.run(plan, watch)
            except Interrupted as stop:
                outcome = stop.outcome
                raise (stop.__cause__ or stop) from None
            finally:
                for name in (run_files.CACHE, run_files.WORK, run_files.SAVED, BEFORE, AFTER):
                    shutil.rmtree(folder / name, ignore_errors=True)
                outcome = ending.record_probe_end(ledger, folder, started, outcome, script.script, before)
        return outcome


def read_probe_run(folder: Path) -> ProbeRun:
    """Read the validation curve of a run that finished."""
    try:
        log = reader.read_bytes((folder / run_files.LOG).read_bytes(), run_files.LOG, curve=True)[-1]
    except (LogError, OSError):
        return ProbeRun(())
    return ProbeRun(tuple((step, loss) for step, loss, _ in log.curve))
