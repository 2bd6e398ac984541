"""Execute one run, from its first ledger entry to its last.

The order is what makes a crash harmless: run.json and the ledger's start entry are on disk before anything is
launched, the recorder writes the outcome by itself, and `ending.settle` records the end of runs whose harness was
killed.
"""

import contextlib
import dataclasses
import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core import secret_source
from harness.core.errors import MachineError, StoreError
from harness.core.measurement import Confinement, Machine, Purpose, RunOutcome
from harness.core.step_tokens import tokens_for
from harness.core.task import Track
from harness.dataset import fetching, prepared
from harness.dataset.progress import Progress
from harness.launch import processes
from harness.launch.launcher import Interrupted, Launcher, LaunchPlan
from harness.run import tokenizer_ready
from harness.run.ending import record_end
from harness.store import caches, run_files
from harness.store.entries import Chain, Declared, Started, Tried
from harness.store.files import disk_error
from harness.store.layout import Project, cache_folder
from harness.store.ledger import Ledger
from harness.store.packs import LEDGER, PACK, read_pack_ledger
from harness.store.run_files import CACHE, WORK

DRY_TOKENS = 1 << 20  # train tokens of a scaled-down run
DRY_SEED = 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A subject on a machine that can run it, with its tokens."""

    subject: Subject
    machine: Machine
    track: Track  # the subject's, or its scaled-down form
    fetched: fetching.Fetched
    dry: bool
    processes: int
    bare: bool = False  # an original, started as its author did: no argument, the tokens by DATA_PATH or DATA_DIR
    planned: int | None = None  # runs that a test with a fixed number shall look at, if these are its first
    purpose: Purpose = "judged"  # of all runs but dry ones
    seed: int | None = None  # that the runs of a probe share, so that their tokens are all that differs; None: drawn
    scored: bool = False  # the weights that its runs save are kept until they are scored
    python: str = sys.executable  # the interpreter that its runs are started with
    limit_s: float | None = None  # of wall time, where it is less than the track's
    cache: caches.StoredCache | None = None  # that each run starts from a copy of; None: from an empty one
    cache_kept_in: Path | None = None  # of a priming run: where what it leaves in its cache is put


def prepare(
    subject: Subject,
    here: Machine,
    *,
    dry: bool = False,
    allow_network: bool = True,
    progress: Progress | None = None,
) -> Prepared:
    """Fetch the tokens of a subject, or make few synthetic ones under the same names for a dry run.

    With them the tokenizer's files where the script uses them.
    """
    tokenizer_ready.fetch_for(subject, allow_network=allow_network, progress=progress)
    if dry:
        track = scaled_down(subject.track)
        return Prepared(subject, here, track, fetching.make_synthetic(track), True, min(2, track.hardware.processes))
    track = subject.track
    fetched = fetch(subject, subject.train_tokens, allow_network=allow_network, progress=progress)
    return Prepared(subject, here, track, fetched, False, track.hardware.processes)


def fetch(
    subject: Subject, train_tokens: int, *, allow_network: bool = True, progress: Progress | None = None
) -> fetching.Fetched:
    """Have the tokens of a subject here: the track's, or those of a secret source where its ruleset asks for one.

    Shards of a secret source are there until they are discarded (`prepared`), or this process ends.
    """
    if subject.ruleset.above_entropy is None:
        return fetching.fetch_for(subject.track, train_tokens, allow_network=allow_network, progress=progress)
    paths, receipt = prepared.write_secret_shards(secret_source.draw_track(subject.track))
    return fetching.Fetched(paths, receipt, pinned=False)


def refuse_survivors(project: Project) -> None:
    """Start nothing beside processes of an earlier run that could not be ended; raises MachineError naming them."""
    folder = run_files.latest_run(project)
    if folder is None:
        return
    try:
        outcome, at = run_files.read_outcome_file(folder), (folder / run_files.OUTCOME).stat().st_mtime
    except (StoreError, OSError):
        return
    left = [pid for pid in outcome.survivors if processes.started_before(pid, at)]
    if left:
        said = f"left processes behind that are still there: {', '.join(map(str, left))}"
        raise MachineError.at(project.show(folder), said, "end them with kill -9, or restart the machine")


def require_tier(subject: Subject, confined: Confinement | None, *, dry: bool) -> None:
    """Raise MachineError, before anything is started, where the ruleset would refuse the run for its confinement."""
    tiers = subject.ruleset.tiers
    if confined is not None and tiers and confined.tier not in tiers and not dry:
        said = f"can confine a run by the tier {confined.tier} only; {subject.ruleset.id} asks for {' or '.join(tiers)}"
        raise MachineError.at("this machine", said, "see `speedrun doctor` for how to get a better one")


def scaled_down(track: Track) -> Track:
    """Put the track on a few synthetic tokens under its own file names, for a run that only tries the pipeline."""
    if track.data.source == "synthetic":
        return track
    data = dataclasses.replace(track.data, source="synthetic", seed=DRY_SEED, shard_tokens=DRY_TOKENS, shards=())
    return dataclasses.replace(track, data=data, validation_tokens=min(track.validation_tokens, 1 << 17))


def execute(
    project: Project, ready: Prepared, run_id: str, series: str, launcher: Launcher, watch: Callable[[bytes], None]
) -> RunOutcome:
    """Execute one run and record its end, however it comes, Ctrl-C included."""
    folder = run_files.run_folder(project, run_id)
    ready = own_tokens(project, ready)
    subject = ready.subject
    refuse_survivors(project)
    plan, file = plan_run(project, ready, run_id, series)
    try:
        lay_out(ready, folder / WORK)
        if ready.cache is not None:
            caches.give(project, ready.cache, folder / CACHE)
        plan = dataclasses.replace(plan, confinement=launcher.confined_by(plan))
        file = dataclasses.replace(file, confinement=plan.confinement)
        require_tier(subject, plan.confinement, dry=ready.dry)
        run_files.write_run_file(folder, file)
    except BaseException as error:  # no entry of the ledger would ever lead to this folder
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise disk_error(folder, error) from error
        raise
    ledger = Ledger(project.ledger)
    one_path = contextlib.nullcontext() if plan.cache_at is None else caches.at_one_path(project, folder / CACHE)
    with run_files.held(folder), one_path:
        if file.purpose == "judged":
            declare(ledger, subject, ready.planned)
        elif file.purpose in ("screening", "probe"):  # a probe prints losses, too
            note_trial(ledger, subject)
        started = Started(script=subject.chain, run=run_id, series=series, seed=plan.seed, purpose=file.purpose)
        ledger.append(started)
        before = ledger.snapshot()
        outcome = RunOutcome("lost", None, 0.0, "the launcher gave no outcome")
        try:
            outcome = launcher.run(plan, watch)
            if ready.cache_kept_in is not None:
                caches.take(folder / CACHE, ready.cache_kept_in, project.show(folder))
        except Interrupted as stop:
            outcome = stop.outcome
            raise (stop.__cause__ or stop) from None
        finally:
            unchanged = None  # what was prepared for a probe or for priming is no shard of the track
            if file.purpose not in ("probe", "prime"):
                unchanged = fetching.recheck(ready.fetched, ready.track, folder / WORK).unchanged
            # Every judged run of a submission counts, whichever command made it, so each may have to be scored.
            scored = ready.scored or (file.purpose == "judged" and subject.manifest is not None)
            outcome = record_end(ledger, folder, file, outcome, unchanged, subject.script, before, scored)
    return outcome


def own_tokens(project: Project, ready: Prepared) -> Prepared:
    """Offer a run no more tokens than its steps may use, where the ruleset declares them and their number is known.

    A screening run is offered whole shards: it tells how many steps the script takes.
    """
    tokens = ready.subject.ruleset.tokens_per_step
    steps = steps_of(project, ready.subject) if tokens is not None and ready.purpose != "screening" else None
    if tokens is None or steps is None or ready.dry:
        return ready
    count = tokens_for(steps, tokens, ready.track.data.shard_tokens)
    return dataclasses.replace(ready, fetched=fetching.cut(ready.fetched, count))


def steps_of(project: Project, subject: Subject) -> int | None:
    """Return how many steps a script took in its last run that counts or was to try it; None where it never finished.

    What the ledger of this machine says comes before what is packed.
    """
    chain = Ledger(project.ledger).chain(subject.chain)
    file = subject.folder / PACK / LEDGER
    packed = Chain()
    if file.is_file():
        with contextlib.suppress(StoreError):  # `check` and `verify` say what is wrong with it
            packed = read_pack_ledger(file.parent, f"{subject.name}/{PACK}").of_script(subject.chain)
    for known in (chain, packed):
        for run_id, end in reversed(known.ends.items()):
            start = known.starts.get(run_id)
            telling = start is not None and start.purpose in (None, "judged", "screening")
            if telling and end.state == "finished" and end.last_step:
                return end.last_step
    return None


def plan_run(project: Project, ready: Prepared, run_id: str, series: str) -> tuple[LaunchPlan, run_files.RunFile]:
    """Decide what the launcher is told and what run.json will say."""
    folder = run_files.run_folder(project, run_id)
    subject, work = ready.subject, folder / WORK
    plan = LaunchPlan(
        run_id=run_id,
        folder=folder,
        entry=subject.entry,
        processes=ready.processes,
        seed=None if ready.bare else _seed(ready),
        overrides=ready.track.dry if ready.dry else (),
        silence_limit_s=subject.track.silence_limit_s,
        time_limit_s=min(subject.track.time_limit_s, math.inf if ready.limit_s is None else ready.limit_s),
        tokens=ready.track.data.folder,
        hidden=(project.outermost, cache_folder()),
        network="downloads while running" in subject.ruleset.allowed,
        # The tokens' folder in the two variables that originals read.
        environment={"DATA_PATH": str(work), "DATA_DIR": str(work / ready.track.data.folder)} if ready.bare else {},
        saves=subject.saves and not ready.bare,
        cache_at=caches.current(project) if ready.cache or ready.cache_kept_in else None,
    )
    file = run_files.RunFile(
        schema=2,
        id=run_id,
        series=series,
        subject=subject.name,
        track=subject.track.name,
        ruleset=subject.ruleset.id,
        script_sha256=subject.script_sha256,
        files=subject.files,
        processes=ready.processes,
        arguments=plan.arguments,
        dry=ready.dry,
        started_at=run_files.now(),
        machine=ready.machine,
        data=ready.fetched.receipt,
        outcome=None,
        log_sha256=None,
        purpose="dry" if ready.dry else ready.purpose,
        cache=ready.cache.digest if ready.cache else None,
    )
    return plan, file


def _seed(ready: Prepared) -> int:
    """Return the seed of a run, drawn here, so that nobody can choose it."""
    return run_files.draw_seed() if ready.seed is None else ready.seed


def lay_out(ready: Prepared, work: Path) -> None:
    """Put the frozen files and the links to the tokens into a run's work folder."""
    work.mkdir(parents=True)
    for name in ready.subject.files:
        shutil.copyfile(ready.subject.files_folder / name, work / name)
    fetching.offer(ready.fetched, ready.track, work)


def note_trial(ledger: Ledger, subject: Subject) -> None:
    """Note the track of a script before the first run that only tries it there, so that it is counted among those tried."""
    if subject.track.name not in ledger.chain(subject.chain).tracks:
        ledger.append(Tried(script=subject.chain, track=subject.track.name, subject=subject.slug))


def declare(ledger: Ledger, subject: Subject, planned: int | None = None) -> None:
    """Declare a script's rule and the most runs that the rule may look at, before its first judged run.

    A test with a fixed number of runs looks at those that were planned before the first, and at no later ones. What was
    tried before is counted: scripts of the same folder, and all others that were run on the track here.
    """
    whole = ledger.read()
    if any(isinstance(entry, Declared) for entry in whole.of_script(subject.chain).entries):
        return
    rule = subject.ruleset.significance
    n_max = rule.bounds[-1][1] if rule.bounds else None
    if rule.fixed_n:
        n_max = max(rule.min_runs, planned or subject.track.runs)
    declared = [chain.declared for chain in whole.scripts.values() if chain.declared is not None]
    others = [name for name, chain in whole.scripts.items() if subject.track.name in chain.tracks]
    ledger.append(
        Declared(
            script=subject.chain,
            track=subject.track.name,
            ruleset=subject.ruleset.id,
            n_max=n_max,
            subject=subject.slug,
            earlier=sum(told.subject == subject.slug for told in declared),
            others=len(set(others) - {subject.chain}),
        )
    )
