"""The codecs by class and by name, and what they stand behind: one line that says which of them made the bytes.

Encoded bytes begin with one line, `homeostat/1 <codec>`, and hold Parquet for tables, npy for arrays, text, raw bytes,
or JSON. JSON keeps what plain JSON loses: tuples, sets, dates, NaN, bytes, big integers, keys that are no text, enums,
dataclasses and msgspec Structs; tables and arrays inside such values follow it as sections of their own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homeostat.core.errors import CodecError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.core.artifacts import ArtifactStore

_MAGIC = b"homeostat/"
_VERSION = 1
_LONGEST_HEADER = 200


@dataclass(frozen=True)
class Codec:
    """How values of one class become bytes and values again."""

    name: str
    encode: Callable[..., bytes]
    decode: Callable[..., Any]
    blobs: bool = False


by_type: dict[type, Codec] = {}
by_name: dict[str, Codec] = {}
_HOMES: dict[str, str] = {"bundle": "homeostat.core.model.bundle"}
"""Codecs of Homeostat that are registered when their module is imported."""


def register(
    kind: type, name: str, encode: Callable[..., bytes], decode: Callable[..., Any], *, blobs: bool = False
) -> None:
    """Teach Homeostat to store values of a class, and of its subclasses.

    Args:
        kind: The class.
        name: What the header will say; letters, digits, `-` and `_`. Registering a name again replaces it.
        encode: Value to bytes. With `blobs`, it is also given the artifact store, for parts kept on their own.
        decode: Bytes to value, in the same way. It must not run code that comes with the bytes.
        blobs: Whether both functions take the artifact store as a second argument.

    Example:
        >>> from fractions import Fraction
        >>> register(Fraction, "fraction", lambda value: str(value).encode(), lambda data: Fraction(data.decode()))
        >>> decode(encode(Fraction(1, 3)))
        Fraction(1, 3)
    """
    if not name.replace("-", "").replace("_", "").isalnum():
        raise CodecError(f"a codec cannot be called {name!r}", hint="use letters, digits, - and _")
    by_type[kind] = by_name[name] = Codec(name, encode, decode, blobs)


def encode(value: Any, blobs: ArtifactStore | None = None) -> bytes:
    """A value as self-describing bytes; equal values give equal bytes.

    Args:
        value: A polars DataFrame or Series, a numpy array, text, bytes, a registered class, or anything made of None,
            bool, int, float, str, bytes, dates, lists, tuples, sets, dicts, enums, dataclasses, msgspec Structs and
            the former.
        blobs: The artifact store, for codecs that keep parts of a value as artifacts of their own.

    Raises:
        CodecError: the value, or something inside it, has no codec; the message says where and how to register one.
    """
    codec = find(value)
    try:
        body = codec.encode(value, blobs) if codec.blobs else codec.encode(value)
    except UnicodeEncodeError as error:
        what = f"a text holds half of a surrogate pair at character {error.start}, which is not Unicode"
        raise CodecError(what, hint="decode the file it came from with errors='replace'") from error
    return b"%s%d %s\n%s" % (_MAGIC, _VERSION, codec.name.encode(), body)


def decode(data: bytes, blobs: ArtifactStore | None = None) -> Any:
    """The value behind bytes that `encode` made.

    Raises:
        IntegrityError: the bytes are no encoded value.
        CodecError: a newer Homeostat wrote them, or their codec is not registered here.
    """
    codec, body = _open(data)
    try:
        return codec.decode(body, blobs) if codec.blobs else codec.decode(body)
    except (ValueError, KeyError, IndexError, TypeError, OSError, EOFError) as error:
        raise IntegrityError(f"a stored {codec.name} value cannot be decoded: {error}") from error


def codec_name(data: bytes) -> str:
    """The codec that encoded bytes name in their header."""
    return _open(data)[0].name


def find(value: Any) -> Codec:
    """The codec for a value: a registered one first, then the built-in ones."""
    for kind in type(value).__mro__:
        if kind in by_type:
            return by_type[kind]
    polars, numpy = sys.modules.get("polars"), sys.modules.get("numpy")
    if polars is not None and isinstance(value, polars.DataFrame):
        return by_name["table"]
    if polars is not None and isinstance(value, polars.Series):
        return by_name["column"]
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return by_name["array" if isinstance(value, numpy.ndarray) else "scalar"]
    return by_name["json"]


def _open(data: bytes) -> tuple[Codec, bytes]:
    header, newline, _ = data[:_LONGEST_HEADER].partition(b"\n")
    words = header.decode("ascii", "replace").removeprefix(_MAGIC.decode()).split(" ")
    if not header.startswith(_MAGIC) or not newline or len(words) != 2 or not words[0].isdigit():
        raise IntegrityError("the bytes are no value that Homeostat encoded", hint="was this file changed by hand?")
    version, name = int(words[0]), words[1]
    if version > _VERSION:
        what = f"the value was written by a newer Homeostat (format {version}; this one reads up to {_VERSION})"
        raise CodecError(what, hint="upgrade Homeostat: pip install --upgrade homeostat")
    if name not in by_name and name in _HOMES:
        __import__(_HOMES[name])
    if name not in by_name:
        what = f"no codec is called {name!r} here"
        raise CodecError(what, hint="import the module that calls homeostat.core.codecs.register for it")
    return by_name[name], data[len(header) + 1 :]
