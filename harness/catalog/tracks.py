"""Read tracks/<track>.yaml: the rules of a race as dated, versioned data, with the pins that lie beside it.

A new track is a new file and no code. A ruleset once used is never edited: a record keeps the one it was judged by.
"""

import dataclasses
import datetime
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from harness.core.codec import Form, Reading
from harness.core.constraints import show
from harness.core.errors import Problem, TrackError, raise_if, read_all
from harness.core.task import Pins, Ruleset, Shard, Track
from harness.core.text import did_you_mean
from harness.core.yamlfile import Path_

TRACK_FORM = Form(Track, "yaml", (1,), TrackError)
PINS_FORM = Form(Pins, "json", (1,), TrackError)
NEEDS = {"t": ("alpha",), "closed-form": ("margin",), "sequential": ("sigma_floor", "bounds")}  # of each test
NO_TRACK = "timers"  # tracks/timers.yaml lists people
_NAME = rf"(?!{NO_TRACK}$)[a-z][a-z0-9-]{{0,30}}"


def pins_file(tracks: Path, name: str) -> Path:
    """Return where the pins of a track's tokens stand."""
    return tracks / f"{name}.pins.json"


def load_track(tracks: Path, name: str) -> Track:
    """Read one track by name.

    tracks: the folder of the track files. Raises TrackError with every problem of the file, or naming the known tracks.
    """
    known = track_names(tracks)
    if name not in known:
        raise TrackError.at(tracks, f"there is no track {name[:60]!r}", _known("tracks", name, known))
    path = tracks / f"{name}.yaml"
    reading = TRACK_FORM.open(path, name=f"{tracks.name}/{path.name}")
    _check(reading, name)
    return _with_pins(reading.done(), tracks)


def track_names(tracks: Path) -> tuple[str, ...]:
    """Return the names of the tracks that the folder holds, sorted."""
    return tuple(sorted(path.stem for path in tracks.glob("*.yaml") if re.fullmatch(_NAME, path.stem)))


def load_tracks(tracks: Path) -> dict[str, Track]:
    """Read all tracks, by name; problems of all files come in one TrackError."""
    return {track.name: track for track in read_all(partial(load_track, tracks), track_names(tracks), TrackError)}


def ruleset_of(track: Track, id: str) -> Ruleset:
    """Return the ruleset `short@2` of a track; raises TrackError naming the known ones."""
    for ruleset in track.rulesets:
        if ruleset.id == id:
            return ruleset
    todo = _known("rulesets", id, [ruleset.id for ruleset in track.rulesets])
    raise TrackError.at(f"tracks/{track.name}.yaml", f"there is no ruleset {id[:60]!r}", todo)


def _known(what: str, name: str, known: Sequence[str]) -> str:
    meant = did_you_mean(name, known)
    return (f"did you mean {meant}? " if meant else "") + f"known {what}: {', '.join(known) or 'none'}"


def current_ruleset(track: Track) -> Ruleset:
    """Return the ruleset that new submissions are made under: the last one of the file that is no draft."""
    return next((ruleset for ruleset in reversed(track.rulesets) if not ruleset.draft), track.rulesets[-1])


def why_closed(track: Track, ruleset: Ruleset, today: datetime.date, made: datetime.date | None = None) -> str | None:
    """Say why nothing new is accepted under a ruleset on this day; None where something is.

    A ruleset closes when the next one comes. What was made before that is judged by it until the day that the next one
    names; made: the day of the first run that counts, None where there is none yet. Else everybody could choose the rules.
    """
    if ruleset.draft:
        return f"is {ruleset.id}, a draft under which nothing is accepted yet"
    for newer in track.rulesets[track.rulesets.index(ruleset) + 1 :]:
        if newer.draft:
            continue
        if newer.older_until is None or today > newer.older_until:
            return f"is {ruleset.id}; new submissions are judged by {current_ruleset(track).id}"
        if newer.since is not None and (made is None or made >= newer.since):
            runs = "there is no run yet" if made is None else f"the first run is of {made}"
            since = f"{newer.since}, when {newer.id} came"
            return f"is {ruleset.id}, for what was run before {since}; {runs}"
    return None


def _check(reading: Reading[Track], name: str) -> None:
    """Note what does not fit together; keys that are missing or of the wrong kind are noted already."""
    match reading.data:
        case {"name": str(called)} if called != name:
            reading.problem(("name",), f"`name` is {show(called)} in the file of the track {name!r}", "make them equal")
    match reading.data:
        case {"data": {"source": "hub", **data}} if data.get("repository") is None:
            reading.problem(("data",), "a hub source needs `repository`", "add `repository: owner/name`")
    match reading.data:
        case {"rulesets": tuple(rulesets)}:
            ids = [ruleset.get("id") for ruleset in rulesets if isinstance(ruleset, dict)]
            for twice in sorted({str(id) for id in ids if ids.count(id) > 1}):
                reading.problem(("rulesets",), f"the ruleset {show(twice)} appears twice", "give each its own number")
            groups = reading.data.get("timed_alike")
            for group in groups if isinstance(groups, tuple) else ():
                for id in group if isinstance(group, tuple) else ():
                    if id not in ids:
                        reading.problem(("timed_alike",), f"there is no ruleset {show(id)}", "name those of this track")
            for index, ruleset in enumerate(rulesets):
                _check_ruleset(reading, ("rulesets", index), ruleset, name)


def _check_ruleset(reading: Reading[Track], path: Path_, ruleset: object, track: str) -> None:
    match ruleset:
        case {"id": str(id)} if id.partition("@")[0] != track:
            reading.problem((*path, "id"), f"`id` is {show(id)}", f"it must be {track}@ and a number")
    match ruleset:
        case {"significance": {"test": str(test), **given}}:
            for key in NEEDS.get(test, ()):
                if not given.get(key):
                    what = f"the test `{test}` needs `{key}`"
                    reading.problem((*path, "significance"), what, f"add `{key}: …`")
            rows = given.get("bounds")
            for number, row in enumerate(rows if isinstance(rows, tuple) else ()):
                match row:
                    case (int(first), int(last), _) if not 1 <= first <= last:
                        place = (*path, "significance", "bounds", number)
                        reading.problem(
                            place, f"n from {first} to {last} is not a range", "write [first n, last n, bound]"
                        )


def _with_pins(track: Track, tracks: Path) -> Track:
    """Put in what `fetch --pin` wrote beside the track; raises TrackError where the track's own pins contradict it."""
    path = pins_file(tracks, track.name)
    if not (path.exists() or path.is_symlink()):
        return track
    name = f"{tracks.name}/{path.name}"
    pins = PINS_FORM.read(path, name=name)
    own = {shard.name: shard for shard in track.data.shards}
    names = [shard.name for shard in pins.shards]
    twice = sorted({shard for shard in names if names.count(shard) > 1})
    todo = "keep one; `speedrun fetch --pin` writes each once"
    raise_if((Problem(name, f"{shard} appears twice", todo) for shard in twice), TrackError)
    raise_if(contradictions(track, pins, name), TrackError)
    shards = tuple({**own, **{shard.name: shard for shard in pins.shards}}.values())
    revision = pins.revision or track.data.revision
    return dataclasses.replace(track, data=dataclasses.replace(track.data, revision=revision, shards=shards))


def contradictions(track: Track, pins: Pins, name: str) -> list[Problem]:
    """Name every pin of a track that others would move; `name` is the file that holds the others."""
    data, todo = track.data, "a pin is never moved; make a new track or ruleset"
    new = {shard.name: shard for shard in pins.shards}
    moved = [Problem(name, "the revision is pinned to another commit", todo)]
    return (moved if data.revision and pins.revision and data.revision != pins.revision else []) + [
        Problem(name, f"{old.name} is pinned to other bytes", todo)
        for old in data.shards
        if old.name in new and _differ(old, new[old.name])
    ]


def _differ(old: Shard, new: Shard) -> bool:
    """Whether a pin gives another hash, or another number of tokens, than the one before it."""
    other_bytes = old.sha256 is not None and old.sha256 != new.sha256
    return other_bytes or (old.tokens is not None and new.tokens not in (None, old.tokens))
