"""JSON of strangers, read strictly: no name twice, no nesting without end, and one error for whatever is wrong."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MOST_NESTED = 200
"""Deepest nesting of lists and objects; what Homeostat and the libraries write stays far below."""


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
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
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


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:80]!r} is there twice")
    return found


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def _deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [item for one in level if isinstance(one, dict | list) for item in _items(one) if _holds(item)]
        if not level:
            return False
    return True


def _items(one: dict[str, Any] | list[Any]) -> Any:
    return one.values() if isinstance(one, dict) else one


def _holds(item: Any) -> bool:
    return isinstance(item, dict | list)
