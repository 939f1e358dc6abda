"""Values as a framed, tagged byte stream: what a fingerprint is the hash of."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import re
import struct
import sys
import types
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from homeostat.core.fingerprint.framing import CodeNamer, FingerprintError, Sink, frame
from homeostat.core.fingerprint.packages import module_name

_NAN = struct.pack(">d", math.nan)
_DEEPEST = 200
_LONGEST_PATH = 80
_DATA_LIBRARIES = frozenset({"numpy", "polars"})


def write_value(sink: Sink, value: Any, code: CodeNamer, depth: int = 0) -> None:
    """Write one value to the stream.

    Raises:
        FingerprintError: it, or something inside it, cannot be named; the message says where.
    """
    if depth > _DEEPEST:
        raise FingerprintError(f"a value is nested more than {_DEEPEST} deep", hint="does it contain itself?")
    writer = _EXACT.get(type(value))
    if writer is not None:
        writer(sink, value)
    elif type(value) in _CONTAINERS:
        _CONTAINERS[type(value)](sink, value, code, depth + 1)
    else:
        _write_other(sink, value, code, depth + 1)


def digest_of(value: Any, code: CodeNamer, depth: int = 0) -> bytes:
    """The 32-byte digest of one value."""
    sink = hashlib.sha256()
    write_value(sink, value, code, depth)
    return sink.digest()


def class_name(kind: type) -> str:
    """The full name of a class."""
    return f"{module_name(kind.__module__)}.{kind.__qualname__}"


def exported_name(value: Any) -> str | None:
    """The name under which a library offers this very object, as polars does `col`."""
    top = type(value).__module__.partition(".")[0]
    module = sys.modules.get(top)
    if module is None or top in ("builtins", "__main__") or not getattr(module, "__file__", None):
        return None
    return next((name for name, item in list(vars(module).items()) if item is value), None)


def is_plain_code(value: Any) -> bool:
    """Whether a value is code alone: a function, class, module or a wrapper of one, with nothing bound to it."""
    if isinstance(value, functools.partial) or not _is_code(value):
        return False
    return not isinstance(value, _BOUND_TYPES) or _is_plain(getattr(value, "__self__", None))


def _float(value: float) -> bytes:
    return _NAN if value != value else struct.pack(">d", value)  # noqa: PLR0124 - NaN is what differs from itself


def _zone(value: datetime | time) -> str:
    return "" if value.tzinfo is None else str(value.tzinfo)


def _moment(sink: Sink, tag: str, value: datetime | time) -> None:
    frame(sink, tag, f"{value.isoformat()} {value.fold} {_zone(value)}".encode())


_EXACT: dict[type, Callable[[Sink, Any], None]] = {
    type(None): lambda sink, _: frame(sink, "none"),
    bool: lambda sink, value: frame(sink, "bool", b"1" if value else b"0"),
    int: lambda sink, value: frame(sink, "int", b"%d" % value),
    float: lambda sink, value: frame(sink, "float", _float(value)),
    complex: lambda sink, value: frame(sink, "complex", _float(value.real) + _float(value.imag)),
    str: lambda sink, value: frame(sink, "str", value.encode("utf-8", "surrogatepass")),
    bytes: lambda sink, value: frame(sink, "bytes", value),
    bytearray: lambda sink, value: frame(sink, "bytearray", bytes(value)),
    datetime: lambda sink, value: _moment(sink, "datetime", value),
    time: lambda sink, value: _moment(sink, "time", value),
    date: lambda sink, value: frame(sink, "date", value.isoformat().encode()),
    timedelta: lambda sink, value: frame(
        sink, "timedelta", b"%d %d %d" % (value.days, value.seconds, value.microseconds)
    ),
    timezone: lambda sink, value: frame(sink, "timezone", str(value).encode()),
    ZoneInfo: lambda sink, value: frame(sink, "timezone", str(value).encode()),
    Decimal: lambda sink, value: frame(sink, "decimal", str(value).encode()),
    range: lambda sink, value: frame(sink, "range", b"%d %d %d" % (value.start, value.stop, value.step)),
    re.Pattern: lambda sink, value: frame(sink, "pattern", f"{value.flags} {value.pattern!r}".encode()),
    type(...): lambda sink, _: frame(sink, "ellipsis"),
    type(NotImplemented): lambda sink, _: frame(sink, "not-implemented"),
}


def _write_sequence(sink: Sink, value: list[Any] | tuple[Any, ...], code: CodeNamer, depth: int) -> None:
    frame(sink, type(value).__name__, b"%d" % len(value))
    for index, item in enumerate(value):
        try:
            write_value(sink, item, code, depth)
        except FingerprintError as error:
            raise _inside(error, f"[{index}]") from error


def _write_items(
    sink: Sink, tag: str, items: Iterable[tuple[Any, Any]], code: CodeNamer, depth: int, shown: str = "[{!r}]"
) -> None:
    """Key-value pairs in the order of their keys' digests, so that insertion order is irrelevant."""
    pairs = []
    for key, item in items:
        try:
            pairs.append((digest_of(key, code, depth), digest_of(item, code, depth)))
        except FingerprintError as error:
            raise _inside(error, shown.format(key)) from error
    frame(sink, tag, b"%d" % len(pairs))
    for key_digest, item_digest in sorted(pairs):
        sink.update(key_digest)
        sink.update(item_digest)


def _write_dict(sink: Sink, value: dict[Any, Any], code: CodeNamer, depth: int) -> None:
    _write_items(sink, "dict", value.items(), code, depth)


def _write_set(sink: Sink, value: set[Any] | frozenset[Any], code: CodeNamer, depth: int) -> None:
    frame(sink, type(value).__name__, b"%d" % len(value))
    for item_digest in sorted(digest_of(item, code, depth) for item in value):
        sink.update(item_digest)


_CONTAINERS: dict[type, Callable[[Sink, Any, CodeNamer, int], None]] = {
    list: _write_sequence,
    tuple: _write_sequence,
    dict: _write_dict,
    set: _write_set,
    frozenset: _write_set,
    types.MappingProxyType: _write_dict,
}


def _write_other(sink: Sink, value: Any, code: CodeNamer, depth: int) -> None:
    kind = type(value)
    if isinstance(value, Enum):
        frame(sink, "enum", f"{code.instance_of(kind)}.{value.name}".encode())
        write_value(sink, value.value, code, depth)
    elif hasattr(kind, "__fingerprint__"):
        frame(sink, "stand-in", class_name(kind).encode())
        write_value(sink, value.__fingerprint__(), code, depth)
    elif kind.__module__.partition(".")[0] in _DATA_LIBRARIES and _write_data(sink, value, code, depth):
        return
    elif _is_code(value):
        _write_code(sink, value, code, depth)
    elif isinstance(value, msgspec.Struct):
        frame(sink, "struct", code.instance_of(kind).encode())
        _write_fields(sink, [(name, getattr(value, name)) for name in kind.__struct_fields__], code, depth)
    elif dataclasses.is_dataclass(value):
        frame(sink, "dataclass", code.instance_of(kind).encode())
        names = [field.name for field in dataclasses.fields(value)]
        _write_fields(sink, [(name, getattr(value, name)) for name in names], code, depth)
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        frame(sink, "namedtuple", code.instance_of(kind).encode())
        _write_fields(sink, list(zip(value._fields, value, strict=True)), code, depth)
    elif callable(getattr(value, "get_params", None)):
        _write_estimator(sink, value, code, depth)
    else:
        _write_instance(sink, value, code, depth)


def _write_fields(sink: Sink, fields: list[tuple[str, Any]], code: CodeNamer, depth: int) -> None:
    _write_items(sink, "fields", fields, code, depth, ".{}")


def _is_code(value: Any) -> bool:
    if isinstance(value, (type, types.ModuleType, functools.partial)):
        return True
    return callable(value) and (isinstance(value, _CODE_TYPES) or hasattr(value, "__wrapped__") or _is_public(value))


def _is_public(value: Any) -> bool:
    """Whether a callable object, such as a numpy function, is found in its module under its own name."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    name = getattr(value, "__name__", None)
    return module is not None and isinstance(name, str) and getattr(module, name, None) is value


_BOUND_TYPES = (types.MethodType, types.BuiltinFunctionType)
_CODE_TYPES = (
    types.FunctionType,
    types.MethodType,
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
)


def _write_code(sink: Sink, value: Any, code: CodeNamer, depth: int) -> None:
    if isinstance(value, functools.partial):
        frame(sink, "partial")
        write_value(sink, [value.func, list(value.args), value.keywords], code, depth)
        return
    bound = getattr(value, "__self__", None)
    if isinstance(value, _BOUND_TYPES) and not _is_plain(bound):
        frame(sink, "bound")
        write_value(sink, bound, code, depth)
        value = getattr(value, "__func__", value)
    frame(sink, "code", code.token(value).encode())


def _is_plain(bound: Any) -> bool:
    return bound is None or isinstance(bound, types.ModuleType)


def _write_estimator(sink: Sink, value: Any, code: CodeNamer, depth: int) -> None:
    """A scikit-learn estimator is its class and its parameters, as long as it has learned nothing."""
    learned = sorted(name for name in vars(value) if name.endswith("_") and not name.startswith("_"))
    if learned:
        what = f"{type(value).__name__} is fitted ({', '.join(learned[:3])}): its parameters do not say what it learned"
        raise FingerprintError(what, hint="pass `sklearn.base.clone(estimator)`, or make it a step's output")
    frame(sink, "estimator", code.instance_of(type(value)).encode())
    _write_fields(sink, list(value.get_params(deep=False).items()), code, depth)


def _write_instance(sink: Sink, value: Any, code: CodeNamer, depth: int) -> None:
    """An ordinary object of a project class is its class and its attributes; others are refused."""
    kind = type(value)
    name = class_name(kind)
    if name == "logging.Logger":
        frame(sink, "logger", value.name.encode())
        return
    if kind.__module__ == "typing" or isinstance(value, (types.GenericAlias, types.UnionType)):
        frame(sink, "typing", repr(value).encode())
        return
    exported = exported_name(value)
    if exported is not None:
        frame(sink, "exported", f"{code.token(kind)} {exported}".encode())
        return
    state = getattr(value, "__dict__", None)
    opaque = isinstance(value, (PurePath, *_BUILTIN_BASES))
    if opaque or not isinstance(state, dict) or not getattr(code, "is_project", lambda _: False)(kind):
        raise FingerprintError(f"a value of type {name} has no fingerprint", hint=_hint(value))
    frame(sink, "instance", code.instance_of(kind).encode())
    _write_fields(sink, list(state.items()), code, depth)


_BUILTIN_BASES = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)


def _hint(value: Any) -> str:
    if isinstance(value, PurePath):
        return "a path says where, not what: pass str(path) if the name is meant, or the file's content"
    if type(value).__module__.startswith("numpy.random") or type(value).__name__ == "Random":
        return "a random generator carries hidden state: pass a seed and make the generator inside the step"
    if isinstance(value, _BUILTIN_BASES):
        return f"convert it to {type(value).__mro__[1].__name__}"
    return "pass plain values, arrays, tables or dataclasses; or give its class a method __fingerprint__"


def _write_data(sink: Sink, value: Any, code: CodeNamer, depth: int) -> bool:
    """Arrays and tables have a writer of their own, which is loaded only for them."""
    from homeostat.core.fingerprint.frames import write_data

    return write_data(sink, value, lambda inner: write_value(sink, inner, code, depth + 1))


def _inside(error: FingerprintError, step: str) -> FingerprintError:
    """The same error, saying where inside the outer value it was."""
    rest = error.what.removeprefix(f"{error.where}: ") if error.where else error.what
    where = f"{step}{error.where}"[:_LONGEST_PATH]
    outer = FingerprintError(f"{where}: {rest}", hint=error.hint)
    outer.where = where
    return outer
