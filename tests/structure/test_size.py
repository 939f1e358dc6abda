from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 500
LONGEST_FUNCTION = 60
FILES = sorted(
    p for folder in ("src", "tests", "benchmarks", "tools", "examples") for p in (ROOT / folder).rglob("*.py")
)


def test_there_is_something_to_measure():
    assert len(FILES) > 10


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_file_and_no_function_is_too_long(path: Path):
    text = path.read_text(encoding="utf-8")
    lines = len(text.splitlines())
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: length for f in functions if (length := (f.end_lineno or 0) - f.lineno + 1) > LONGEST_FUNCTION}
    assert lines <= LONGEST_FILE, f"{lines} lines: make it a folder of the same name"
    assert not long, f"too long: {long}"
