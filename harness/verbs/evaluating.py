"""eval: what a trained model is worth."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from harness.verbs.verb import Verb, catalog_of, next_step, number_of, print_json, terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.eval.checkpoints import Checkpoint
    from harness.eval.evaluation import Evaluated, Texts
    from harness.eval.questions import Asked, TokenFile

AGAIN = "the same command goes on where it stopped: what was answered is kept"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="a file that a script saved with save=PATH, or a record whose model is kept")
    parser.add_argument(
        "--script",
        metavar="SCRIPT",
        help="what loads it: a record, a submission or a file (default: the one beside it)",
    )
    parser.add_argument("--trust", action="store_true", help="load a script that belongs to no record; read it first")
    parser.add_argument("--hellaswag", action="store_true", help="accuracy on the validation items of HellaSwag")
    parser.add_argument(
        "--style", choices=("completion", "lm-eval"), default="completion", help="how its items become text"
    )
    parser.add_argument("--items", type=number_of("items", 1, 10**6), metavar="N", help="only its first items")
    parser.add_argument(
        "--tokens", type=Path, nargs="+", metavar="FILE", help="loss on files of tokens (default: the track's own)"
    )
    parser.add_argument("--limit", type=number_of("tokens", 1, 10**12), metavar="N", help="only their first tokens")
    parser.add_argument(
        "--int8", action="store_true", help="the same with weights in int8, with size and speed of both"
    )
    parser.add_argument("--sample", action="append", default=[], metavar="PROMPT", help="draw text behind a prompt")
    parser.add_argument(
        "--length", type=number_of("tokens", 1, 10**5), default=64, metavar="N", help="… so many tokens"
    )
    parser.add_argument(
        "--temperature", type=_temperature, default=1.0, metavar="T", help="… (default 1; 0: no chance)"
    )
    parser.add_argument(
        "--top-k", type=number_of("tokens", 0, 10**6), default=50, metavar="K", help="… of the K most likely (0: all)"
    )
    parser.add_argument("--seed", type=number_of("seeds", 0, 2**63), default=0, metavar="N", help="… with this seed")
    parser.add_argument(
        "--store", action="store_true", help="keep the result beside the record, whatever made the weights"
    )
    parser.add_argument("--no-fetch", action="store_true", help="download nothing; fail where something is missing")
    parser.add_argument("--plan", action="store_true", help="print what would be asked; load and fetch nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no temperature; give a number from 0 to 100")
    return value


def _eval(args: argparse.Namespace) -> int:
    from harness.core.errors import MachineError
    from harness.eval import checkpoints
    from harness.machine import computer
    from harness.ui import console, eval_report

    signal.signal(signal.SIGTERM, terminated)
    catalog = catalog_of(args)
    checkpoint = checkpoints.find(catalog, args.checkpoint, args.script, trust=args.trust)
    if args.plan:
        return _plan(args, catalog, checkpoint)
    if computer.version("torch") is None:
        raise MachineError.at("torch", "is not installed", "install the training extra: pip install '.[train]'")
    eval_report.say_checkpoint(checkpoint)
    by = _author(args, catalog, checkpoint)
    asked, texts = _fetched(args, catalog, checkpoint)
    found = _evaluate(catalog, checkpoint, asked, texts, by)
    if args.json:
        print_json(eval_report.as_data(found))
    else:
        with console.product():
            eval_report.say_result(found)
    _store(args, catalog, checkpoint, found)
    return 0


def _evaluate(catalog: Catalog, checkpoint: Checkpoint, asked: Asked, texts: Texts | None, by: str | None) -> Evaluated:
    from harness.eval import evaluation
    from harness.ui import eval_report

    with next_step(AGAIN):
        return evaluation.evaluate(catalog.project, checkpoint, asked, texts, eval_report.Progress(), by=by)


def _store(args: argparse.Namespace, catalog: Catalog, checkpoint: Checkpoint, found: Evaluated) -> None:
    """Keep a result beside the record, where the weights are a run's of it or the user asks for it."""
    from harness.store.evals import add_eval
    from harness.ui import console, eval_report

    record = checkpoint.script.record
    if record is None or not eval_report.may_be_stored(found.result):
        return
    if checkpoint.run is None and not args.store:
        console.note("not kept: no run here is known to have saved these weights; with --store it is kept all the same")
        return
    stored = add_eval(catalog.folder(record), found.result)
    console.note(f"kept in {catalog.project.show(stored)}; `speedrun board` shows it on the record's page")


def _author(args: argparse.Namespace, catalog: Catalog, checkpoint: Checkpoint) -> str | None:
    """Return who evaluates, before anything is done; None where no result will be stored."""
    from harness.core.errors import HarnessError
    from harness.submission.people import author

    if checkpoint.script.record is None:
        if args.store:
            what = "is the script of no record, so there is no place for its results"
            raise HarnessError.at(checkpoint.script.name, what, "leave out --store; --json prints them")
        return None
    return author(catalog.project) if checkpoint.run is not None or args.store else None


# ------------------------------------------------------------------------------------------------ what is asked


def _fetched(args: argparse.Namespace, catalog: Catalog, checkpoint: Checkpoint) -> tuple[Asked, Texts | None]:
    """Have all files here that the questions need, and read them."""
    from harness.eval import evaluation, sources
    from harness.ui.bars import file_progress

    with file_progress("fetching") as progress:
        asked = _asked(args, checkpoint, fetch=True)
        if not (args.hellaswag or args.sample):
            return asked, None
        online = not args.no_fetch
        held = sources.fetch(catalog.project, items=args.hellaswag, allow_network=online, progress=progress)
    return asked, evaluation.read_texts(held, asked)


def _asked(args: argparse.Namespace, checkpoint: Checkpoint, *, fetch: bool) -> Asked:
    """Put what the user wants to know into questions; fetch: download the track's tokens where they are missing."""
    from harness.core.errors import HarnessError
    from harness.dataset import held_out
    from harness.eval.questions import GPT2_COLUMNS, Asked, Sampling

    if args.items is not None and not args.hellaswag:
        raise HarnessError.at("eval", "--items belongs to --hellaswag", "add --hellaswag")
    track = checkpoint.script.track
    columns, start = held_out.columns(track) if track is not None else (GPT2_COLUMNS, GPT2_COLUMNS - 1)
    if columns != GPT2_COLUMNS and (args.hellaswag or args.sample):
        what = f"its models know the {columns - 1} symbols of a synthetic source, and no text"
        raise HarnessError.at(checkpoint.script.name, what, "ask for the loss on files of tokens: --tokens FILE")
    sampling = Sampling(tuple(args.sample), args.length, args.temperature, args.top_k or None, args.seed)
    return Asked(
        style=args.style if args.hellaswag else None,
        items=args.items,
        files=_files(args, checkpoint, columns, fetch),
        sampling=sampling,
        int8=args.int8,
        columns=columns,
        start_column=start,
    )


def _files(args: argparse.Namespace, checkpoint: Checkpoint, columns: int, fetch: bool) -> tuple[TokenFile, ...]:
    """Describe the files whose loss is asked: those that were named, else the track's own where nothing else is asked."""
    import dataclasses

    from harness.core.errors import HarnessError
    from harness.eval.questions import planned_file, token_file, validation_file
    from harness.ui.bars import file_progress

    track = checkpoint.script.track
    if args.tokens:
        return tuple(token_file(path, args.limit, columns) for path in args.tokens)
    if track is None or (not args.int8 and (args.hellaswag or args.sample)):
        if args.limit is not None:
            raise HarnessError.at("eval", "--limit belongs to --tokens", "add --tokens FILE")
        if not (args.hellaswag or args.sample):
            what = "belongs to no track, so there is no text that it is always held against"
            raise HarnessError.at(checkpoint.script.name, what, "ask something: --tokens FILE, --hellaswag or --sample")
        return ()
    if track.data.source == "synthetic":
        what = f"each series of {track.name} has a source of its own, which no longer exists"
        raise HarnessError.at(checkpoint.script.name, what, "name files of tokens: --tokens FILE")
    if fetch:
        with file_progress("fetching") as progress:
            file = validation_file(track, allow_network=not args.no_fetch, progress=progress)
    else:
        file = planned_file(track)
    return (file if args.limit is None else dataclasses.replace(file, tokens=min(args.limit, file.tokens)),)


def _plan(args: argparse.Namespace, catalog: Catalog, checkpoint: Checkpoint) -> int:
    import sys

    from harness.dataset import fetching
    from harness.eval import model_process, sources
    from harness.ui import eval_report

    asked = _asked(args, checkpoint, fetch=False)
    missing = sources.missing(items=args.hellaswag) if args.hellaswag or args.sample else []
    track = checkpoint.script.track
    if track is not None and asked.files and not args.tokens:
        missing += [shard.name for shard in fetching.missing_shards(track, 0)]
    tier = model_process.confined_by(catalog.project, checkpoint, sys.executable).tier
    eval_report.say_plan(checkpoint, asked, tier, missing)
    return 0


VERBS = (Verb("eval", "what a trained model is worth: HellaSwag, losses, samples, int8", _arguments, _eval),)
