"""From decoded rows to an answer that is in the log: choose the arms, score, record, and only then reply."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import PredictionRecord, RowRecord, Scored
from homeostat.cd.serve.batcher import BusyError
from homeostat.core.clock import new_id
from homeostat.core.errors import DataError, HomeostatError, ModelError, NotFoundError, RetryableError
from homeostat.core.model.signature import Signature

if TYPE_CHECKING:
    from datetime import datetime

    from homeostat.cd.log import LogWriter
    from homeostat.cd.serve.decode import Rows
    from homeostat.cd.serve.metrics import Metrics
    from homeostat.cd.serve.others import Others
    from homeostat.cd.serve.routing import Table
    from homeostat.cd.serve.served import Served

LONGEST_ID = 200
_Choice = tuple[int, float]
"""A version, and the probability with which it was chosen."""


class NotReadyError(RetryableError):
    """There is no champion to answer yet, or the server is going away."""


class Answer(msgspec.Struct, frozen=True):
    """What is said about the rows of one request.

    Attributes:
        request: Its id.
        ids: One per row.
        versions: The version that answered each row.
        scored: `[value, probability, ...]` of each row.
        signature: The contract that these are read by.
    """

    request: str
    ids: list[str]
    versions: list[int]
    scored: list[Scored]
    signature: Signature


class Prediction(msgspec.Struct, omit_defaults=True):
    """One row of the answer to `POST /predict`."""

    id: str
    value: Any
    version: int
    score: float | None = None
    probabilities: dict[str, float | None] | None = None


async def answer(
    table: Table, rows: Rows, moment: datetime, *, log: LogWriter, others: Others, metrics: Metrics, version: int | None
) -> Answer:
    """Answer a request, and have the answer in the log before it is returned.

    Args:
        table: The division of traffic.
        rows: The decoded request.
        moment: When it is answered.
        log: Where it is recorded.
        others: The arms that do not answer score the same rows afterwards.
        metrics: Counters.
        version: Ask this version, not the arm that the unit belongs to.

    Raises:
        NotFoundError: No arm has that version.
        StoreError: The log cannot be written: nothing is answered that is not recorded.
        ModelError: The champion raised.
    """
    request = rows.request or new_id()
    ids = _ids(table.champion, rows, request)
    arms, scored = await _scored(table, _choose(table, rows, request, version), rows.rows, metrics)
    beside = _beside(table, arms) if len(table.arms) > 1 else {}
    records = [
        RowRecord(name, arm, propensity, row, {arm: one})
        for name, (arm, propensity), row, one in zip(ids, arms, rows.rows, scored, strict=True)
    ]
    log.append(PredictionRecord(request, moment, records, tuple(beside)))
    for number, places in beside.items():
        part = [rows.rows[place] for place in places]
        others.offer(table.served[number], moment, request, [ids[place] for place in places], part)
    return Answer(request, ids, [arm for arm, _ in arms], scored, table.champion.signature)


def predictions(answer: Answer) -> list[Prediction]:
    """The rows of the answer to `POST /predict`."""
    classes = answer.signature.classes
    lines = zip(answer.ids, answer.versions, answer.scored, strict=True)
    if classes is None:
        return [Prediction(name, one[0], version) for name, version, one in lines]
    if len(classes) == 2:
        return [Prediction(name, one[0], version, one[2]) for name, version, one in lines]
    names = [str(value) for value in classes]
    return [
        Prediction(name, one[0], version, None, dict(zip(names, one[1:], strict=True))) for name, version, one in lines
    ]


def _ids(champion: Served, rows: Rows, request: str) -> list[str]:
    if len(request) > LONGEST_ID:
        raise DataError(f"the request's id has {len(request)} characters", hint=f"at most {LONGEST_ID}")
    if rows.ids is not None:
        ids = rows.ids
    else:
        key = champion.decoder.key
        several = len(rows.rows) > 1
        ids = [key(row) or (f"{request}/{place}" if several else request) for place, row in enumerate(rows.rows)]
    longest = max(map(len, ids), default=0)
    if longest > LONGEST_ID:
        raise DataError(f"a row's id has {longest} characters", hint=f"at most {LONGEST_ID}")
    return ids


def _choose(table: Table, rows: Rows, request: str, version: int | None) -> list[_Choice]:
    """Version and propensity of each row."""
    if version is not None:
        if version not in table.served:
            there = ", ".join(str(number) for number in sorted(table.served))
            raise NotFoundError(f"version {version} gets no traffic", hint=f"there are {there}")
        return [(version, 1.0)] * len(rows.rows)
    if table.sole is not None:
        return [(table.sole, 1.0)] * len(rows.rows)
    key = table.champion.decoder.key
    arms = [table.arm(key(row) or request) for row in rows.rows]
    return [(arm.version, arm.share) for arm in arms]


async def _scored(
    table: Table, chosen: list[_Choice], rows: list[Any], metrics: Metrics
) -> tuple[list[_Choice], list[Scored]]:
    """Who answered each row in the end, and the answers."""
    numbers = {number for number, _ in chosen}
    if len(numbers) == 1:
        number = chosen[0][0]
        used, found = await _score(table, number, rows, metrics)
        return (chosen if used == number else [(used, 1.0)] * len(rows)), found
    arms = list(chosen)
    scored: list[Scored] = [[]] * len(rows)
    for number in numbers:
        places = [place for place, (wanted, _) in enumerate(chosen) if wanted == number]
        used, found = await _score(table, number, [rows[place] for place in places], metrics)
        for place, one in zip(places, found, strict=True):
            scored[place] = one
            if used != number:
                arms[place] = (used, 1.0)
    return arms, scored


async def _score(table: Table, number: int, rows: list[Any], metrics: Metrics) -> tuple[int, list[Scored]]:
    """The version that answered in the end, and its answers: the champion's when another arm raises."""
    champion = table.champion
    try:
        found = await table.served[number].answer(rows)
    except BusyError:
        raise
    except HomeostatError as error:
        metrics.invalid[number] += len(rows) * isinstance(error, ModelError)
        if number == champion.version:
            raise
        metrics.fallbacks[number] += len(rows)
        number, found = champion.version, await champion.answer(rows)
    metrics.rows[number] += len(rows)
    return number, found


def _beside(table: Table, arms: list[_Choice]) -> dict[int, list[int]]:
    """Places of the rows that each version did not answer."""
    found = {
        arm.version: [place for place, (number, _) in enumerate(arms) if number != arm.version] for arm in table.arms
    }
    return {version: places for version, places in found.items() if places}
