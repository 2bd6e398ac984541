"""Commands of the harness in processes forked from one that has imported it: `python -m tests.warm` is that process.

A command spends most of its time importing (numpy, scipy, pandas: a second), and the tests start some hundreds of them.
A forked command is a process of its own with its own arguments, folder, environment and files, and ends with an exit
status; only the imports are done already. Tests that signal or kill a command start a real one instead, and
`test_without_torch`, CONTRIBUTING's commands and others that start real ones show that imports work from nothing.

huggingface_hub reads the environment while it is imported, so the harness's modules that import it do so late, and it is
not imported here.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from tests.replay.wheels import TORCHRUN

ROOT = Path(__file__).parents[1]
LIMIT_S = 1800  # no command takes so long, whatever else the machine does
HEAVY = ("numpy", "scipy.special", "scipy.stats", "pandas")


def speedrun(
    *arguments: str, cwd: Path, env: Mapping[str, str], python: str | None = None, script: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `python -m harness` with these arguments to its end; without `python`, that with the small torch.

    script: a program that is run instead. Where it starts `python -P -m harness`, that is forked as well.
    """
    process = warm_process(python or python_with_small_torch())
    assert process.stdin is not None and process.stdout is not None
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        order = {"arguments": arguments, "cwd": str(cwd), "env": dict(env), "out": str(out), "err": str(err)}
        order["script"] = script and str(script)
        try:
            print(json.dumps(order), file=process.stdin, flush=True)
            assert select.select([process.stdout], [], [], LIMIT_S)[0], f"{arguments} hangs"
            status = process.stdout.readline()
            assert status, "the warm process ended"
        except BaseException:  # its answer would be taken for that to the next order
            process.kill()
            warm_process.cache_clear()
            raise
        return subprocess.CompletedProcess(["speedrun", *arguments], int(status), text_of(out), text_of(err))


def text_of(path: Path) -> str:
    """What a command wrote, as subprocess reads text."""
    return path.read_text(encoding="utf-8").replace("\r\n", "\n").replace("\r", "\n")


@functools.cache
def warm_process(python: str) -> subprocess.Popen[str]:
    """Start the process that imports everything; it ends when its standard input closes."""
    command = [python, "-m", "tests.warm"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(finish, process)
    return process


def finish(process: subprocess.Popen[str]) -> None:
    """Let it end."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    process.wait()


@functools.cache
def python_with_small_torch() -> str:
    """A Python with all packages of this one, but a torch that is nothing than a torchrun for one rank.

    A run under torchrun costs two seconds of imports. Where a test is about what the harness makes of a run, and not
    about how torchrun starts and ends it, this torchrun does.
    """
    folder = Path(tempfile.mkdtemp(prefix="python-"))
    atexit.register(shutil.rmtree, folder)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = (folder / "lib").glob("python*/site-packages")
    (packages / "all.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    (packages / "torch" / "distributed").mkdir(parents=True)
    for name, text in (("__init__.py", ""), ("distributed/__init__.py", ""), ("distributed/run.py", TORCHRUN)):
        (packages / "torch" / name).write_text(text)
    return str(folder / "bin" / "python")


# ---------------------------------------------------------------------- in the warm process


def main() -> None:
    """Fork a process for each order that comes, and answer with its exit status."""
    import harness

    for name in HEAVY:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(harness.__path__, "harness."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    forgive_a_busy_machine()
    gc.collect()
    gc.freeze()
    with os.fdopen(os.dup(0)) as orders, os.fdopen(os.dup(1), "w") as answers:
        for line in orders:
            pid = os.fork()
            if pid == 0:
                os._exit(obey(json.loads(line)))
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers, flush=True)


def forgive_a_busy_machine() -> None:
    """Pass what stays open only because this machine was measured to be late: tests of the clock do not come here.

    A gap in which nobody looked, and whatever exceeds the measured delay, is judged as ever.
    """
    from harness.verdict import delays

    judge = delays._with_room

    def forgiving(*arguments: Any) -> Any:
        ruling = judge(*arguments)
        late = ruling.outcome == "inconclusive" and "run with less beside it" in ruling.text
        return dataclasses.replace(ruling, outcome="pass") if late else ruling

    delays._with_room = forgiving


def obey(order: dict[str, Any]) -> int:
    """Do what an order says in this process, as the interpreter would; return the exit status."""
    import traceback

    from harness.cli import main as command

    for number, path in enumerate((os.devnull, order["out"], order["err"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.path[:0] = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    os.chdir(order["cwd"])
    sys.argv = [order.get("script") or "speedrun", *order["arguments"]]
    try:
        status: object = run_script(sys.argv[0]) if order.get("script") else command(order["arguments"])
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


def run_script(path: str) -> None:
    """Run a program in this process; the commands of the harness that it starts are forked from it."""
    start = subprocess.run

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        if command[1:4] != ["-P", "-m", "harness"]:
            return start(command, **options)
        with tempfile.TemporaryDirectory(prefix="warm-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            order = {"arguments": command[4:], "cwd": options["cwd"], "env": options["env"]}
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                os._exit(obey(order | {"out": out, "err": err}))
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            return subprocess.CompletedProcess(command, status, out.read_bytes(), err.read_bytes())

    sys.path.insert(0, str(Path(path).parent))  # as the interpreter does
    with mock.patch("subprocess.run", run):
        runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main()
