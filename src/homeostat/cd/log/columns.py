"""From a request that was recorded by columns to the rows that every reader works with."""

from __future__ import annotations

from typing import Any

from homeostat.cd.log.records import BlockRecord, Packed, PredictionRecord, RowRecord


def expand(block: BlockRecord) -> PredictionRecord:
    """The record that the rows of a block would have made one by one.

    Raises:
        ValueError: Its parts are not of one length, or bytes are no numbers of their type.
    """
    count = block.rows
    ids = block.ids
    if ids is None:
        ids = [block.request] if count == 1 else [f"{block.request}/{place}" for place in range(count)]
    arms = block.arms if isinstance(block.arms, list) else [block.arms] * count
    shares = block.propensities if isinstance(block.propensities, list) else [block.propensities] * count
    rows = [
        RowRecord(one, arm, share, row, {arm: scored})
        for one, arm, share, row, scored in zip(ids, arms, shares, _inputs(block), _scored(block), strict=True)
    ]
    if len(rows) != count:
        raise ValueError(f"a block says {count} rows and holds {len(rows)}")
    return PredictionRecord(block.request, block.time, rows, block.awaits)


def _inputs(block: BlockRecord) -> list[dict[str, Any]]:
    names = list(block.columns)
    if not names:
        return [{} for _ in range(block.rows)]
    columns = [_listed(column) for column in block.columns.values()]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _scored(block: BlockRecord) -> list[list[Any]]:
    values = _listed(block.values)
    match block.scores:
        case None:
            return [[value] for value in values]
        case Packed(dtype, data):
            scores = _numbers(dtype, data).reshape(block.rows, -1).tolist()
        case scores:
            pass
    return [[value, *row] for value, row in zip(values, scores, strict=True)]


def _listed(column: list[Any] | Packed) -> list[Any]:
    if isinstance(column, list):
        return column
    found: list[Any] = _numbers(column.dtype, column.data).tolist()
    return found


def _numbers(dtype: str, data: bytes) -> Any:
    import numpy as np

    return np.frombuffer(data, dtype=dtype)
