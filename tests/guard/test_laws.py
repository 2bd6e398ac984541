"""The laws of the structure: who imports whom, where outside packages are used, how large modules and functions grow."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "harness"
MODULES = sorted(HARNESS.rglob("*.py"))

# A package (or a module at the top of harness/) imports only what stands before it.
ORDER = (
    "core", "store", "machine", "runlog", "launch", "catalog", "dataset", "frames", "evidence", "verdict", "model_score",
    "run", "submission", "replay", "screening", "compare", "probe", "cluster",
    "board", "maintain", "doctor", "eval", "ui", "verbs", "cli", "run_record", "__main__",
)  # fmt: skip
MOST_LEVELS = 15  # of packages that import one another
HOMES = {
    "yaml": {"core"},
    "pydantic": {"core"},
    "pydantic_core": {"core"},
    "annotated_types": {"core"},
    "huggingface_hub": {"dataset"},
    "numpy": {"dataset", "core"},
    "scipy": {"core"},
    "jinja2": {"board"},
    "markupsafe": {"board"},
    "pandas": {"frames", "board", "eval"},
    "rich": {"ui"},
    "shtab": {"ui"},
    "plotext": {"ui"},
    "pyarrow": {"eval"},
    "tiktoken": {"eval"},
    "tiktoken_ext": {"eval"},
    "torch": {"model_score", "eval"},  # and in the training scripts
    "pynvml": {"launch"},
    "parsl": {"cluster"},  # in one module
}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def package_of(module: str) -> str | None:
    """The first part below `harness`; None for `harness` itself."""
    return module.split(".")[1] if "." in module else None


@functools.cache
def imports_of(path: Path) -> frozenset[str]:
    """Full names of what a module imports at any depth, type checking apart."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for child in block.body
        for node in ast.walk(child)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(found)


def graph() -> dict[str, set[str]]:
    """Every module of the harness, with the modules of the harness that it imports."""
    known = {name_of(path) for path in MODULES}
    return {name_of(path): {n for n in imports_of(path) if n in known} - {name_of(path)} for path in MODULES}


def test_a_package_imports_only_packages_before_it() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, used in graph().items()
        for other in used
        if (here := package_of(module)) and (there := package_of(other)) and ORDER.index(there) > ORDER.index(here)
    ]
    assert not wrong


def test_every_package_stands_in_the_order() -> None:
    found = {package_of(name_of(path)) for path in MODULES} - {None}
    assert found <= set(ORDER)
    assert len(found) <= 27


def test_packages_import_one_another_over_few_levels() -> None:
    used: dict[str, set[str]] = {package: set() for package in ORDER}
    for module, others in graph().items():
        if module == "harness":  # its `score` is a way in, as the command line is; nothing imports it
            continue
        used[package_of(module) or "core"] |= {p for other in others if (p := package_of(other))}
    levels: dict[str, int] = {}
    for package in ORDER:  # those that it imports stand before it
        levels[package] = 1 + max((levels[other] for other in used[package] - {package}), default=0)
    assert max(levels.values()) <= MOST_LEVELS, levels


def test_no_two_modules_have_one_name() -> None:
    names = [name_of(path).rpartition(".")[2] for path in MODULES]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_package_from_outside_is_imported_in_its_home_only(path: Path) -> None:
    package = package_of(name_of(path))
    for outside, homes in HOMES.items():
        if any(name.partition(".")[0] == outside for name in imports_of(path)):
            assert package in homes, (
                f"{name_of(path)} imports {outside}; its home is {sorted(homes) or 'the training scripts'}"
            )


def test_no_import_cycle() -> None:
    used = graph()
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " → ".join([*above[above.index(module) :], module])
        if module not in done:
            for other in sorted(used[module]):
                visit(other, (*above, module))
            done.add(module)

    for module in sorted(used):
        visit(module, ())


def reached_from(starts: list[str]) -> set[str]:
    """All modules that these import, at any depth, and they themselves."""
    used = graph()
    reached: set[str] = set()
    while starts:
        module, *starts = starts
        if module not in reached:
            reached.add(module)
            starts = [*starts, *used[module]]
    return reached


def test_judging_rests_on_the_evidence_alone() -> None:
    """Subject and parent's script are passed in; nobody looks for them."""
    judging = [name_of(path) for path in MODULES if package_of(name_of(path)) in ("evidence", "verdict")]
    assert len(judging) > 10
    reached = reached_from(judging)
    assert not reached & {"harness.catalog.lookup", "harness.catalog.originals"}
    assert not {package_of(module) for module in reached} & {"replay", "dataset", "run"}


@pytest.mark.parametrize("module", ["harness.run.judging", "harness.submission.codediff"])
def test_verify_and_diff_start_no_git_and_plan_no_replay(module: str) -> None:
    reached = reached_from([module])
    assert "harness.catalog.checkout" not in reached
    assert not {package_of(other) for other in reached} & {"replay", "dataset"}
    starting = [name_of(path) for path in MODULES if name_of(path) in reached and "subprocess" in imports_of(path)]
    assert not starting


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 300, f"{name_of(path)} has more than 300 lines; is it still one idea?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, f"{name_of(path)}.{node.name} is too long"
    assert path.stem not in ("utils", "common", "helpers")


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{name_of(path)} has no docstring"


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_no_file_names_a_path_of_a_machine_or_an_unfinished_thing() -> None:
    # Put together here, so that this file does not find itself.
    words = ["/wo" + "rk/", "/tmp/" + "wt", "TO" + "DO", "FIX" + "ME", "py" + "pi.org", "pythonhosted" + ".org"]
    found = []
    for path in tracked():
        if path.suffix in (".py", ".md", ".sh", ".yaml", ".toml", ".txt", ".cff") and path.is_file():
            text = path.read_text("utf-8", "replace")
            found += [f"{path.relative_to(ROOT)}: {word}" for word in words if word in text]
    assert not found


def test_the_repository_stays_small() -> None:
    large = [
        f"{p.relative_to(ROOT)} {p.stat().st_size}" for p in tracked() if p.is_file() and p.stat().st_size > 1 << 20
    ]
    assert not large


def test_help_imports_nothing_heavy_and_names_every_verb() -> None:
    program = (
        "import sys; from harness.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert not loaded & {
        "torch",
        "numpy",
        "scipy",
        "pandas",
        "huggingface_hub",
        "rich",
        "yaml",
        "pydantic",
    }


@pytest.mark.parametrize(
    "command",
    [
        ("show", "short/12"),
        ("log", "tests/golden/logs/L0-llmc-plain.txt"),
        ("log", "tests/golden/logs/L0-llmc-plain.txt", "--markdown"),
        ("show",),
        ("show", "runs"),
        ("check", "submissions/_template"),
        ("check", "records/smoke/2026-11-21_muon"),
    ],
)
def test_reading_one_thing_does_not_import_pandas(command: tuple[str, ...]) -> None:
    program = f"import sys; from harness.cli import main\nprint(main({list(command)!r}), *sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] in ("0", "1"), done.stderr
    assert "pandas" not in loaded


CHECK = {"--all", "--format", "--json", "--markdown", "--usd-per-hour"}
VERBS = {
    "log": {
        "--json",
        "--curve",
        "--final-only",
        "--jobs",
        "--strict",
        "--extract",
        "--markdown",
        "--baseline",
        "--target",
    },
    "show": {"--all", "--by", "--evidence", "--follow", "--json", "--since", "--track", "--until", "--words"},
    "board": {"--check", "--json", "--site", "--upstream-row"},
    "new": {"--from", "--track", "--by", "--checkout", "--original", "--refresh"},
    "diff": {"--against", "--checkout", "--original"},
    "run": {
        "--on",
        "--anew",
        "--runs",
        "--plan",
        "--stage",
        "--budget-gpu-hours",
        "--dry",
        "--screening",
        "--until-decided",
        "--usd-per-hour",
        "--env",
        "--no-fetch",
        "--json",
    },
    "check": CHECK,
    "verify": CHECK,  # as it was called before
    "pack": set(),
    "compare": {
        "--on",
        "--anew",
        "--follows",
        "--pairs",
        "--original",
        "--until-decided",
        "--budget-usd",
        "--usd-per-hour",
        "--cold",
        "--checkout",
        "--no-fetch",
        "--plan",
        "--json",
    },
    "probe": {"--on", "--anew", "--probe", "--quick", "--usd-per-hour", "--plan", "--json"},
    "replay": {
        "--on",
        "--anew",
        "--original",
        "--runs",
        "--gpus",
        "--checkout",
        "--plan",
        "--dry",
        "--no-fetch",
        "--json",
    },
    "accept": {
        "--retime",
        "--withdraw",
        "--why",
        "--pull-request",
        "--timer",
        "--runs",
        "--plan",
        "--usd-per-hour",
        "--budget-usd",
        "--checkout",
        "--no-fetch",
        "--cold",
        "--json",
    },
    "import": {"--checkout", "--upstream", "--commit", "--own", "--plan", "--json"},
    "doctor": {"--make", "--json"},
    "fetch": {"--tokens", "--verify", "--pin", "--list", "--json"},
    "eval": {
        "--script",
        "--trust",
        "--hellaswag",
        "--style",
        "--items",
        "--tokens",
        "--limit",
        "--int8",
        "--sample",
        "--length",
        "--temperature",
        "--top-k",
        "--seed",
        "--store",
        "--no-fetch",
        "--plan",
        "--json",
    },
    "help": set(),
}


def test_the_command_line_is_what_this_table_says() -> None:
    """Adding a flag is a conscious change of this table."""
    from harness.cli import build_parser

    [commands] = [a for a in build_parser()._actions if a.dest == "verb"]
    assert isinstance(commands.choices, dict)
    found = {
        verb: {option for action in parser._actions for option in action.option_strings if option.startswith("--")}
        - {"--help"}
        for verb, parser in commands.choices.items()
    }
    assert found == VERBS
    assert list(found) == list(VERBS), "the verbs stand in the order of the first screen of the help"
