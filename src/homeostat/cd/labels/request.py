"""Labels by HTTP: held against the model's task before anything else, and in the log before they are acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.labels.values import typed_label
from homeostat.cd.log import LabelItem
from homeostat.cd.serve.rows import MOST_PROBLEMS, Problem, RowsError
from homeostat.core.model.signature import Label
from homeostat.core.table.ids import id_problem
from homeostat.core.text.read_json import parse
from homeostat.core.values import taken

if TYPE_CHECKING:
    from datetime import datetime

    from homeostat.core.model import Signature


class SentLabel(msgspec.Struct, forbid_unknown_fields=True):
    """One label as it is sent: the row's id, its label, and when it became known (default: now)."""

    id: str
    label: Label
    time: str | None = None


_FORM = '{"id": "...", "label": ..., "time": "..."}, where the time may be left out'


def decode_labels(data: bytes, signature: Signature, now: datetime) -> list[LabelItem]:
    """The labels of a body: one object or a list of `{"id", "label", "time"?}`.

    Raises:
        RowsError: Names each label that cannot be one of this model.
        DataError: The body is no JSON, or an object says something twice.
    """
    problems: list[Problem] = []
    items = []
    for place, one in enumerate(_sent(parse(data)[0])):
        label, message = typed_label(one.label, signature)
        moment, late = taken(one.time, "time", event=True) if one.time is not None else (now, None)
        for column, problem in (("label", message), ("id", id_problem(one.id)), ("time", late)):
            if problem is not None:
                problems.append(Problem(place, column, problem))
        items.append(LabelItem(one.id, label, moment))
        if len(problems) > MOST_PROBLEMS:
            break
    if problems:
        raise RowsError(problems)
    return items


def _sent(content: Any) -> list[SentLabel]:
    sent, problems = [], []
    for place, one in enumerate(content if isinstance(content, list) else [content]):
        try:
            sent.append(msgspec.convert(one, SentLabel))
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            problems.append(Problem(place, None, f"{str(error)[:200]}; a label is {_FORM}"))
            if len(problems) > MOST_PROBLEMS:
                break
    if problems:
        raise RowsError(problems)
    return sent
