"""Make the runs of a probe, the unmodified script on prepared tokens beside an honest parent, and judge what they show.

    choose the runs → fetch the track's tokens → for each variant of them: prepare it, run, remove it → judge

Probe runs say nothing about a record: they lie in `.runs/probes/`, not among the runs, and the ledger names their
purpose, so that they never count. Each is made as any run is made, under the same names and in the same places, and is
moved to the probe's folder when it has ended: nothing tells a script that it is probed but what it reads. All runs of a
probe share one seed, drawn here, so that the tokens are all that differs between them.
"""

import shutil
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core import codec
from harness.core.errors import LogError
from harness.core.judgement import Verdict
from harness.dataset import fetching, prepared, probe_data
from harness.launch.launcher import Launcher
from harness.probe import material, stored
from harness.probe.material import Material, Swap
from harness.probe.probe_plan import ProbePlan
from harness.run import execution
from harness.run.failure import explain, run_error
from harness.run.series import Watcher
from harness.runlog import reader
from harness.store import run_files
from harness.store.files import write_atomic
from harness.store.layout import Project
from harness.verdict import probe_rules
from harness.verdict.probe_evidence import NAMES, ProbeEvidence, ProbeRun, Role

AGAIN = "start the same command again: a probe is judged as a whole"


def run(
    project: Project, plan: ProbePlan, tokens: Material, launcher: Launcher, watcher: Watcher, name: str | None = None
) -> tuple[Path, Verdict]:
    """Make the runs and judge them; return the folder that keeps their logs and verdict.json, and the verdict.

    name: of that folder; None: a new one. Raises RunError where the script's first run breaks; one that breaks later is
    told of in its finding.
    """
    folder, evidence = gather(project, plan, tokens, launcher, watcher, name)
    verdict = probe_rules.judge(evidence, plan.probes)
    runs = [{"role": role, "variant": variant} | codec.encode(run) for (role, variant), run in evidence.runs.items()]
    write_atomic(folder / "runs.json", codec.to_text(runs))
    write_atomic(
        folder / stored.EVIDENCE,
        stored.EVIDENCE_FORM.text(stored.stored_evidence(evidence, plan.probes, plan.subject.chain)),
    )
    write_atomic(folder / stored.VERDICT, codec.to_text(verdict))  # the last: a probe without it was interrupted
    return folder, verdict


def gather(
    project: Project, plan: ProbePlan, tokens: Material, launcher: Launcher, watcher: Watcher, name: str | None = None
) -> tuple[Path, ProbeEvidence]:
    """Make the runs of a plan; return the folder of their logs, and what there is to judge."""
    session = ProbeSession(project, plan, tokens, launcher, watcher, name)
    try:
        for role, variant in plan.runs:
            session.make(role, variant)
        swapped = session.made.get(("own", "swapped"))
        if swapped is not None and probe_rules.in_between(session.evidence(), swapped):
            session.make("own", "swapped", again=True)  # its ranks may have read on either side of the swap
        return session.folder, session.evidence()  # while the shards of a secret source are there
    finally:
        session.close()


class ProbeSession:
    """The runs of one probe, in one folder."""

    def __init__(
        self,
        project: Project,
        plan: ProbePlan,
        tokens: Material,
        launcher: Launcher,
        watcher: Watcher,
        name: str | None = None,
    ) -> None:
        self.project, self.plan, self.tokens = project, plan, tokens
        self.launcher, self.watcher = launcher, watcher
        self.folder = project.runs / run_files.PROBES / (name or run_files.new_run_id(plan.subject.script_sha256))
        self.folder.mkdir(parents=True)
        self.place = prepared.new_folder()
        self.prepared = self.place / "shards"
        self.variant = ""  # that is prepared now
        self.random = probe_data.fresh_random()
        self.seed = run_files.draw_seed()
        self.made: dict[tuple[Role, str], ProbeRun] = {}

    def close(self) -> None:
        """Throw away what was prepared, up to 2 GB."""
        prepared.discard(self.place)
        prepared.discard(self.tokens.fetched.folder)

    def evidence(self) -> ProbeEvidence:
        """Collect what there is to judge so far."""
        subject, parent = self.plan.subject, self.plan.parent
        return ProbeEvidence(
            subject=subject.name,
            ruleset=subject.ruleset.id,
            track=subject.track,
            known_loss=probe_data.known_entropy(subject.track, self.tokens.fetched.paths[0]),
            untrained_loss=probe_data.untrained_loss(subject.track),
            runs=dict(self.made),
            parent=parent.name if parent else None,
            usual=self.plan.usual,
            tokenizer=self.plan.tokenizer,
            scored=self.plan.scored,
        )

    def make(self, role: Role, variant: str, *, again: bool = False) -> None:
        """Make one run on a variant of the tokens, which both scripts share where no run changes it."""
        track, official = self.tokens.track, self.tokens.fetched.paths
        if variant != self.variant or variant == "swapped":
            material.write_variant(track, official, variant, self.prepared, self.random)
            self.variant = variant
        script = self.plan.subject if role == "own" else self.plan.parent
        assert script is not None
        self.made[role, variant + ("-again" if again else "")] = self.execute(script, role, variant)

    def execute(self, script: Subject, role: Role, variant: str) -> ProbeRun:
        """Make one run as any other, read its curve, and move it to the probe's folder; Ctrl-C ends it and is raised."""
        number = len(self.made) + 1
        offered = self.tokens.offered(script.track, self.prepared, script.train_tokens)
        processes = script.track.hardware.processes
        ready = execution.Prepared(
            script, self.tokens.machine, script.track, offered, False, processes, purpose="probe", seed=self.seed,
            cache=self.plan.caches.get(role),
        )  # fmt: skip
        title = f"{'the script' if role == 'own' else 'its parent'} on {NAMES[variant]}"
        run_id = run_files.new_run_id(script.script_sha256)
        watch = self.watcher(run_id, number, max(number, len(self.plan.runs)), title)
        if variant == "swapped":
            given = fetching.given_folder(self.project.runs / run_id / run_files.WORK)
            watch = Swap(self.prepared, given, self.tokens.fetched.paths, len(script.script)).before(watch)
        folder = self.folder / f"{number:02d}-{role}-{variant}-{run_id}"
        try:
            outcome = execution.execute(self.project, ready, run_id, self.folder.name, self.launcher, watch)
        finally:
            made = self.project.runs / run_id
            shutil.rmtree(made / run_files.WORK, ignore_errors=True)
            if made.exists():
                made.rename(folder)
        if outcome.state == "finished":
            return read_probe_run(folder)
        if not self.made:
            raise run_error(self.project, folder, outcome, "the first run", again=AGAIN)
        return ProbeRun((), explain(folder, outcome)[0])


def read_probe_run(folder: Path) -> ProbeRun:
    """Read the validation curve of a run that finished."""
    try:
        log, _ = reader.read_stamped((folder / run_files.LOG).read_bytes(), run_files.LOG)
    except (LogError, OSError):
        return ProbeRun(())
    return ProbeRun(tuple((step, loss) for step, loss, _ in log.curve))
