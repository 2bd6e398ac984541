"""probe: the unmodified script on prepared tokens."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING

from harness.verbs import Verb, next_step, project_of, terminated

if TYPE_CHECKING:
    from harness.probe import Plan

NAMES = ("known-entropy", "relabelling", "other-text", "warm-up")  # a test holds them equal to the judge's


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>, a record like smoke/2, or a track's current record")
    parser.add_argument(
        "--probe",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"only this one (repeatable): {', '.join(NAMES)}",
    )
    parser.add_argument("--plan", action="store_true", help="print what would happen and do nothing")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")


def _probe(args: argparse.Namespace) -> int:
    from harness import console, jsonform, probe, report, subject
    from harness.launch.torchrun import TorchrunLauncher
    from harness.progress import file_progress

    signal.signal(signal.SIGTERM, terminated)
    project = project_of(args)
    chosen = probe.plan(project, subject.find_subject(project, args.submission), tuple(args.probe or NAMES))
    _say_plan(chosen)
    if args.plan:
        return 0
    watch = report.watch_runs(chosen.subject.track.target_loss)
    with next_step("a probe is judged as a whole: the same command starts it again, with other tokens"):
        with file_progress("fetching") as progress:
            tokens = probe.prepare(chosen, progress=progress)
        folder, verdict = probe.run(project, chosen, tokens, TorchrunLauncher(), watch)
    console.say("")
    console.say_verdict(verdict)
    console.say(f"  logs and verdict.json are in {project.show(folder)}; no run of a probe counts for a record")
    if args.json:
        json.dump(jsonform.encode(verdict), sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    return 0 if verdict.outcome == "pass" else 1


def _say_plan(chosen: Plan) -> None:
    from harness import console
    from harness.verdict.probes import NAMES as MATERIAL

    found, parent = chosen.subject, chosen.parent
    console.say(f"probing {found.name} ({found.script_sha256[:12]}): {', '.join(chosen.probes)}")
    console.say(f"  beside   {f'{parent.name}, on this machine' if parent else 'nothing'}")
    console.say(f"  runs     {len(chosen.runs)} on {found.track.hardware.processes} processes; none enters the ledger")
    for role, variant in chosen.runs:
        console.say(f"           {'the script' if role == 'own' else 'its parent'} on {MATERIAL[variant]}")


VERBS = (Verb("probe", "run a script on prepared tokens that a cheat trips over", _arguments, _probe),)
