"""Labels by HTTP: held against the model's task at the door, and in the log before they are acknowledged."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import LabelItem
from homeostat.cd.serve.decode import MOST_PROBLEMS, Problem, RowsError, parse
from homeostat.core.clock import utc
from homeostat.core.errors import DataError

if TYPE_CHECKING:
    from homeostat.core.model import Signature


class SentLabel(msgspec.Struct, forbid_unknown_fields=True):
    """One label as it is sent: the row's id, its label, and when it became known (default: now)."""

    id: str
    label: bool | int | float | str
    time: datetime | None = None


LONGEST_ID = 200
_FORM = '{"id": "...", "label": ..., "time": "..."}, where the time may be left out'
_decoder = msgspec.json.Decoder(list[SentLabel])


def decode_labels(data: bytes, signature: Signature, now: datetime) -> list[LabelItem]:
    """The labels of a body: one object or a list of `{"id", "label", "time"?}`.

    Raises:
        RowsError: Names each label that cannot be one of this model.
        DataError: The body is no JSON.
    """
    try:
        sent = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        sent = _slow(parse(data)[0])
    problems: list[Problem] = []
    items = []
    for place, one in enumerate(sent):
        label, message = typed_label(one.label, signature)
        if message is not None:
            problems.append(Problem(place, "label", message))
        elif len(one.id) > LONGEST_ID or not one.id:
            problems.append(Problem(place, "id", f"is empty or longer than {LONGEST_ID} characters"))
        else:
            items.append(LabelItem(one.id, label, utc(one.time) if one.time else now))
    if problems:
        raise RowsError(problems)
    return items


def typed_label(value: Any, signature: Signature) -> tuple[Any, str | None]:
    """The label in the model's own type, or why it is none: 1 and 0 stand for true and false, and 1.0 for 1."""
    if signature.classes is None:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return None, f"should be a finite number; found {str(value)[:40]!r}"
        return float(value), None
    for known in signature.classes:
        if value == known and isinstance(value, str) == isinstance(known, str):
            return known, None
    classes = ", ".join(map(repr, signature.classes[:8])) + (", …" if len(signature.classes) > 8 else "")
    return None, f"should be one of {classes}; found {str(value)[:40]!r}"


def _slow(content: Any) -> list[SentLabel]:
    found = content if isinstance(content, list) else [content]
    sent, problems = [], []
    for place, one in enumerate(found):
        try:
            sent.append(msgspec.convert(one, SentLabel))
        except (msgspec.MsgspecError, RecursionError) as error:
            problems.append(Problem(place, None, f"{str(error)[:200]}; a label is {_FORM}"))
            if len(problems) > MOST_PROBLEMS:
                break
    if problems:
        raise RowsError(problems)
    if not isinstance(content, (list, dict)):
        raise DataError("the body holds no labels", hint=f"send [{_FORM}]")
    return sent
