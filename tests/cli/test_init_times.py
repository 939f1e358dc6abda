"""How times are written is found over all rows of all files, said in the loop that is written, and never guessed."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homeostat import load_loop
from tests.cli.bad import refused

FORMS = [
    ("%Y-%m-%d %H:%M", None),
    ("%Y/%m/%d %H:%M", None),
    ("%m/%d/%Y %H:%M", "%m/%d/%Y %H:%M"),
    ("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M"),
    ("%m/%d/%Y %I:%M %p", "%m/%d/%Y %I:%M %p"),
    ("%d-%b-%Y %H:%M", "%d-%b-%Y %H:%M"),
]


def table(form: str, *, first: datetime = datetime(2026, 1, 1, tzinfo=UTC), rows: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    x = rng.normal(size=rows).round(3)
    moments = [first + timedelta(hours=2 * row) for row in range(rows)]
    return pl.DataFrame(
        {
            "id": [f"{first:%y%m}-{row}" for row in range(rows)],
            "at": [moment.strftime(form) for moment in moments],
            "x": x,
            "y": (x + rng.normal(size=rows) > 0).astype(int),
        }
    )


@pytest.mark.parametrize(("form", "declared"), FORMS)
def test_the_form_of_the_times_is_written_into_the_loop(homeostat, tmp_path: Path, form: str, declared: str | None):
    table(form).write_csv(tmp_path / "rows.csv")
    assert homeostat("init", "rows.csv", "--target", "y").code == 0
    spec = load_loop(tmp_path / "loop.py").source.spec
    assert spec.dates == (() if declared is None else (("at", declared),))
    assert "over 49 days" in (tmp_path / "loop.py").read_text()


def test_times_that_a_program_counted_are_declared(homeostat, tmp_path: Path):
    seconds = pl.col("at").str.to_datetime("%Y-%m-%d %H:%M").dt.epoch("s")
    table("%Y-%m-%d %H:%M").with_columns(ts=seconds).drop("at").write_csv(tmp_path / "rows.csv")
    assert homeostat("init", "rows.csv", "--target", "y").code == 0
    assert load_loop(tmp_path / "loop.py").source.spec.dates == (("ts", "s"),)


def test_days_that_may_be_months_are_shown_in_both_readings(homeostat, tmp_path: Path):
    form = "%m/%d/%Y"
    moments = [datetime(2026, 1 + row % 9, 1 + row // 9 % 9, tzinfo=UTC) for row in range(81)]
    rows = table(form, rows=81).with_columns(at=pl.Series([moment.strftime(form) for moment in moments]))
    rows.write_csv(tmp_path / "rows.csv")
    answer = homeostat("init", "rows.csv", "--target", "y")
    refused(
        answer, "'at' can be read in 2 ways", "2 January 2026 (%d/%m/%Y)", "1 February 2026 (%m/%d/%Y)", "--time-format"
    )
    assert not (tmp_path / "loop.py").exists()
    assert homeostat("init", "rows.csv", "--target", "y", "--time-format", form).code == 0
    assert load_loop(tmp_path / "loop.py").source.spec.dates == (("at", form),)


def test_one_late_row_of_the_last_file_tells_which_form_it_is(homeostat, tmp_path: Path):
    (tmp_path / "data").mkdir()
    form = "%m/%d/%Y"
    for month in (1, 2, 3):
        early = table(form, rows=120, first=datetime(2026, month, 1, tzinfo=UTC))
        early.write_csv(tmp_path / "data" / f"{month}.csv")
    table(form, rows=200, first=datetime(2026, 4, 1, tzinfo=UTC)).write_csv(tmp_path / "data" / "4.csv")
    assert homeostat("init", "data", "--target", "y").code == 0
    assert load_loop(tmp_path / "loop.py").source.spec.dates == (("at", form),)


def test_a_form_that_the_times_are_not_written_in_is_refused(homeostat, tmp_path: Path):
    table("%Y-%d-%m").write_csv(tmp_path / "rows.csv")
    refused(
        homeostat("init", "rows.csv", "--target", "y", "--time", "at", "--time-format", "%d/%m/%Y"), "rows.csv", "'at'"
    )


@pytest.mark.parametrize(("rows", "test"), [(200, 0.5), (300, 0.35), (600, 0.2)])
def test_a_small_table_leaves_enough_rows_to_test_on(homeostat, tmp_path: Path, rows: int, test: float):
    table("%Y-%m-%d %H:%M", rows=rows).write_csv(tmp_path / "rows.csv")
    assert homeostat("init", "rows.csv", "--target", "y").code == 0
    assert load_loop(tmp_path / "loop.py").test == test
    ran = homeostat("run")
    assert re.search(r"enough_rows +passed", ran.out), ran.out + ran.err
