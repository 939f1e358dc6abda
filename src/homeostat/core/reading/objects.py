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
from homeostat.core.names import named
from homeostat.core.reading.cells import declared_values, refuse_mixed
from homeostat.core.reading.texts import refuse_endless_lines

if TYPE_CHECKING:
    from homeostat.core.form import Form

_KEY = re.compile(rb'"\s*:')
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
_LARGE = re.compile(rb"[0-9]{16}")
_EXACT = 2**53


def read_json(data: bytes, form: Form, *, lines: bool) -> pl.DataFrame:
    """The rows, perhaps none, of a JSON file in UTF-8 or of a part of its lines."""
    if lines:
        refuse_endless_lines(data)
    elif not data.lstrip().startswith(b"["):
        raise DataError(
            "the file holds no array of objects", hint="write [{...}, {...}], or one object a line as .jsonl"
        )
    large = _checked(data, form, lines=lines)
    try:
        with refusing("the JSON text"):
            if lines:
                rows = pl.read_ndjson(data, infer_schema_length=None)
            else:
                rows = pl.read_json(io.BytesIO(data), infer_schema_length=None)
    except DataError as error:
        said = error.what.partition(": ")[2]
        raise DataError(f"the rows do not share their types: {said[:200]}", hint="keep one type per column") from error
    for name, row in large.items():
        if name in rows.columns and rows[name].dtype.is_float():
            raise DataError(
                f"column {name!r} holds fractions, and row {row} a whole number beyond 2^53, which a fraction cannot "
                "hold exactly",
                hint="write codes as text",
            )
    rows = declared_values(named(rows, form), form)
    refuse_mixed(rows, form)
    return rows


def _checked(data: bytes, form: Form, *, lines: bool) -> dict[str, int]:
    """Refuse what is no JSON, no object or no text; gives the columns with large whole numbers and their first row."""
    documents = data.split(b"\n") if lines else [data]
    large: dict[str, int] = {}
    row = form.rows
    for number, text in enumerate(documents, start=form.lines + 1):
        if not text.strip():
            continue
        place = f"line {number}" if lines else "the file"
        value = _decoded(text, place)
        objects = [value] if lines else value
        wrong = next((one for one in objects if not isinstance(one, dict)), None)
        if wrong is not None or None in objects:
            raise DataError(f"{place} holds {shown(wrong)} where an object should be", hint="write one object per row")
        if len(_KEY.findall(text)) > sum(map(len, objects)):
            _refuse_twice(text, place)
        if _LARGE.search(text):
            for at, one in enumerate(objects, start=row + 1):
                for name, cell in one.items():
                    if isinstance(cell, int) and abs(cell) > _EXACT and int(float(cell)) != cell:
                        large.setdefault(name, at)
        row += len(objects)
    return large


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
