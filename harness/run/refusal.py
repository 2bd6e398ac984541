"""Say before a series of runs what stops it here: the plan of a run finds what the run itself would be refused for.

Nothing is executed, fetched or written. A script is compiled and thrown away, because one that does not compile ends a
run only after the tokens are there and torchrun has started on every GPU.
"""

import warnings
from collections.abc import Callable

from harness.catalog.subjects import Subject
from harness.core.errors import DatasetError, HarnessError, ManifestError, Problem, raise_if
from harness.core.text import plural
from harness.dataset import fetching
from harness.launch.launcher import Launcher, LaunchPlan
from harness.machine import computer
from harness.run import execution
from harness.run.series import SeriesPlan
from harness.store.layout import Project, cache_folder


def refuse_no_python(subject: Subject) -> None:
    """Raise ManifestError, with the line, for every file of a script that is not Python."""
    problems = []
    for name in sorted(subject.files):
        if name.endswith(".py"):
            what = _syntax_error((subject.files_folder / name).read_bytes())
            if what is not None:
                line, said = what
                where = f"{subject.name}/{name}" + (f":{line}" if line else "")
                problems.append(Problem(where, f"is not Python ({said})", "correct it: no run of it would start"))
    raise_if(problems, ManifestError)


def _syntax_error(source: bytes) -> tuple[int | None, str] | None:
    """Return the line and the reason where a source does not compile."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, "script", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno, error.msg[:100]
    except (ValueError, RecursionError, MemoryError) as error:  # a zero byte; what is nested too deeply may run
        return (None, str(error)[:100]) if isinstance(error, ValueError) else None
    return None


def problems(
    project: Project, plan: SeriesPlan, launcher: Launcher, *, allow_network: bool = True, torch: str | None = None
) -> tuple[Problem, ...]:
    """Return all that would stop the runs of a plan on this machine; nothing where no run is left.

    torch: the version in an environment of its own, if they run in one.
    """
    if not plan.runs:
        return ()
    subject = plan.subject
    asked: tuple[Callable[[], None], ...] = (
        lambda: computer.check(computer.capture(torch=torch), subject.track, dry=plan.dry),
        lambda: execution.refuse_survivors(project),
        lambda: _require_tier(project, plan, launcher),
        lambda: _require_tokens(plan) if not allow_network else None,
    )
    found: list[Problem] = []
    for ask in asked:
        try:
            ask()
        except HarnessError as error:
            found += error.problems
    return tuple(found)


def _require_tier(project: Project, plan: SeriesPlan, launcher: Launcher) -> None:
    """Raise MachineError where a run would not be confined as it has to be."""
    subject = plan.subject
    run = LaunchPlan(
        run_id="plan",
        folder=project.runs / "plan",  # is never made
        entry=subject.entry,
        processes=subject.track.hardware.processes,
        seed=None,
        overrides=(),
        silence_limit_s=subject.track.silence_limit_s,
        time_limit_s=subject.track.time_limit_s,
        hidden=(project.outermost, cache_folder()),
    )
    execution.require_tier(subject, launcher.confined_by(run), dry=plan.dry)


def _require_tokens(plan: SeriesPlan) -> None:
    """Raise DatasetError where tokens are missing that only a download would bring."""
    track = plan.subject.track
    if plan.dry or track.data.source != "hub":
        return
    missing = fetching.missing_shards(track, plan.subject.train_tokens)
    if missing:
        what = f"{plural(len(missing), 'shard')} of {fetching.repository_of(track)} are not here: {missing[0].name} …"
        raise DatasetError.at("tokens", what, f"leave out --no-fetch, or fetch them: speedrun fetch {track.name}")
