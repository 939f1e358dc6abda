"""Analyze the rows of a run: statistics of every column, what changed since the previous run, and a page to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.errors import LoopError

if TYPE_CHECKING:
    import polars as pl

    from homeostat.core.table.spec import TableSpec

__all__ = ["Report", "analyze", "table_report"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run's data look like.

    Attributes:
        html: One self-contained page: no script, no font, no picture from elsewhere.
        statistics: The numbers behind it, as plain JSON values; the next run compares itself with them.
    """

    html: str
    statistics: dict[str, Any]


def analyze(rows: pl.DataFrame, spec: TableSpec, previous: dict[str, Any] | None = None) -> Report:
    """Describe rows, compare them with those of the previous run, and flag what deserves a look.

    All rows count (no sampling), except for leak suspicions, which look at 10,000 of them. The result depends on the
    rows alone, so an unchanged run finds it in the cache.

    Args:
        rows: At least one row, in stored types.
        spec: What the columns mean.
        previous: `statistics` of the previous run's report; None for the first.

    Raises:
        DataError: There are no rows.

    Example:
        >>> import polars as pl
        >>> from homeostat.core.table.spec import TableSpec
        >>> rows = pl.DataFrame({"at": pl.Series(["2013-01-01"]).str.to_datetime(time_zone="UTC"), "delay": [4.0]})
        >>> analyze(rows, TableSpec(time="at")).statistics["columns"]["delay"]["mean"]
        4.0
    """
    from homeostat.ci.analyze.changes import find_changes
    from homeostat.ci.analyze.page import page
    from homeostat.ci.analyze.statistics import describe

    statistics = describe(rows, spec, previous)
    return Report(html=page(statistics, previous, find_changes(statistics, previous)), statistics=statistics)


def table_report(rows: pl.DataFrame, *, title: str = "Rows", most_rows: int = 20_000, seed: int = 0) -> str:
    """Skrub's interactive report, on demand: cell by cell, with associations between columns.

    It is not part of a run, because importing skrub and drawing its plots takes some five seconds, whatever the rows;
    `analyze` takes a few tenths of a second.

    Args:
        rows: Any rows.
        title: What stands above the report.
        most_rows: With more rows than this, a sample of so many is shown.
        seed: Of the sample.

    Raises:
        LoopError: skrub is not installed.
    """
    try:
        from skrub import TableReport
    except ImportError as error:
        what = "the interactive report is drawn by skrub, which is not installed"
        raise LoopError(what, hint="pip install 'homeostat[report]'") from error

    sample = rows.sample(most_rows, seed=seed) if rows.height > most_rows else rows
    return str(TableReport(sample, title=title, verbose=0).html())
