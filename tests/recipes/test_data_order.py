"""Which tokens each rank reads at which step, against the loader rules written here independently."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from .ranks import result, worlds
from .scripts import ALL, RETIMED, load, write_shard

STRIDED = [name for name in ALL if name.startswith("short/") and name not in ("short/1", *RETIMED)]
STEPS = (0, 1, 189, 190, 191, 380)
CHUNK = 64  # tokens per rank and batch; the records have 65,536
LENGTH = 190 * 8 * CHUNK + 5 * CHUNK + 56  # in chunks the same as 100 M tokens: 190 batches and 5.88 chunks
REPEATS_BATCH_0 = ("short/4", "short/5", "short/6", "short/8", "short/9", "short/10", "short/11")


def code(file: int, position: np.ndarray | int) -> np.ndarray:
    """The token at a place of the synthetic files: neighbours differ, and so do the files."""
    return (np.asarray(position, dtype=np.int64) * 7 + file * 17_011) % 50_021


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coded")
    for file in range(3):
        write_shard(path / f"fineweb_train_{file:06d}.bin", code(file, np.arange(LENGTH)))
    return path


def scaled(name: str, folder: Path) -> Any:
    return load(name).Hyperparameters(
        device="cpu",
        train_files=str(folder / "fineweb_train_*.bin"),
        batch_size=64,
        device_batch_size=8,
        sequence_length=8,
    )


def test_the_scaled_file_relates_to_its_batches_as_100_million_tokens_do() -> None:
    for rank in range(8):
        at_full_size = next(n for n in range(1, 300) if rank * 65_536 + n * 524_288 + 524_288 + 1 > 100_000_000)
        here = next(n for n in range(1, 300) if rank * CHUNK + n * 8 * CHUNK + 8 * CHUNK + 1 > LENGTH)
        assert at_full_size == here == (190 if rank < 6 else 189)


@pytest.mark.parametrize("name", STRIDED)
def test_ranks_0_to_5_read_190_batches_of_a_file_and_ranks_6_and_7_read_189(name: str, folder: Path) -> None:
    args = scaled(name, folder)
    for rank in range(8):
        per_file = 190 if rank < 6 else 189
        loader = load(name).DistributedDataLoader(args.train_files, rank, args)
        for step in range(max(STEPS) + 1):
            inputs, targets = loader.next_batch()
            if step in STEPS:
                first = rank * CHUNK + (step % per_file) * 8 * CHUNK
                expected = code(step // per_file, np.arange(first, first + CHUNK + 1))
                assert inputs.shape == targets.shape == (8, 8)
                np.testing.assert_array_equal(inputs.flatten().numpy(), expected[:-1], f"rank {rank}, step {step}")
                np.testing.assert_array_equal(targets.flatten().numpy(), expected[1:], f"rank {rank}, step {step}")


def test_at_full_size_the_loader_leaves_a_file_of_100_million_tokens_at_the_same_batches(tmp_path: Path) -> None:
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, 100_000_000
    for file in range(2):  # sparse files: they take no space
        with open(tmp_path / f"fineweb_train_{file:06d}.bin", "wb") as out:
            out.write(header.tobytes())
            out.truncate(1024 + 200_000_000)
    args = load("short/2").Hyperparameters(device="cpu", train_files=str(tmp_path / "*.bin"))
    for rank, per_file in ((0, 190), (5, 190), (6, 189), (7, 189)):
        loader = load("short/2").DistributedDataLoader(args.train_files, rank, args)
        for step in range(192):
            assert (loader.file_index, loader.position) == (
                step // per_file,
                rank * 65_536 + (step % per_file) * 524_288,
            )
            loader.next_batch()


@pytest.mark.parametrize("world_size", [1, 2, 4, 8])
def test_the_optimization_script_moves_one_cursor_and_drops_the_tail_of_each_file(
    world_size: int, folder: Path
) -> None:
    args = scaled("optimization/36", folder)
    batch, share = 8 * CHUNK, 8 * CHUNK // world_size
    for rank in range(world_size):
        loader = load("optimization/36").DistributedDataLoader(args.train_files, rank, world_size, args)
        for step in range(max(STEPS) + 1):
            micro_batches = loader.next_micro_batches()
            if step in STEPS:
                first = (step % 190) * batch + rank * share
                expected = code(step // 190, np.arange(first, first + share + 1))
                inputs = torch.cat([inputs for inputs, _ in micro_batches]).flatten().numpy()
                targets = torch.cat([targets for _, targets in micro_batches]).flatten().numpy()
                np.testing.assert_array_equal(inputs, expected[:-1], f"rank {rank}, step {step}")
                np.testing.assert_array_equal(targets, expected[1:], f"rank {rank}, step {step}")


@pytest.mark.parametrize("name", RETIMED)
def test_records_21_and_24_move_one_cursor_for_all_ranks_in_training_and_in_validation(name: str, folder: Path) -> None:
    args = scaled(name, folder)
    for rank in range(8):
        loader = load(name).DistributedDataLoader(args.train_files, rank, args, 8)
        for step in range(max(STEPS) + 1):
            inputs, targets = loader.next_batch()
            if step in STEPS:
                first = (step % 190) * 8 * CHUNK + rank * CHUNK
                expected = code(step // 190, np.arange(first, first + CHUNK + 1))
                assert inputs.shape == targets.shape == (8, 8)
                np.testing.assert_array_equal(inputs.flatten().numpy(), expected[:-1], f"rank {rank}, step {step}")
                np.testing.assert_array_equal(targets.flatten().numpy(), expected[1:], f"rank {rank}, step {step}")


def test_a_file_of_100_million_tokens_holds_254_batches_of_record_21_and_5_rows_of_validation_per_rank() -> None:
    args = load("short/21.1").Hyperparameters()
    stride = args.batch_size * args.sequence_length
    assert next(n for n in range(1, 300) if n * stride + stride + 1 >= 100_000_000) == 254
    assert args.val_row() == 262_144 and args.val_tokens == 5 * 8 * args.val_row()


def test_llmc_reads_each_batch_of_each_file_once_per_pass_in_an_order_of_each_ranks_own(folder: Path) -> None:
    args = scaled("short/1", folder)
    orders = []
    for rank in range(8):
        loader = load("short/1").DistributedDataLoader(args.train_files, rank, args, shuffle=True)
        again = load("short/1").DistributedDataLoader(args.train_files, rank, args, shuffle=True)
        slot_of = {
            int(code(file, rank * CHUNK + slot * 8 * CHUNK)): (file, slot) for file in range(3) for slot in range(190)
        }
        order = []
        for _ in range(3 * 190):
            inputs, targets = loader.next_batch()
            same_inputs, _ = again.next_batch()
            assert torch.equal(inputs, same_inputs)
            file, slot = slot_of[int(inputs[0, 0])]
            first = rank * CHUNK + slot * 8 * CHUNK
            expected = code(file, np.arange(first, first + CHUNK + 1))
            np.testing.assert_array_equal(inputs.flatten().numpy(), expected[:-1])
            np.testing.assert_array_equal(targets.flatten().numpy(), expected[1:])
            order.append((file, slot))
        assert len(set(order)) == 3 * 190, "one pass reads nothing twice and leaves nothing out"
        assert all(len({file for file, _ in order[i : i + 190]}) == 1 for i in (0, 190, 380)), "a file at a time"
        assert order != sorted(order)
        orders.append(tuple(order))
    assert len(set(orders)) == 8


@pytest.mark.parametrize(("name", "world_size"), [(name, world) for name in ALL for world in worlds(name)])
def test_the_first_three_steps_train_on_the_batches_of_the_recipe(
    name: str, world_size: int, ranks_folder: Path, data: Path
) -> None:
    """Steps 0 and 1 share batch 0 in records 4 to 11; on any number of ranks all 8 chunks of a batch are read."""
    row = 16
    shards = data / "data" / "fineweb10B"
    shard = np.fromfile(shards / "fineweb_train_000001.bin", dtype="<u2", offset=1024)
    read = torch.stack(
        [
            torch.load(result(ranks_folder, {"kind": "train", "name": name, "world": world_size}, rank, "tokens"))
            for rank in range(world_size)
        ]
    )  # (ranks, steps, rows of a rank, tokens)
    for step in range(3):
        rows = {tuple(tokens) for tokens in read[:, step].reshape(8, row).tolist()}
        batch = max(step - 1, 0) if name in REPEATS_BATCH_0 else step
        if name == "short/1":
            loader = load(name).DistributedDataLoader
            args = load(name).Hyperparameters(
                device="cpu",
                train_files=str(shards / "fineweb_train_*.bin"),
                batch_size=8,
                sequence_length=row,
            )
            expected = set()
            for rank in range(8):
                own = loader(args.train_files, rank, args, shuffle=True)
                chunks = [own.next_batch()[0] for _ in range(3)]
                expected.add(tuple(chunks[step].flatten().tolist()))
        else:
            first = batch * 8 * row
            expected = {tuple(shard[first + r * row : first + (r + 1) * row].tolist()) for r in range(8)}
        assert rows == expected, f"step {step}"


def test_a_shard_that_is_damaged_or_missing_ends_the_program_with_one_sentence(tmp_path: Path) -> None:
    for name in ("short/2", "optimization/36"):
        module, path = load(name), tmp_path / "shard.bin"
        path.write_bytes(b"\0" * 2000)
        with pytest.raises(SystemExit, match="is not a token file"):
            module.open_shard(str(path))
        write_shard(path, np.arange(100))
        path.write_bytes(path.read_bytes()[:-2])
        with pytest.raises(SystemExit, match="holds 99 tokens but its header says 100"):
            module.open_shard(str(path))
    args = load("short/2").Hyperparameters(device="cpu", train_files=str(tmp_path / "nothing_*.bin"))
    with pytest.raises(SystemExit, match="no file matches"):
        load("short/2").DistributedDataLoader(args.train_files, 0, args)
