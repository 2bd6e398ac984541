"""The scan of a script's text: every spelling of a forbidden setting is found, ordinary code is left alone."""

from __future__ import annotations

import pytest

from harness.verdict.scan import scan

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
    "computed": "import torch\ntorch.compile(f, mode=choose())",
}
OPTIONS = {
    "options": "import torch\ntorch.compile(f, options={'max_autotune': True})",
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
    "bytes": "import os\nos.environb[b'TORCHINDUCTOR_X'] = b'1'",
    "constant": "import os\nK = 'TORCHINDUCTOR_X'\nos.environ[K] = '1'",
    "child": "import subprocess\nsubprocess.run(c, env={'TORCHINDUCTOR_X': '1'})",
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
