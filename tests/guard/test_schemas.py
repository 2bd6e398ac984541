"""The published JSON Schemas: current, and met by every real file of the repository."""

from __future__ import annotations

import copy
import datetime
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core import yamlfile
from harness.core.measurement import RunOutcome
from harness.core.record import Withdrawal
from harness.core.task import Pins, Shard, Timer, TimersFile
from harness.maintain.schemas import FOLDER, FORMS, schema_text
from harness.probe.stored import StoredProbe, StoredRun
from harness.screening.answer import Answer, Figure, TriedRun
from harness.store.comparisons import Comparison, Side
from harness.store.files import PACKED, read_kept
from harness.store.sessions import Session, with_id
from tests.evals.test_stored import result as a_result
from tests.replay.test_stored import curved
from tests.unit.test_codec import MACHINE

ROOT = Path(__file__).parents[2]
DAY = datetime.date(2026, 11, 21)
TYPES: dict[str, type[Any] | tuple[type[Any], ...]] = {
    "object": dict,
    "array": (list, tuple),
    "string": (str, datetime.date),
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
KNOWN = {"$schema", "$id", "$defs", "$ref", "title", "description", "default", "format", "type", "enum", "const"} | {
    *("anyOf", "properties", "required", "additionalProperties", "patternProperties", "propertyNames"),
    *("items", "prefixItems", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("pattern", "minLength", "maxLength", "minimum", "exclusiveMinimum", "exclusiveMaximum"),
}


def faults(schema: dict[str, Any], value: Any, root: dict[str, Any], place: str = "") -> Iterator[str]:
    """What a value does not meet of a JSON Schema, as far as our schemas go: an unknown keyword is an error."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        yield from faults(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], value, root, place)
        return
    if "anyOf" in schema:
        if all(list(faults(choice, value, root, place)) for choice in schema["anyOf"]):
            yield f"{place}: meets no choice"
        return
    kind = TYPES.get(schema.get("type", ""), object)
    if not isinstance(value, kind) or (isinstance(value, bool) and schema.get("type") in ("integer", "number")):
        yield f"{place}: is no {schema['type']}"
        return
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        yield f"{place}: is not one of the words"
    if isinstance(value, str):
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            yield f"{place}: length"
        if not re.search(schema.get("pattern", ""), value):
            yield f"{place}: pattern"
    elif isinstance(value, int | float):
        if not schema.get("minimum", value) <= value or not schema.get("exclusiveMinimum", value - 1) < value:
            yield f"{place}: too small"
    elif isinstance(value, list | tuple):
        fixed = schema.get("prefixItems", [])
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{place}: number of items"
        for number, item in enumerate(value):
            of = fixed[number] if number < len(fixed) else schema.get("items", {})
            yield from faults(of, item, root, f"{place}[{number}]")
    elif isinstance(value, dict):
        yield from _faults_of_keys(schema, value, root, place)


def _faults_of_keys(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any], place: str) -> Iterator[str]:
    yield from (f"{place}: {key} is missing" for key in schema.get("required", ()) if key not in value)
    if not schema.get("minProperties", 0) <= len(value) <= schema.get("maxProperties", len(value)):
        yield f"{place}: number of keys"
    rest = schema.get("additionalProperties", {})
    for key, item in value.items():
        patterns = [of for pattern, of in schema.get("patternProperties", {}).items() if re.search(pattern, key)]
        if key in schema.get("properties", {}) or patterns:
            yield from faults(
                [*patterns, schema.get("properties", {}).get(key)][-1] or patterns[0], item, root, f"{place}.{key}"
            )
        elif rest is False:
            yield f"{place}: {key} is unknown"
        elif isinstance(rest, dict):
            yield from faults(rest, item, root, f"{place}.{key}")


def comparison() -> Comparison:
    sides = (Side("records/a", "a" * 64, "short@2"), Side("submissions/b", "b" * 64, "short@3", "2.9.1"))
    coins = ("ABBA",)
    return Comparison(1, "compare-x", "short", *sides, MACHINE, "fixed", 2, None, 3.0, coins, "2026-11-21T00:00:00Z")


def a_session() -> Session:
    return Session(
        id="accept-bbbbbbbb-0",
        subject="submissions/b",
        script_sha256="b" * 64,
        track="short",
        ruleset="short@4",
        timer="@somebody",
        started_at="2026-11-21T00:00:00Z",
        declared=None,
        comparison="compare-x",
    )


def an_answer() -> Answer:
    run = TriedRun("20261121T013504Z-3f2a9c41-8e0f", "finished", 7, 68, 2.93, 4.9, 9.1, ".runs/x/log.txt")
    loss = Figure("val_loss", "nats per token", "minimize", 2, 0.5, (0.25, 0.75), (0.25, 0.75))
    return Answer(
        *("submissions/x", "0" * 64, "smoke", "smoke@2", "full", "failed", "target", "not below it", None, loss, 0.15),
        *((run,), 9.1, 0.01, None, 1, ("R1 fail  x",), ("a line",)),
    )


def real_files() -> Iterator[tuple[str, str, Any]]:
    """Kind, name and plain values of every stored file that the repository holds, and one of each that it does not."""
    patterns = {
        "cluster": "examples/hosts/cluster.yaml",
        "environments": "environments.yaml",
        "manifest": "submissions/*/manifest.yaml",
        "manifest.lock": "submissions/*/manifest.lock",
        "merged": "records/*/*/merged.yaml",
        "record": "records/*/*/record.yaml",
        "retimings": "retimings.yaml",
        "script": "records/*/*/script/script.yaml",
        "timers": "tracks/timers.yaml",
        "track": "tracks/*.yaml",
        "withdrawn": "records/*/*/withdrawn.yaml",
    }
    for kind, pattern in patterns.items():
        for path in sorted({*ROOT.glob(pattern)} - ({ROOT / patterns["timers"]} if kind == "track" else set())):
            yield kind, str(path.relative_to(ROOT)), yamlfile.load(path, max_bytes=1 << 20).data
    for path in sorted(ROOT.glob("records/*/*/evidence/runs/*/run.json*")):
        data = json.loads(read_kept(path.with_name(path.name.removesuffix(PACKED))))
        yield "run", str(path.relative_to(ROOT)), data
    made = {
        "answer": an_answer(),
        "comparison": comparison(),
        "outcome": RunOutcome("failed", 1, 8.25, "a reason"),
        "timers": TimersFile((Timer("@somebody", "Somebody", DAY, datetime.date(2027, 1, 1), ("short",)),)),
        "session": with_id(a_session()),
        "probe": StoredProbe(
            *("submissions/b", "b" * 64, "smoke@2", ("quick",), 4.85, 5.55),
            (StoredRun("own", "both", ((0, 5.5), (100, 2.9)), None), StoredRun("parent", "noise", (), "failed: why")),
            *("records/a", {"own": 2.9}, None),
        ),
        "pins": Pins("speedrun fetch --pin", None, (Shard("a.bin", 5, "0" * 64),)),
        "replay": curved(),
        "eval": a_result(),
        "withdrawn": Withdrawal(DAY, "a reason"),
    }
    for kind, value in made.items():
        text = FORMS[kind].text(value)
        yield (
            kind,
            f"a {kind}",
            json.loads(text) if FORMS[kind].syntax == "json" else yamlfile.parse(text.encode(), kind).data,
        )


FILES = list(real_files())


@pytest.mark.parametrize("name", FORMS)
def test_a_schema_is_what_its_declaration_says(name: str) -> None:
    """After a change: python -m harness.maintain.schemas"""
    assert (FOLDER / f"{name}.json").read_text("utf-8") == schema_text(name)


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.json" for name in FORMS}


def test_every_real_file_meets_its_schema() -> None:
    schemas = {name: json.loads(schema_text(name)) for name in FORMS}
    wrong = [f"{name}{fault}" for kind, name, data in FILES for fault in faults(schemas[kind], data, schemas[kind])]
    assert wrong == []
    assert {kind for kind, _, _ in FILES} == FORMS.keys()
    assert sum(kind == "record" for kind, _, _ in FILES) > 150


def test_what_the_codec_refuses_does_not_meet_the_schema() -> None:
    """So that the validator above is one, and an editor says what `check` would."""
    schema = json.loads(schema_text("manifest"))
    [good] = [data for kind, name, data in FILES if name == "submissions/_template/manifest.yaml"]
    for change in (
        {"title": 7},
        {"title": ""},
        {"title": "x" * 121},
        {"claim": "best"},
        {"contributors": []},
        {"contributors": [1]},
        {"entry": "../x"},
        {"schema": 3},
        {"val_loss": 3.2},
        {"files": {"a.py": "0"}},
        {"files": {}},
        {"parent": "short"},
    ):
        assert list(faults(schema, good | change, schema)), change
    short = copy.deepcopy(good)
    del short["title"]
    assert list(faults(schema, short, schema)) == [": title is missing"]


def test_the_template_names_its_schema_for_editors() -> None:
    first = (ROOT / "submissions" / "_template" / "manifest.yaml").read_text().splitlines()[0]
    target = first.removeprefix("# yaml-language-server: $schema=")
    assert (ROOT / "submissions" / "_template" / target).resolve() == FOLDER / "manifest.json"
