from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.structure.safety import clocks, unpickling

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CLOCK = ROOT / "src" / "homeostat" / "core" / "clock.py"

UNSAFE = [
    "import pickle",
    "from joblib import load",
    "import cloudpickle as c",
    "def f():\n    import dill",
    "from pandas import read_pickle\nread_pickle('x')",
    "df.to_pickle('x')",
    "import importlib\nimportlib.import_module('pickle')",
    "import numpy as np\nnp.load('x.npy')",
    "import numpy as np\nnp.load('x.npy', allow_pickle=True)",
    "np.lib.format.read_array(file, allow_pickle=flag)",
    "from sklearn.externals import joblib",
]
IMPURE = [
    "import time\ntime.time()",
    "from time import sleep",
    "from datetime import datetime\ndatetime.now()",
    "import datetime\ndatetime.datetime.utcnow()",
    "import datetime\ndatetime.date.today()",
    "import random",
    "import uuid",
    "from secrets import token_hex",
    "import numpy as np\nnp.random.normal()",
    "import numpy as np\nnp.random.default_rng()",
    "f = time.monotonic",
]
FINE = [
    "import numpy as np\nrng = np.random.default_rng(7)\nrng.normal()",
    "import numpy as np\nnp.load(file, allow_pickle=False)",
    "clock.now()",
    "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)",
    "def drift_time(time): return time.days",
]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_unpickles(path: Path):
    assert list(unpickling(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("path", [p for p in SOURCES if p != CLOCK], ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_clock_module_reads_the_clock(path: Path):
    assert list(clocks(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("code", UNSAFE)
def test_the_walk_finds_what_unpickles(code: str):
    assert list(unpickling(ast.parse(code)))


@pytest.mark.parametrize("code", IMPURE)
def test_the_walk_finds_clocks_and_randomness(code: str):
    assert list(clocks(ast.parse(code)))


@pytest.mark.parametrize("code", FINE)
def test_the_walk_lets_honest_code_pass(code: str):
    assert list(unpickling(ast.parse(code))) == []
    assert list(clocks(ast.parse(code))) == []
