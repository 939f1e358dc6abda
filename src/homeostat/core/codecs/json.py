"""JSON that comes back as what it was: plain values as they are, everything else as an object with the key `$`.

An encoded value is a JSON text; when tables, arrays or values of registered classes are inside it, they follow as
length-prefixed sections and the JSON refers to them by number.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import math
import sys
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from homeostat.core.codecs import registry
from homeostat.core.errors import CodecError, HomeostatError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.core.artifacts import ArtifactStore

_MARK = "$"
_INT64 = 1 << 63
_DEEPEST = 200
_LENGTH = 8
_PLAIN = frozenset({type(None), bool, str})


def dump(value: Any, blobs: ArtifactStore | None = None) -> bytes:
    """Encode a value: 8 bytes with the length of the JSON, the JSON, then the sections, each after its length."""
    sections: list[bytes] = []
    text = msgspec.json.encode(_plain(value, sections, blobs, "value", 0))
    parts = [len(text).to_bytes(_LENGTH, "big"), text]
    for section in sections:
        parts += [len(section).to_bytes(_LENGTH, "big"), section]
    return b"".join(parts)


def load(data: bytes, blobs: ArtifactStore | None = None) -> Any:
    """Decode what `dump` encoded."""
    pieces = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + _LENGTH], "big")
        if at + _LENGTH + size > len(data):
            raise IntegrityError("a stored value ends too early")
        pieces.append(data[at + _LENGTH : at + _LENGTH + size])
        at += _LENGTH + size
    sections = [registry.decode(piece, blobs) for piece in pieces[1:]]
    return _value(msgspec.json.decode(pieces[0]), sections)


def _plain(value: Any, sections: list[bytes], blobs: ArtifactStore | None, where: str, depth: int) -> Any:
    """The value in terms of plain JSON."""
    kind = type(value)
    if kind in _PLAIN or (kind is float and math.isfinite(value)) or (kind is int and -_INT64 <= value < _INT64):
        return value
    if depth > _DEEPEST:
        raise CodecError(f"{where[:80]} is nested more than {_DEEPEST} deep", hint="does it contain itself?")
    if kind is list:
        return [_plain(item, sections, blobs, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    if kind is dict and all(type(key) is str for key in value) and _MARK not in value:
        return {key: _plain(item, sections, blobs, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
    writer = _WRITERS.get(kind)
    if writer is not None:
        return {_MARK: kind.__name__, "v": writer(value)}

    def inner(item: Any, place: str) -> Any:
        return _plain(item, sections, blobs, f"{where}{place}", depth + 1)

    return _tagged(value, inner, sections, blobs, where)


def _tagged(
    value: Any, inner: Callable[[Any, str], Any], sections: list[bytes], blobs: ArtifactStore | None, where: str
) -> dict[str, Any]:
    kind = type(value)
    if kind is tuple:
        return {_MARK: "tuple", "v": [inner(item, f"[{i}]") for i, item in enumerate(value)]}
    if kind is dict:
        return {_MARK: "dict", "v": [[inner(key, ""), inner(item, f"[{key!r}]")] for key, item in value.items()]}
    if kind in (set, frozenset):
        members = [inner(item, "{}") for item in value]
        return {_MARK: kind.__name__, "v": sorted(members, key=msgspec.json.encode)}
    codec = registry.find(value)
    if codec.name != "json":
        sections.append(registry.encode(value, blobs))
        return {_MARK: "section", "v": len(sections) - 1}
    name = f"{kind.__module__}:{kind.__qualname__}"
    if isinstance(value, Enum):
        return {_MARK: "enum", "class": name, "v": value.name}
    if isinstance(value, msgspec.Struct):
        names = kind.__struct_fields__
    elif dataclasses.is_dataclass(kind) and all(field.init for field in dataclasses.fields(kind)):
        names = tuple(field.name for field in dataclasses.fields(kind))
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        names = kind._fields
    else:
        raise CodecError(f"{where} is a {kind.__module__}.{kind.__qualname__}, which has no codec", hint=_hint(kind))
    if "<locals>" in name:
        raise CodecError(f"{where} is of {name}, a class inside a function", hint="define it at the top of a module")
    return {_MARK: "object", "class": name, "v": {each: inner(getattr(value, each), f".{each}") for each in names}}


def _hint(kind: type) -> str:
    if kind.__module__.startswith("sklearn."):
        return "return it as a bundle (homeostat.core.model), or its learned numbers as arrays"
    if kind.__module__.startswith("pandas."):
        return "convert it with polars.from_pandas"
    if kind.__module__.startswith("polars."):
        return "collect it into a DataFrame"
    return "return plain values, arrays or tables; or homeostat.core.codecs.register(its class, name, encode, decode)"


def _value(plain: Any, sections: list[Any]) -> Any:
    if isinstance(plain, list):
        return [_value(item, sections) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if _MARK not in plain:
        return {key: _value(item, sections) for key, item in plain.items()}
    tag = plain[_MARK]
    if tag == "section":
        return sections[plain["v"]]
    return _READERS[tag](plain["v"]) if tag in _READERS else _compound(tag, plain, sections)


def _compound(tag: str, plain: dict[str, Any], sections: list[Any]) -> Any:
    body = plain["v"]
    if tag in _COLLECTIONS:
        return _COLLECTIONS[tag](_value(item, sections) for item in body)
    if tag == "dict":
        return {_value(key, sections): _value(item, sections) for key, item in body}
    if tag == "enum":
        return _class(plain["class"], Enum)[body]
    if tag == "object":
        return _build(plain["class"], {name: _value(item, sections) for name, item in body.items()})
    raise CodecError(f"a stored value holds a {tag!r}, which this Homeostat does not know", hint="upgrade it")


def _build(name: str, fields: dict[str, Any]) -> Any:
    kind = _class(name, object)
    if not (issubclass(kind, (msgspec.Struct, tuple)) or dataclasses.is_dataclass(kind)):
        raise CodecError(f"a stored value names the class {name}, which is not a record", hint="was the file changed?")
    try:
        return kind(**fields)
    except HomeostatError:
        raise
    except Exception as error:
        what = f"a stored {name} does not fit its class any more: {error}"
        raise CodecError(what, hint="run the step that made it again") from error


def _class(name: str, base: type) -> Any:
    """A class by name, looked up among imported modules only: data never causes an import of foreign code."""
    module_name, _, path = name.partition(":")
    if module_name.startswith("homeostat.") and module_name not in sys.modules:
        importlib.import_module(module_name)
    found: Any = sys.modules.get(module_name)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise CodecError(f"the class {name} of a stored value is not loaded", hint=f"import {module_name} first")
    return found


def _moment(value: datetime | time) -> list[Any]:
    zone = value.tzinfo
    name = zone.key if isinstance(zone, ZoneInfo) else None
    return [value.replace(tzinfo=None).isoformat() if name else value.isoformat(), value.fold, name]


def _read_datetime(body: list[Any]) -> datetime:
    moment = datetime.fromisoformat(body[0]).replace(fold=body[1])
    if body[2]:
        return moment.replace(tzinfo=ZoneInfo(body[2]))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is not None and not moment.utcoffset() else moment


def _read_time(body: list[Any]) -> time:
    moment = time.fromisoformat(body[0]).replace(fold=body[1])
    return moment.replace(tzinfo=ZoneInfo(body[2])) if body[2] else moment


_COLLECTIONS: dict[str, Callable[..., Any]] = {"tuple": tuple, "set": set, "frozenset": frozenset}
_WRITERS: dict[type, Callable[[Any], Any]] = {
    int: str,
    float: repr,
    complex: lambda value: [repr(value.real), repr(value.imag)],
    bytes: lambda value: base64.b64encode(value).decode(),
    datetime: _moment,
    time: _moment,
    date: date.isoformat,
    timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    Decimal: str,
}
_READERS: dict[str, Callable[[Any], Any]] = {
    "int": int,
    "float": float,
    "complex": lambda body: complex(float(body[0]), float(body[1])),
    "bytes": base64.b64decode,
    "datetime": _read_datetime,
    "time": _read_time,
    "date": date.fromisoformat,
    "timedelta": lambda body: timedelta(*body),
    "Decimal": Decimal,
}
