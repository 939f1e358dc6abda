"""Finds, in the syntax tree of a source file, what Homeostat promises never to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator

UNPICKLERS = {"pickle", "_pickle", "cPickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}
CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "monotonic"),
    ("time", "monotonic_ns"),
    ("time", "perf_counter"),
    ("time", "perf_counter_ns"),
    ("time", "sleep"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
    ("os", "urandom"),
}
RANDOMNESS = {"random", "uuid", "secrets"}
SEEDED = {"default_rng", "RandomState"}


def unpickling(tree: ast.AST) -> Iterator[str]:
    """Each import or use of something that can execute code while it loads."""
    for node in ast.walk(tree):
        for module in _imported(node):
            if module.partition(".")[0] in UNPICKLERS or module in {"numpy.load", "sklearn.externals"}:
                yield f"line {node.lineno}: imports {module}"
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in UNPICKLERS - {"marshal"} or name in {"read_pickle", "to_pickle"}:
                yield f"line {node.lineno}: uses {name}"
        if isinstance(node, ast.Call) and _call(node) in {("np", "load"), ("numpy", "load")}:
            allowed = [k for k in node.keywords if k.arg == "allow_pickle"]
            if not (allowed and isinstance(allowed[0].value, ast.Constant) and allowed[0].value.value is False):
                yield f"line {node.lineno}: np.load without allow_pickle=False"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield f"line {node.value.lineno}: allow_pickle is not the constant False"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in UNPICKLERS:
            yield f"line {node.lineno}: names {node.value!r} in a string"


def clocks(tree: ast.AST) -> Iterator[str]:
    """Each direct look at the machine's clock or draw from its randomness, and each generator without a seed."""
    for node in ast.walk(tree):
        for module in _imported(node):
            head, _, name = module.partition(".")
            if head in RANDOMNESS or (head, name) in CLOCKS:
                yield f"line {node.lineno}: imports {module}"
        if isinstance(node, ast.Attribute) and (name := _dotted(node)) and tuple(name.split(".")[-2:]) in CLOCKS:
            yield f"line {node.lineno}: uses {name}"
        if isinstance(node, ast.Attribute) and (name := _dotted(node)):
            owner, _, drawn = name.rpartition(".")
            if owner in {"np.random", "numpy.random"} and drawn not in SEEDED | {"Generator", "SeedSequence", "PCG64"}:
                yield f"line {node.lineno}: draws from numpy's global generator through {name}"
        if isinstance(node, ast.Call) and not node.args and not node.keywords:
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if called in SEEDED:
                yield f"line {node.lineno}: {called}() without a seed"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _call(node: ast.Call) -> tuple[str, str]:
    function = node.func
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.value.id, function.attr
    return "", ""


def _dotted(node: ast.Attribute) -> str:
    parts = [node.attr]
    inner: ast.expr = node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    return ".".join([inner.id, *reversed(parts)]) if isinstance(inner, ast.Name) else ""
