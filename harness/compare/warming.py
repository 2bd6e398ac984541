"""Let all runs of a comparison start from filled compile caches, or all from empty ones.

A script that compiled in the run before and one that did not differ by up to 0.35 % in their times, as much as a third
of a record's gain. So a comparison is all warm or all cold from its first run to its last, and says which.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from harness.compare import cost
from harness.compare.arms import Contender, Ready
from harness.core.measurement import Machine
from harness.run import ending, priming
from harness.store import caches, comparisons
from harness.store.comparisons import Arm, Caches, Comparison
from harness.store.layout import Project

Key = TypeVar("Key", bound=str)
PRIMING = 0  # the number of a priming run, beside those of the order, which begin at 1


def warm(
    project: Project,
    comparison: Comparison,
    ready: dict[Arm, Ready],
    watcher: Callable[[str, str, int, int], Callable[[bytes], None]],
) -> tuple[Comparison, dict[Arm, Ready]]:
    """Have the stored cache of both scripts where the comparison is warm; same errors as `priming.prime`.

    A cache that was made again since is named in place of the old one.
    """
    if comparison.caches == "cold":
        return comparison, ready
    warmed: dict[Arm, Ready] = {}
    for arm, one in ready.items():
        began = time.monotonic()
        warmed[arm], made = prime(project, one, arm, watcher)
        side = dataclasses.replace(comparison.a if arm == "A" else comparison.b, cache=warmed[arm].cache)
        spent = time.monotonic() - began if made else 0.0
        comparison = dataclasses.replace(
            comparison,
            a=side if arm == "A" else comparison.a,
            b=side if arm == "B" else comparison.b,
            primed_s=comparison.primed_s + spent,
        )
        comparisons.write_comparison(project, comparison)
    return comparison, warmed


def unprimed(project: Project, contenders: Iterable[Contender], here: Machine) -> int:
    """Count the scripts that have no stored cache here yet, each once; whether one still fits its digest is seen later."""
    keys = {contender.subject.chain: contender.made_with(project, here) for contender in contenders}
    return sum(not (caches.folder_of(project, key) / caches.ABOUT).is_file() for key in keys.values())


def usual_run_s(
    project: Project, contenders: Mapping[Key, Contender], state: Caches, here: Machine
) -> tuple[dict[Key, float | None], bool]:
    """Estimate a run of each script by earlier ones here that started alike; where there are none of either, by claims."""
    warm = state == "warm"
    usual: dict[Key, float | None] = {
        arm: ending.usual_wall_time_s(project, contender.subject.chain, contender.machine(here), warm=warm)
        for arm, contender in contenders.items()
    }
    if any(time_s is not None for time_s in usual.values()):
        return usual, False
    claims = {arm: cost.claimed_run_s(contender.subject, state) for arm, contender in contenders.items()}
    return claims, any(time_s is not None for time_s in claims.values())


def prime(
    project: Project, ready: Ready, arm: str, watcher: Callable[[str, str, int, int], Callable[[bytes], None]]
) -> tuple[Ready, bool]:
    """Have the stored cache of one script, and tell whether a priming run was made for it now."""
    made: list[str] = []

    def watch(run_id: str) -> Callable[[bytes], None]:
        made.append(run_id)
        return watcher(run_id, arm, PRIMING, PRIMING)

    stored = priming.prime(project, ready.prepared, ready.launcher, watch)
    prepared = dataclasses.replace(ready.prepared, cache=stored)
    return dataclasses.replace(ready, prepared=prepared), bool(made)
