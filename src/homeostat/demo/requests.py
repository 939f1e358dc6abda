"""Flights as requests: what was due to leave in each hour, and the labels of what landed."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import polars as pl

from homeostat.demo.client import PlayedRequest
from homeostat.demo.flights import KEY, LABEL_TIME, TARGET, TIME

_ALONE = ("HA", "AS")
"""Carriers with one or two flights a day ask about each of them alone; so single-row requests occur too."""

_UTC = "%Y-%m-%dT%H:%M:%SZ"


class Asked(msgspec.Struct, frozen=True):
    """One request and the rows that it asks about, as places in the table."""

    request: PlayedRequest
    places: list[int]


class Requests:
    """The live part of the table, cut into requests.

    Departures within a window are asked about together, at the time of the last of them.
    """

    def __init__(self, table: pl.DataFrame, window: timedelta) -> None:
        inputs = [name for name in table.columns if name not in {TARGET, LABEL_TIME}]
        self._rows = table.with_row_index("place").with_columns(
            window=pl.concat_str(
                pl.col(TIME).dt.truncate(window).cast(pl.Int64),
                pl.when(pl.col("carrier").is_in(_ALONE)).then(pl.col(KEY)).otherwise(pl.lit("")),
            ),
            row=pl.struct(inputs),
        )
        self._landed = table.drop_nulls(LABEL_TIME).sort(LABEL_TIME).select(id=KEY, label=TARGET, time=LABEL_TIME)

    def asked(self, start: datetime, end: datetime) -> list[Asked]:
        """Requests about flights that were scheduled in [start, end), in order of time."""
        block = _between(self._rows, TIME, start, end).with_columns(
            row=pl.col("row").struct.with_fields(pl.field(TIME).dt.to_string(_UTC)).struct.json_encode()
        )
        groups = block.group_by("window", maintain_order=True).agg(
            pl.col(TIME).last(), "place", pl.col("row").str.join(",")
        )
        return [
            Asked(PlayedRequest("/predict", f"[{rows}]".encode(), moment), places)
            for _, moment, places, rows in groups.iter_rows()
        ]

    def labels(self, start: datetime, end: datetime) -> list[PlayedRequest]:
        """The labels of flights that landed in [start, end), each with its time, as one request at most."""
        block = _between(self._landed, "time", start, end).with_columns(pl.col("time").dt.to_string(_UTC))
        return [PlayedRequest("/labels", block.write_json().encode(), end)] if block.height else []


def _between(rows: pl.DataFrame, column: str, start: datetime, end: datetime) -> pl.DataFrame:
    """Rows of a table that is sorted by the column."""
    first, last = (rows[column].search_sorted(moment, side="left") for moment in (start, end))
    return rows.slice(first, last - first)
