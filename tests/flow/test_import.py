"""`speedrun import` from a repository in the forms of the real one: which runs are whose, what is left out, what stays."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from harness.catalog.checkout import Checkout
from harness.catalog.lookup import Catalog
from harness.core.errors import StoreError
from harness.core.record import INCOMPLETE, Record
from harness.maintain import importing
from harness.maintain.importing import ImportPlan, checked_own, plan_import, write_import
from harness.replay.environments import read_environments
from harness.store import records as store
from harness.store.layout import Project
from harness.store.records import Curve, read_curve
from tests import warm
from tests.flow.small_upstream import (
    A40,
    H200,
    MEDIUM,
    SHORT,
    STEPS,
    SmallUpstream,
    log,
    program,
    row,
    step_lines,
    step_log,
    step_row,
)

ROOT = Path(__file__).parents[2]
LAST = {3000: 3.2786}
PLAIN_LOG = "s:0 tel:10.9800\ns:19560 trl:3.2500\ns:19560 tel:3.2722\n"


def flat(folder: str, *logs: bytes) -> dict[str, bytes]:
    return {f"{SHORT}/{folder}/{index:08x}-{folder[-4:].lower()}.txt": data for index, data in enumerate(logs)}


def first(folder: str) -> str:
    return next(iter(flat(folder, b"")))


# What each row of the short track is about: its folder's files, and its row.
FOLDERS: dict[int, dict[str, bytes | str]] = {
    1: {f"{SHORT}/2024-10-13_first/main.log": PLAIN_LOG, f"{SHORT}/2024-10-13_first/README.md": "words"}
    | {f"{MEDIUM}/2025-01-18/main.log": PLAIN_LOG},
    3: dict(flat("2024-12-04_FolderLink", log("three", loss=3.2793), log("three"), log("three", loss=3.2792))),
    4: dict(flat("2025-01-26_Batch/this_record", log("four", steps=1770))),
    5: dict(flat("2025-02-01_RuleTweak/pr233", log("four", steps=1770, ms=179_820))),
    7: dict(flat("2025-09-05_Skip", log("seven", steps=1705)))
    | {f"{SHORT}/2025-09-05_Skip/comparison_{n}.txt": log("six", steps=1670, ms=90_000 + n) for n in (1, 2)}
    | flat("2025-05-09_Skip", log("seven", steps=1705)),
    8: dict(flat("2025-12-11_Fixes", log("before", ms=88_000), log("before", ms=88_100)))
    | {f"{SHORT}/2025-12-11_Fixes/Own Fixes - 0{n}.txt": log("eight", ms=87_000 + n) for n in (1, 2, 3)},
    9: {f"{SHORT}/2025-12-21_Nested/12-21-Nested/{n}.txt": log("nine", steps=1480, ms=81_000 + n) for n in (1, 2)}
    | {f"{SHORT}/2025-12-21_Nested/12-19-Baseline/{n}.txt": log("seven", steps=1490, ms=82_000 + n) for n in (1, 2)}
    | {f"{SHORT}/2025-12-21_Nested/ablation/1.txt": log("ablation", steps=1480)},
    10: dict(flat("2026-01-26-Hyphen", log("ten", steps=1575), log("eight", steps=1600))),
    11: {f"{SHORT}/2026-04-29_Gated/this_pr_v1-s1410/{n}.txt": log("xi", gpu=H200, ms=79_000 + n) for n in (1, 2)},
    12: {
        f"{SHORT}/2026-05-27-Five/{name}/{n}.txt": log(name, ms=76_000 + 10 * m + n)
        for m, name in enumerate(("this_pr_v1", "this_pr_v2", "this_pr_v3", "base-s1335", "base-s1385"))
        for n in (1, 2)
    },
    13: {f"{SHORT}/2026-07-13_Prefix/prefix-1375/{n}.txt": log("xiii", gpus=1, ms=595_000 + n) for n in (1, 2)}
    | {f"{SHORT}/2026-07-13_Prefix/prefix-1375-8x/{n}.txt": log("xiii", ms=78_000 + n) for n in (1, 2, 3)},
    14: dict(
        flat(
            "2026-02-10_Window/combined",
            log("xiv", run_id="w_1", remark="def norm(x): return x"),
            log("xiv", run_id="w_2", remark="def norm(x): return x", ms=80_001),
            log("xiv", remark="def norm(x: int): return x  # tidied", ms=80_002),
        )
    ),
    15: {
        f"{SHORT}/2026-07-17_Down/this_pr/{n}.txt": log("xv", kernels="import triton\n", ms=79_500 + n) for n in (1, 2)
    }
    | {f"{SHORT}/2026-07-17_Down/this_pr/3.txt": log("xv", kernels="import triton\n", ms=79_503, ends=False)}
    | {f"{SHORT}/2026-07-17_Down/baseline/{n}.txt": log("xiv-merged", ms=80_500 + n) for n in (1, 2)},
    16: dict(flat("2026-07-20_Renamed/runs", log("xvi"))),
}
SHORT_ROWS = [
    row(1, "45 minutes", "[First](https://example.com)", "05/28/24", f"{SHORT}/2024-10-13_first/main.log", "@ann, x team"),
    row(2, "24.9 minutes", "Second", "10/04/24", None, "@bob, @cat"),
    row(3, "4.41 minutes", "A folder", "12/04/24", f"{SHORT}/2024-12-04_FolderLink", "@k"),
    row(4, "2.933 minutes", "Batch", "01/26/25", first("2025-01-26_Batch/this_record"), "@l"),
    row(4, "2.997 minutes", "4th again", "02/01/25", first("2025-02-01_RuleTweak/pr233"), "not a new record, just re-timing #4"),
    row(6, "2.8 minutes", "In a pull request", "05/27/26", None, "@p", 317),
    row(7, "2.7 minutes", "Skip", "09/05/25", first("2025-09-05_Skip"), "@e", 120),
    row(8, "1.47 minutes", "Fixes", "12/11/25", first("2025-12-11_Fixes"), "@c", 168),
    row(9, "1.35 minutes", "Nested", "12/21/25", f"{SHORT}/2025-12-21_Nested/12-21-Nested/1.txt", "@c"),
    row(10, "1.34 minutes", "Hyphen", "01/26/26", f"{SHORT}/2026-01-26_Hyphen/{0:08x}-phen.txt", "@z"),
    row(11, "1.33 minutes", "Gated", "04/29/26", f"{SHORT}/2026-04-29_Gated/this_pr_v1-s1410/1.txt", "@d"),
    row(12, "1.32 minutes", "Five", "05/27/26", f"{SHORT}/2026-05-27-Five", "@f", 315),
    row(13, "1.31 minutes", "Prefix", "07/13/26", f"{SHORT}/2026-07-13_Prefix/prefix-1375/1.txt", "@j", 337),
    row(14, "1.3 minutes", "Window", "02/10/26", first("2026-02-10_Window/combined"), "@s & AI System [S](https://s.example)"),
    row(15, "1.29 minutes", "Down", "07/19/26", f"{SHORT}/2026-07-17_Down/this_pr/1.txt", "@m", 342),
    row(16, "1.28 minutes", "Renamed", "07/20/26", f"{SHORT}/2026-07-20_Old_Name/{0:08x}-runs.txt", "@n"),
    row(17, "about a minute", "Unclear", "07/21/26", None, "@o"),
]  # fmt: skip
MEDIUM_ROWS = [
    row(1, "5.8 hours", "A medium one", "05/28/24", f"{MEDIUM}/2025-01-18/main.log", "@ann"),
    "2 | 25.95 minutes* | Torch | - | - | -",
]
STEP_FILES: dict[str, bytes | str] = {
    f"{STEPS}/aaaa.txt": step_log("one", {3600: 3.27765}, total=3600),
    f"{STEPS}/bbbb.txt": step_log("elsewhere", {3600: 3.28}, total=3600),
    **{f"{STEPS}/20260518_fade/code_logs/{n}.txt": step_log("two", {3000: 3.277 + n / 1e4}) for n in (1, 2)},
    **{f"{STEPS}/20260518_fade/stdout/{n}.stdout": step_lines({3000: 3.277 + n / 1e4}) for n in (1, 2)},
    f"{STEPS}/20260518_fade/README.md": "words",
    **{f"{STEPS}/20260609_soap/H100_{n}.txt": step_log("three", {2750: 3.2785 + n / 1e4}) for n in (1, 2, 3)},
    **{f"{STEPS}/20260609_soap/A40_{n}.txt": step_log("three", {2750: 3.27 + n / 1e4}, gpu=A40) for n in (1, 2)},
    **{f"{STEPS}/20260610_many/{n}.txt": step_log("four", {2750: 3.2785 + n / 1e4}) for n in range(5)},
    f"{STEPS}/20260619_ema/A40_seed0.txt": step_log("five", {2690: 3.2824, 2900: 3.27}, ema={2690: 3.2783, 2900: 3.2}),
}
STEP_ROWS = [
    step_row(1, "3600(!)", "3.2777 (n=1)Ⓧ", "Start", "2026/04/26", "results/aaaa.txt", "[@k](https://x.com/k)"),
    step_row(2, "3000", "3.2778 (n=2)✓", "Fade", "2026/05/18", "results/20260518_fade/README.md", "[@w](https://x.com/w)"),
    step_row(3, "2750(!)", "3.2787 (n=3)✓", "Soap", "2026/06/10", "results/20260609_soap/H100_1.txt", "[@y](https://x.com/y)"),
    step_row(4, "2750", "3.2787 (n=4)✓", "Many", "2026/06/11", "results/20260610_many/1.txt", "[@y](https://x.com/y)"),
    step_row(5, "2690(!)", "3.2783 (n=1)✓", "Ema", "2026/06/19", "results/20260619_ema/A40_seed0.txt", "[@y](https://x.com/y)"),
]  # fmt: skip


def build(folder: Path) -> SmallUpstream:
    upstream = SmallUpstream(folder)
    upstream.commit("Start", {"train_gpt.py": program(log("before")), "records/track_2_medium/notes.txt": "x"})
    for number, files in FOLDERS.items():
        subject = {3: "Merge pull request #14 from a/b", 4: "Add a batch (#77)", 15: "Down (#342)"}.get(
            number, f"Record {number}"
        )
        program_of = {"train_gpt.py": program(log("xv"))} if number == 15 else {}
        upstream.commit(subject, files | program_of)  # type: ignore[arg-type]
        if number == 14:
            upstream.commit("Update train_gpt.py", {"train_gpt.py": program(log("xiv-merged"))})
    upstream.commit("Several results (#9)", STEP_FILES)  # type: ignore[arg-type]
    upstream.readme(SHORT_ROWS, MEDIUM_ROWS, STEP_ROWS)
    return upstream


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> SmallUpstream:
    return build(tmp_path_factory.mktemp("upstream") / "clone")


def project_in(folder: Path) -> Project:
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "tracks", folder / "tracks")
    return Project(folder)


def copy_of(upstream: SmallUpstream, folder: Path) -> SmallUpstream:
    shutil.copytree(upstream.folder, folder)
    copied = SmallUpstream.__new__(SmallUpstream)
    copied.folder = folder
    return copied


def checkout(upstream: SmallUpstream) -> Checkout:
    return Checkout(upstream.folder, importing.REPOSITORY)


OWN = {"short/8": "Own Fixes*", "short/12": "this_pr_v3", "short/13": "prefix-1375-8x", "optimization/4": "[0-3].txt"}


@pytest.fixture(scope="module")
def planned(upstream: SmallUpstream, tmp_path_factory: pytest.TempPathFactory) -> ImportPlan:
    """What an import into an empty project would do, before a maintainer said anything."""
    return plan_import(Catalog(project_in(tmp_path_factory.mktemp("planned") / "p")), checkout(upstream))


@pytest.fixture(scope="module")
def project(upstream: SmallUpstream, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that everything was imported into, with what a maintainer said of the ambiguous rows."""
    made = project_in(tmp_path_factory.mktemp("imported") / "p")
    catalog = Catalog(made)
    write_import(catalog, plan_import(catalog, checkout(upstream), own=OWN))
    return made


def record(project: Project, name: str) -> Record:
    return Catalog(project).record(name)


def own(record: Record, role: str = "own") -> list[str]:
    return [run.id for run in record.runs if run.role == role]


# ------------------------------------------------------------------------------------------------ whose runs


def test_a_flat_folder_gives_the_runs_of_the_linked_steps_and_script(project: Project) -> None:
    found = record(project, "short/7")
    assert own(found) == [first("2025-09-05_Skip")]
    assert own(found, "baseline") == [f"{SHORT}/2025-09-05_Skip/comparison_{n}.txt" for n in (1, 2)]


def test_a_link_to_a_folder_stands_for_its_runs_and_to_a_dead_name_for_the_file_of_that_name(project: Project) -> None:
    assert len(own(record(project, "short/3"))) == 3
    for name, folder in (("short/10", "2026-01-26-Hyphen"), ("short/16", "2026-07-20_Renamed/runs")):
        found = record(project, name)
        assert own(found) == [first(folder)]
        assert "its link is dead" in (found.notes or "")


def test_runs_with_the_same_code_under_other_hashes_are_its_own(project: Project) -> None:
    found = record(project, "short/14")
    assert len(own(found)) == 3
    assert len({run.script_sha256 for run in found.runs}) == 3


def test_other_folders_are_baselines_where_their_author_says_so_and_whose_script_they_ran_is_told_by_hash(
    project: Project,
) -> None:
    nested = record(project, "short/9")
    assert len(own(nested)) == 2
    assert {run.note for run in nested.runs if run.role == "baseline"} == {"ran the script of short/7"}
    assert own(nested, "other") == [f"{SHORT}/2025-12-21_Nested/ablation/1.txt"]
    down = record(project, "short/15")
    [note] = {run.note for run in down.runs if run.role == "baseline"}
    assert note == "ran the merged script of short/14"
    [note] = {run.note for run in record(project, "short/8").runs if run.role == "other"}
    assert note is not None
    assert note.startswith("ran the merged script of short/")


def test_what_stays_ambiguous_is_left_out_with_its_groups_until_a_maintainer_says(planned: ImportPlan) -> None:
    left = {row.name: row for row in planned.left_out if row.name}
    assert {name: row.what.split(",")[0] for name, row in left.items()} == {
        "short/8": "links a run of the program before it",
        "short/12": "links a folder of 5 folders with logs",
        "short/13": "links a run on 1 GPU",
        "optimization/4": "claims 4 runs of 5",
    }
    assert "--own short/13=" in left["short/13"].todo
    assert left["short/13"].where == "README.md:21"
    assert {(group.folder.rpartition("/")[2], group.runs, group.gpus) for group in left["short/13"].groups} == {
        ("prefix-1375", 2, 1),
        ("prefix-1375-8x", 3, 8),
    }


def test_what_a_maintainer_said_decides_and_is_written_down(project: Project) -> None:
    counts = {"short/8": 3, "short/12": 2, "short/13": 3, "optimization/4": 4}
    for name, count in counts.items():
        found = record(project, name)
        assert len(own(found)) == count
        assert f"`--own {name}={OWN[name]}`" in (found.notes or "")
    prefix = record(project, "short/13")
    assert {run.note for run in prefix.runs if run.role == "other"} == {"ran this record's script"}
    assert prefix.original is not None
    assert "prefix-1375-8x" in (prefix.original.path or "")


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (["short/12=this_pr_v9"], "names no run"),
        (["short/99=x"], "is no row upstream"),
        (["short/12"], "is not NAME=FOLDER"),
        (["short/12=a", "short/12=b"], "is not NAME=FOLDER"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(
    upstream: SmallUpstream, tmp_path: Path, choice: list[str], words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        plan_import(Catalog(project_in(tmp_path / "p")), checkout(upstream), own=checked_own(choice))


def test_a_link_to_nowhere_is_left_out_until_a_maintainer_names_the_folder(
    upstream: SmallUpstream, tmp_path: Path
) -> None:
    other = copy_of(upstream, tmp_path / "clone")
    links = [
        "2026-08-01_Lost/x.txt",
        f"2025-09-05_Old/{0:08x}-skip.txt",
        "2024_12_04-folderlink",
        "2024-10-13_first/README.md",
    ]
    rows = [row(n, "1.2 minutes", "Lost", "08/01/26", f"{SHORT}/{link}", "@q") for n, link in enumerate(links, start=1)]
    other.readme(rows)
    catalog = Catalog(project_in(tmp_path / "p"))
    plan = plan_import(catalog, checkout(other))
    assert [left.what.partition(", ")[2] for left in plan.left_out] == [
        "which is not there",
        "which is not there, but in several folders",
    ]
    alike, readme = (new.record for new in plan.new)
    assert own(alike) == sorted(FOLDERS[3]), "the folder whose name differs in hyphens and case"
    assert own(readme) == [f"{SHORT}/2024-10-13_first/main.log"]
    other.readme(rows[:1])
    folder = f"{SHORT}/2025-05-09_Skip"
    [new] = plan_import(catalog, checkout(other), own={"short/1": folder}).new
    assert own(new.record) == [first("2025-05-09_Skip")]
    [new] = plan_import(catalog, checkout(other), own={"short/1": "-"}).new
    assert new.record.runs == ()


def test_two_captures_of_one_run_are_one_run_and_another_machine_is_another_group(project: Project) -> None:
    fade, soap = record(project, "optimization/2"), record(project, "optimization/3")
    assert [run.value for run in fade.runs] == [3.2771, 3.2772]
    assert all("code_logs" in run.id for run in fade.runs), "the captures with a script"
    assert fade.notes is None, "the link is a README, which stands for its folder"
    assert len(own(soap)) == 3
    assert len(own(soap, "other")) == 2


def test_a_link_into_the_folder_of_all_results_stands_for_that_file(project: Project) -> None:
    assert own(record(project, "optimization/1")) == [f"{STEPS}/aaaa.txt#1"]


def test_the_loss_is_that_of_the_claimed_step_and_of_the_average_where_the_claim_is_about_it(project: Project) -> None:
    [run] = record(project, "optimization/5").runs
    assert (run.step, run.metric, run.value) == (2690, "val_ema_loss", 3.2783)


# ------------------------------------------------------------------------------------------------ what a record holds


def test_a_row_without_a_log_is_a_claim(project: Project) -> None:
    for name, pull_request in (("short/2", None), ("short/6", "317"), ("medium/2", None)):
        found = record(project, name)
        assert (found.runs, found.pull_request) == ((), pull_request)
        assert found.original is not None
        assert found.original.kind == "none"
    assert record(project, "medium/2").date is None
    assert record(project, "medium/2").slug == "2024-05-28_torch"
    assert record(project, "medium/1").slug == "2024-05-28_a-medium-one", "its folder's name is but a date"


def test_a_record_holds_claim_date_people_rules_and_figures(project: Project) -> None:
    found = record(project, "short/15")
    assert (found.claimed.train_time_s, str(found.date), found.slug) == (77.4, "2026-07-19", "2026-07-19_down")
    assert (found.contributors, found.pull_request, found.ruleset) == (("@m",), "342", "short@2")
    assert [(run.step, run.value, run.train_time_s) for run in found.runs[:2]] == [
        (1390, 3.278, 79.501),
        (1390, 3.278, 79.502),
    ]
    run = found.runs[0]
    assert (run.gpu_name, run.gpu_count, run.driver) == ("NVIDIA H100 80GB HBM3", 8, "580.159.04")
    assert (run.torch, run.started_at) == ("2.10.0+cu128", "2026-07-17T12:22:51")
    assert found.runs[2].note == INCOMPLETE
    assert record(project, "short/1").ruleset == "short@1"
    assert [r.gpu_name for r in record(project, "short/11").runs] == [H200, H200]


def test_the_original_is_the_script_of_the_linked_log_with_its_files(project: Project, upstream: SmallUpstream) -> None:
    original = record(project, "short/15").original
    assert original is not None
    assert (original.kind, original.commit) == ("log", upstream.git("rev-parse", "HEAD"))
    assert list(original.files) == ["train_gpt.py", "triton_kernels.py"]
    assert original.torch == "2.10.0+cu128"
    needs = read_environments(project).of("short/15")
    assert needs is not None
    assert (needs[0].name, needs[1].packages, needs[1].triton) == ("torch-2.10.0-cu128", ("kernels",), "3.6.0")


def test_the_curve_is_that_of_the_linked_run(project: Project) -> None:
    assert read_curve(Catalog(project).folder(record(project, "short/15"))) == (
        (0, 10.8258, 0.0),
        (1390, 3.278, 79.501),
    )
    of_a_folder = read_curve(Catalog(project).folder(record(project, "short/3")))
    assert of_a_folder[-1][1] == 3.2792, "the run with the median loss"


def test_a_folder_in_the_record_s_own_counts_by_the_link_and_not_by_its_name(project: Project) -> None:
    names = {"short/4": "this_record", "short/4.1": "pr233", "short/14": "combined", "short/16": "runs"}
    names |= {"short/11": "this_pr_v1-s1410", "short/12": "this_pr_v3", "short/15": "this_pr"}
    for name, folder in names.items():
        found = record(project, name)
        assert {Path(run).parent.name for run in own(found)} == {folder}
        assert folder.replace("_", "-") not in found.slug


def test_what_was_merged_stands_beside_the_record_where_it_is_another_script(
    project: Project, upstream: SmallUpstream
) -> None:
    merged = record(project, "short/14").merged
    assert merged is not None
    assert merged.files == {"train_gpt.py": hashlib.sha256(program(log("xiv-merged"))).hexdigest()}
    assert upstream.git("log", "-1", "--format=%s", merged.commit or "") == "Update train_gpt.py"
    assert record(project, "optimization/3").merged is None
    assert record(project, "short/16").merged is None, "nobody knows the row behind it, whose merge would tell"


def test_a_re_timing_is_a_record_of_its_own(project: Project) -> None:
    found = record(project, "short/4.1")
    assert (found.kind, found.retimes, found.contributors) == ("retiming", 4, ())
    assert found.claimed.train_time_s == 179.82


def test_a_pull_request_that_only_the_history_names_is_found_there(project: Project) -> None:
    assert [record(project, name).pull_request for name in ("short/3", "short/4")] == ["14", "77"]
    assert record(project, "optimization/2").pull_request is None, "its commit brought the logs of others too"


def test_what_cannot_be_understood_and_what_no_row_links_is_listed(planned: ImportPlan) -> None:
    [unread] = [left for left in planned.left_out if left.name is None]
    assert (unread.where, unread.what) == ("README.md:25", "'about a minute' is no time like 1.23 minutes")
    assert planned.without_row == [f"{SHORT}/2025-05-09_Skip"]


# ------------------------------------------------------------------------------------------------ again, and changes


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_importing_again_changes_nothing(project: Project, upstream: SmallUpstream) -> None:
    before = files_of(project.root)
    catalog = Catalog(project)
    plan = plan_import(catalog, checkout(upstream))
    assert (plan.known, plan.new, plan.differences) == (23, [], [])
    write_import(catalog, plan)
    assert files_of(project.root) == before


def test_a_row_that_changed_upstream_is_a_difference_and_its_record_stays(
    project: Project, upstream: SmallUpstream, tmp_path: Path
) -> None:
    shutil.copytree(project.root, tmp_path / "p")
    other = copy_of(upstream, tmp_path / "clone")
    changed = [line.replace("2.7 minutes", "2.6 minutes").replace("@e", "@e, @f") for line in SHORT_ROWS[:-2]]
    changed = [line.replace("09/05/25", "09/06/25").replace("pull/120", "pull/121") for line in changed]
    steps = [line.replace("2690(!)", "2680(!)").replace("3.2783 (n=1)", "3.2784 (n=2)") for line in STEP_ROWS]
    other.readme([*changed, row(18, "1.2 minutes", "New", "08/01/26", None, "@q")], MEDIUM_ROWS, steps)
    catalog = Catalog(Project(tmp_path / "p"))
    before = files_of(tmp_path / "p")
    plan = plan_import(catalog, checkout(other))
    write_import(catalog, plan)
    assert [(d.name, d.what, d.here, d.upstream) for d in plan.differences] == [
        ("short/7", "time", "162.0", "156.0"),
        ("short/7", "date", "2025-09-05", "2025-09-06"),
        ("short/7", "contributors", "@e", "@e, @f"),
        ("short/7", "pull request", "120", "121"),
        ("optimization/5", "steps", "2690", "2680"),
        ("optimization/5", "mean loss", "3.2783", "3.2784"),
        ("optimization/5", "runs", "1", "2"),
        ("short/16", "row", "a record", "no row"),
    ]
    assert [new.name for new in plan.new] == ["short/18"]
    after = files_of(tmp_path / "p")
    assert {name: after[name] for name in before} == before


def test_a_number_that_was_also_accepted_here_is_upstreams_and_both_rows_say_so(
    project: Project, upstream: SmallUpstream, tmp_path: Path
) -> None:
    from harness.board.rows import make_rows

    made = project_in(tmp_path / "p")
    mine = made.records / "short" / "2026-07-18_mine"
    shutil.copytree(project.records / "short" / "2026-07-19_down", mine)
    text = (mine / "record.yaml").read_text()
    (mine / "record.yaml").write_text(text.split("original:")[0] + "original: null\nnotes: null\nwithdrawn: null\n")
    plan = plan_import(Catalog(made), checkout(upstream))
    assert [new.clash for new in plan.new if new.clash] == ["records/short/2026-07-18_mine"]
    write_import(Catalog(made), plan)
    catalog = Catalog(made)
    assert catalog.record("short/15").slug == "2026-07-19_down"
    assert catalog.name(catalog.record("short/2026-07-18_mine")) == "short/2026-07-18_mine"
    rows = {each.slug: each for each in make_rows(catalog.track("short"), catalog.records("short"))}
    assert "the number 15 was also given upstream" in (rows["2026-07-18_mine"].notes or "")
    assert "the number 15 was also given here, to 2026-07-18_mine" in (rows["2026-07-19_down"].notes or "")


def test_an_import_that_is_cut_off_leaves_whole_records_and_is_finished_by_the_next(
    project: Project, upstream: SmallUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = project_in(tmp_path / "p")
    shutil.copytree(project.root / "records", made.records)
    for name in ("short/2026-02-10_window", "short/2026-07-19_down", "medium/2024-05-28_torch", "optimization"):
        shutil.rmtree(made.records / name)
    write_record, left = store.write_record, iter(range(3))

    def full(folder: Path, record: Record, curve: Curve) -> None:
        write_record(folder, record, curve)
        if next(left) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before, said = files_of(made.records), {"optimization/4": OWN["optimization/4"]}
    with monkeypatch.context() as patch:
        patch.setattr(store, "write_record", full)
        with pytest.raises(StoreError, match="the disk is full"):
            write_import(Catalog(made), plan_import(Catalog(made), checkout(upstream), own=said))
    added = set(files_of(made.records)) - set(before)
    assert {str(Path(name).parent) for name in added} == {"short/2026-02-10_window", "short/2026-07-19_down"}
    write_import(Catalog(made), plan_import(Catalog(made), checkout(upstream), own=said))
    assert files_of(made.records) == files_of(project.records)


# ------------------------------------------------------------------------------------------------ the command


def speedrun(project: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    done = warm.speedrun("--root", str(project), "import", *arguments, cwd=ROOT, env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


def test_the_command_fetches_the_public_repository_each_time_and_imports_what_is_new(
    upstream: SmallUpstream, tmp_path: Path
) -> None:
    public = tmp_path / "mirror" / importing.REPOSITORY
    other = copy_of(upstream, public)
    (public / ".git" / "config").open("a").write("[uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n")
    made = project_in(tmp_path / "p")
    environment = {"SPEEDRUN_UPSTREAM": f"file://{tmp_path}/mirror", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    status, said, _ = speedrun(made.root, "--upstream", "--plan", **environment)
    assert status == 1, "some rows are left out"
    assert "left out  README.md:25: 'about a minute' is no time" in said
    assert "19 rows would be imported; 5 rows left out" in said
    assert not made.records.exists()
    before = upstream.git("rev-parse", "HEAD")
    other.readme([row(18, "1.2 minutes", "New", "08/01/26", None, "@q")], MEDIUM_ROWS, STEP_ROWS[:3])
    status, said, _ = speedrun(made.root, "--upstream", "--json", **environment)
    plan = json.loads(said)
    assert status == 0, said
    assert plan["commit"] == other.git("rev-parse", "HEAD") != before
    assert [new["name"] for new in plan["new"]] == [
        "short/18",
        "medium/1",
        "medium/2",
        *(f"optimization/{n}" for n in (1, 2, 3)),
    ]
    assert {each.slug for each in Catalog(made).records("short")} == {"2026-08-01_new"}
    status, said, _ = speedrun(made.root, "--upstream", "--commit", before, "--plan", **environment)
    assert f"upstream at {before[:12]}" in said
    # A host gives the commit of any fork by its hash.
    fork = other.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "Somebody's fork")
    status, _, told = speedrun(made.root, "--upstream", "--commit", fork, "--plan", **environment)
    assert status == 2
    assert "was never the newest commit of the main branch of KellerJordan/modded-nanogpt" in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--checkout"),
        (["--checkout", "no-such-folder"], "is not a folder"),
        (["--checkout", "PLAIN"], "holds no git history"),
        (["--checkout", "CLONE", "--commit", "f" * 40], "has no commit"),
        (["--checkout", "CLONE", "--commit=--all"], "is not a commit"),
        (["--upstream"], "cannot be cloned"),
    ],
)
def test_a_repository_that_cannot_be_read_is_named_and_nothing_is_written(
    upstream: SmallUpstream, tmp_path: Path, arguments: list[str], words: str
) -> None:
    made = project_in(tmp_path / "p")
    (tmp_path / "plain").mkdir()
    names = {"PLAIN": str(tmp_path / "plain"), "CLONE": str(upstream.folder)}
    environment = {"SPEEDRUN_UPSTREAM": f"file://{tmp_path}/none", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    status, _, said = speedrun(made.root, *[names.get(each, each) for each in arguments], **environment)
    assert status == 2
    assert words in said
    assert not made.records.exists()
