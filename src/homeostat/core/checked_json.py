"""The JSON of request bodies: read so that what is wrong in it can be named, and nothing in it is said twice."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np

from homeostat.core.errors import DataError

_MOST_NESTED = 1_000_000
_MOST_DIGITS = 4_000
FEW_BYTES, _QUOTE = 4_096, ord('"')


class TooLargeError(DataError):
    """A request is larger than the server takes."""


def refuse_crowd(data: bytes) -> None:
    """Refuse a body of so many lists and objects that holding them would take gigabytes: each costs 30 times its text.

    Raises:
        TooLargeError: There are more than any table needs.
    """
    if len(data) > _MOST_NESTED and (count := data.count(b"{") + data.count(b"[")) > _MOST_NESTED:
        what = f"the body has {count:,} lists and objects"
        raise TooLargeError(what, hint=f"at most {_MOST_NESTED:,}; send columns or tensors, or several requests")


def count_quotes(data: bytes) -> int:
    """How many quotes a body has."""
    if len(data) < FEW_BYTES:
        return data.count(b'"')
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _QUOTE))


def nulls_among(column: Any) -> int:
    """How many values of a column are None; for texts, which rarely have one, by a loop in C."""
    try:
        "".join(column)
    except TypeError:
        return column.count(None)  # type: ignore[no-any-return]
    return 0


def quotes_of(content: Any) -> int:
    """How many quotes the JSON of a value needs at least: a text with exactly as many says nothing twice."""
    if content is None:
        return 0
    if isinstance(content, str):
        return 2
    if isinstance(content, dict):
        return 2 * len(content) + sum(map(quotes_of, content.values()))
    if isinstance(content, list):
        return sum(map(quotes_of, content))
    if isinstance(content, msgspec.Struct):
        # What is empty may have been left out.
        return sum(2 + quotes_of(value) for value in msgspec.structs.astuple(content) if value)
    return 0


def refuse_twice(data: bytes) -> None:
    """Refuse a JSON body in which an object says one thing twice; parsers do not agree on which of them counts.

    Raises:
        DataError: Names what is there twice.
    """
    with suppress(ValueError, RecursionError):
        json.loads(data, object_pairs_hook=_once, parse_int=str, parse_float=str)


def parse(data: bytes) -> tuple[Any, bool]:
    """The content of a JSON body, and whether it is strict JSON.

    NaN, infinity and halves of surrogate pairs come through, marked as not strict, so that the row and column that hold
    them can be named.

    Raises:
        TooLargeError: It holds too many lists and objects.
        DataError: The body is no JSON, or says something twice.
    """
    refuse_crowd(data)
    try:
        content = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    else:
        refuse_twice(data)
        return content, True
    try:
        return json.loads(data, object_pairs_hook=_once, parse_int=_parsed), False
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is no JSON: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise DataError(f"{twice[:100]!r} is there twice in one object", hint="say it once")
    return found


def _parsed(digits: str) -> int | float:
    """A number; one of thousands of digits, which Python does not read, is beyond any column."""
    return int(digits) if len(digits) < _MOST_DIGITS else math.inf
