"""Write schemas/*.json, by which editors complete and check manifests, tracks and the stored files of the harness.

    python -m harness.maintain.schemas

They follow from the declarations that the files are read by; a test holds that they are current.
"""

import json
from pathlib import Path
from typing import Any

from harness.catalog.manifests import LOCK_FORM, MANIFEST_FORM, SCRIPT_FORM
from harness.catalog.timers import TIMERS_FORM
from harness.catalog.tracks import PINS_FORM, TRACK_FORM
from harness.core.codec import Form
from harness.probe.stored import EVIDENCE_FORM
from harness.replay import environments
from harness.screening.answer import ANSWER_FORM
from harness.store import retimings
from harness.store.clusters import CLUSTER_FORM
from harness.store.comparisons import COMPARISON_FORM
from harness.store.evals import EVAL_FORM
from harness.store.files import write_atomic
from harness.store.records import MERGED_FORM, RECORD_FORM, WITHDRAWAL_FORM
from harness.store.replays import REPLAY_FORM
from harness.store.run_files import OUTCOME_FORM, RUN_FORM
from harness.store.sessions import SESSION_FORM

FOLDER = Path(__file__).parents[2] / "schemas"
FORMS: dict[str, Form[Any]] = {
    "answer": ANSWER_FORM,
    "cluster": CLUSTER_FORM,
    "comparison": COMPARISON_FORM,
    "environments": environments.FORM,
    "eval": EVAL_FORM,
    "manifest": MANIFEST_FORM,
    "manifest.lock": LOCK_FORM,
    "merged": MERGED_FORM,
    "outcome": OUTCOME_FORM,
    "pins": PINS_FORM,
    "probe": EVIDENCE_FORM,
    "record": RECORD_FORM,
    "replay": REPLAY_FORM,
    "retimings": retimings.FORM,
    "run": RUN_FORM,
    "script": SCRIPT_FORM,
    "session": SESSION_FORM,
    "timers": TIMERS_FORM,
    "track": TRACK_FORM,
    "withdrawn": WITHDRAWAL_FORM,
}


def schema_text(name: str) -> str:
    """Give the JSON Schema of one kind of file."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{name}.json"}
    return json.dumps(head | FORMS[name].json_schema(), indent=1) + "\n"


if __name__ == "__main__":
    for name in FORMS:
        write_atomic(FOLDER / f"{name}.json", schema_text(name))
