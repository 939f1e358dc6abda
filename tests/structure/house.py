"""The house as a graph: which file imports which, also lazily, and what each of them defines."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"


@cache
def modules() -> dict[str, ast.Module]:
    """Dotted name to the syntax tree of every file under `src`."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def is_package(name: str) -> bool:
    """Whether a module is a folder."""
    return (SOURCE / name.replace(".", "/")).is_dir()


def imports(name: str) -> set[str]:
    """The files that a file imports, at its top or inside a function; for type checkers alone does not count."""
    return {target for target in _targets(modules()[name]) if target != name}


def classes() -> dict[str, list[str]]:
    """Name of a class to the files that define one of that name."""
    found = defaultdict(list)
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(name)
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The sets of nodes that reach each other (Tarjan, "Depth-first search and linear graph algorithms", 1972)."""
    found, low, order, stack = [], {}, {}, []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in order:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], order[target])
        if low[node] == order[node]:
            circle = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return found


def lazily_exported(name: str) -> set[str]:
    """What a package takes from its modules by `loader`."""
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "loader":
            taken = ast.literal_eval(node.args[1])
            return {each for names in taken.values() for each in names} - {"."}
    return set()


def _targets(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _targets(other)
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules())
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield from (each for each in (inner if inner in modules() else node.module,) if each in modules())
        yield from _targets(node)
