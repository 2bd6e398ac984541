"""Sessions of fresh runs that acceptance rests on: `.runs/sessions/<id>/session.json`, written before the first run.

A script has one session under a ruleset, which any kill interrupts and nothing repeats. Which runs are its own follows
from the ledger: every run that was started for the session, or for the comparison in it, names that as its series.
The id holds a hash of all that the session settled beforehand, so that neither the number of runs that was declared
nor who made them can be another one afterwards: the entries of its runs in the ledger would name another session.

When all is done, `result/` beside it holds everything that the record will: the last step needs nothing else.
"""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from harness.core.codec import Form
from harness.core.constraints import Count, Line, RulesetId, Sha256, Text, TrackName
from harness.core.errors import StoreError
from harness.core.task import Handle
from harness.store.entries import Chain
from harness.store.files import write_atomic
from harness.store.layout import Project

FOLDER, SESSION, RESULT = "sessions", "session.json", "result"
_PREFIX = "accept-"
SessionId = Annotated[str, Text("the id of a session", rf"{_PREFIX}[0-9a-f]{{8}}-([0-9a-f]{{16}}|0)")]
ComparisonId = Annotated[str, Text("the id of a comparison", r"[A-Za-z0-9-]{1,64}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What was settled before the first run of a session."""

    id: SessionId
    subject: Line  # "submissions/2026-12-01_my-idea"
    script_sha256: Sha256  # all its frozen files together, as the ledger calls them
    track: TrackName
    ruleset: RulesetId
    timer: Handle  # who makes the runs
    started_at: Annotated[str, Text("a time, UTC", r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")]
    declared: Count | None  # runs that a test with a fixed number looks at; None: the ruleset's rule says when it ends
    # The series of its comparison with the record that was current: an own one's id, or that of one of several candidates
    # (`joint-…`), in which this script has its own. None where steps are ranked, or nothing stood.
    comparison: ComparisonId | None

    def runs_of(self, chain: Chain) -> tuple[str, ...]:
        """Name the judged runs of its script that were started for it, in the order of the ledger."""
        own = {self.id, self.comparison}
        return tuple(run for run, start in chain.starts.items() if start.is_judged and start.series in own)


SESSION_FORM = Form(Session, "json", (1,))


def with_id(session: Session) -> Session:
    """Return a session with the id that follows from everything else in it."""
    unnamed = dataclasses.replace(session, id=f"{_PREFIX}{session.script_sha256[:8]}-0")
    digest = hashlib.sha256(SESSION_FORM.text(unnamed).encode()).hexdigest()
    return dataclasses.replace(session, id=f"{_PREFIX}{session.script_sha256[:8]}-{digest[:16]}")


def session_folder(project: Project, session: Session) -> Path:
    """Return where a session of this machine lies."""
    return project.runs / FOLDER / session.id


def result_folder(project: Project, session: Session) -> Path:
    """Return what a session that is done leaves for the record."""
    return session_folder(project, session) / RESULT


def write_session(project: Project, session: Session) -> None:
    """Write a session before its first run; raises StoreError on a full disk."""
    write_atomic(session_folder(project, session) / SESSION, SESSION_FORM.text(session))


def read_session(path: Path, *, name: str) -> Session:
    """Read a session; raises StoreError where it is not as it was begun."""
    session = SESSION_FORM.read(path, name=name)
    if with_id(session) != session:
        todo = "restore the file as speedrun wrote it"
        raise StoreError.at(name, "is not what the session was begun with: its id says so", todo)
    return session


def read_sessions(project: Project) -> list[Session]:
    """Read all sessions of this machine; raises StoreError where one is not as it was begun."""
    paths = sorted((project.runs / FOLDER).glob(f"*/{SESSION}"))
    return [read_session(path, name=project.show(path)) for path in paths]


def beside(folder: Path, *, name: str) -> Session | None:
    """Read the session that a record's folder holds; None where it was accepted without one."""
    path = folder / SESSION
    return read_session(path, name=f"{name}/{SESSION}") if path.exists() or path.is_symlink() else None


def find_session(project: Project, script: str, ruleset: str, chain: Chain) -> Session | None:
    """Find the session of a script under a ruleset on this machine; None where none was begun.

    chain: the script's, which names every session that made a run. Raises StoreError where the file of one is gone: a
    second session would repeat what is never repeated.
    """
    known = read_sessions(project)
    found = [session for session in known if (session.script_sha256, session.ruleset) == (script, ruleset)]
    named = {start.series for start in chain.starts.values() if start.is_judged and start.series.startswith(_PREFIX)}
    lost = sorted(named - {session.id for session in known})
    if lost or len(found) > 1:
        where = project.show(project.runs / FOLDER / (lost[0] if lost else found[1].id) / SESSION)
        what = "is gone, and the ledger names its runs" if lost else "is a second session of one script"
        raise StoreError.at(where, what, "restore the files as speedrun wrote them; a session is never repeated")
    return found[0] if found else None
