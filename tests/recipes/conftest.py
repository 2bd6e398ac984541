"""Synthetic tokens, a one-process group for optimizers, and the runs that several tests look at."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training scripts need torch (pip install .[train])")

import torch.distributed as dist  # noqa: E402

from tests.shared_runs import made_once  # noqa: E402

from .ranks import MUON_WORLDS, SHARDED, result, worlds  # noqa: E402
from .scripts import ALL, END, TINY, WITHOUT_TRAIN_LOSS, script_path, tiny, torchrun, write_shard  # noqa: E402

# Whose processes end as an interpreter ends, beside those under torchrun: the scripts of this track end in the same lines
# (tests/recipes/test_sequence.py), and to take torch apart costs as much as a run.
WHOLE_END = ("short/1", "short/13")
UNDER_TORCHRUN = ("optimization/36",)  # the dry run of tests/e2e starts short/12 so


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def markov_tokens(count: int, seed: int) -> np.ndarray:
    """A first-order chain over 256 symbols, easy to learn, cut into documents of 24 tokens on average."""
    chain = np.random.default_rng(0).dirichlet(np.full(256, 0.03), size=256).cumsum(1)
    random = np.random.default_rng(seed)
    draws, ends = random.random(count), random.random(count) < 1 / 24
    tokens, symbol = np.empty(count, dtype=np.uint16), 0
    for i in range(count):
        if i == 0 or ends[i]:
            tokens[i], symbol = END, int(256 * draws[i])
        else:
            symbol = min(int(np.searchsorted(chain[symbol], draws[i])), 255)
            tokens[i] = symbol
    return tokens


def write_data(folder: Path) -> None:
    """A folder with data/fineweb10B/: two training shards and a validation shard in the real format."""
    shards = folder / "data" / "fineweb10B"
    shards.mkdir(parents=True)
    for i in (1, 2):
        write_shard(shards / f"fineweb_train_{i:06d}.bin", markov_tokens(12_001, seed=i))
    write_shard(shards / "fineweb_val_000000.bin", markov_tokens(2_049, seed=99))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "fineweb", write_data)


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This process as the only rank of a gloo group, as the optimizers need it."""
    store = tmp_path_factory.mktemp("store") / "file"
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def do_jobs(folder: Path, jobs: list[dict[str, Any]]) -> None:
    """Let one warm process do the jobs, each rank in a process of its own; `ranks.result` says what lies where."""
    for job, port in zip(jobs, free_ports(len(jobs)), strict=True):
        job["port"], job["script"] = port, str(script_path(str(job["name"])))
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = {key: value for key, value in os.environ.items() if key != "DATA_PATH"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-m", "recipes.ranks", str(folder)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def ranks_folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What came of every script on 1 and 2 ranks, of some on 4, and of each sharded Muon on 1, 3 and 4."""
    more = {"num_iterations": 10, "sequence_length": 16, "val_tokens": 256, "d_model": 16, "seed": 7}
    jobs: list[dict[str, Any]] = []
    for name in ALL:
        every = {"val_loss_every": 2} if name in WITHOUT_TRAIN_LOSS else {}
        if (
            name == "short/21.1"
        ):  # the first gradients of its scalars are mere rounding, of which 1e-10 makes whole steps
            every["adam_eps"] = 1e-8
        job = {"kind": "train", "name": name, "settings": tiny(name) | more | every, "data": str(data)}
        jobs += [job | {"world": world} for world in worlds(name)]
    for name in SHARDED:
        jobs += [{"kind": "muon", "name": name, "world": world, "data": str(data)} for world in MUON_WORLDS]
    return made_once(tmp_path_factory, "ranks", lambda folder: do_jobs(folder, jobs))


def training(name: str, data: Path) -> dict[str, Any]:
    """The job of 24 steps on two ranks, as a program."""
    settings = tiny(name) | {"num_iterations": 24, "val_loss_every": 12, "seed": 3}
    job = {"kind": "script", "name": name, "world": 2, "settings": settings, "data": str(data)}
    return job | {"whole_end": name in WHOLE_END}


def saving(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The job with its trained model saved where `ranks.result` says."""
    return job | {"settings": job["settings"] | {"save": str(result(folder, job, 0, "model"))}}


NO_DATA = {"kind": "script", "name": "short/12", "world": 1, "settings": TINY, "fails": True}


@pytest.fixture(scope="session")
def programs_folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What came of the scripts as programs: every one once with data, one without.

    One of each track runs under torchrun as its users start it: optimization/36 here, short/12 in the dry run of tests/e2e.
    torchrun costs eight seconds to import torch three times, so the others run as ranks of a warm process: the same
    processes with the same variables.
    """

    def make(folder: Path) -> None:
        for name in UNDER_TORCHRUN:
            job = saving(training(name, data), folder)
            run = torchrun(name, 2, data, job["settings"])
            assert run.returncode == 0, run.stderr.decode(errors="replace")[-3000:]
            result(folder, job, 0, "log").write_bytes(run.stdout)
        (folder / "nothing").mkdir()
        without = NO_DATA | {"data": str(folder / "nothing")}
        jobs = [saving(training(name, data), folder) for name in ALL if name not in UNDER_TORCHRUN]
        do_jobs(folder, [without, *jobs])

    return made_once(tmp_path_factory, "programs", make)


@pytest.fixture(scope="session")
def trained_log(data: Path, programs_folder: Path) -> Callable[[str], bytes]:
    """The log of a script's run of 24 steps on two ranks."""
    return lambda name: result(programs_folder, training(name, data), 0, "log").read_bytes()


@pytest.fixture(scope="session")
def trained_model(data: Path, programs_folder: Path) -> Callable[[str], Path]:
    """What that run saved."""
    return lambda name: result(programs_folder, training(name, data), 0, "model")


@pytest.fixture(scope="session")
def run_without_data(programs_folder: Path) -> tuple[bytes, bytes]:
    """What a script printed, and what it said, that ended with an exit status as it found no data."""
    out, err = (result(programs_folder, NO_DATA, 0, suffix).read_bytes() for suffix in ("log", "err"))
    return out, err
