"""The story of a probe: the unmodified script on prepared tokens, beside an honest parent, and what that shows.

    choose the runs → have the track's tokens → for each kind of material: prepare it, run, throw it away → judge

Probe runs say nothing about a record: they lie in `.runs/probes/`, not among the runs, and the ledger never hears of
them. All runs of a probe share one seed, drawn here, so that the material is all that differs between them.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.catalog import subjects
from harness.catalog.ranking import rank
from harness.catalog.subjects import Subject
from harness.core import codec
from harness.core.errors import LogError, RunError
from harness.core.judgement import Verdict
from harness.dataset import fetching, probe_data
from harness.dataset.progress import Progress
from harness.launch.launcher import Launcher, LaunchPlan
from harness.machine import computer
from harness.run import execution, failure
from harness.runlog import grammar, reader
from harness.store import records, run_files
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project
from harness.verdict import probe_rules
from harness.verdict.probe_rules import ProbeEvidence, ProbeRun, Role

OWN: dict[str, tuple[str, ...]] = {
    "known-entropy": ("known",),
    "relabelling": ("official", "relabelled"),
    "other-text": ("official", "other", "noise"),
    "warm-up": ("official", "swapped"),
}
PARENT: dict[str, tuple[str, ...]] = {"known-entropy": ("known",), "other-text": ("official", "other")}
BEFORE, AFTER = "before", "after"  # folders of links to the tokens that a swap exchanges

Watcher = Callable[[str, int, int], Callable[[bytes], None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a probe is going to do: printed by `--plan`, then done."""

    subject: Subject
    parent: Subject | None  # an honest script to run beside it
    probes: tuple[str, ...]

    @property
    def runs(self) -> tuple[tuple[Role, str], ...]:
        """Every run, the two scripts side by side on the same material."""
        chosen: list[tuple[Role, str]] = []
        for variant in probe_rules.NAMES:
            if any(variant in OWN[name] for name in self.probes):
                chosen.append(("own", variant))
            if self.parent is not None and any(variant in PARENT.get(name, ()) for name in self.probes):
                chosen.append(("parent", variant))
        return tuple(chosen)

    @property
    def train_tokens(self) -> int:
        """What the hungrier of the two scripts reads."""
        return max(self.subject.train_tokens, self.parent.train_tokens if self.parent else 0)


def plan(project: Project, found: Subject, names: tuple[str, ...]) -> Plan:
    """Choose the runs of the named probes and the honest script beside them: the parent, else the current record.

    Where that has no script here, it is the best record that has one. A record is probed beside the record before it;
    the first of a track stands alone.
    """
    chosen = tuple(name for name in probe_rules.PROBES if name in names)
    parent = _parent(project, found) if any(name in PARENT for name in chosen) else None
    return Plan(found, parent, chosen)


def _parent(project: Project, found: Subject) -> Subject | None:
    if found.manifest is not None and found.manifest.parent is not None:
        folder = records.find_record(project, found.manifest.parent)
        if (folder / records.SCRIPT).is_dir():
            return subjects.record(project, folder)
    held = [r for r in records.read_records(project) if r.track == found.track.name and r.withdrawn is None]
    if found.record is not None:
        held = [r for r in held if r.number < found.record.number]
    for best in rank(found.track, held):
        folder = project.records / best.track / best.slug
        if (folder / "script").is_dir():
            other = subjects.record(project, folder)
            if other.chain != found.chain:
                return other
    return None


@dataclass(frozen=True, slots=True)
class Tokens:
    """The track's own tokens, and one more stretch of training text where the track has it."""

    fetched: fetching.Fetched
    spare: Path | None  # a training shard that neither script opens; None where the track draws its text


def prepare(chosen: Plan, *, progress: Progress | None = None) -> Tokens:
    """Check the machine, then have the track's tokens.

    Raises MachineError before anything is fetched, and DatasetError before anything is launched.
    """
    track = chosen.subject.track
    computer.check(computer.capture(), track)
    if track.data.source == "synthetic" or ("own", "other") not in chosen.runs:
        return Tokens(fetching.fetch_for(track, chosen.train_tokens, progress=progress), None)
    more = fetching.fetch_for(track, chosen.train_tokens + track.data.shard_tokens, progress=progress)
    receipt = dataclasses.replace(more.receipt, shards=more.receipt.shards[:-1])
    return Tokens(dataclasses.replace(more, paths=more.paths[:-1], receipt=receipt), more.paths[-1])


def run(project: Project, chosen: Plan, tokens: Tokens, launcher: Launcher, watcher: Watcher) -> tuple[Path, Verdict]:
    """Make the runs and judge them; the folder that keeps their logs and verdict.json, and the verdict.

    Raises RunError where the script's first run breaks; one that breaks later is told of in its finding.
    """
    folder, evidence = gather(project, chosen, tokens, launcher, watcher)
    verdict = probe_rules.judge(evidence, chosen.probes)
    write_atomic(folder / "verdict.json", codec.to_text(verdict))
    return folder, verdict


def gather(
    project: Project, chosen: Plan, tokens: Tokens, launcher: Launcher, watcher: Watcher
) -> tuple[Path, ProbeEvidence]:
    """Make the runs of a plan; the folder of their logs, and what there is to judge."""
    throw_away_what_was_left(project)
    sitting = Sitting(project, chosen, tokens, launcher, watcher)
    sitting.material.mkdir(parents=True)
    lock = _hold(sitting.material)
    try:
        for variant in dict.fromkeys(variant for _, variant in chosen.runs):
            sitting.make(variant)
        swapped = sitting.made.get(("own", "swapped"))
        if swapped is not None and probe_rules.in_between(sitting.evidence(), swapped):
            sitting.make("swapped", again=True)  # its ranks may have opened their files on either side of the swap
    finally:
        shutil.rmtree(sitting.material, ignore_errors=True)  # up to 2 GB
        if lock is not None:
            os.close(lock)
    return sitting.folder, sitting.evidence()


def throw_away_what_was_left(project: Project) -> None:
    """Remove the material of probes that were killed: nobody holds its lock."""
    for material in (project.runs / "probes").glob("*/data"):
        lock = _hold(material)
        if lock is not None:
            shutil.rmtree(material, ignore_errors=True)
            os.close(lock)


def _hold(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed, if only by the end of this process; None where it is taken."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


class Sitting:
    """The runs of one probe, in one folder."""

    def __init__(self, project: Project, chosen: Plan, tokens: Tokens, launcher: Launcher, watcher: Watcher) -> None:
        self.project, self.chosen, self.tokens = project, chosen, tokens
        self.launcher, self.watcher = launcher, watcher
        self.folder = project.runs / "probes" / run_files.new_run_id(chosen.subject.script_sha256)
        self.material = self.folder / "data"
        self.random = probe_data.fresh_random()
        self.seed = run_files.draw_seed()
        self.made: dict[tuple[Role, str], ProbeRun] = {}

    def evidence(self) -> ProbeEvidence:
        """What there is to judge so far."""
        found, parent = self.chosen.subject, self.chosen.parent
        return ProbeEvidence(
            subject=found.name,
            ruleset=found.ruleset.id,
            track=found.track,
            known_loss=probe_data.known_entropy(found.track),
            untrained_loss=probe_data.untrained_loss(found.track),
            runs=dict(self.made),
            parent=parent.name if parent else None,
        )

    def make(self, variant: str, *, again: bool = False) -> None:
        """Prepare one kind of material and make every run on it."""
        paths = self.prepare(variant)
        for role, name in self.chosen.runs:
            if name == variant:
                script = self.chosen.subject if role == "own" else self.chosen.parent
                assert script is not None
                self.made[role, variant + ("-again" if again else "")] = self.execute(script, role, variant, paths)
        shutil.rmtree(self.material / variant, ignore_errors=True)

    def prepare(self, variant: str) -> tuple[Path, ...]:
        """The shards of one kind, under the track's own names, validation first."""
        track, folder, draw = self.chosen.subject.track, self.material / variant, self.random
        val, *train = self.tokens.fetched.paths
        count = {s.name: s.tokens for s in self.tokens.fetched.receipt.shards}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if variant == "known":
            ids = probe_data.known_symbols(track, draw)
            for path in (val, *train):
                probe_data.write_uniform(folder / path.name, count[path.name], ids, draw)
        elif variant == "relabelled":
            table = probe_data.relabelling(track, draw)
            for path in (val, *train):
                probe_data.write_relabelled(path, folder / path.name, table)
        elif variant == "other" and self.tokens.spare is not None:
            (folder / val.name).symlink_to(self.tokens.spare)
        elif variant == "other":
            probe_data.write_other_stretch(track, folder / val.name, count[val.name], draw)
        elif variant in ("noise", "swapped"):
            for path in train:
                probe_data.write_uniform(folder / path.name, count[path.name], probe_data.alphabet(track), draw)
        return tuple(
            folder / path.name if (folder / path.name).exists() else path for path in self.tokens.fetched.paths
        )

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
        )
        watch = self.watcher(_title(role, variant), number, max(number, len(self.chosen.runs)))
        try:
            swap = self.lay_out(script, folder, paths, swaps=variant == "swapped")
        except OSError as error:
            raise disk_error(folder, error) from error
        if swap is not None:
            watch = swap.before(watch)
        try:
            outcome = self.launcher.run(launch, watch)
        finally:
            for name in (run_files.CACHE, run_files.WORK, BEFORE, AFTER):
                shutil.rmtree(folder / name, ignore_errors=True)
        if outcome.state != "finished":
            cause = failure.explain(folder, outcome)
            if not self.made:
                broken = RunError.at(
                    self.project.show(folder), f"the first run {cause.sentence}", execution.advice(outcome)
                )
                broken.lines = cause.last_lines
                raise broken
            return ProbeRun((), cause.sentence)
        return read_probe_run(folder)

    def lay_out(self, script: Subject, folder: Path, paths: tuple[Path, ...], *, swaps: bool) -> Swap | None:
        """Put the frozen files and links to the tokens into a work folder, as for any run.

        swaps: the data folder is itself a link, so that all files in it are exchanged in one moment.
        """
        work, fetched = folder / run_files.WORK, self.tokens.fetched
        work.mkdir(parents=True)
        for name in script.files:
            shutil.copyfile(script.files_folder / name, work / name)
        if swaps:
            before, after, data = folder / BEFORE, folder / AFTER, work / script.track.data.folder
            for given, place in ((paths, before), (fetched.paths, after)):
                place.mkdir()
                for path in given:
                    (place / path.name).symlink_to(path)
            data.parent.mkdir(parents=True, exist_ok=True)
            data.symlink_to(before)
            return Swap(data, after, len(script.script))
        fetching.offer(dataclasses.replace(fetched, paths=paths), script.track, work)
        return None


class Swap:
    """Gives a script the official tokens once its clock has started.

    It takes effect up to 0.1 s after the line was printed. A script that opens its training files later than that
    (after its validation at step 0, say) warms up on other tokens than it trains on.
    """

    def __init__(self, data: Path, after: Path, source_bytes: int) -> None:
        self.data, self.after = data, after
        self.skip = source_bytes  # a log begins with the script, which may hold the mark as text
        self.done = False

    def before(self, watch: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """A watcher that looks for the mark before it passes a line on."""

        def take(line: bytes) -> None:
            if self.skip > 0:
                self.skip -= len(line) + 1
            elif not self.done and grammar.CLOCK.get(line.strip()) == "clock_start":
                self.done = True
                link = self.data.with_name(self.data.name + ".next")
                link.symlink_to(self.after)
                os.replace(link, self.data)
            watch(line)

        return take


def _title(role: Role, variant: str) -> str:
    return f"{'the script' if role == 'own' else 'its parent'} on {probe_rules.NAMES[variant]}"


def read_probe_run(folder: Path) -> ProbeRun:
    """The validation curve of a run that finished."""
    try:
        log = reader.read_bytes((folder / run_files.LOG).read_bytes(), run_files.LOG, curve=True)[-1]
    except (LogError, OSError):
        return ProbeRun(())
    return ProbeRun(tuple((step, loss) for step, loss, _ in log.curve))
