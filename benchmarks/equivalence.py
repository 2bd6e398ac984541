"""Compare the scripts of records with the originals: `python benchmarks/equivalence.py CHECKOUT [--only TEXT]`.

CHECKOUT is a clone of the repository that published the originals. Each original is found and verified as `replay` does
it. Then what no CPU runs is exchanged in its text (the patterns of `EXCHANGES`), both programs are made small, and both
get equal weights, tokens and seeds. They train on one process in fp32, so what several ranks, bf16, FP8 and the compiler
do is not compared. Reported are the difference of the validation losses before the first step and the largest over all
steps; they should be 0 or a rounding, and below 0.002. Where an original breaks, its line is named.

Each program runs as a process of its own with a time limit. It is the code of others: their text is verified, and
nothing confines it. A record that fails stops no other. `--json FILE` and `--markdown FILE` write the table.
"""

import argparse
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from harness.board.markdown import cell as markdown_cell  # noqa: E402
from harness.catalog.lookup import Catalog  # noqa: E402
from harness.core.errors import HarnessError  # noqa: E402
from harness.core.record import Record  # noqa: E402
from harness.replay.plan import plan  # noqa: E402
from harness.store.layout import Project  # noqa: E402

RUN = Path(__file__).with_name("equivalent_run.py")
NEEDS = (
    "this needs a clone of the repository that published the originals; make one with "
    "`git clone https://github.com/KellerJordan/modded-nanogpt` and name its folder"
)
STEPS, DECAY_STEPS, BOUND = 14, 6, 2e-3
VOCABULARY, PADDED, MARKER = 503, 512, 500  # instead of 50,257, 50,304 and 50,256
WINDOW = 200  # tokens, instead of 1,024: shorter than a row, so that it acts
LIMIT_S = 900  # of one run; the longest takes about a minute

# What no CPU runs: the words of the table, a pattern, and what stands for it. No exchange adds or takes a line.
EXCHANGES = (
    ("", r"torch\.cuda\.is_available\(\)", "True"),
    ("", r"torch\.cuda\.\w+\([^()\n]*\)", "0"),
    ("", r"""(["'])cuda(?=[:"'])""", r"\1cpu"),
    ("", r"""(["'])nccl\1""", r"\1gloo\1"),
    ("", r", device_id=device\b", ""),
    ("", r"device_ids=\[\w+\]", "device_ids=None"),
    ("", r"pin_memory=True", "pin_memory=False"),
    ("", r"""(["'])nvidia-smi\1""", r"\1true\1"),
    ("", r"torch\.bfloat16", "torch.float32"),
    ("", r"assert world_size == 8\b", "assert world_size == 1"),
    ("", r"enable_math_sdp\(False\)", "enable_math_sdp(True)"),  # the only attention that a CPU has with a mask
    ("FP8 off", r"use_fp8=True", "use_fp8=False"),
    ("FP8 off", r"lm_head_fp8\(x, self\.lm_head\.weight\) if self\.training else", ""),
    ("no profiler", r"torch\.profiler\.profile\(\)", "__import__('contextlib').nullcontext()"),
    ("no profiler", r"prof\.export[^\n]*", "pass"),
)
DENSE = ("dense mask for FlexAttention", r"(?<![\w.])flex_attention\(q")  # replaced in torch, not in the text


@dataclass(frozen=True)
class Sizes:
    """How small both programs of a record are made."""

    rows: int  # of a batch
    rows_at_once: int
    row: int  # tokens
    width: int
    heads: int = 2

    @property
    def batch(self) -> int:
        return self.rows * self.row


@dataclass
class Row:
    """What is said of one record."""

    record: str
    state: str  # "compared", "broken" or "no original"
    remark: str
    steps: int | None = None
    at_start: float | None = None  # |difference| before the first step
    largest: float | None = None
    losses: list[tuple[float, float]] = field(default_factory=list)  # of ours and of the original


# ------------------------------------------------------------------------------------------------ both programs, small


def sizes_of(original: str) -> Sizes:
    """Choose sizes by what the original fixes: blocks of 128 tokens, one row a rank, heads of 128."""
    width = 256 if "head_dim=128" in original else 64
    if "flex_attention" in original:
        return Sizes(rows=1, rows_at_once=1, row=512, width=width)
    accumulates = re.search(r"^mbs = ", original, re.M) is not None
    return Sizes(rows=4, rows_at_once=2 if accumulates else 4, row=128, width=width)


def small_original(text: str, sizes: Sizes) -> tuple[str, list[str]]:
    """Exchange what no CPU runs and make an original small; return it and the lines that were exchanged, in words."""
    remarks: dict[str, list[str]] = {}
    said = [DENSE, *((words, pattern) for words, pattern, _ in EXCHANGES if words)]
    for words, pattern in said:
        lines = [str(text.count("\n", 0, match.start()) + 1) for match in re.finditer(pattern, text)]
        if lines:
            remarks.setdefault(words, []).extend(lines)
    for _, pattern, replacement in EXCHANGES:
        text = re.sub(pattern, replacement, text)
    settings = {
        "num_iterations|train_steps": STEPS,
        "warmdown_iters|cooldown_iters": DECAY_STEPS,
        "val_loss_every": 1,
        "val_tokens": 2 * sizes.batch,
        "batch_size": sizes.rows if re.search(r"sequence_length *: *int", text) else sizes.batch,
        "device_batch_size|mbs": sizes.rows_at_once,
        "sequence_length|(?:train_|val_)?seq_len|max_device_batch_size": sizes.row,
    }
    for names, value in settings.items():
        text = re.sub(rf"^(\s*(?:{names})\s*(?::\s*int\s*)?=\s*)\d[\d_* ]*", rf"\g<1>{value}  ", text, flags=re.M)
    for pattern, value in (
        (r"\b50_?257\b", VOCABULARY),
        (r"\b50_?304\b", PADDED),
        (r"\b50_?256\b", MARKER),
        (r"(?<=n_head=)\d+|(?<=num_heads=)\d+", sizes.heads),
        (r"(?<=n_embd=)\d+|(?<=model_dim=)\d+", sizes.width),
        (r"(?<=seq_len=)\d+", sizes.row),  # a default
        (r"(?<=arange\()512(?=,)", sizes.row // 128),  # all blocks of a row
        (r"(?<=< )1024\b", WINDOW),
        (r"(?<=val_step_freq = ).*", 1),
    ):
        text = re.sub(pattern, str(value), text)
    return with_all_digits(text), [f"{words} (line {', '.join(lines)})" for words, lines in remarks.items()]


def small_script(text: str, sizes: Sizes) -> tuple[str, dict[str, object]]:
    """Make a script of ours small; return its text, for one recipe rank and a small document marker, and its overrides."""
    wanted = {
        "vocab_size": PADDED if "\n    vocab_size: int = 50_304" in text else VOCABULARY,
        "padded_vocab_size": PADDED,
        "n_head": sizes.heads,
        "d_model": sizes.width,
        "window": WINDOW,
        "sequence_length": sizes.row,
        "val_sequence_length": sizes.row,
        "batch_size": sizes.rows,
        "device_batch_size": sizes.rows_at_once,
        "val_tokens": 2 * sizes.batch,
        "val_loss_every": 1,
        "val_loss_every_late": 1,
        "num_iterations": STEPS,
        "warmdown_steps": DECAY_STEPS,
        "device": "cpu",
        "seed": 1,
    }
    known = set(re.findall(r"^    (\w+): (?:int|float|str)\b", text, re.M))
    text = re.sub(r"^RECIPE_RANKS = 8\b", "RECIPE_RANKS = 1", text, flags=re.M)
    text = re.sub(r"^END_OF_TEXT = 50_256\b", f"END_OF_TEXT = {MARKER}", text, flags=re.M)
    return with_all_digits(text), {name: value for name, value in wanted.items() if name in known}


def with_all_digits(text: str) -> str:
    """Have the losses printed with all digits of an fp32 number."""
    return re.sub(r"\{(val_loss[^{}:]*):\.\d+f\}", r"{\1:.9g}", text)


def write_tokens(folder: Path) -> None:
    """Write two training files and one for validation: documents of about 60 tokens, most of which follow from the last."""
    folder.mkdir(parents=True)
    for seed, (name, count) in enumerate((("train_000001", 5_000), ("train_000002", 20_000), ("val_000000", 5_000))):
        random = np.random.default_rng(seed)
        tokens = random.integers(0, MARKER, count)
        luck = random.random((count, 2))
        for i in range(1, count):
            if luck[i, 0] < 0.7:
                tokens[i] = (tokens[i - 1] * 5 + 3) % MARKER
        tokens[luck[:, 1] < 1 / 60] = MARKER
        tokens[0] = MARKER
        header = np.zeros(256, dtype="<i4")
        header[:3] = 20240520, 1, count
        (folder / f"fineweb_{name}.bin").write_bytes(header.tobytes() + tokens.astype("<u2").tobytes())


# ------------------------------------------------------------------------------------------------ running them


def run(folder: Path, program: Path, overrides: dict[str, object]) -> tuple[dict[int, float], list[str]]:
    """Run a program; return its validation losses by step, and what names its weights. Raises RuntimeError on a break."""
    for name in ("logs", "traces"):  # some originals write there without making them
        (folder / name).mkdir()
    (folder / "data").symlink_to(folder.parent / "data")
    report = folder / "report.json"
    command = [sys.executable, str(RUN), str(report), str(program)]
    ranks = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        started = subprocess.Popen(
            [*command, *(f"{name}={value}" for name, value in overrides.items())],
            cwd=folder,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "OMP_NUM_THREADS": "1", **ranks},
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        try:
            started.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"it ran for more than {LIMIT_S} s") from None
        finally:
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()
    if not report.exists():
        said = (folder / "stderr").read_text("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError(f"it ended with status {started.returncode}{': ' + said[0][:200] if said else ''}")
    told = json.loads(report.read_text())
    if told["broken"]:
        where = f"line {told['broken']['line']}, `{told['broken']['code']}`: " if told["broken"]["line"] else ""
        raise RuntimeError(where + told["broken"]["error"])
    logs = [folder / "stdout", *sorted(folder.glob("logs/*.txt"))]  # some originals print no losses
    log = "\n".join(path.read_text("utf-8", "replace") for path in logs)
    found = re.findall(r"^step:(\d+)/\d+ val_loss:(\S+)", log, re.M)
    return {int(step): float(loss) for step, loss in found}, told["weights"] or []


def compare(catalog: Catalog, record: Record, checkout: Path, work: Path) -> Row:
    """Run the script of a record and its original; say how far apart their losses are."""
    name = catalog.name(record)
    if record.original is None or record.original.kind == "none":
        reason = record.original.reason if record.original else None
        return Row(name, "no original", f"no original was published: {reason or 'nobody has it'}")
    found = plan(catalog, record, which="original", checkout=checkout, allow_network=False).subject
    original = (found.files_folder / found.entry).read_text("utf-8")
    ours = catalog.script_here(record).script.decode()
    sizes = sizes_of(original)
    text, remarks = small_original(original, sizes)
    script, overrides = small_script(ours, sizes)
    results = []
    for what, program, arguments, others in (
        ("the original", text, {}, found.files.keys() - {found.entry}),
        ("the script", script, overrides, ()),
    ):
        folder = work / what.split()[1]
        folder.mkdir()
        for file in others:
            (folder / file).write_bytes((found.files_folder / file).read_bytes())
        (folder / "train_gpt.py").write_text(program)
        try:
            results.append(run(folder, folder / "train_gpt.py", arguments))
        except RuntimeError as error:
            return Row(name, "broken", f"{what} broke: {error}")
    return judged(name, results[1], results[0], remarks)


def judged(
    name: str,
    ours: tuple[dict[int, float], list[str]],
    original: tuple[dict[int, float], list[str]],
    remarks: list[str],
) -> Row:
    """Put two runs side by side; they count only where both have the same weights and all losses."""
    (losses, weights), (expected, others) = ours, original
    if weights != others:
        apart = sorted(set(weights) ^ set(others))[:4]
        return Row(name, "broken", f"their weights do not fit together: {', '.join(apart) or 'none were set'}")
    if losses.keys() != expected.keys() or len(losses) != STEPS + 1:
        return Row(name, "broken", f"the script printed {len(losses)} losses, the original {len(expected)}")
    pairs = [(losses[step], expected[step]) for step in sorted(losses)]
    apart_by = [abs(one - two) for one, two in pairs]
    largest = max(apart_by) if all(difference == difference for difference in apart_by) else float("inf")
    return Row(name, "compared", "; ".join(remarks), STEPS, apart_by[0], largest, pairs)


# ------------------------------------------------------------------------------------------------ the table


def scripts(catalog: Catalog, project: Project, only: str) -> list[Record]:
    """Return the records of the past that have a script of ours, in record order."""
    found = [catalog.read(path.parent.parent) for path in project.records.glob("*/*/script/script.yaml")]
    past = [record for record in found if record.original is not None and only in catalog.name(record)]
    return sorted(past, key=lambda r: (r.track != "short", r.track, r.number, r.kind != "record", catalog.name(r)))


def cell(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.1e}"


def markdown(rows: list[Row]) -> str:
    """Return the table as Markdown."""
    lines = ["| record | steps | Δ at the start | largest Δ | remark |", "|---|--:|--:|--:|---|"]
    for row in rows:
        remark = markdown_cell(row.remark)
        lines.append(f"| {row.record} | {row.steps or ''} | {cell(row.at_start)} | {cell(row.largest)} | {remark} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "checkout", nargs="?", type=Path, metavar="CHECKOUT", help="a clone of the originals' repository"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only records whose name contains it")
    parser.add_argument("--project", type=Path, default=ROOT, help="the folder that holds tracks/ and records/")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table with all losses")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table")
    asked = parser.parse_args()
    if asked.checkout is None or not asked.checkout.is_dir():
        print(NEEDS if asked.checkout is None else f"{asked.checkout} is no folder; {NEEDS}", file=sys.stderr)
        return 2
    project = Project(asked.project)
    catalog = Catalog(project)
    rows: list[Row] = []
    print(f"{'record':<16} {'steps':>5} {'Δ at 0':>8} {'largest':>8}  remark", flush=True)
    for record in scripts(catalog, project, asked.only):
        with tempfile.TemporaryDirectory() as folder:
            write_tokens(Path(folder) / "data/fineweb10B")
            try:
                row = compare(catalog, record, asked.checkout, Path(folder))
            except (HarnessError, OSError, ValueError) as error:
                row = Row(catalog.name(record), "broken", str(error))
        rows.append(row)
        remark = "".join(letter if letter.isprintable() else "?" for letter in row.remark)  # it quotes code of others
        said = f"{row.record:<16} {row.steps or '':>5} {cell(row.at_start):>8} {cell(row.largest):>8}  {remark}"
        print(said.rstrip(), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps([dataclasses.asdict(row) for row in rows], indent=1) + "\n")
    if asked.markdown:
        asked.markdown.write_text(markdown(rows))
    compared = [row for row in rows if row.largest is not None]
    within = sum(row.largest < BOUND for row in compared if row.largest is not None)
    broken = sum(row.state == "broken" for row in rows)
    print(f"{within} of {len(compared)} within {BOUND:g}; {broken} could not be compared")
    return 0 if within == len(compared) and not broken and rows else 1


if __name__ == "__main__":
    sys.exit(main())
