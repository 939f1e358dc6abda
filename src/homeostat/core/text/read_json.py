"""JSON of others: read strictly, or so that what is wrong can be named; nothing in it is said twice.

`parse` is for requests, whose rows and columns are named when they are refused; `read_json` for documents.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import msgspec

from homeostat.core.errors import DataError

_MOST_NESTED = 1_000_000
_MOST_DIGITS = 4_000
FEW_BYTES, _QUOTE = 4_096, ord('"')
MOST_NESTED = 200
"""Deepest nesting of lists and objects; what Homeostat and the libraries write stays far below."""


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
    import numpy as np

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
        json.loads(data, object_pairs_hook=_once_asked, parse_int=str, parse_float=str)


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
        return json.loads(data, object_pairs_hook=_once_asked, parse_int=_parsed), False
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is no JSON: {error}") from error


def _once(refusal: Callable[[str], Exception]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """What makes an object of its pairs, and refuses one with a name that is there twice."""

    def hook(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            raise refusal(next(name for name in found if names.count(name) > 1))
        return found

    return hook


_once_asked = _once(lambda name: DataError(f"{name[:100]!r} is there twice in one object", hint="say it once"))
_once_strict = _once(lambda name: ValueError(f"the name {name[:80]!r} is there twice"))


def _parsed(digits: str) -> int | float:
    """A number; one of thousands of digits, which Python does not read, is beyond any column."""
    return int(digits) if len(digits) < _MOST_DIGITS else math.inf


def read_json(data: bytes | str) -> Any:
    """The value that a JSON document holds.

    Raises:
        ValueError: It is no JSON, holds a name twice in one object, NaN, infinity or half a character, or is nested
            deeper than `MOST_NESTED`.

    Example:
        >>> read_json('{"a": 1, "a": 2}')
        Traceback (most recent call last):
        ValueError: the name 'a' is there twice
    """
    try:
        text = data if isinstance(data, str) else data.decode()
        found = json.loads(text, object_pairs_hook=_once_strict, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MOST_NESTED}") from None
    if _deeper(found, MOST_NESTED):
        raise ValueError(f"it is nested deeper than {MOST_NESTED}")
    if "\\ud" in text.lower():
        try:
            json.dumps(found, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("it holds half a character") from None
    return found


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [item for one in level if isinstance(one, dict | list) for item in _items(one) if _is_nest(item)]
        if not level:
            return False
    return True


def _items(one: dict[str, Any] | list[Any]) -> Any:
    return one.values() if isinstance(one, dict) else one


def _is_nest(item: Any) -> bool:
    return isinstance(item, dict | list)
