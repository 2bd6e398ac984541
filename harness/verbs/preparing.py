"""doctor, fetch: check this machine and download tokens, before anything is run."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from harness.verbs.verb import Verb, catalog_of, print_json

HELLASWAG = "hellaswag"  # the name by which its items and the tokenizer are fetched

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.catalog.subjects import Subject
    from harness.core.task import Track
    from harness.dataset.fetching import Fetched


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="?", metavar="RECORD", help="what you want to run: a record, a track or submissions/<slug>"
    )
    parser.add_argument(
        "--make",
        action="store_true",
        help="make the environment that RECORD needs, for `run --env RECORD`; examine nothing",
    )
    parser.add_argument("--json", action="store_true", help="print the checks as JSON on stdout")


def _doctor(args: argparse.Namespace) -> int:
    from harness.doctor import examination
    from harness.ui import console

    catalog = catalog_of(args)
    if args.make:
        return _make_environment(catalog, args.target)
    report = examination.examine(catalog, args.target)
    if args.json:
        print_json({"target": report.target, "state": report.state, "lines": report.lines})
    console.say_states([(line.state, line.name, line.value, line.fix) for line in report.lines])
    what = f"for {report.target}" if report.target else "without a record (name one to check what it needs)"
    console.say(f"doctor: {report.state} {what}", style=f"bold {report.state}")
    return 2 if report.state == "red" else 0


def _make_environment(catalog: Catalog, target: str | None) -> int:
    from harness.core.errors import HarnessError
    from harness.replay import own_environment
    from harness.ui import console

    if target is None:
        raise HarnessError.at(
            "--make", "no record was named", "name the one whose packages you need: doctor short --make"
        )
    wanted = own_environment.of_target(catalog, target)
    with console.waiting(f"making an environment for {wanted.name}: {', '.join(wanted.requirement_sets[0])}"):
        made, tried = own_environment.install(catalog.project, wanted)
    for attempt in tried:
        console.say(f"not to be had: {attempt}", style="yellow")
    console.say(
        f"torch {made.torch} for {wanted.name} is in {made.folder}; use it with `speedrun run … --env {wanted.name}`"
    )
    return 0


def _fetch_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target",
        nargs="?",
        metavar="TRACK|RECORD|SUBMISSION",
        help="whose tokens, optional with --list; or fineweb100B; or hellaswag, with GPT-2's tokenizer",
    )
    parser.add_argument(
        "--tokens", type=_count, metavar="N", help="how many tokens, like 983M (default: what a run reads)"
    )
    parser.add_argument("--verify", action="store_true", help="hash every shard again")
    parser.add_argument("--pin", action="store_true", help="write revision and hashes into a file beside the track")
    parser.add_argument("--list", action="store_true", help="show which shards are here; download nothing")
    parser.add_argument("--json", action="store_true", help="print the shards as JSON on stdout")


def _fetch(args: argparse.Namespace) -> int:
    from harness.core.errors import HarnessError
    from harness.dataset.fetching import fetch_for, verify
    from harness.dataset.pinning import pin
    from harness.run import tokenizer_ready
    from harness.ui import console
    from harness.ui.bars import file_progress

    catalog = catalog_of(args)
    if args.target == HELLASWAG:
        return _fetch_hellaswag(args, catalog)
    if args.list:
        return _list_shards(args, catalog)
    if args.target is None:
        raise HarnessError.at("fetch", "no track was named", "name one; `speedrun fetch --list` shows them")
    track, tokens = _tokens_of(catalog, args.target)
    if args.pin and track.name not in catalog.track_names():
        raise HarnessError.at(track.name, "is no track, and only tracks have pins", "leave out --pin")
    tokens = tokens if args.tokens is None else args.tokens
    with file_progress("fetching") as progress:
        fetched = fetch_for(track, tokens, progress=progress)
        problems = verify(fetched, progress) if args.verify else ()
        pinned_in = pin(catalog.project.tracks, track, fetched, progress) if args.pin and not problems else None
        script = _script_of(catalog, args.target)
        told = script is not None and tokenizer_ready.fetch_for(script, progress=progress)
    if told:
        console.note("with it GPT-2's tokenizer, which the script uses")
    for problem in problems:
        console.note(f"speedrun: {problem}")
    if pinned_in is not None:
        console.note(f"pinned in {catalog.project.show(pinned_in)}; review and commit it")
    if args.json:
        print(json.dumps(_as_data(track, fetched, [str(problem) for problem in problems]), indent=1))
    _summary(fetched, verified=args.verify and not problems)
    return 1 if problems else 0


def _tokens_of(catalog: Catalog, name: str) -> tuple[Track, int]:
    """Return whose tokens a name means, and how many a run reads."""
    from harness.dataset import larger

    more = larger.find(name)
    return catalog.tokens(name) if more is None else (more, more.train_tokens)


def _script_of(catalog: Catalog, name: str) -> Subject | None:
    """Return the script in the folder of a submission or a record; None for a track and where there is none."""
    from harness.dataset import larger

    if name in catalog.track_names() or larger.find(name) is not None:
        return None
    named = catalog.find(name)
    has_none = named.record is not None and not catalog.has_script(named.record)
    return None if has_none else catalog.subject(named, frozen=False)


def _fetch_hellaswag(args: argparse.Namespace, catalog: Catalog) -> int:
    """Fetch what `eval` needs for questions about text: the tokenizer's files, and the items of HellaSwag."""
    from harness.eval import sources
    from harness.ui import console
    from harness.ui.bars import file_progress

    if args.list:
        missing = sources.missing(items=True)
        console.say(f"hellaswag: missing {', '.join(missing) or 'nothing'}")
        if args.json:
            print_json({"missing": missing})
        return 0
    with file_progress("fetching") as progress:
        held = sources.fetch(catalog.project, items=True, progress=progress)
    pinned_in = sources.pin(catalog.project, held) if args.pin else None
    files = [held.merges, held.ids, held.items]
    if pinned_in is not None:
        console.note(f"pinned in {catalog.project.show(pinned_in)}; review and commit it")
    if args.json:
        print_json({"files": [file for file in files if file is not None]})
    for file in files:
        if file is not None:
            against = "its pin" if file.pinned else "the source only: it is not pinned yet"
            console.note(f"{file.path}: sha256 {file.sha256[:12]}…, verified against {against}")
    return 0


def _summary(fetched: Fetched, *, verified: bool) -> None:
    from harness.ui import console

    shards = fetched.receipt.shards
    size = sum(shard.bytes for shard in shards) / 1e6
    how = "hashed again, " if verified else ""
    against = "the track's pins" if fetched.pinned else "the source only: the track pins no hashes yet"
    where = f"{len(shards)} shards ({size:,.1f} MB) are in {fetched.folder}"
    console.note(f"{where}, {how}verified against {against}")


def _as_data(track: Track, fetched: Fetched, problems: list[str]) -> dict[str, Any]:
    return {
        "track": track.name,
        "source": fetched.receipt.source,
        "revision": fetched.receipt.revision,
        "pinned": fetched.pinned,
        "folder": str(fetched.folder),
        "downloaded_bytes": fetched.downloaded_bytes,
        "shards": [
            {"name": s.name, "path": str(path), "bytes": s.bytes, "tokens": s.tokens, "sha256": s.sha256}
            for s, path in zip(fetched.receipt.shards, fetched.paths, strict=True)
        ],
        "problems": problems,
    }


def _list_shards(args: argparse.Namespace, catalog: Catalog) -> int:
    from harness.catalog.tracks import load_tracks
    from harness.dataset.fetching import what_is_there
    from harness.ui import console

    tracks = (
        [_tokens_of(catalog, args.target)[0]] if args.target else list(load_tracks(catalog.project.tracks).values())
    )
    listed = []
    for track in tracks:
        folder, entries = what_is_there(track)
        there = sum(entry.state == "verified" for entry in entries)
        console.say(f"{track.name}: {there} of {len(entries)} shards verified in {folder}")
        for entry in entries:
            size = f"{entry.bytes / 1e6:12,.1f} MB" if entry.bytes else " " * 15
            console.say(f"  {entry.name:<32}{entry.state:<12}{size}".rstrip())
        listed.append(
            {
                "track": track.name,
                "folder": str(folder),
                "shards": [
                    {"name": e.name, "state": e.state, "bytes": e.bytes, "sha256": e.sha256, "path": str(e.path)}
                    for e in entries
                ],
            }
        )
    if args.json:
        print(json.dumps(listed, indent=1))
    return 0


def _count(text: str) -> int:
    """Parse a number of tokens, also as 983M or 1.5B."""
    scale = {"k": 10**3, "m": 10**6, "b": 10**9}.get(text[-1:].lower(), 1)
    digits = text[:-1] if scale > 1 else text.replace("_", "").replace(",", "")
    try:
        value = int(digits) if scale == 1 else round(float(digits) * scale)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens; write 983040000 or 983M") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return value


VERBS = (
    Verb("doctor", "check this machine: GPUs, disk, memory, torch, data", _doctor_arguments, _doctor, reads=True),
    Verb("fetch", "download and verify the tokens of a track", _fetch_arguments, _fetch),
)
