"""A moment of the past knows what was known then: no label before its time, and no row of its future."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat import FrameSource, Loop, how
from homeostat.core.errors import DataError
from homeostat.core.table.rows import prepare
from homeostat.engine.replay.history import History

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS, HOUR = 400, timedelta(hours=1)
LATE = timedelta(hours=20)
NOW = START + 300 * HOUR
"""281 labels are known by then: those of rows 0 to 280."""


def table(**columns: Any) -> pl.DataFrame:
    random = np.random.default_rng(3)
    x = random.normal(size=ROWS)
    at = [START + HOUR * place for place in range(ROWS)]
    known = [moment + LATE for moment in at]
    label = (x + random.normal(size=ROWS) > 0).astype(int)
    return pl.DataFrame({"id": range(ROWS), "at": at, "x": x, "y": label, "known": known}).with_columns(**columns)


def history(rows: pl.DataFrame | None = None, **changes: Any) -> History:
    rows = table() if rows is None else rows
    source = FrameSource(rows, time="at", key="id", target="y", label_time="known")
    declared = {"model": LogisticRegression(), "metric": "accuracy", "features": only_x} | changes
    loop = Loop(name="past", source=source, **declared)
    return History(loop, prepare(rows, source.spec))


def only_x(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("x")


@pytest.fixture(scope="module")
def past() -> History:
    return history()


def test_a_model_of_the_past_learns_from_the_labels_that_were_known_then(past: History) -> None:
    trained = past.trained(NOW)
    assert trained.trainable == 281
    assert trained.rows == pytest.approx(281 * 0.8 - 20, abs=2)  # those known when the test rows begin
    assert trained.model.manifest.lineage.window_end <= NOW - LATE
    assert trained.seconds > 0


def test_labels_that_were_not_known_yet_change_nothing_of_it(past: History) -> None:
    turned = pl.when(pl.col("known") > NOW).then(1 - pl.col("y")).otherwise(pl.col("y"))
    other = history(table().with_columns(y=turned))
    mine, theirs = past.trained(NOW), other.trained(NOW)
    assert (mine.reference, mine.rows, mine.trainable) == (theirs.reference, theirs.rows, theirs.trainable)
    rows = [one.answers(NOW, 0, ROWS).score for one in (past, other)]
    assert np.array_equal(*rows)  # type: ignore[arg-type]


def test_the_reference_is_the_metric_on_the_newest_rows_that_were_known(past: History) -> None:
    trained = past.trained(NOW)
    test = past.rows[trained.rows + 19 : 281]
    right = trained.model.predict(test).value == test["y"].to_numpy()
    assert trained.reference == pytest.approx(right.mean())
    assert trained.reference not in {0.0, 1.0}


def test_a_label_counts_from_the_moment_that_it_became_known(past: History) -> None:
    assert [past.trainable(NOW + step) for step in (-timedelta(microseconds=1), timedelta(0), HOUR)] == [280, 281, 282]
    assert past.trainable(START + 1_000 * HOUR) == ROWS


def test_a_window_and_the_declared_test_rows_hold_for_the_past_too() -> None:
    windowed = history(how=how.Refit(window="200h"), test=0.5).trained(NOW)
    assert windowed.rows == pytest.approx(181 * 0.5 - 20, abs=2)
    assert windowed.trainable == 281
    assert windowed.model.manifest.lineage.window_start >= NOW - 200 * HOUR


def test_old_rows_weigh_less_where_the_loop_says_so(past: History) -> None:
    weighted = history(how=how.Refit(half_life="5h"))
    scores = [one.answers(NOW, 0, ROWS).score for one in (past, weighted)]
    assert not np.allclose(*scores)  # type: ignore[arg-type]


def test_a_moment_has_one_model_whoever_asks_and_another_moment_another(past: History) -> None:
    assert past.trained(NOW) is past.trained(NOW)
    assert past.trained(NOW + 50 * HOUR) is not past.trained(NOW)
    assert past.trained(NOW + 50 * HOUR).trainable == 331
    assert past.answers(NOW, 3, 9) is past.answers(NOW, 3, 9)
    assert len(past.answers(NOW, 3, 9).value) == 6
    later = past.answers(NOW + 50 * HOUR, 3, 9)
    assert not np.array_equal(later.score, past.answers(NOW, 3, 9).score)  # type: ignore[arg-type]
    shifted = past.answers(NOW, 4, 10)
    assert np.allclose(shifted.score[:-1], past.answers(NOW, 3, 9).score[1:])  # type: ignore[index]


def test_a_stretch_has_its_first_moment_and_not_its_end(past: History) -> None:
    assert past.between(START + 10 * HOUR, START + 20 * HOUR) == (10, 20)
    assert past.between(START + timedelta(minutes=1), START + 2 * HOUR + timedelta(minutes=1)) == (1, 3)
    assert past.between(START - HOUR, START + 999 * HOUR) == (0, ROWS)


def test_rows_are_played_in_the_order_of_time_and_without_a_label_left_out() -> None:
    without = table().with_columns(y=pl.when(pl.col("id") % 4 == 0).then(None).otherwise(pl.col("y")))
    mixed = history(without.sample(fraction=1, shuffle=True, seed=1))
    assert mixed.rows.height == len(mixed.labels) == ROWS * 3 // 4
    assert mixed.times.tolist() == sorted(mixed.times.tolist())
    assert mixed.rows["id"].to_list()[:3] == [1, 2, 3]
    with pytest.raises(DataError, match="no labelled history"):
        history(table().with_columns(y=pl.lit(None, pl.Int64())))
