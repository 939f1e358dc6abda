"""From decoded rows to an answer that is in the log: choose the arms, score, record, and only then reply."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import PredictionRecord, RowRecord, Scored
from homeostat.cd.serve.batcher import BusyError
from homeostat.core.clock import new_id
from homeostat.core.errors import DataError, HomeostatError, NotFoundError, RetryableError
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
    chosen = _choose(table, rows, request, version)
    groups: dict[int, list[int]] = {}
    for place, (number, _) in enumerate(chosen):
        groups.setdefault(number, []).append(place)
    scored: list[Scored] = [[]] * len(ids)
    for number, places in groups.items():
        part = rows.rows if len(groups) == 1 else [rows.rows[place] for place in places]
        used, found = await _score(table, number, part, metrics)
        for place, one in zip(places, found, strict=True):
            scored[place] = one
            if used != number:
                chosen[place] = (used, 1.0)
        metrics.rows[used] += len(places)
    versions = [number for number, _ in chosen]
    _count_invalid(scored, versions, metrics)
    beside = _beside(table, versions)
    records = [
        RowRecord(name, number, propensity, row, {number: one})
        for name, (number, propensity), row, one in zip(ids, chosen, rows.rows, scored, strict=True)
    ]
    log.append(PredictionRecord(request, moment, records, tuple(beside)))
    for number, places in beside.items():
        everything = len(places) == len(ids)
        part = rows.rows if everything else [rows.rows[place] for place in places]
        names = ids if everything else [ids[place] for place in places]
        others.offer(table.served[number], moment, request, names, part)
    return Answer(request, ids, versions, scored, table.champion.signature)


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


def _choose(table: Table, rows: Rows, request: str, version: int | None) -> list[tuple[int, float]]:
    """Version and propensity of each row."""
    if version is not None:
        if version not in table.served:
            there = ", ".join(str(number) for number in sorted(table.served))
            raise NotFoundError(f"version {version} gets no traffic", hint=f"there are {there}")
        return [(version, 1.0)] * len(rows.rows)
    if len(table.answering) == 1:
        return [(table.answering[0].version, 1.0)] * len(rows.rows)
    key = table.champion.decoder.key
    arms = [table.arm(key(row) or request) for row in rows.rows]
    return [(arm.version, arm.share) for arm in arms]


async def _score(table: Table, number: int, rows: list[Any], metrics: Metrics) -> tuple[int, list[Scored]]:
    """The version that answered in the end, and its answers: the champion's when another arm raises."""
    champion = table.champion
    try:
        return number, await table.served[number].answer(rows)
    except BusyError:
        raise
    except HomeostatError:
        if number == champion.version:
            raise
        metrics.fallbacks[number] += len(rows)
        return champion.version, await champion.answer(rows)


def _beside(table: Table, versions: list[int]) -> dict[int, list[int]]:
    """Places of the rows that each version did not answer."""
    if len(table.arms) == 1:
        return {}
    places = {
        arm.version: [place for place, version in enumerate(versions) if version != arm.version] for arm in table.arms
    }
    return {version: found for version, found in places.items() if found}


def _count_invalid(scored: list[Scored], versions: list[int], metrics: Metrics) -> None:
    for one, version in zip(scored, versions, strict=True):
        last = one[-1]
        if isinstance(last, float) and not math.isfinite(last):
            metrics.invalid[version] += 1
