"""The syntax tree of a function or class that is loaded in this process, and the names that it reaches out to."""

from __future__ import annotations

import ast
import hashlib
import linecache
import os
import sys
import tokenize
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from typing import Any

from homeostat.core.fingerprint.framing import FingerprintError

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_SILENT = frozenset({"ctx", "type_comment", "kind", "type_ignores"})


@dataclass(frozen=True)
class Import:
    """An import inside a function: `from .helpers import clean as tidy` is (".helpers", "clean", "tidy")."""

    module: str
    attribute: str | None
    alias: str


@dataclass(frozen=True)
class CodeShape:
    """What the source of a function or class says.

    Attributes:
        digest: SHA-256 of its syntax tree without comments, layout, docstrings and, for a function, its defaults.
        names: Dotted names that it reads from outside itself, such as `("helpers", "clean")`.
        imports: What it imports inside itself.
    """

    digest: str
    names: tuple[tuple[str, ...], ...]
    imports: tuple[Import, ...]


@dataclass(frozen=True)
class _File:
    stamp: tuple[int, int] | None
    functions: dict[tuple[int, str], list[_Function]]
    classes: dict[str, list[ast.ClassDef]]
    compiled: dict[tuple[int, str], list[types.CodeType]] = field(default_factory=dict)


_files: dict[str, _File] = {}
_shapes: dict[int, tuple[types.CodeType, CodeShape]] = {}


def function_shape(function: types.FunctionType) -> CodeShape:
    """The shape of a function; read once per code object.

    Raises:
        FingerprintError: there is no source, or the file was edited after the function was loaded.
    """
    code = function.__code__
    known = _shapes.get(id(code))
    if known is None:
        node = _find_function(code, _read(code.co_filename, function.__globals__))
        _refuse_edited(code, function.__globals__)
        known = code, CodeShape(_digest(node), tuple(_names(node, set(_outer_names(code)))), tuple(_imports(node)))
        # The code object is kept with its shape, so that its id is never another's.
        _shapes[id(code)] = known
    return known[1]


def class_shape(kind: type) -> CodeShape:
    """The shape of a class: its whole body with its methods, and the names that the body itself reads."""
    filename, namespace = home_of(kind)
    if filename is None:
        raise FingerprintError(f"the source of class {kind.__qualname__} cannot be found", hint=_NO_SOURCE)
    found = _read(filename, namespace).classes.get(kind.__qualname__, [])
    if not found:
        raise FingerprintError(f"the source of class {kind.__qualname__} cannot be found", hint=_NO_SOURCE)
    lines = [item.__code__.co_firstlineno for item in vars(kind).values() if isinstance(item, types.FunctionType)]
    around = [node for node in found if any(node.lineno <= line <= (node.end_lineno or 0) for line in lines)]
    node = (around or found)[-1]
    return CodeShape(_digest(node), tuple(_names(node, _class_outer_names(node, kind))), tuple(_imports(node)))


def module_digest(module: types.ModuleType) -> str:
    """The digest of a whole project module, for one that is passed around as a value."""
    filename = getattr(module, "__file__", None)
    if filename is None:
        raise FingerprintError(f"the source of module {module.__name__} cannot be found", hint=_NO_SOURCE)
    return _digest(ast.parse("".join(_lines(filename, vars(module)))))


_NO_SOURCE = "define it in a file that is imported, or in a notebook cell"


def home_of(kind: type) -> tuple[str | None, dict[str, Any]]:
    """The file and the global names of a class: those of its methods, or of the module that it says it is from."""
    for item in vars(kind).values():
        if isinstance(item, types.FunctionType) and item.__module__ == kind.__module__:
            filename = item.__code__.co_filename
            if not filename.startswith("<string"):
                return filename, item.__globals__
    module = sys.modules.get(kind.__module__)
    return getattr(module, "__file__", None), vars(module) if module else {}


def _lines(filename: str, namespace: dict[str, Any]) -> list[str]:
    try:
        with tokenize.open(filename) as source:
            return source.readlines()
    except (OSError, SyntaxError):
        # Notebooks and doctests put their cells into linecache.
        return linecache.getlines(filename, namespace)


def _read(filename: str, namespace: dict[str, Any]) -> _File:
    try:
        status = os.stat(filename)  # noqa: PTH116 - the name may be `<ipython-input-1>`
        stamp = status.st_mtime_ns, status.st_size
    except OSError:
        stamp = None
    known = _files.get(filename)
    if known is not None and known.stamp == stamp and stamp is not None:
        return known
    lines = _lines(filename, namespace)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        tree = ast.Module([], [])
    index = _File(stamp, {}, {})
    _index(tree, "", index)
    if stamp is not None and lines:
        _index_code(compile("".join(lines), filename, "exec", dont_inherit=True), index)
    _files[filename] = index
    return index


def _index(node: ast.AST, prefix: str, index: _File) -> None:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
            index.functions.setdefault((first, child.name), []).append(child)
            inner = f"{prefix}{child.name}.<locals>."
        elif isinstance(child, ast.Lambda):
            index.functions.setdefault((child.lineno, "<lambda>"), []).append(child)
        elif isinstance(child, ast.ClassDef):
            index.classes.setdefault(prefix + child.name, []).append(child)
            inner = f"{prefix}{child.name}."
        _index(child, inner, index)


def _index_code(code: types.CodeType, index: _File) -> None:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            index.compiled.setdefault((constant.co_firstlineno, constant.co_name), []).append(constant)
            _index_code(constant, index)


def _find_function(code: types.CodeType, file: _File) -> _Function:
    found = file.functions.get((code.co_firstlineno, code.co_name), [])
    if len(found) > 1:
        places = [(line, column) for line, _, column, _ in code.co_positions() if line and column is not None]
        found = sorted(found, key=lambda node: (sum(_covers(node, place) for place in places), node.col_offset))
    if not found:
        what = f"the source of `{code.co_qualname}` ({code.co_filename}, line {code.co_firstlineno}) cannot be found"
        raise FingerprintError(what, hint=_NO_SOURCE)
    return found[-1]


def _covers(node: _Function, place: tuple[int, int]) -> bool:
    body = node.body if isinstance(node, ast.Lambda) else node
    return (body.lineno, body.col_offset) <= place < (body.end_lineno or 0, body.end_col_offset or 0)


def _refuse_edited(code: types.CodeType, namespace: dict[str, Any]) -> None:
    """Refuse a function whose file says something else than what was loaded, lest its result be named wrongly."""
    if type(namespace.get("__loader__")) is not SourceFileLoader:
        return  # pytest and others load another code than the file's on purpose
    file = _files.get(code.co_filename)
    if file is None or not file.compiled:
        return
    if not any(candidate == code for candidate in file.compiled.get((code.co_firstlineno, code.co_name), [])):
        what = f"`{code.co_qualname}` was edited in {os.path.basename(code.co_filename)} after it was loaded"  # noqa: PTH119
        raise FingerprintError(what, hint="restart, so that what runs is what the file says")


def _outer_names(code: types.CodeType) -> Iterator[str]:
    """Names that the code, or any code inside it, looks up outside its own locals."""
    yield from code.co_names
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _outer_names(constant)


def _class_outer_names(node: ast.ClassDef, kind: type) -> set[str]:
    """Names that the body of a class or one of its methods looks up outside its own locals."""
    names = {chain[0] for chain in _chains(node, into_functions=False)}
    for item in vars(kind).values():
        for function in (item, getattr(item, "__func__", None), getattr(item, "fget", None)):
            if isinstance(function, types.FunctionType):
                names.update(_outer_names(function.__code__))
    return names


def _names(node: ast.AST, allowed: set[str]) -> Iterator[tuple[str, ...]]:
    """Dotted names in reading order, once each; only those whose first part is allowed or imported inside."""
    imported = {item.alias for item in _imports(node)}
    seen: dict[tuple[str, ...], None] = {}
    for chain in _chains(node):
        if chain[0] in allowed or chain[0] in imported:
            seen.setdefault(chain)
    return iter(seen)


def _chains(node: ast.AST, *, into_functions: bool = True) -> Iterator[tuple[str, ...]]:
    if isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Load):
            yield (node.id,)
        return
    if isinstance(node, ast.Attribute):
        parts = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield (inner.id, *reversed(parts))
            return
        yield from _chains(inner, into_functions=into_functions)
        return
    # Annotations say something about values but do not compute them.
    silent = {"annotation", "returns"}
    if not into_functions and isinstance(node, _Function):
        silent.add("body")
    for name, child in ast.iter_fields(node):
        if name not in silent:
            for item in child if isinstance(child, list) else [child]:
                if isinstance(item, ast.AST):
                    yield from _chains(item, into_functions=into_functions)


def _imports(node: ast.AST) -> Iterator[Import]:
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            for name in inner.names:
                yield Import(name.name, None, name.asname or name.name.partition(".")[0])
        elif isinstance(inner, ast.ImportFrom):
            module = "." * inner.level + (inner.module or "")
            for name in inner.names:
                yield Import(module, name.name, name.asname or name.name)


def _digest(node: ast.AST) -> str:
    parts: list[str] = []
    _dump(node, parts, outermost=True)
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _dump(node: Any, parts: list[str], *, outermost: bool = False) -> None:
    """Write a tree as text; empty fields are left out, so that a newer Python's additional ones change nothing."""
    if isinstance(node, list):
        parts.append("[")
        for item in node:
            _dump(item, parts)
        parts.append("]")
    elif isinstance(node, ast.AST):
        parts.append(f"{type(node).__name__}(")
        for name, child in ast.iter_fields(node):
            if child is None or child == [] or name in _SILENT:
                continue
            parts.append(f"{name}=")
            if name == "args" and outermost and isinstance(child, ast.arguments):
                _dump(_without_defaults(child), parts)
            elif name == "body" and isinstance(child, list) and _has_docstring(node):
                _dump(child[1:], parts)
            else:
                _dump(child, parts)
        parts.append(")")
    else:
        parts.append(f"{node!r};")


def _without_defaults(arguments: ast.arguments) -> ast.arguments:
    """The arguments without defaults, whose values are named on their own."""
    return ast.arguments(
        posonlyargs=arguments.posonlyargs,
        args=arguments.args,
        vararg=arguments.vararg,
        kwonlyargs=arguments.kwonlyargs,
        kw_defaults=[],
        kwarg=arguments.kwarg,
        defaults=[],
    )


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)) or not node.body:
        return False
    first = node.body[0]
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
