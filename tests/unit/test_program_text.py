"""What a submission may bring: program text alone, few data in it, and no code that the scan does not read."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import io
import itertools
import json
import marshal
import pickle
import random
import zipfile
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.catalog.tracks import load_track
from harness.cli import main
from harness.core.task import TextLimits, Waiver
from harness.evidence.contents import Evidence, ParentText
from harness.run import judging
from harness.store.layout import Project
from harness.submission import inspection
from harness.verdict import judge_text
from harness.verdict.scan.carried import beyond, pieces
from harness.verdict.scan.formats import TEXT, refusal
from tests.counting import calls_of
from tests.faults.projects import HONEST, Small, make_project

ROOT = Path(__file__).parents[2]
SMOKE = load_track(ROOT / "tracks", "smoke")
PARENT = (ROOT / "records/smoke/2026-11-21_muon/script/train_gpt.py").read_bytes()
LIMIT = 32_000
NOISE = random.Random(7).randbytes(200_000)


def evidence(files: dict[str, bytes], parent: dict[str, bytes] | None = None, *, ruleset: int = -1) -> Evidence:
    """The text of a submission under a draft, and of its parent."""
    known = None
    if parent is not None:
        hashes = frozenset(hashlib.sha256(data).hexdigest() for data in parent.values())
        known = ParentText("smoke/2", hashes, tuple(parent.items()))
    entry = next(iter(files.values()), b"")
    sha = hashlib.sha256(entry).hexdigest()
    given = tuple(files.items())
    return Evidence("a submission", SMOKE, SMOKE.rulesets[ruleset], (), script_sha256=sha, files=given, parent=known)


def found(rule: str, given: Evidence) -> tuple[str, str]:
    """The outcome and the text of one rule."""
    [finding] = [finding for finding in judge_text(given) if finding.rule == rule]
    return finding.outcome, finding.text


# ------------------------------------------------------------------------------------------------ R2


def zipped(name: str, text: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr(name, text)
    return data.getvalue()


BYTECODE = b"\xcb\r\r\n" + bytes(12) + marshal.dumps(compile("x = 1", "x", "exec"))
REFUSED = {
    "weights in kernels.bin": ("kernels.bin", NOISE[:1000]),
    "text in kernels.bin": ("kernels.bin", b"x = 1\n"),
    "bytecode": ("tuning.pyc", BYTECODE),
    "bytecode that is called Python": ("tuning.py", BYTECODE),
    "a zip": ("tuning.zip", zipped("a.py", "x = 1")),
    "a zip that is called a text": ("notes.txt", zipped("a.py", "x = 1")),
    "Python with a zip behind it": ("tuning.py", b"x = 1\n" + zipped("a.py", "x = 1")),
    "a pickle": ("table.json", pickle.dumps([0.5] * 10)),
    "a library": ("kernels.so", b"\x7fELF"),
    "weights of safetensors": ("weights.txt", (8).to_bytes(8, "little") + b"{}      "),
    "a NUL": ("a.md", b"a\0b"),
    "an escape": ("a.md", b"a\x1b[2J"),
    "Latin-1": ("a.py", "x = 'é'".encode("latin-1")),
    "UTF-16": ("a.py", "x = 1".encode("utf-16")),
    "another encoding": ("a.py", b"# coding: utf-7\nx = 1\n"),
    "an encoding that nobody knows": ("a.py", b"# coding: nothing\nx = 1\n"),
    "no ending": ("weights", b"x"),
    "two endings": ("a.py.gz", b"x"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_program_text_is_refused_by_name(name: str) -> None:
    file, data = REFUSED[name]
    outcome, text = found("R2", evidence({"train_gpt.py": PARENT, file: data}))
    assert outcome == "fail"
    assert text.startswith(file)
    assert text.isprintable()


@pytest.mark.parametrize("ending", TEXT)
def test_text_of_every_named_format_is_let_be(ending: str) -> None:
    assert refusal(f"a{ending}", "# ü ✓\n\tx = 1\r\n\f".encode()) is None
    assert refusal(f"a{ending}", b"\xef\xbb\xbf# -*- coding: utf-8 -*-\n") is None


def test_files_may_have_512_kb_together() -> None:
    files = {"train_gpt.py": PARENT, "a.md": b"a" * (512_000 - len(PARENT))}
    assert found("R2", evidence(files))[0] == "pass"
    assert found("R2", evidence(files | {"b.md": b"b"}))[0] == "fail"


def test_rules_that_came_later_do_not_judge_older_submissions() -> None:
    given = evidence({"train_gpt.py": b"exec(x)", "kernels.bin": NOISE}, ruleset=0)
    assert {f.outcome for f in judge_text(given) if f.rule != "R1"} == {"not applicable"}


def test_the_newest_rulesets_alone_have_limits() -> None:
    for name in ("short", "medium", "optimization", "smoke"):
        *older, newest = load_track(ROOT / "tracks", name).rulesets
        assert newest.program_text == TextLimits(512_000, LIMIT)
        assert all(ruleset.program_text is None for ruleset in older)


# ------------------------------------------------------------------------------------------------ R3


def parts(count: int, size: int, data: bytes = NOISE) -> list[str]:
    text = base64.b85encode(data).decode().replace("#", "_").replace("\\", "_")
    return [text[begin : begin + size] for begin in range(0, count * size, size)]


HEX = NOISE.hex()
CARRIERS = {
    "90 literals": "\n".join(f"W{n} = {part!r}" for n, part in enumerate(parts(83, 2956))),
    "bytes": "\n".join(f"W{n} = b{part!r}" for n, part in enumerate(parts(40, 2956))),
    "format strings": "\n".join(f"W{n} = f'{HEX[n * 1000 : n * 1000 + 1000]}{{x}}'" for n in range(100)),
    "numbers": f"W = [{','.join(str(byte) for byte in NOISE[:60_000])}]",
    "one number": "W = 0x" + HEX[:100_000],
    "truths": f"W = [{','.join(str(byte > 127) for byte in NOISE[:20_000])}]",
    "comments": "\n".join(f"# {HEX[n * 100 : n * 100 + 100]}" for n in range(1000)),
    "docstrings": "\n".join(f"def f{n}():\n    '''{part}'''" for n, part in enumerate(parts(40, 2956))),
    "names": "\n".join(f"_{HEX[n * 100 : n * 100 + 100]}" for n in range(1000)),
    "the order of statements": "\n".join(f"a{byte}" for byte in NOISE[:40_000]),
    "blanks": "\n".join(f"x{' ' * byte}" for byte in NOISE[:45_000] if byte < 250),
}
BY_COUNT = {"90 literals", "bytes", "format strings", "numbers", "one number", "truths", "comments"}


@pytest.mark.parametrize("name", CARRIERS)
def test_data_are_found_in_whatever_they_are_put(name: str) -> None:
    script = PARENT + b"\n" + CARRIERS[name].encode()
    carried = beyond({"train_gpt.py": script}, {"train_gpt.py": PARENT})
    assert (carried.counted > LIMIT) == (name in BY_COUNT)
    assert max(carried.counted, carried.compressed) > LIMIT


def test_a_finding_names_the_largest_lines_first_and_few_of_them() -> None:
    lines = "\n".join(f"W{n} = {'ab' * (3000 + n)!r}" for n in range(20))
    outcome, text = found("R3", evidence({"train_gpt.py": PARENT + lines.encode()}, {"train_gpt.py": PARENT}))
    assert outcome == "fail"
    first = PARENT.count(b"\n") + 1
    assert f"train_gpt.py:{first + 19} (6,040), train_gpt.py:{first + 18} (6,038)" in text
    assert text.count("train_gpt.py:") == 5
    assert "and 15 more lines" in text


def test_what_the_parent_has_counts_nothing_wherever_it_stands() -> None:
    parent = {"train_gpt.py": f"A = {'ab' * 20_000!r}\n# {'cd' * 20_000}\n".encode()}
    moved = {"train_gpt.py": b"import kernels\n", "kernels.py": b"# new\n" + parent["train_gpt.py"]}
    outcome, text = found("R3", evidence(moved, parent))
    assert outcome == "pass"
    assert text.startswith("5 bytes of literals and comments beyond those of smoke/2")
    twice = {"train_gpt.py": parent["train_gpt.py"] + parent["train_gpt.py"]}
    assert found("R3", evidence(twice, parent))[0] == "fail"


def test_docstrings_are_no_literals_and_format_strings_are_one_piece() -> None:
    source = b'"""Say."""\nx = f"a{y!r:>{w}}b"  # why\ndef f():\n    "Do."\n    return True, 1.5, "t"\n'
    told = [(piece.kind, piece.text) for piece in pieces("a.py", source) if piece.kind != "name"]
    assert told == [
        ("docstring", '"""Say."""'),
        ("literal", 'f"a{y!r:>{w}}b"'),
        ("comment", "# why"),
        ("docstring", '"Do."'),
        ("literal", "True"),
        ("literal", "1.5"),
        ("literal", '"t"'),
    ]


def test_of_a_file_that_is_no_python_every_line_counts() -> None:
    table = "\n".join(f"row {n}" for n in range(5000)).encode()
    assert found("R3", evidence({"train_gpt.py": PARENT, "table.txt": table}, {"train_gpt.py": PARENT}))[0] == "fail"
    both = {"train_gpt.py": PARENT, "table.txt": table}
    assert found("R3", evidence({**both, "table.txt": table + b"\nmore"}, both))[0] == "pass"


def test_where_the_parent_is_not_here_much_text_is_inconclusive_and_little_passes() -> None:
    absent = ParentText("short/89")
    little = dataclasses.replace(evidence({"train_gpt.py": PARENT}), parent=absent)
    assert found("R3", little)[0] == "pass"
    files = {"train_gpt.py": PARENT + b"# " + b"ab" * 20_000}
    outcome, text = found("R3", dataclasses.replace(evidence(files), parent=absent))
    assert outcome == "inconclusive"
    assert "short/89 is not here to count against: `speedrun replay --original --plan` fetches it" in text
    same = dataclasses.replace(absent, hashes=frozenset({hashlib.sha256(files["train_gpt.py"]).hexdigest()}))
    assert (
        found("R3", dataclasses.replace(evidence(files), parent=same))[0] == "pass"
    )  # it is the parent's, by its hash


def test_a_script_or_a_parent_that_this_python_cannot_parse_is_inconclusive() -> None:
    assert found("R3", evidence({"train_gpt.py": b"x = ("}))[0] == "inconclusive"
    much = PARENT + b"# " + b"ab" * 20_000
    outcome, text = found("R3", evidence({"train_gpt.py": much}, {"train_gpt.py": much + b"\nx = ("}))
    assert outcome == "inconclusive" and "of its parent cannot be parsed" in text


@pytest.mark.parametrize(("rule", "script"), [("R3", PARENT + b"# " + b"ab" * 20_000), ("R4", PARENT + b"\nexec(x)\n")])
def test_a_maintainer_lifts_a_finding_for_one_script_alone(rule: str, script: bytes) -> None:
    given = evidence({"train_gpt.py": script}, {"train_gpt.py": PARENT})
    sha = hashlib.sha256(script).hexdigest()
    outcome, text = found(rule, given)
    assert outcome == ("fail" if rule == "R3" else "inconclusive")
    assert f"a maintainer can lift it for the script {sha}" in text
    for of, lifted in ((sha, True), ("0" * 64, False)):
        waiver = Waiver(of, rule, "@somebody", datetime.date(2026, 12, 1), "it is the tokenizer's table")  # type: ignore[arg-type]
        track = dataclasses.replace(given.track, waivers=(waiver,))
        outcome, text = found(rule, dataclasses.replace(given, track=track))
        assert (outcome == "pass") == lifted
        assert ("lifted by @somebody on 2026-12-01 (it is the tokenizer's table): " in text) == lifted


def test_a_waiver_is_read_from_the_track() -> None:
    text = (ROOT / "tracks" / "smoke.yaml").read_text()
    waiver = {"script": "a" * 64, "rule": "R3", "by": "@a", "date": "2026-12-01", "reason": "read"}
    tracks = Path(str(ROOT / "tracks"))
    assert load_track(tracks, "smoke").waivers == ()
    assert "waivers" not in text
    from harness.catalog.tracks import TRACK_FORM

    read = TRACK_FORM.parse(
        f"{text}waivers: [{json.dumps(waiver).replace(chr(34) + '2026-12-01' + chr(34), '2026-12-01')}]\n".encode(),
        "smoke.yaml",
    )
    assert read.waivers == (Waiver("a" * 64, "R3", "@a", datetime.date(2026, 12, 1), "read"),)


@pytest.mark.parametrize("kind", ["commas", "statements", "lines"])
def test_the_work_of_counting_grows_no_faster_than_the_text(kind: str) -> None:
    """Counted in calls of functions, so that no busy machine matters."""
    made = {"commas": "x = (" + "1," * 1000 + ")", "statements": "a;" * 1000, "lines": "# a\n" * 1000}[kind]
    few, many = (calls_of(lambda n=n: beyond({"a.py": (made + "\n").encode() * n}, {})) for n in (1, 2))
    assert many <= 2.5 * few


# ------------------------------------------------------------------------------------------------ R4

UNSCANNED = {
    "executed": "exec(open('notes.txt').read())",
    "executed by name": "text = open('notes.txt').read()\nexec(text)",
    "executed in a block": "with open('notes.txt') as file:\n    exec(file.read())",
    "executed by a function": "def code():\n    return open('notes.txt').read()\nexec(code())",
    "compiled": "exec(compile(open('no' + 'tes.txt').read(), 'n', 'exec'))",
    "by its ending": "from pathlib import Path\nexec(Path(__file__).with_name('notes').with_suffix('.txt').read_text())",
    "by a pattern": "import glob\nexec(open(glob.glob('n*.txt')[0]).read())",
    "by an alias": "run = exec\nrun(open('./notes.txt').read())",
    "run": "import runpy\nrunpy.run_path('notes.txt')",
    "loaded": "from importlib.machinery import SourceFileLoader\nSourceFileLoader('notes', 'notes.txt').load_module()",
    "by a spec": "import importlib.util as u\nu.spec_from_file_location('notes', 'notes.txt')",
    "by a finder": "import sys\nsys.path_hooks.insert(0, hook)\nimport notes",
    "unpickled": "import pickle\npickle.load(open('notes.txt', 'rb'))",
    "executed in a string": "exec('exec(open(\"notes.txt\").read())')",
}
UNKNOWN = {
    "a text that is computed": "exec(make())",
    "a text that is a name": "text = 'x = 1'\nexec(text)",
    "a comment of its own": "exec(open(__file__).read().split('#!')[1])",
    "a builtin handed on": "list(map(exec, texts))",
    "a builtin in a list": "run = [exec]\nrun[0](text)",
    "a builtin of the module": "import builtins\ngetattr(builtins, name)(text)",
    "builtins by key": "__builtins__['ex' + 'ec'](text)",
    "a file elsewhere": "import runpy\nrunpy.run_path('/tmp/x.py')",
    "a file that is computed": "import runpy\nrunpy.run_path(path)",
    "a finder": "import sys\nsys.meta_path.append(finder)",
    "a code object": "import types\ntypes.FunctionType(code, {})",
    "C++": "from torch.utils.cpp_extension import load\nload('k', ['kernels.cu'])",
    "C++ in a text": "from torch.utils.cpp_extension import load_inline\nload_inline('k', cpp_sources='')",
    "another process": "import subprocess, sys\nsubprocess.run([sys.executable, 'notes.txt'])",
    "a pickle in a text": "import pickle\npickle.loads(b'cbuiltins\\nexec\\n(V1\\ntR.')",
    "a pickle of torch": "import torch, io\ntorch.load(io.BytesIO(data), weights_only=False)",
    "a pickle of numpy": "import numpy as np\nfrom io import BytesIO as B\nf = B(data)\nnp.load(f, allow_pickle=flag)",
    "arguments out of sight": "import torch, io\nwith io.BytesIO(data) as file:\n    torch.load(file, **told)",
    "a text for another Python": "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'x = 1'])",
    "a Python in its place": "import os, sys\nos.execv(sys.executable, ['python', '-c', text])",
    "a shell": "import os\nos.system('nvidia-smi; python x')",
    "another program of that name": "import subprocess\nsubprocess.run(['nvidia-smi', '-c', text], executable=python)",
    "builtins of a function": "def f():\n    pass\nf.__globals__['__builtins__']",
    "another body of a function": "def f():\n    pass\nf.__code__ = code",
    "classes of the interpreter": "object.__subclasses__()[7]",
    "an attribute by its name": "getattr(f, '__glo' + 'bals__')",
    "builtins of a builtin": "print.__self__.exec(text)",
    "builtins of a frame": "import sys\nsys._getframe().f_builtins['exec'](text)",
    "a pickle by another name": "import _pickle\n_pickle.loads(data)",
    "a pickle that is handed on": "import pickle\nlist(map(pickle.loads, [data]))",
    "a class that unpickles": "import pickle\nclass U(pickle.Unpickler):\n    pass\nU(file).load()",
    "a pickle of torch by its module": "import io\nfrom torch.serialization import load as get\n"
    "get(io.BytesIO(data), weights_only=False)",
    "a process that is handed on": "import subprocess\nlist(map(subprocess.run, [['python', '-c', text]]))",
    "a class of processes": "import subprocess\nclass P(subprocess.Popen):\n    pass\nP(['python', '-c', text])",
    "a process of asyncio": "import asyncio\nasyncio.run(asyncio.create_subprocess_shell(text))",
    "a module that is run": "import runpy\nrunpy.run_module(name)",
    "many places": "exec(x)\n" * 1500,
    "no Python": "x = (",
}
READ = {
    "an import of a file beside it": "import kernels\nfrom kernels import f",
    "an import of a name": "import importlib\nimportlib.import_module(name)",
    "a file beside it that is run": "import runpy\nrunpy.run_path('kernels.py')",
    "code in a string": "exec('x = 1')",
    "a text that is read": "import json\njson.loads(open('notes.txt').read())",
    "its own text": "code = open(__file__).read()",
    "methods of these names": "model.eval()\nre.compile('x')\nmodel.compile()\nself.eval = False",
    "a function of that name": "def eval(model):\n    return 1\neval(3)",
    "a parameter of that name": "def f(compile):\n    return compile(1)",
    "torch.compile": "from torch import compile\ncompile(f)\nimport torch\nc = torch.compile\nc(f)",
    "a kernel of CUDA": "import torch\ntorch.cuda._compile_kernel(open('kernels.cu').read(), 'k')",
    "weights that it saved": "import torch\ndef load(path):\n    return torch.load(path)",
    "a package that has a file's name": "import notes",
    "where imports look": "import sys\nsys.path.insert(0, '.')",
    "weights and arrays, as they are loaded plainly": "import torch, numpy as np\ntorch.load(p, weights_only=True, "
    "map_location='cpu')\nnp.load(p, mmap_mode='r')",
    "a checkpoint at a path": "import torch\ntorch.load(path, map_location='cpu', weights_only=False)",
    "weights in memory": "import torch, io\ntorch.load(io.BytesIO(data), weights_only=True)",
    "nvidia-smi": "import subprocess\nsubprocess.run(['nvidia-smi'], stdout=subprocess.PIPE, text=True)",
    "nvidia-smi by the shell": "import os\nos.popen('nvidia-smi --query-gpu=name').read()",
    "what a process is asked and caught by": "import subprocess\ntry:\n    subprocess.run(['nvidia-smi'], check=True)\n"
    "except (OSError, subprocess.CalledProcessError):\n    pass\nisinstance(p, subprocess.Popen)",
    "hints of types, as optimizers look at them": "import typing\ntyping.get_type_hints(f)",
    "processes of its own functions": "import multiprocessing\nmultiprocessing.Process(target=f).start()",
}
BESIDE = {"notes.txt": b"x = 1\n", "kernels.py": b"f = 1\n", "kernels.cu": b"int x;\n"}
CODE = [
    *(("fail", name, text) for name, text in UNSCANNED.items()),
    *(("inconclusive", name, text) for name, text in UNKNOWN.items()),
    *(("pass", name, text) for name, text in READ.items()),
]


@pytest.mark.parametrize(("outcome", "name", "text"), CODE, ids=[f"{outcome}: {name}" for outcome, name, _ in CODE])
def test_code_that_the_scan_does_not_read(outcome: str, name: str, text: str) -> None:
    told = found("R4", evidence({"train_gpt.py": text.encode(), **BESIDE}))
    assert told[0] == outcome, told[1]
    if outcome == "fail":
        assert "notes.txt, which was not scanned" in told[1]


def test_an_entry_that_is_no_python_was_not_scanned() -> None:
    assert found("R4", evidence({"train_gpt.txt": b"x = 1\n"}))[0] == "fail"


# ------------------------------------------------------------------------------------------------ honest scripts


def test_every_script_of_the_project_passes() -> None:
    catalog = Catalog(Project(ROOT))
    folders = sorted((ROOT / "submissions").glob("*/manifest.yaml"))
    subjects = [catalog.submission(path.parent, frozen=False) for path in folders]
    subjects += [catalog.script_here(record) for record in catalog.records() if catalog.has_script(record)]
    assert len(subjects) >= 15
    for subject in subjects:
        draft = dataclasses.replace(subject, ruleset=subject.track.rulesets[-1])
        assert draft.ruleset.program_text is not None
        told = {finding.rule: finding.outcome for finding in judging.read_text(catalog, draft)}
        assert [told[rule] for rule in ("R2", "R3", "R4")] == ["pass"] * 3, (subject.name, told)
        # The first rules of the short track allowed a setting of inductor that later ones forbid; 11 records have it.
        assert told["R1"] != "fail" or subject.ruleset.id == "short@1", (subject.name, told)
        own = {finding.rule: finding.outcome for finding in judging.read_text(catalog, subject)}
        assert own["R1"] != "fail", (subject.name, own)


# ------------------------------------------------------------------------------------------------ said early


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """A project whose ruleset has limits, with a submission that was never run."""
    project = make_project(tmp_path / "project")
    file = project.root / "tracks" / "tiny.yaml"
    file.write_text(file.read_text() + "    program_text: {total_bytes: 512000, data_bytes: 32000}\n")
    folder = project.submit(HONEST, "2026-11-20_idea")
    manifest = (folder / "manifest.yaml").read_text().replace("schema: 1", "schema: 2")
    (folder / "manifest.yaml").write_text(manifest.partition("files:")[0])
    (folder / "README.md").write_text("# A title\n\nWhat, why and how: all answered.\n")
    assert main(["--root", str(project.root), "new", "--refresh", str(folder)]) == 0
    return project


def told_early(small: Small, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[int, str]]:
    """What check, refresh and run say of the submission; nothing is run."""
    name, told = str(small.root / "submissions" / "2026-11-20_idea"), {}
    for words in (["check", name], ["new", "--refresh", name], ["run", name, "--plan"]):
        status = main(["--root", str(small.root), *words])
        told[words[0]] = status, " ".join("".join(capsys.readouterr()).split())
    return told


def test_a_file_that_is_no_text_is_named_before_anything_is_run(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small.root / "submissions" / "2026-11-20_idea"
    (folder / "kernels.bin").write_bytes(NOISE[:100])
    lock = (folder / "manifest.lock").read_text()
    told = told_early(small, capsys)
    assert "kernels.bin" in told["check"][1]
    for verb in ("new", "run"):
        assert told[verb][0] == 2
        assert "kernels.bin: is none of .py" in told[verb][1]
    assert (folder / "manifest.lock").read_text() == lock
    assert not (small.root / ".runs").exists()


def test_a_readme_and_the_whole_folder_are_text_too(small: Small) -> None:
    folder = small.root / "submissions" / "2026-11-20_idea"
    catalog = Catalog(Project(small.root))
    assert inspection.check(catalog, folder).problems == ()
    (folder / "README.md").write_bytes(b"# A title\n\nAnswered.\n" + zipped("a.py", "x"))
    assert [p.where for p in inspection.check(catalog, folder).problems] == [f"submissions/{folder.name}/README.md"]
    (folder / "README.md").write_bytes(b"# A title\n\n" + b"Answered. " * 51_200)
    assert ["bytes together" in p.what for p in inspection.check(catalog, folder).problems] == [True]


def test_a_handle_with_letters_that_look_like_anothers_is_refused(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = small.root / "submissions" / "2026-11-20_idea" / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("@somebody", "@s\u043emebody"))  # a Cyrillic o
    for status, text in told_early(small, capsys).values():
        assert status != 0
        assert r"`contributors` holds '@s\u043emebody', whose letters may look like another's" in text
    track = small.root / "tracks" / "tiny.yaml"
    track.write_text(track.read_text().partition("    program_text")[0])
    assert inspection.check(Catalog(Project(small.root)), manifest.parent).problems == ()


def test_what_a_rule_would_find_is_said_before_the_first_run(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    script = small.root / "submissions" / "2026-11-20_idea" / "train_gpt.py"
    script.write_text(script.read_text() + "# " + "ab" * 20_000 + "\nexec(x)\n")
    told = told_early(small, capsys)
    assert told["new"][0] == 0
    status, text = told["run"]
    assert status == 0
    assert "as it is, a verdict will say: R3 fail" in text
    assert "R4 inconclusive" in text
    status = main(["--root", str(small.root), "check", str(script.parent)])
    text = " ".join(capsys.readouterr().out.split())
    assert status == 1
    assert "would fail R3" in text
    assert "R4" not in text  # a doubt refuses nothing before there is a run


def test_tables_of_tricks_are_long_enough() -> None:
    assert min(map(len, (REFUSED, CARRIERS, UNSCANNED, UNKNOWN, READ))) > 10
    assert len(set(itertools.chain(UNSCANNED.values(), UNKNOWN.values(), READ.values()))) == len(CODE)
