"""tracks/<track>.yaml in, `Track` out: the rules of a race as dated, versioned data.

A new track is a new file and no code. A ruleset once used is never edited: a record keeps the one it was judged by.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, cast

from harness.core import yamlfile
from harness.core.errors import Problem, TrackError
from harness.core.task import Hardware, Ruleset, Shard, Significance, Track, TrackData

EVIDENCE = ("logs", "script", "seeds", "clock", "data", "machine", "ledger", "telemetry")
FLAGS = ("inductor-config", "compile-options", "compile-mode", "inductor-environment")
_NAME = r"[a-z][a-z0-9-]{0,30}"
_SHARD_PATTERN = r"[A-Za-z0-9_.-]+%06d[A-Za-z0-9_.-]*"
_FOLDER = r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"


def load_track(tracks: Path, name: str) -> Track:
    """Read one track by name.

    tracks: the folder of the track files. Raises TrackError with every problem of the file, or naming the known tracks.
    """
    known = track_names(tracks)
    if name not in known:
        raise TrackError.at(tracks, f"there is no track {name[:60]!r}", f"known tracks: {', '.join(known) or 'none'}")
    path = tracks / f"{name}.yaml"
    fields = yamlfile.Fields.of(yamlfile.load(path, name=f"{tracks.name}/{path.name}"))
    track = _track(fields)
    if track.name != name:
        fields.problem("name", f"`name` is {track.name!r} in the file of the track {name!r}", "make them equal")
    fields.done(TrackError)
    return track


def track_names(tracks: Path) -> tuple[str, ...]:
    """The names of the tracks that the folder holds, sorted."""
    return tuple(sorted(path.stem for path in tracks.glob("*.yaml") if re.fullmatch(_NAME, path.stem)))


def load_tracks(tracks: Path) -> dict[str, Track]:
    """Read all tracks, by name; problems of all files come in one TrackError."""
    loaded: dict[str, Track] = {}
    problems: list[Problem] = []
    for name in track_names(tracks):
        try:
            loaded[name] = load_track(tracks, name)
        except TrackError as error:
            problems.extend(error.problems)
    if problems:
        raise TrackError(*problems)
    return loaded


def ruleset_of(track: Track, id: str) -> Ruleset:
    """The ruleset `short@2` of a track; raises TrackError naming the known ones."""
    for ruleset in track.rulesets:
        if ruleset.id == id:
            return ruleset
    known = ", ".join(ruleset.id for ruleset in track.rulesets)
    raise TrackError.at(f"tracks/{track.name}.yaml", f"there is no ruleset {id[:60]!r}", f"known rulesets: {known}")


def current_ruleset(track: Track) -> Ruleset:
    """The ruleset that new submissions are judged by: the last one of the file."""
    return track.rulesets[-1]


def _track(fields: yamlfile.Fields) -> Track:
    version = fields.integer("schema", minimum=1)
    if version != 1:
        fields.problem("schema", f"schema {version} is unknown", "this harness reads schema 1")
    name = fields.text("name", pattern=_NAME, what="a lower-case word")
    return Track(
        name=name,
        title=fields.text("title"),
        target_loss=_positive(fields, "target_loss"),
        metric=cast(Literal["train_time", "steps"], fields.choice("metric", ("train_time", "steps"))),
        validation_tokens=fields.integer("validation_tokens", minimum=1),
        train_tokens=fields.integer("train_tokens", minimum=1),
        runs=fields.integer("runs", minimum=1),
        silence_limit_s=_positive(fields, "silence_limit_s"),
        time_limit_s=_positive(fields, "time_limit_s"),
        hardware=_hardware(fields.mapping("hardware")),
        data=_data(fields.mapping("data")),
        dry=_overrides(fields),
        rulesets=_rulesets(fields, name),
    )


def _positive(fields: yamlfile.Fields, key: str) -> float:
    value = fields.number(key)
    if value <= 0 and key in fields.data:
        fields.problem(key, f"`{key}` is {value:g}", "it must be above 0")
    return value


def _overrides(fields: yamlfile.Fields) -> tuple[str, ...]:
    overrides = fields.strings("dry")
    for index, override in enumerate(overrides):
        if not re.fullmatch(r"[a-z_0-9]+=\S+", override):
            fields.problem("dry", f"entry {index + 1} is {override!r}", "write name=value")
    return overrides


def _hardware(fields: yamlfile.Fields | None) -> Hardware:
    if fields is None:
        return Hardware("any", 1)
    hardware = Hardware(
        kind=cast(Literal["gpu", "any"], fields.choice("kind", ("gpu", "any"))),
        processes=fields.integer("processes", minimum=1),
        gpu_name=fields.text_or_none("gpu_name"),
    )
    fields.unknown_keys()
    return hardware


def _data(fields: yamlfile.Fields | None) -> TrackData:
    if fields is None:
        return TrackData("synthetic", "", "", "", 0, 0)
    source = fields.choice("source", ("hub", "synthetic"))
    repository = fields.text_or_none("repository", pattern=r"[\w.-]+/[\w.-]+", what="a dataset like owner/name")
    if source == "hub" and repository is None and "repository" not in fields.data:
        fields.problem(None, "a hub source needs `repository`", "add `repository: owner/name`")
    data = TrackData(
        source=cast(Literal["hub", "synthetic"], source),
        folder=fields.text("folder", pattern=_FOLDER, what="a relative folder"),
        train_pattern=fields.text("train_pattern", pattern=_SHARD_PATTERN, what="a file name with %06d"),
        val_pattern=fields.text("val_pattern", pattern=_SHARD_PATTERN, what="a file name with %06d"),
        train_shards=fields.integer("train_shards", minimum=1),
        shard_tokens=fields.integer("shard_tokens", minimum=1),
        repository=repository,
        revision=fields.text_or_none("revision", pattern=r"[0-9a-f]{40}", what="a commit of 40 hexadecimal digits"),
        seed=fields.integer_or_none("seed"),
        oracle_loss=fields.number_or_none("oracle_loss"),
        shards=tuple(_shard(shard) for shard in fields.mappings("shards")),
    )
    fields.unknown_keys()
    return data


def _shard(fields: yamlfile.Fields) -> Shard:
    shard = Shard(
        name=fields.text("name", pattern=r"[A-Za-z0-9_.-]+", what="a file name"),
        tokens=fields.integer_or_none("tokens", minimum=1),
        sha256=fields.text_or_none("sha256", pattern=r"[0-9a-f]{64}", what="64 hexadecimal digits"),
    )
    fields.unknown_keys()
    return shard


def _rulesets(fields: yamlfile.Fields, name: str) -> tuple[Ruleset, ...]:
    items = fields.mappings("rulesets")
    rulesets = tuple(_ruleset(item, name) for item in items)
    if not rulesets:
        fields.problem("rulesets" if "rulesets" in fields.data else None, "there is no ruleset", "add at least one")
    ids = [ruleset.id for ruleset in rulesets]
    for id in sorted({id for id in ids if ids.count(id) > 1}):
        fields.problem("rulesets", f"the ruleset {id!r} appears twice", "give each its own number")
    return rulesets


def _ruleset(fields: yamlfile.Fields, track: str) -> Ruleset:
    ruleset = Ruleset(
        id=fields.text("id", pattern=re.escape(track) + r"@[1-9]\d*", what=f"{track}@ and a number"),
        since=fields.date_or_none("since"),
        until=fields.date_or_none("until"),
        summary=fields.text("summary"),
        timer=fields.text("timer"),
        untimed_steps=fields.integer("untimed_steps"),
        significance=_significance(fields.mapping("significance")),
        evidence=_words(fields, "evidence", EVIDENCE),
        forbidden=_words(fields, "forbidden", FLAGS),
        allowed=fields.strings("allowed"),
    )
    fields.unknown_keys()
    return ruleset


def _words(fields: yamlfile.Fields, key: str, known: tuple[str, ...]) -> tuple[str, ...]:
    words = fields.strings(key)
    for word in words:
        if word not in known:
            fields.problem(key, f"`{key}` holds {word!r}", f"use only {', '.join(known)}")
    return words


def _significance(fields: yamlfile.Fields | None) -> Significance:
    if fields is None:
        return Significance("t")
    test = fields.choice("test", ("t", "closed-form", "sequential"))
    significance = Significance(
        test=cast(Literal["t", "closed-form", "sequential"], test),
        alpha=fields.number_or_none("alpha"),
        margin=fields.number_or_none("margin"),
        sigma_floor=fields.number_or_none("sigma_floor"),
        bounds=_bounds(fields),
        min_runs=fields.integer_or_none("min_runs", minimum=1) or 1,
        systems_margin=fields.number_or_none("systems_margin"),
    )
    needs = {"t": ("alpha",), "closed-form": ("margin",), "sequential": ("sigma_floor", "bounds")}[test]
    for key in needs:
        if not getattr(significance, key):
            fields.problem(None, f"the test `{test}` needs `{key}`", f"add `{key}: …`")
    fields.unknown_keys()
    return significance


def _bounds(fields: yamlfile.Fields) -> tuple[tuple[int, int, float], ...]:
    fields.known.add("bounds")
    rows = fields.data.get("bounds", [])
    if not isinstance(rows, list) or not all(_is_bound(row) for row in rows):
        fields.problem("bounds", "`bounds` cannot be read", "write [[first n, last n, bound], …] with a decimal bound")
        return ()
    return tuple((row[0], row[1], row[2]) for row in rows)


def _is_bound(row: Any) -> bool:
    return isinstance(row, list) and [type(value) for value in row] == [int, int, float] and 1 <= row[0] <= row[1]
