"""The steps of a Loop's pipeline: which rows they take, why there are none, and which settings reach which step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from homeostat import FrameSource, gates, how
from homeostat.core.errors import DataError
from homeostat.core.store import Store
from homeostat.loop import steps
from homeostat.loop.pipeline import pipeline_of, settings_of
from tests.ci.small_loop import NOW, START, features, small_loop, table

DAY = timedelta(days=1)


def snapshot(store: Store, rows: pl.DataFrame | None = None, **spec: Any) -> Any:
    """What a table with these rows looks like to a run."""
    rows = table() if rows is None else rows
    source = FrameSource(rows, **{"time": "at", "key": "id", "target": "late", "label_time": "landed", **spec})
    stored = store.table("flights", "rows", source.spec)
    stored.append(rows)
    return stored.snapshot()


def test_a_run_takes_the_rows_of_its_window_whose_label_was_known(store: Store) -> None:
    seen = snapshot(store)
    at_five = START + 5 * DAY
    found = steps.rows(seen, at_five, how=how.Refit(window="2d"))
    expected = table().filter((pl.col("landed") <= at_five) & (pl.col("at") >= at_five - 2 * DAY))
    assert sorted(found["id"]) == sorted(expected["id"])
    assert steps.rows(seen, at_five).height == table().filter(pl.col("landed") <= at_five).height


def test_no_row_to_train_on_is_told_by_its_cause(store: Store) -> None:
    seen = snapshot(store)
    with pytest.raises(
        DataError, match="no label was known by 2013-01-01 02:00: the earliest 'landed' is 2013-01-01 03:00"
    ):
        steps.rows(seen, START + timedelta(hours=2))
    with pytest.raises(
        DataError, match="none of the 600 labelled rows is of the training window, which begins at 2013-01-30"
    ):
        steps.rows(seen, START + 30 * DAY, how=how.Refit(window="1d"))


def test_rows_without_a_label_and_no_rows_at_all_are_told_apart(store: Store) -> None:
    unlabelled = table().with_columns(late=pl.lit(None, pl.Int64()))
    with pytest.raises(DataError, match="none of the 600 rows has a label: target 'late' is null in all of them"):
        steps.rows(snapshot(store, unlabelled), NOW)


def test_the_settings_of_a_declaration_reach_the_steps_that_take_them() -> None:
    sliced = [gates.slices("carrier", drop=0.05), gates.slices("carrier", "wind", drop=0.1)]
    loop = small_loop(gates=sliced, test="2d", seed=7, metric="f1", candidates=[{"C": 2.0}], how=how.Refit(window="9d"))
    settings = settings_of(loop)
    assert settings["evaluation.slices"] == ("carrier", "wind")
    assert (settings["rows.how"], settings["model.how"]) == (loop.how, loop.how)
    assert (settings["split.test"], settings["model.seed"]) == ("2d", 7)
    assert settings["model.metric"] == settings["evaluation.metric"] == "f1"
    assert settings["model.features"] is settings["evaluation.features"] is features
    assert (settings["model.candidates"], settings["verdicts.gates"]) == (({"C": 2.0},), tuple(sliced))
    assert settings["model.trusted"] == settings["evaluation.trusted"] == loop.trusted_types


def test_a_step_of_ones_own_takes_the_place_of_the_standard_one_and_no_settings() -> None:
    def report(rows: pl.DataFrame) -> int:
        return rows.height

    def split(rows: pl.DataFrame) -> dict[str, Any]:
        return {"train": rows, "test": rows, "info": None}

    loop = small_loop(steps={"report": report, "split": split})
    assert pipeline_of(loop).step("report").function is report
    assert pipeline_of(loop).step("rows").function is steps.rows
    assert "split.test" not in settings_of(loop)
    assert "rows.how" in settings_of(loop)


def test_a_loop_has_the_standard_model_step_whoever_learns_unless_it_has_its_own() -> None:
    assert pipeline_of(small_loop(how=how.Online())).step("model").function is steps.model
    assert settings_of(small_loop(how=how.Online()))["model.how"] == how.Online()

    def model(rows: pl.DataFrame) -> Any:
        return rows

    assert pipeline_of(small_loop(how=how.Online(), steps={"model": model})).step("model").function is model
