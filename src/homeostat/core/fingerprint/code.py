"""Functions by what they do: a walk over everything of the project that they reach."""

from __future__ import annotations

import hashlib
import importlib
import logging
import sys
import types
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any

from homeostat.core.fingerprint.framing import FingerprintError, frame
from homeostat.core.fingerprint.packages import module_name, package_of
from homeostat.core.fingerprint.source import CodeShape, Import, class_shape, function_shape, home_of, module_digest
from homeostat.core.fingerprint.values import class_name, digest_of, exported_name, is_plain_code, write_value

_PRINTABLE = (type(None), bool, int, float, str, datetime, date, time, timedelta)
_LONGEST = 60
_MISSING = object()
_RUNTIME_WRAPPED = ("__wrapped__", "py_func")


def fingerprint(value: Any) -> str:
    """The SHA-256 (64 hexadecimal digits) that names a value.

    Args:
        value: None, bool, int, float, str, bytes, list, tuple, dict, set, dates and times, enums, numpy arrays, polars
            tables, dataclasses, msgspec Structs, unfitted scikit-learn estimators, functions and classes, and
            containers of them. A class can offer a method `__fingerprint__` that returns what stands for its values.

    Returns:
        Equal names for equal values of equal type; see the package's docstring for NaN, zeros, order and code.

    Raises:
        FingerprintError: something inside cannot be named; the message says where.

    Example:
        >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
        True
        >>> fingerprint(1) == fingerprint(1.0)
        False
    """
    return _name(value, _CodeWalk(follow_instances=False))[0]


def fingerprint_parts(value: Any) -> tuple[str, dict[str, str]]:
    """The name of a value together with the code that it carries.

    Unlike `fingerprint`, the classes of objects inside the value are followed too, because their methods may be called.
    """
    return _name(value, _CodeWalk(follow_instances=True))


def code_fingerprint(function: Any) -> tuple[str, dict[str, str]]:
    """The name of what a function does.

    Args:
        function: A function, method, partial, class or callable object. Defaults of its keyword-only parameters are its
            settings and not part of its code.

    Returns:
        The total, and what it was made of: `code:module.name` to the digest of that function, class or module,
        `constant:module.NAME` and `default:module.name.parameter` to the value (or its fingerprint, when it is long),
        `package:name` to the version of an installed package that is used.

    Raises:
        FingerprintError: something that it reaches cannot be named; the message says what.
    """
    walk = _CodeWalk(follow_instances=True)
    walk.settings_of = _unwrapped(function)
    digest, parts = _name(function, walk)
    return digest, parts


def printable(value: Any) -> str | None:
    """A short plain value as people read it; None for any other, which is better shown by its fingerprint."""
    if not isinstance(value, _PRINTABLE):
        return None
    shown = repr(value) if isinstance(value, (str, float, int, type(None))) else str(value)
    return shown if len(shown) <= _LONGEST else None


def _name(value: Any, walk: _CodeWalk) -> tuple[str, dict[str, str]]:
    try:
        digest = digest_of(value, walk)
        walk.finish()
        if walk.problem is not None:
            walk.problem.parts = walk.parts
            raise walk.problem
    except RecursionError as error:
        raise FingerprintError("a value is nested too deeply", hint="does it contain itself?") from error
    if not walk.parts:
        return digest.hex(), {}
    total = hashlib.sha256(digest)
    for part, named in sorted(walk.parts.items()):
        frame(total, "part", part.encode())
        frame(total, "named", named.encode())
    return total.hexdigest(), walk.parts


def _unwrapped(function: Any) -> set[int]:
    """Ids of a function and of those that it wraps."""
    found = set()
    while function is not None and id(function) not in found:
        found.add(id(function))
        function = next(
            (getattr(function, name) for name in (*_RUNTIME_WRAPPED, "func", "__func__") if hasattr(function, name)),
            None,
        )
    return found


class _CodeWalk:
    """Everything of the project that is reached from one value, each thing once."""

    def __init__(self, *, follow_instances: bool) -> None:
        self.parts: dict[str, str] = {}
        self.settings_of: set[int] = set()
        self.problem: FingerprintError | None = None  # the first; the rest is followed all the same
        self._follow_instances = follow_instances
        self._names: dict[int, str] = {}
        self._waiting: list[tuple[str, Any]] = []
        self._kept: list[Any] = []

    def token(self, thing: Any) -> str:
        """Name a function, class or module, and put it on the list of those to follow."""
        known = self._names.get(id(thing))
        if known is not None:
            return known
        module, qualname, filename = _place(thing)
        name = f"{module_name(module)}.{qualname}".strip(".")
        package = package_of(module, filename)
        if package is None and isinstance(thing, (types.FunctionType, type, types.ModuleType)):
            name = self._unique(name)
            self._waiting.append((name, thing))
            self.parts[f"code:{name}"] = ""
        elif package is not None and module != "builtins":
            self.parts[f"package:{package[0]}"] = package[1]
        elif package is None and (wrapper := package_of(type(thing).__module__)) is not None:
            self.parts[f"package:{wrapper[0]}"] = wrapper[1]
        self._names[id(thing)] = name
        self._kept.append(thing)  # so that its id stays its own
        for inner in _carried(thing, foreign=package is not None):
            self.token(inner)
        return name

    def instance_of(self, kind: type) -> str:
        """Name the class of an object."""
        return self.token(kind) if self._follow_instances else class_name(kind)

    def is_project(self, kind: type) -> bool:
        """Whether a class is the project's own, so that its source says what its objects do."""
        return package_of(kind.__module__) is None

    def finish(self) -> None:
        """Follow everything that was named."""
        while self._waiting:
            name, thing = self._waiting.pop(0)
            if isinstance(thing, types.ModuleType):
                self.parts[f"code:{name}"] = module_digest(thing)
            elif isinstance(thing, type):
                self._follow_class(name, thing)
            else:
                self._follow_function(name, thing)

    def _unique(self, name: str) -> str:
        """Two closures of one definition have one name; the second becomes `name#2`."""
        count = 1
        while f"code:{name if count == 1 else f'{name}#{count}'}" in self.parts:
            count += 1
        return name if count == 1 else f"{name}#{count}"

    def _follow_function(self, name: str, function: types.FunctionType) -> None:
        shape = function_shape(function)
        self.parts[f"code:{name}"] = shape.digest
        for parameter, value in _defaults(function, settings=id(function) in self.settings_of):
            self._take(f"default:{name}.{parameter}", value, f"the default of `{parameter}` of `{name}`")
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        self._follow_names(name, shape, function.__globals__, cells)

    def _follow_class(self, name: str, kind: type) -> None:
        shape = class_shape(kind)
        self.parts[f"code:{name}"] = shape.digest
        for base in (*kind.__bases__, type(kind)):
            self.token(base)
        self._follow_names(name, shape, home_of(kind)[1], {})
        for item in list(vars(kind).values()):
            for function in _functions_in(item):
                cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
                cells.pop("__class__", None)
                if function.__qualname__.startswith(f"{kind.__qualname__}.") and cells:
                    self._follow_names(name, shape, {}, cells)
                elif not function.__qualname__.startswith(f"{kind.__qualname__}.") and not _generated(function):
                    self.token(function)

    def _follow_names(
        self, name: str, shape: CodeShape, namespace: dict[str, Any], cells: dict[str, types.CellType]
    ) -> None:
        local: dict[str, Any] = {}
        for item in shape.imports:
            local[item.alias] = self._imported(item, namespace, name)
        for chain in shape.names:
            first = chain[0]
            if first in local:
                value, where = local[first], first
            elif first in cells:
                value, where = _cell(cells[first]), f"{name}.{first}"
            elif first in namespace:
                value, where = namespace[first], f"{module_name(namespace.get('__name__', ''))}.{first}"
            else:
                continue  # a builtin, a local, or a name that does not exist
            for attribute in chain[1:]:
                if not isinstance(value, types.ModuleType) or package_of(value.__name__) is not None:
                    break
                value, where = getattr(value, attribute, _MISSING), f"{value.__name__}.{attribute}"
            if value is not _MISSING:
                self._take(f"constant:{where}", value, f"`{first}`, which `{name}` uses")

    def _imported(self, item: Import, namespace: dict[str, Any], name: str) -> Any:
        """What an import inside a function binds; installed packages are named without importing them."""
        if not item.module.startswith("."):
            package = package_of(item.module)
            if package is not None:
                self.parts[f"package:{package[0]}"] = package[1]
                return _MISSING
        try:
            module = importlib.import_module(item.module, namespace.get("__package__"))
            if item.attribute is None:
                return module if item.alias != item.module.partition(".")[0] else sys.modules[item.alias]
            return getattr(module, item.attribute, None) or importlib.import_module(
                f"{module.__name__}.{item.attribute}"
            )
        except Exception as error:
            raise FingerprintError(f"`{name}` imports {item.module}, which fails: {error}") from error

    def _take(self, label: str, value: Any, what: str) -> None:
        """Record a value that code uses: code is followed, anything else becomes a part of its own."""
        if is_plain_code(value):
            self.token(value)
            return
        exported = exported_name(value)
        if exported is not None:
            self.token(type(value))
            return
        if label in self.parts or isinstance(value, logging.Logger):
            return
        self.parts[label] = ""
        try:
            digest = hashlib.sha256()
            write_value(digest, value, self)
        except FingerprintError as error:
            self.problem = self.problem or FingerprintError(f"{what}: {error.what}", hint=error.hint)
            del self.parts[label]
            return
        self.parts[label] = printable(value) or digest.hexdigest()


def _place(thing: Any) -> tuple[str, str, str | None]:
    """Module, name within it, and file of a piece of code."""
    if isinstance(thing, types.ModuleType):
        return thing.__name__, "", getattr(thing, "__file__", None)
    if isinstance(thing, types.FunctionType):
        code = thing.__code__
        module = thing.__globals__.get("__name__") or thing.__module__ or ""
        return module, code.co_qualname, code.co_filename if not code.co_filename.startswith("<") else None
    module = getattr(thing, "__module__", None) or type(thing).__module__
    return module, getattr(thing, "__qualname__", type(thing).__qualname__), None


def _carried(thing: Any, *, foreign: bool) -> Iterator[Any]:
    """Functions that a wrapper of somebody else carries: `functools.lru_cache`, numba, a library's decorator."""
    for name in _RUNTIME_WRAPPED:
        inner = getattr(thing, name, None) if not isinstance(thing, (type, types.ModuleType)) else None
        if isinstance(inner, types.FunctionType):
            yield inner
    if foreign and isinstance(thing, types.FunctionType):
        for cell in thing.__closure__ or ():
            if isinstance(_cell(cell), types.FunctionType):
                yield _cell(cell)


def _functions_in(item: Any) -> Iterator[types.FunctionType]:
    if isinstance(item, property):
        candidates = [item.fget, item.fset, item.fdel]
    else:
        candidates = [getattr(item, "__func__", getattr(item, "__wrapped__", getattr(item, "func", item)))]
    for candidate in candidates:
        if isinstance(candidate, types.FunctionType):
            yield candidate


def _generated(function: types.FunctionType) -> bool:
    return function.__code__.co_filename.startswith("<")


def _defaults(function: types.FunctionType, *, settings: bool) -> Iterator[tuple[str, Any]]:
    code = function.__code__
    values = function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    yield from zip(names[len(names) - len(values) :], values, strict=True)
    if not settings:
        yield from (function.__kwdefaults__ or {}).items()


def _cell(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _MISSING
