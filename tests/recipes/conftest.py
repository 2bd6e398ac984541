"""Synthetic tokens, a one-process group for optimizers, and the runs that several tests look at."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the training scripts need torch (pip install .[train])")

import torch.distributed as dist  # noqa: E402

from .ranks import MUON_WORLDS, TRAINING_WORLDS  # noqa: E402
from .scripts import ALL, END_OF_TEXT, TINY, script_path, torchrun, write_shard  # noqa: E402


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
            tokens[i], symbol = END_OF_TEXT, int(256 * draws[i])
        else:
            symbol = min(int(np.searchsorted(chain[symbol], draws[i])), 255)
            tokens[i] = symbol
    return tokens


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data/fineweb10B/: two training shards and a validation shard in the real format."""
    folder = tmp_path_factory.mktemp("fineweb")
    shards = folder / "data" / "fineweb10B"
    shards.mkdir(parents=True)
    for i in (1, 2):
        write_shard(shards / f"fineweb_train_{i:06d}.bin", markov_tokens(12_001, seed=i))
    write_shard(shards / "fineweb_val_000000.bin", markov_tokens(2_049, seed=99))
    return folder


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


@pytest.fixture(scope="session")
def ranks_folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of four processes that run every script on 1, 2 and 4 ranks, and each sharded Muon on 1, 3 and 4."""
    folder = tmp_path_factory.mktemp("ranks")
    settings = TINY | {"num_iterations": 10, "sequence_length": 16, "val_tokens": 512, "d_model": 16, "seed": 7}
    jobs: list[dict[str, object]] = []
    for name in ALL:
        jobs += [{"kind": "train", "name": name, "world": world, "settings": settings} for world in TRAINING_WORLDS]
    for name in ("short/6", "short/11", "optimization/36"):
        jobs += [{"kind": "muon", "name": name, "world": world} for world in MUON_WORLDS]
    for job, port in zip(jobs, free_ports(len(jobs)), strict=True):
        job["port"], job["script"] = port, str(script_path(str(job["name"])))
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DATA_PATH": str(data), "MASTER_ADDR": "127.0.0.1"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    processes = []
    for rank in range(4):
        with open(folder / f"errors{rank}.txt", "wb") as errors:
            command = [sys.executable, "-m", "recipes.ranks", str(folder), str(rank)]
            processes.append(subprocess.Popen(command, env=environment, stderr=errors))
    try:
        codes = [process.wait(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    errors = "\n".join((folder / f"errors{rank}.txt").read_text()[-2000:] for rank in range(4))
    assert codes == [0, 0, 0, 0], errors
    return folder


@pytest.fixture(scope="session")
def trained_log(data: Path) -> Callable[[str], bytes]:
    """The log of a script's run of 24 steps under torchrun on two ranks; every script runs once."""
    logs: dict[str, bytes] = {}

    def log_of(name: str) -> bytes:
        if name not in logs:
            run = torchrun(name, 2, data, TINY | {"num_iterations": 24, "val_loss_every": 12, "seed": 3})
            assert run.returncode == 0, run.stderr.decode(errors="replace")[-3000:]
            logs[name] = run.stdout
        return logs[name]

    return log_of
