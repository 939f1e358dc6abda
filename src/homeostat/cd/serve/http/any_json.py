"""JSON of whatever has to be said, also when it holds text that is no Unicode: an error must never fail to be told."""

from __future__ import annotations

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def encode_any(content: Any) -> bytes:
    r"""The content as JSON; what has no form in it is replaced.

    Example:
        >>> encode_any({"error": "\ud83d is no text"})
        b'{"error":"\\\\ud83d is no text"}'
    """
    try:
        return _encode(content)
    except (UnicodeError, TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return _encode(_plain(content))


def _plain(content: Any, depth: int = 0) -> Any:
    match content:
        case None | bool() | float():
            return content
        case dict() if depth < _DEEPEST:
            return {str(_plain(str(name))): _plain(value, depth + 1) for name, value in content.items()}
        case list() | tuple() if depth < _DEEPEST:
            return [_plain(value, depth + 1) for value in content]
        case msgspec.Struct() if depth < _DEEPEST:
            return {name: _plain(getattr(content, name), depth + 1) for name in content.__struct_fields__}
        case _:
            return str(content).encode("utf-8", "backslashreplace").decode()


_DEEPEST = 10
