"""Text for people: what came from outside cannot move the cursor, hide itself, turn a line round, or begin a new one.

Names, reasons, ids, categories and messages come from whoever sends them. Before one of them is printed, put on a page
or into a log, its control characters are written out, as in a literal of Python; everything else stays as it is.
"""

from __future__ import annotations

import re
from html import escape

_CONTROL = "\\x00-\\x1f\\x7f-\\x9f"
# Marks that turn the direction of text, separators of lines and paragraphs, the byte order mark, and halves of pairs.
_HIDDEN = "\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2066-\\u2069\\ufeff\\ud800-\\udfff"
_ALL = re.compile(f"[{_CONTROL}{_HIDDEN}]")
_BUT_LINES = re.compile(f"(?!\n)[{_CONTROL}{_HIDDEN}]")
_IN_JSON = re.compile(f"[\\x7f-\\x9f{_HIDDEN}]")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def plain(text: str, *, lines: bool = False) -> str:
    r"""Text with its control characters written out.

    Args:
        text: Any text, also what is no Unicode.
        lines: Keep line feeds, with two blanks behind those that have none: what is brought along begins no line.

    Example:
        >>> plain("late \x1b[31m\u202e\ud83d")
        'late \\x1b[31m\\u202e\\ud83d'
    """
    if text.isprintable():
        return text
    if not lines:
        return _ALL.sub(_written, text)
    return re.sub(r"\n(?=[^\s])", "\n  ", _BUT_LINES.sub(_written, text))


def plain_html(text: str) -> str:
    r"""Text as it may stand in a page: control characters written out, and markup escaped.

    Example:
        >>> plain_html("<b>\x07")
        '&lt;b&gt;\\x07'
    """
    return escape(plain(text))


def plain_json(document: str) -> str:
    """The same JSON document, in which what a terminal would obey stands as an escape."""
    return document if document.isascii() and "\x7f" not in document else _IN_JSON.sub(_coded, document)


def _written(found: re.Match[str]) -> str:
    letter = found[0]
    code = ord(letter)
    return _SHORT.get(letter) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


def _coded(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
