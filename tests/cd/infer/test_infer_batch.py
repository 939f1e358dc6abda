"""Batch inference: the server's answers for a whole table, or nothing at all."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from homeostat.cd.infer import infer
from homeostat.core.errors import DataError, NotFoundError, SchemaError, StoreError
from tests.cd.serving import Client, bundle, flights, linear, promote, raw, register, serving


def with_ratio(rows):
    return rows.with_columns(ratio=pl.col("wind") / pl.col("distance"))


ROWS = flights(1_000, seed=7)


@pytest.fixture(scope="module")
def model():
    return bundle(features=with_ratio).model(with_ratio)


def test_a_thousand_rows_get_the_answers_that_the_server_gives(store, tmp_path):
    made = bundle(features=with_ratio)
    promote(store, register(store, made))
    with serving(store, with_ratio) as app:
        served = Client(app).predict(raw(ROWS))
    infer(made.model(with_ratio), ROWS, tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found["flight_id"].to_list() == [one["id"] for one in served]
    assert found["prediction"].to_list() == [one["value"] for one in served]
    assert np.abs(found["score"].to_numpy() - [one["score"] for one in served]).max() < 1e-6


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_files_are_read_by_their_ending(model, tmp_path, suffix):
    rows, path = ROWS.drop("late", "landed"), tmp_path / f"rows.{suffix}"
    {"parquet": rows.write_parquet, "csv": rows.write_csv, "jsonl": rows.write_ndjson}[suffix](path)
    infer(model, path, tmp_path / "out.parquet")
    infer(model, rows, tmp_path / "expected.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(pl.read_parquet(tmp_path / "expected.parquet"))


def test_chunks_say_what_the_whole_says_and_report_progress(model, tmp_path):
    seen = []
    made = infer(model, ROWS, tmp_path / "a", chunk_rows=300, progress=lambda done, total: seen.append((done, total)))
    infer(model, ROWS, tmp_path / "b")
    assert seen == [(300, 1000), (600, 1000), (900, 1000), (1000, 1000)]
    assert made.rows == 1_000
    assert pl.read_parquet(tmp_path / "a").equals(pl.read_parquet(tmp_path / "b"))


def test_a_regression_has_predictions_only(tmp_path):
    rows = flights(300).with_columns(late=pl.col("distance") * 0.01)
    infer(bundle(rows, model=linear()).model(), rows, tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").columns == ["flight_id", "prediction"]


CORRUPT = {
    "missing column": (ROWS.drop("wind"), ["'wind'", "missing"]),
    "extra column": (ROWS.with_columns(gust=1.0), ["'gust'", "unexpected"]),
    "text for numbers": (ROWS.with_columns(wind=pl.lit("strong")), ["'wind'", "'strong'"]),
    "NaN": (ROWS.with_columns(wind=pl.lit(float("nan"))), ["'wind'", "nan"]),
    "null key": (ROWS.with_columns(flight_id=pl.lit(None, pl.String)), ["'flight_id'", "null"]),
    "null where none was": (ROWS.with_columns(carrier=pl.lit(None, pl.String)), ["'carrier'", "null"]),
    "no time": (ROWS.with_columns(scheduled=pl.lit("noon")), ["'scheduled'", "'noon'"]),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_batch_leaves_nothing_behind(model, tmp_path, case):
    rows, words = CORRUPT[case]
    with pytest.raises(SchemaError) as refused:
        infer(model, rows, tmp_path / "out.parquet")
    assert all(word in str(refused.value) for word in words)
    assert list(tmp_path.iterdir()) == []


def test_one_corrupt_chunk_of_many_spoils_the_batch_and_is_named(model, tmp_path):
    last = ROWS[900:].with_columns(wind=pl.lit(float("inf")))
    with pytest.raises(SchemaError, match=r"rows 901 to 1,000: column 'wind' holds inf"):
        infer(model, pl.concat([ROWS[:900], last]), tmp_path / "out.parquet", chunk_rows=300)
    assert list(tmp_path.iterdir()) == []


def test_an_older_output_survives_a_refusal(model, tmp_path):
    infer(model, ROWS[:10], tmp_path / "out.parquet")
    with pytest.raises(SchemaError):
        infer(model, ROWS.drop("wind"), tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").height == 10


def test_a_table_without_rows_is_refused(model, tmp_path):
    with pytest.raises(DataError, match="no rows"):
        infer(model, ROWS[:0], tmp_path / "out.parquet")


def test_files_that_are_no_tables_are_refused(model, tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing else")
    (tmp_path / "rows.xlsx").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be read"):
        infer(model, tmp_path / "rows.parquet", tmp_path / "out")
    with pytest.raises(DataError, match=r"rows\.xlsx"):
        infer(model, tmp_path / "rows.xlsx", tmp_path / "out")
    with pytest.raises(NotFoundError, match="nowhere"):
        infer(model, tmp_path / "nowhere.csv", tmp_path / "out")


def test_an_output_that_cannot_be_written_is_one_clear_error(model, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        infer(model, ROWS, tmp_path / "file" / "out.parquet")


def test_unseen_values_are_signals_not_refusals(model, tmp_path):
    made = infer(model, ROWS.with_columns(carrier=pl.lit("ZZ")), tmp_path / "out.parquet")
    assert any("ZZ" in signal for signal in made.signals)
