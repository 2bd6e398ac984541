"""The scan of a script's text: every spelling of a forbidden setting is found, ordinary code is left alone."""

from __future__ import annotations

import functools
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.verdict.scan.scanner import scan
from tests.counting import calls_of

ROOT = Path(__file__).parents[2]

INDUCTOR = {
    "attribute": "import torch\ntorch._inductor.config.max_autotune = True",
    "alias": "import torch._inductor.config as c\nc.max_autotune = True",
    "from": "from torch._inductor import config\nconfig.max_autotune = True",
    "from as": "from torch._inductor import config as ic\nic.triton.cudagraphs = True",
    "name": "import torch\ncfg = torch._inductor.config\ncfg.shape_padding = 1",
    "two names": "import torch\na = torch._inductor\nb = a.config\nb.x = 1",
    "setattr": "import torch\nsetattr(torch._inductor.config, 'max_autotune', True)",
    "setattr glued": "import torch\nsetattr(torch._inductor.config, 'max' + '_autotune', True)",
    "getattr": "import torch\ngetattr(torch, '_inductor').config.x = True",
    "dunder": "import torch\ntorch._inductor.config.__setattr__('x', True)",
    "vars": "import torch\nvars(torch._inductor.config)['x'] = True",
    "dict": "import torch\ntorch._inductor.config.__dict__['x'] = True",
    "dict update": "import torch\ntorch._inductor.config.__dict__.update(x=1)",
    "patch": "import torch\nwith torch._inductor.config.patch(max_autotune=True): pass",
    "load": "import torch\ntorch._inductor.config.load_config(b'')",
    "modules": "import sys\nsys.modules['torch._inductor.config'].x = 1",
    "import_module": "import importlib\nimportlib.import_module('torch._inductor.config').x = 1",
    "dunder import": "__import__('torch._inductor.config').x = 1",
    "tuple": "import torch\ntorch._inductor.config.x, y = 1, 2",
    "annotated": "import torch\ntorch._inductor.config.x: bool = True",
    "augmented": "import torch\ntorch._inductor.config.x |= True",
    "loop": "import torch\nfor torch._inductor.config.x in [True]: pass",
    "handed on": "import torch\ntune(torch._inductor.config)",
    "parameter": "def tune(c):\n    c.coordinate_descent_tuning = True",
    "wrapper": "import torch\nw = torch._TorchCompileInductorWrapper(None, None, None)\nw.config['max_autotune'] = 1",
    "two at once": "import torch\na, c = 0, torch._inductor.config\nc.freezing = True",
    "keyword": "import torch\ntune(c=torch._inductor.config)",
    "star": "import torch\ntune(*[torch._inductor.config])",
    "star setattr": "import torch\nsetattr(*(torch._inductor.config, 'freezing', True))",
    "loop over it": "import torch\nfor c in (torch._inductor.config,): c.freezing = True",
    "class attribute": "import torch\nclass A: c = torch._inductor.config\nA.c.freezing = True",
    "attribute of self": "import torch\nclass A:\n def f(self):\n  self.c = torch._inductor.config\n  self.c.freezing = True",
    "default": "import torch\ndef f(c=torch._inductor.config): c.freezing = True",
    "keyword default": "import torch\ndef f(*, c=torch._inductor.config): c.freezing = True",
    "return": "import torch\ndef f(): return torch._inductor.config\nf().freezing = True",
    "lambda": "import torch\nf = lambda: torch._inductor.config\nf().freezing = True",
    "yield": "import torch\ndef f(): yield torch._inductor.config",
    "condition": "import torch\nc = torch._inductor.config if 1 else None\nc.freezing = True",
    "or": "import torch\nc = None or torch._inductor.config\nc.freezing = True",
    "match": "import torch\nmatch torch._inductor.config:\n case c: c.freezing = True",
    "with": "import torch\nwith nullcontext(torch._inductor.config) as c: c.freezing = True",
    "list": "import torch\nl = [torch._inductor.config]\nl[0].freezing = True",
    "dictionary": "import torch\nd = {'c': torch._inductor.config}\nd['c'].freezing = True",
    "comprehension": "import torch\n[setattr(c, 'freezing', True) for c in [torch._inductor.config]]",
    "named inside": "import torch\n(c := torch._inductor.config).freezing = True",
    "named and handed": "import torch\ntune(c := torch._inductor.config)",
    "unknown function": "import torch\nfs[0](torch._inductor.config)",
    "type": "import torch\nc = torch._inductor.config\ntype(c).__setattr__(c, 'freezing', True)",
    "package": "import torch\ndef f(i): i.config.freezing = True\nf(torch._inductor)",
    "torch handed on": "import torch\ndef f(t): t._inductor.config.freezing = True\nf(torch)",
    "another module's": "import torch\ntorch._inductor.compile_fx.config.freezing = True",
    "imported from another": "from torch._inductor.utils import config\nconfig.freezing = True",
    "patch kept": "import torch\np = [torch._inductor.config.patch]\np[0](freezing=True)",
    "patch named": "import torch\np = torch._inductor.config.patch\np(freezing=True)",
    "patch as a decorator": "from torch._inductor.config import patch\n@patch(freezing=True)\ndef f(): pass",
    "group": "import torch\ntune(torch._inductor.config.triton)",
    "vars handed on": "import torch\ntune(vars(torch._inductor.config))",
    "relative import": "from importlib import import_module\nimport_module('.config', 'torch._inductor').freezing = 1",
    "import keyword": "import importlib\nimportlib.import_module(name='torch._inductor.config').freezing = 1",
    "modules get": "import sys\nsys.modules.get('torch._inductor.config').freezing = 1",
    "globals": "import torch\nc = torch._inductor.config\nglobals()['c'].freezing = 1",
    "attrgetter": "import operator, torch\noperator.attrgetter('_inductor.config')(torch).freezing = 1",
    "globals of a function": "import torch\nf = torch._inductor.compile_fx.compile_fx\nf.__globals__['config'].freezing = 1",
    "getattribute": "import torch\ntorch.__getattribute__('_inductor').config.freezing = 1",
    "setattr alias": "import torch\ns = setattr\ns(torch._inductor.config, 'freezing', 1)",
    "parameter bound anew": "import torch\ndef f(c):\n    c = torch._inductor.config\n    c.freezing = True",
    "exec": "exec('import torch._inductor.config as c; c.x = 1')",
}
MODE = {
    "mode": "import torch\nf = torch.compile(f, mode='max-autotune')",
    "decorator": "import torch\n@torch.compile(mode='reduce-overhead')\ndef f(): pass",
    "method": "model.compile(mode='max-autotune')",
    "spread": "import torch\ntorch.compile(f, **{'mode': 'max-autotune'})",
    "spread name": "import torch\nkw = dict(mode='max-autotune')\ntorch.compile(f, **kw)",
    "partial": "import functools, torch\nc = functools.partial(torch.compile, mode='max-autotune')",
    "alias": "from torch import compile as c\nc(f, mode='max-autotune')",
    "in a class": "import torch\nclass T: k = torch.compile\nT.k(f, mode='max-autotune')",
    "by an element": "import torch\n[torch.compile][0](f, mode='max-autotune')",
    "by a function": "import torch\ndef g(**kw): return torch.compile(f, **kw)\ng(mode='reduce-overhead')",
    "dictionary changed": "import torch\nkw = {}\nkw['mode'] = 'max-autotune'\ntorch.compile(f, **kw)",
    "dictionary updated": "import torch\nkw = {}\nkw.update(mode='max-autotune')\ntorch.compile(f, **kw)",
    "dictionary joined": "import torch\nkw = {}\nkw |= {'mode': 'max-autotune'}\ntorch.compile(f, **kw)",
    "dictionary in another": "import torch\na = {'mode': 'max-autotune'}\ntorch.compile(f, **{**a})",
    "wrapper": "import torch\ntorch.compile(f, backend=torch._TorchCompileInductorWrapper('max-autotune', None, None))",
    "wrapper by a partial": "import torch\nfrom functools import partial\n"
    "partial(torch._TorchCompileInductorWrapper, 'max-autotune', None)",
    "two at once": "import torch\n_, c = 0, torch.compile\nc(f, mode='max-autotune')",
    "wrapper afterwards": "from torch import _TorchCompileInductorWrapper as W\nw = W(None, None, None)\n"
    "w.apply_mode('max-autotune')",
    "computed": "import torch\ntorch.compile(f, mode=choose())",
}
OPTIONS = {
    "options": "import torch\ntorch.compile(f, options={'max_autotune': True})",
    "wrapper": "import torch\ntorch._TorchCompileInductorWrapper(None, {'max_autotune': True}, None)",
    "wrapper afterwards": "import torch\nw = torch._TorchCompileInductorWrapper(None, None, None)\nw.apply_options(o)",
    "patches": "from functools import partial\nfrom torch._inductor.compile_fx import compile_fx\n"
    "partial(compile_fx, config_patches={'max_autotune': True})",
    "patches of anything": "compile_it(g, x, config_patches={'max_autotune': True})",
    "by position": "import torch\ntorch._inductor.compile(g, x, {'max_autotune': True})",
    "options by name": "import torch\nc = torch.compile\nc(f, options=o)",
}
ENVIRONMENT = {
    "item": "import os\nos.environ['TORCHINDUCTOR_MAX_AUTOTUNE'] = '1'",
    "glued": "import os\nos.environ['TORCH' + 'INDUCTOR_MAX_AUTOTUNE'] = '1'",
    "from": "from os import environ\nenviron['TORCHINDUCTOR_X'] = '1'",
    "setdefault": "import os\nos.environ.setdefault('TORCHINDUCTOR_X', '1')",
    "update": "import os\nos.environ.update({'TORCHINDUCTOR_X': '1'})",
    "update keywords": "import os\nos.environ.update(TORCHINDUCTOR_X='1')",
    "or": "import os\nos.environ |= {'TORCHINDUCTOR_X': '1'}",
    "putenv": "import os\nos.putenv('TORCHINDUCTOR_X', '1')",
    "putenv of posix": "import posix\nposix.putenv(b'TORCHINDUCTOR_X', b'1')",
    "bytes": "import os\nos.environb[b'TORCHINDUCTOR_X'] = b'1'",
    "constant": "import os\nK = 'TORCHINDUCTOR_X'\nos.environ[K] = '1'",
    "child": "import subprocess\nsubprocess.run(c, env={'TORCHINDUCTOR_X': '1'})",
    "element of another": "import os\ne = dict(os.environ)\ne['TORCHINDUCTOR_X'] = '1'",
    "command": "import subprocess\nsubprocess.run(['env', 'TORCHINDUCTOR_X=1', 'python'])",
    "named, and a blind one": "import os\nKEYS = ('TORCHINDUCTOR_X',)\nfor k in list(KEYS):\n    os.environ[k] = '1'",
    "zipped": "import os\nos.environ.update(zip(['TORCHINDUCTOR_X'], ['1']))",
    "loop": "import os\nfor k in ('A', 'TORCHINDUCTOR_X'):\n    os.environ[k] = '1'",
}
CASES = [
    *(("inductor-config", name, text) for name, text in INDUCTOR.items()),
    *(("compile-mode", name, text) for name, text in MODE.items()),
    *(("compile-options", name, text) for name, text in OPTIONS.items()),
    *(("inductor-environment", name, text) for name, text in ENVIRONMENT.items()),
]


@pytest.mark.parametrize(("flag", "name", "text"), CASES, ids=[f"{flag}: {name}" for flag, name, _ in CASES])
def test_every_spelling_of_a_forbidden_setting_is_found(flag: str, name: str, text: str) -> None:
    found = scan("train_gpt.py", text.encode())
    assert flag in {place.kind for place in found.flags}
    assert all(place.line > 0 and "train_gpt.py:" in str(place) for place in found.flags)


HONEST = {
    "a comment": "# torch._inductor.config.max_autotune = True\nx = 1",
    "a docstring": '"""never set torch._inductor.config or mode=\'max-autotune\'"""',
    "reading a setting": "import torch\nprint(torch._inductor.config.max_autotune)",
    "reading with care": "from torch._inductor import config as c\nif c is not None and hasattr(c, 'x'):\n    print(c.x, c)",
    "reading all": "import torch\nfor k, v in torch._inductor.config.to_dict().items():\n    print(k, v)",
    "a parameter of that name": "from torch._inductor import config\nclass Block:\n"
    "    def __init__(self, config):\n        self.config = config\n        self.attn = Attention(config, n=config.n)",
    "a helper of inductor": "import torch\nfrom torch._inductor.utils import do_bench\ndo_bench(f)",
    "inductor, if it is there": "import torch\ni = getattr(torch, '_inductor', None)\nif not i:\n    raise SystemExit",
    "a logger": "import logging\nlogging.getLogger('torch._inductor').setLevel(30)",
    "asking for a variable": "import os\nprint(os.environ.get('TORCHINDUCTOR_CACHE_DIR'), 'TORCHINDUCTOR_X' in os.environ)",
    "a dictionary of arguments": "import torch\nkw = {'fullgraph': True}\nkw['dynamic'] = False\ntorch.compile(f, **kw)",
    "plain compile": "import torch\nf = torch.compile(f, dynamic=False, fullgraph=True)",
    "default mode": "import torch\nf = torch.compile(f, mode='default', options=None)",
    "a regular expression": "import re\nre.compile('x', flags=0)",
    "dynamo": "import torch\ntorch._dynamo.config.compiled_autograd = True",
    "another mode": "import torch\ntorch.nn.functional.interpolate(x, mode='bilinear')\nopen('x', mode='r')",
    "allocator": "import os\nos.environ['PYTORCH_CUDA_ALLOC_CONF'] = 'expandable_segments:True'",
    "ranks": "import os\nrank = int(os.environ['RANK'])\nw = os.environ.get('WORLD_SIZE')",
    "ranks in a loop": "import os\na, b = (int(os.environ[k]) for k in ('RANK', 'LOCAL_RANK'))",
    "nvidia-smi": "import subprocess\nsubprocess.run(['nvidia-smi'])",
}


@pytest.mark.parametrize("name", HONEST)
def test_ordinary_code_raises_no_flag(name: str) -> None:
    assert scan("train_gpt.py", HONEST[name].encode()).flags == []


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("clock", "import time\nperf_counter = lambda: 0"),
        ("patched", "import time\ntime.perf_counter = lambda: 0"),
        ("patched", "import torch\ntorch.cuda.synchronize = lambda: None"),
        ("patched", "import time\nsetattr(time, 'perf_counter', f)"),
        ("network", "import socket"),
        ("network", "from urllib.request import urlopen"),
        ("process", "import os\nos.system('curl x')"),
        ("process", "import subprocess\nsubprocess.Popen(['curl'])"),
        ("hidden", "eval(x)"),
        ("hidden", "import torch\ntorch.compile(f, **k)"),
        ("hidden", "import torch\nkw = {}\nkw.update(read())\ntorch.compile(f, **kw)"),
        ("hidden", "import runpy\nrunpy.run_path('x.txt')"),
        ("hidden", "from importlib.machinery import SourceFileLoader\nSourceFileLoader('x', 'x.txt').load_module()"),
        ("hidden", "import importlib\nimportlib.import_module(name)"),
        ("hidden", "import torch\ngetattr(torch._inductor.config, name)"),
        ("hidden", "e = exec\ne(x)"),
        ("hidden", "import sys\nfor n, m in sys.modules.items(): pass"),
        ("hidden", "import pkgutil\npkgutil.resolve_name('torch._inductor.config').freezing = 1"),
        ("hidden", "import torch\ngetattr(torch, ''.join(x)).config.freezing = 1"),
        ("compiler", "import torch\nmodes = ['max-autotune']"),
        ("inductor-environment", "names = ['TORCHINDUCTOR_X']"),
        ("environment", "import os\nos.getenv('SEED')"),
        ("environment", "import os\nos.environ['HOME']"),
        ("write", "open('/etc/x', 'w')"),
        ("write", "open('../x', mode='ab')"),
        ("write", "from pathlib import Path\nPath('/x').write_text('')"),
    ],
)
def test_what_is_odd_is_a_warning(kind: str, text: str) -> None:
    found = scan("train_gpt.py", text.encode())
    assert kind in {place.kind for place in found.warnings}
    assert not found.flags


@pytest.mark.parametrize(
    "text",
    [
        "nobody knows",
        "x" * 5_000_000,
        "(" * 5000 + ")" * 5000,
        "x = 1\0",
        "\xff\xfe".encode("latin-1").decode("latin-1"),
    ],
)
def test_a_file_that_is_no_python_is_said_to_be_unreadable(text: str) -> None:
    assert scan("train_gpt.py", text.encode("latin-1")).unreadable


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("train_files = 'data/fineweb_train_*.bin'", "data/fineweb_train_*.bin"),
        ("class A:\n    input_bin: str = 'data/fineweb_*.bin'", "data/fineweb_*.bin"),
        ("def load(train_bin='x_*.bin'): pass", "x_*.bin"),
        ("load(train_files='x_*.bin')", "x_*.bin"),
        ("p.add_argument('--input_bin', default='x_*.bin')", "x_*.bin"),
        ("import os\ntrain_files = os.path.join(root, 'fineweb_train_*.bin')", "fineweb_train_*.bin"),
        ("train_files = f'{root}/fineweb_train_*.bin'", "*/fineweb_train_*.bin"),
        ("paths = {'train': 'x_*.bin'}", "x_*.bin"),
    ],
)
def test_patterns_of_training_files_are_found(text: str, pattern: str) -> None:
    assert [found for found, _ in scan("t.py", text.encode()).train_patterns] == [pattern]


# Each grows by doubling, or takes a look at all the others for every line, unless it is bounded: a size, and the script
# of a size.
BOMBS: dict[str, tuple[int, Callable[[int], str]]] = {
    "texts that double": (60, lambda n: "\n".join(["a0='xx'", *(f"a{k}=a{k - 1}+a{k - 1}" for k in range(1, n))])),
    "format strings that double": (
        60,
        lambda n: "\n".join(["a0='xx'", *(f"a{k}=f'{{a{k - 1}}}{{a{k - 1}}}'" for k in range(1, n))]),
    ),
    "one long format string": (10_000, lambda n: "a='x'*1\nb='" + "x" * 4000 + "'\ntrain=f'" + "{b}" * n + "*'"),
    "a repetition": (10**12, lambda n: f"import os\na='x'*{n}\nos.environ['y'*{n}]=a"),
    "a join": (10**9, lambda n: f"import os\nos.environ[''.join(['x']*{n})]='1'"),
    "many long texts": (20_000, lambda n: "a='" + "x" * 2000 + "'\n" + "\n".join(f"b{k}=a+a" for k in range(n))),
    "paths that grow": (
        10_000,
        lambda n: "import os\na0=os.x\n" + "\n".join(f"a{k}=a{k - 1}.x" for k in range(1, n)),
    ),
    "names of names": (15_000, lambda n: "import os\na0=os\n" + "\n".join(f"a{k}=a{k - 1}" for k in range(1, n))),
    "dictionaries in dictionaries": (
        60,
        lambda n: (
            "\n".join(["a0={}", *(f"a{k}={{**a{k - 1},**a{k - 1}}}" for k in range(1, n))])
            + f"\nimport torch\ntorch.compile(f, **a{n - 1})"
        ),
    ),
    "calls of calls": (150, lambda n: "x" + ".get('a')" * n),
    "elements of calls": (90, lambda n: "x" + "()[0]" * n),
    "calls of results": (150, lambda n: "x" + "()" * n),
    "long chains": (400, lambda n: "\n".join("x" + ".a" * 150 for _ in range(n))),
    "much executed": (8_000, lambda n: "a='" + "x=1;" * 500 + "'\n" + "\n".join(f"exec(a+'{k}')" for k in range(n))),
    "the same executed often": (6_000, lambda n: "a='" + "x=1;" * 1000 + "'\n" + "exec(a)\n" * n),
    "many warnings": (7_500, lambda n: "exec(x)\n" * n),
    "many patterns": (8_000, lambda n: "\n".join(f"train{k}='{k}*.bin'" for k in range(n))),
    "nested functions": (80, lambda n: "f = " + "lambda x: " * n + "x"),
    "loops over much": (
        6_000,
        lambda n: "import os\nfor k in (" + "'a'," * n + "):\n" + " os.environ[k]\n" * n,
    ),
}


def test_no_script_makes_the_scan_grow() -> None:
    """All of them in one process that may use 1.5 GB; a memory that ran full is `unreadable`, too."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1_500_000_000, 1_500_000_000))

    program = "from tests.unit.test_scan import tell; tell()"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={"PATH": os.environ["PATH"], "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=limit, capture_output=True, text=True, timeout=1800, check=True,
    )  # fmt: skip
    told: dict[str, tuple[int, str | None]] = json.loads(done.stdout)
    assert told.keys() == BOMBS.keys()
    for name, (places, unreadable) in told.items():
        assert places < 5000, name
        assert "MemoryError" not in (unreadable or ""), name
    # What cannot be held is not in order either.
    assert all(told[name][1] for name in ("many long texts", "much executed", "many patterns"))


def tell() -> None:
    """Scan each and print how much was found, and why it cannot be read."""
    told = {}
    for name, (size, script) in BOMBS.items():
        found = scan("t.py", script(size).encode())
        told[name] = (len(found.flags) + len(found.warnings), found.unreadable)
    print(json.dumps(told))


# How many times the work twice the script may be. The names in a function are sought in all functions around it, and
# Python's own parser takes 100 of those at most.
SMALL = {"loops over much": 500, "much executed": 5}  # enough for the bound; each of these has 500 statements
ROOM = dict.fromkeys(BOMBS, 2.5) | {"nested functions": 4.0}


@pytest.mark.parametrize("name", BOMBS)
def test_the_work_of_a_scan_grows_no_faster_than_the_script(name: str) -> None:
    """Counted in calls of functions, so that no busy machine matters."""
    size, script = BOMBS[name]
    half = SMALL.get(name, max(size // 400, min(size // 2, 40)))  # few lines that double, or some of many
    few, many = (calls_of(functools.partial(scan, "t.py", script(n).encode())) for n in (half, 2 * half))
    assert many <= ROOM[name] * few, (few, many)
