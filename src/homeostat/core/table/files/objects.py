"""JSON files, one object a line or one array of objects: checked as JSON before a table is made of them."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
import polars as pl

from homeostat.core.errors import DataError, shown
from homeostat.core.guarded import refusing
from homeostat.core.table.column_names import named
from homeostat.core.table.files.cells import declared_values, refuse_mixed
from homeostat.core.table.files.texts import refuse_endless_lines

if TYPE_CHECKING:
    from homeostat.core.table.form import Form

_AT_ONCE = 4 << 20
_KEY = re.compile(rb'"\s*:')
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_EXACT = 2**53


def read_json(data: bytes, form: Form, *, lines: bool) -> pl.DataFrame:
    """The rows, perhaps none, of a JSON file in UTF-8 or of a part of its lines."""
    if lines:
        refuse_endless_lines(data)
    elif not data.lstrip().startswith(b"["):
        raise DataError(
            "the file holds no array of objects", hint="write [{...}, {...}], or one object a line as .jsonl"
        )
    _check(data, form, lines=lines)
    try:
        with refusing("the JSON text"):
            if lines:
                rows = pl.read_ndjson(data, infer_schema_length=None)
            else:
                rows = pl.read_json(io.BytesIO(data), infer_schema_length=None)
    except DataError as error:
        said = error.what.partition(": ")[2]
        raise DataError(f"the rows do not share their types: {said[:200]}", hint="keep one type per column") from error
    _refuse_inexact(rows, data, form, lines=lines)
    rows = declared_values(named(rows, form), form)
    refuse_mixed(rows, form)
    return rows


def _check(data: bytes, form: Form, *, lines: bool) -> None:
    """Refuse what is no JSON, no object or no text."""
    if not lines:
        _look(data, "the file", _decoded(data, "the file"))
        return
    number, start = form.lines, 0
    while start < len(data):
        end = data.find(b"\n", min(start + _AT_ONCE, len(data) - 1)) + 1 or len(data)
        block, start = data[start:end], end
        objects = _lines(block)
        if objects is None or _keys(block) != sum(map(len, objects)):
            for line, text in enumerate(block.split(b"\n"), start=number + 1):
                if text.strip():
                    _look(text, f"line {line}", [_decoded(text, f"line {line}")])
        number += block.count(b"\n")


def _lines(block: bytes) -> list[dict[str, Any]] | None:
    """The objects of some lines, fast; None if they are anything else."""
    try:
        return msgspec.json.Decoder(dict[str, Any]).decode_lines(block)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _keys(text: bytes) -> int:
    """How many names JSON has, or more: text in which a quote stands before a colon counts too."""
    spaced = any(mark in text for mark in (b'" ', b'"\t', b'"\n', b'"\r'))
    return len(_KEY.findall(text)) if spaced else text.count(b'":')


def _look(text: bytes, place: str, objects: list[Any]) -> None:
    wrong = next((one for one in objects if not isinstance(one, dict)), None)
    if wrong is not None or None in objects:
        raise DataError(f"{place} holds {shown(wrong)} where an object should be", hint="write one object per row")
    if _keys(text) != sum(map(len, objects)):
        _refuse_twice(text, place)


def _refuse_inexact(rows: pl.DataFrame, data: bytes, form: Form, *, lines: bool) -> None:
    """Fractions hold whole numbers up to 2^53 exactly; a larger one beside fractions has lost digits."""
    large = [one.name for one in rows if one.dtype.is_float() and (one.abs().max() or 0) >= _EXACT]  # type: ignore[operator]
    if not large:
        return
    texts = [text for text in data.split(b"\n") if text.strip()] if lines else None
    objects = msgspec.json.decode(data) if texts is None else map(msgspec.json.decode, texts)
    for row, one in enumerate(objects, start=form.rows + 1):
        for name in large:
            cell = one.get(name)
            if isinstance(cell, int) and int(float(cell)) != cell:
                raise DataError(
                    f"column {name!r} holds fractions, and row {row} the whole number {cell}, which a fraction cannot "
                    "hold exactly",
                    hint="write codes as text",
                )


def _decoded(text: bytes, place: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except RecursionError as error:
        raise DataError(f"{place} is nested too deeply", hint="write one flat object per row") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if _HALF.search(text) and _has_half(text):
            what = f"{place} holds half a character, such as \\ud83d, which is no text"
            raise DataError(what, hint="write the character whole") from error
        raise DataError(f"{place} is no JSON: {error}", hint="complete or delete it") from error


def _has_half(text: bytes) -> bool:
    """Whether JSON is refused for a surrogate without its other half alone."""
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False
    return False


def _refuse_twice(text: bytes, place: str) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DataError(
                f"{place} has {', '.join(map(shown, twice[:20]))} more than once in one object",
                hint="keep one value for each name",
            )
        return found

    json.loads(text, object_pairs_hook=once)
