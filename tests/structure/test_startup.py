from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "polars",
    "sklearn",
    "sqlalchemy",
    "onnxruntime",
    "nicegui",
    "numba",
    "pandas",
    "matplotlib",
    "skrub",
    "deltalake",
}


def modules_after(code: str) -> set[str]:
    script = f"import sys, json\n{code}\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


def test_importing_homeostat_loads_nothing_heavy():
    assert modules_after("import homeostat") & HEAVY == set()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["why", "--help"], ["--version"]])
def test_asking_for_help_loads_nothing_heavy(arguments: list[str]):
    code = f"import homeostat.cli\ntry:\n    homeostat.cli.main({arguments!r})\nexcept SystemExit:\n    pass"
    assert modules_after(code) & HEAVY == set()


def test_declaring_a_loop_loads_nothing_heavy():
    assert modules_after("from homeostat import Loop, FileSource, gates, deploy, when, how, where") & HEAVY == set()


def test_a_server_loads_no_tables_and_nothing_that_trains():
    """Each of its processes would take their memory."""
    loaded = modules_after("import homeostat.engine.live.server_process, homeostat.core.store")
    assert loaded & {"deltalake", "pyarrow", "sklearn", "skl2onnx", "pandas", "matplotlib"} == set()
