"""Begin or continue the one session that a submission is accepted by, and store what it leaves.

    who makes it? → session.json → stages → result/ → (acceptance) the record

A script has one session under a ruleset. The same command continues it after any end, and when it is done says what came
of it; there is no second one.
"""

import datetime
import shutil
import time

from harness.catalog import timers
from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.evidence.baseline import on_this_machine, run_folders
from harness.maintain import kept_runs, stages
from harness.maintain.acceptance import copy
from harness.maintain.session_judgement import PROBE, require_official, require_other, require_own
from harness.maintain.session_work import Stop, Work, own_comparison
from harness.model_score import references
from harness.probe import stored
from harness.run import ending
from harness.run.judging import find_compared
from harness.store import run_files, sessions
from harness.store.comparisons import comparison_file
from harness.store.files import disk_error
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.packs import write_pack
from harness.store.records import COMPARISON
from harness.store.sessions import Session


def find(catalog: Catalog, subject: Subject) -> Session | None:
    """Find the session of a submission on this machine; None where none was begun. Raises StoreError as it is damaged."""
    project = catalog.project
    chain = Ledger(project.ledger).chain(subject.chain)
    session = sessions.find_session(project, subject.chain, subject.ruleset.id, chain)
    if session is not None:
        require_own(subject, session, project.show(sessions.session_folder(project, session)))
    return session


def plan(catalog: Catalog, subject: Subject, *, timer: str | None, runs: int | None) -> Session:
    """Settle what a session will be, or continue the one that is there; nothing is written.

    timer: the handle of who makes it; runs: how many a test with a fixed number looks at. Raises StoreError where
    somebody else began it, or another number was declared, and where no session could end in a record.
    """
    found = find(catalog, subject)
    if found is not None:
        where = catalog.project.show(sessions.session_folder(catalog.project, found) / sessions.SESSION)
        if timer is not None and not timers.is_same(timer, found.timer):
            raise StoreError.at(where, f"was begun by {found.timer}", f"go on with --timer {found.timer}")
        if runs is not None and runs != found.declared:
            said = "by its ruleset's rule" if found.declared is None else f"with {found.declared} runs"
            raise StoreError.at(where, f"was begun {said}, which stands", "go on without --runs")
        require_official(catalog, found)
        return found
    require_possible(catalog, subject)
    today = datetime.datetime.now(datetime.UTC)
    handle = timers.choose(catalog.project, subject.track.name, timer, today.date())
    require_other(catalog, subject, handle)
    best = catalog.current(subject.track) if subject.track.metric == "train_time" else None
    comparison = None if best is None else f"compare-{run_files.new_run_id(subject.chain)}"
    session = Session(
        id="accept-00000000-0",
        subject=subject.slug,
        script_sha256=subject.chain,
        track=subject.track.name,
        ruleset=subject.ruleset.id,
        timer=handle,
        started_at=run_files.now(),
        declared=declared_runs(subject, runs),
        comparison=comparison,
    )
    return sessions.with_id(session)


def require_possible(catalog: Catalog, subject: Subject) -> None:
    """Raise StoreError, before anything is paid for, where the scores that are asked for cannot be had."""
    if not subject.saves:
        what = "has no `save` and `load(path)`, so its trained model cannot be scored"
        raise StoreError.at(subject.name, what, "submit it again with both, as submissions/_template has them")
    if subject.track.data.source != "synthetic" and not references.scripts(catalog, subject):
        what = f"no script of the track {subject.track.name} keeps the contract, so S5 has nothing to hold its model against"
        raise StoreError.at(subject.name, what, "add `save` and `load(path)` to one of ours first")


def declared_runs(subject: Subject, asked: int | None) -> int | None:
    """Return how many runs a session declares; None where the ruleset's rule looks after every run."""
    rule = subject.ruleset.significance
    if rule.test == "sequential":
        if asked is not None:
            what = f"{subject.ruleset.id} looks at the loss after every run, so no number is declared"
            raise StoreError.at("--runs", what, "leave it out")
        return None
    if asked is not None and asked < rule.min_runs:
        raise StoreError.at("--runs", f"{subject.ruleset.id} asks for {rule.min_runs} runs or more", "declare more")
    return asked or max(rule.min_runs, subject.track.runs)


def is_done(project: Project, session: Session) -> bool:
    """Tell whether a session has left its result."""
    return sessions.result_folder(project, session).is_dir()


def perform(work: Work) -> Stop | None:
    """Make what is missing of a session, and store its result; None where that is there.

    Raises HarnessError where a run broke or the machine cannot do it: the same command goes on.
    """
    project, session = work.project, work.session
    if is_done(project, session):
        return None
    sessions.write_session(project, session)  # before there is anything to choose by
    settle(work)
    stop = stages.make(work)
    if stop is None:
        write_result(work)
    return stop


def settle(work: Work) -> None:
    """Record the end of runs that a killed command has left; without one the ledger's chain is broken for good.

    The recorder of such a run ends it within moments, so those of the session and of the script beside are waited for.
    """
    parent, said = stages.parent_script(work), False
    scripts = {work.subject.chain, *([parent.chain] if parent is not None else [])}
    while True:
        whole = Ledger(work.project.ledger).read()
        left = [(run_id, whole.starts[run_id]) for run_id in whole.open]
        of_series = {work.session.id, work.session.comparison}
        mine = [id for id, run in left if run.script in scripts or run.series.partition(".")[0] in of_series]
        ending_now = [id for id in mine if run_files.is_running(run_files.run_folder(work.project, id))]
        if not ending_now:
            break
        if not said:
            work.shown.say(f"waiting until {ending_now[0]} has ended, which another command has left or makes")
        said = True
        time.sleep(0.2)
    for run_id, how in ending.settle(work.project):
        work.shown.say(f"{run_id}, left by a command that was killed: {how}")


def write_result(work: Work) -> None:
    """Put all that the record will rest on into one folder, which appears whole or not at all."""
    project, subject, session = work.project, work.subject, work.session
    folder = sessions.result_folder(project, session)
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    whole = Ledger(project.ledger).read().of_folder(subject.chain, subject.slug)
    chain = whole.of_script(subject.chain)
    own = {*session.runs_of(chain)}
    folders = run_folders(project.runs, [run_id for run_id in chain.counted if run_id in own])
    try:
        aside.mkdir(parents=True)
        baseline = on_this_machine(project, find_compared(work.catalog, subject))
        write_pack(aside, whole, folders, subject.script, baseline)
        if session.comparison is not None:
            comparison = own_comparison(project, session)
            assert comparison is not None  # its stage came before
            copy(comparison_file(project, comparison.id), aside / COMPARISON)
            kept_runs.keep_compared(project, comparison, aside)
        probe = stages.probe_folder(project, session)
        assert probe is not None  # its stage came before
        copy(probe / stored.EVIDENCE, aside / PROBE / stored.EVIDENCE)
        found = stored.read_stored(probe / stored.EVIDENCE, name=project.show(probe / stored.EVIDENCE))
        parent = stages.plan_probe(work).parent
        kept_runs.keep_probe(probe, found, subject.script, parent.script if parent is not None else b"", aside)
        aside.rename(folder)
    except OSError as error:
        raise disk_error(folder, error) from error
