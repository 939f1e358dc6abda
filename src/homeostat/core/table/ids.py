"""What a row is called: one rule makes an id of the values of its key, at every door that rows and labels come by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from homeostat.core.values import text_problem

LONGEST_ID = 200
"""Characters of a row's id and of a request's. A longer one is refused at every door, and never cut."""


def row_id(values: Sequence[Any]) -> str | None:
    """The id of a row from the values of its key, of one or several columns; None when one of them is missing.

    Two keys of the same columns have the same id only if they are the same. A key of one text is its own id. Of several
    values, each has its `~` written as `~0` and its `/` as `~1` (RFC 6901), and they are joined by `/`.

    Args:
        values: In the order of the declaration and in the types of the columns: text, whole numbers, fractions, truth
            values, and times in UTC.

    Example:
        >>> row_id(["a/b", "c1"]), row_id(["a", "b/c1"]), row_id(["a/b"]), row_id([7])
        ('a~1b/c1', 'a/b~1c1', 'a/b', '7')
    """
    if len(values) == 1:
        return None if values[0] is None else id_part(values[0])
    parts = []
    for value in values:
        if value is None:
            return None
        part = id_part(value)
        # Most have neither.
        parts.append(part.replace("~", "~0").replace("/", "~1") if "/" in part or "~" in part else part)
    return "/".join(parts)


def id_part(value: Any) -> str:
    """One value of a key as text: a time and a truth value as JSON has them."""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    # Zero is zero, whatever its sign.
    return str(value + 0.0) if isinstance(value, float) else str(value)


def id_problem(one: str) -> str | None:
    """Why a text cannot be the id of a row or of a request, if so; a sentence without its subject."""
    if not one:
        return "is empty"
    if len(one) > LONGEST_ID:
        return f"has {len(one):,} characters, and an id has at most {LONGEST_ID}"
    return text_problem(one)
