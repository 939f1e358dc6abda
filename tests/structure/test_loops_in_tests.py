"""A test that asserts only inside of a loop has to assert first that there is something to loop over."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "tests").rglob("test_*.py"))

EMPTY = [
    "def test_it():\n    for row in rows():\n        assert row",
    "def test_it():\n    for row in ():\n        assert row",
    "def test_it():\n    for row in [*rows]:\n        with pytest.raises(ValueError):\n            read(row)",
    "def test_it():\n    while rows:\n        assert rows.pop()",
    "def test_it():\n    for row in (1, 2):\n        for cell in row.cells:\n            assert cell",
    "def test_it():\n    with x:\n        for row in range(number):\n            assert row",
]
FULL = [
    "def test_it():\n    assert rows\n    for row in rows:\n        assert row",
    "def test_it():\n    for row in (1, *more):\n        assert row",
    "def test_it():\n    for row in range(3):\n        assert row",
    "def test_it():\n    for key, row in {1: 2}.items():\n        assert row",
    "def test_it():\n    run()",
]


def loose(tree: ast.Module) -> list[str]:
    """Tests of which every assertion stands in a loop that may turn no time at all."""
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return [test.name for test in tests if (found := list(assertions(test, loop=False))) and all(found)]


def assertions(node: ast.AST, *, loop: bool) -> Iterator[bool]:
    """For each assertion below a node, whether it stands in such a loop."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(child, ast.Assert) or (isinstance(child, ast.withitem) and "raises(" in ast.unparse(child)):
            yield loop
        yield from assertions(child, loop=loop or may_be_empty(child))


def may_be_empty(node: ast.AST) -> bool:
    if isinstance(node, ast.While | ast.AsyncFor):
        return True
    if not isinstance(node, ast.For):
        return False
    match node.iter:
        case ast.Call(func=ast.Name(id="range"), args=args):
            return not all(isinstance(arg, ast.Constant) for arg in args)
        case ast.Call(func=ast.Attribute(value=ast.Dict(keys=keys))):
            return not any(keys)
        case ast.Tuple(elts=each) | ast.List(elts=each):
            return all(isinstance(one, ast.Starred) for one in each)
    return True


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_test_asserts_that_there_is_something_to_loop_over(path: Path):
    assert loose(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("code", EMPTY)
def test_a_loop_that_may_turn_no_time_is_found(code: str):
    assert loose(ast.parse(code)) == ["test_it"]


@pytest.mark.parametrize("code", FULL)
def test_a_loop_over_something_is_fine(code: str):
    assert loose(ast.parse(code)) == []
