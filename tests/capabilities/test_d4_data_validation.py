"""D4: a corrupt batch gets zero predictions and an anomaly record."""

from __future__ import annotations

import polars as pl
import pytest

from homeostat.cd.infer import infer_recorded
from homeostat.core.errors import SchemaError
from homeostat.core.events import Decided
from tests.cd.serving import LOOP, NOON, bundle, flights, promote, register


@pytest.mark.parametrize(
    ("corrupt", "named"),
    [
        (lambda rows: rows.drop("wind"), "'wind' is missing"),
        (lambda rows: rows.with_columns(wind=pl.lit("strong")), "'wind'"),
        (lambda rows: rows.with_columns(distance=pl.lit(float("nan"))), "'distance'"),
    ],
)
def test_a_corrupt_batch_gets_no_predictions_and_leaves_a_record(store, tmp_path, corrupt, named):
    made = bundle()
    promote(store, register(store, made))
    flights(200, seed=3).pipe(corrupt).write_parquet(tmp_path / "batch.parquet")
    told = {"ledger": store.ledger, "loop": LOOP, "version": 1, "now": NOON}
    with pytest.raises(SchemaError, match="nothing was predicted"):
        infer_recorded(made.model(), tmp_path / "batch.parquet", tmp_path / "out.parquet", **told)
    (recorded,) = store.ledger.events(loop=LOOP, kinds=(Decided,))
    decided = recorded.event
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["batch.parquet"]
    assert (decided.action, decided.about, decided.evidence["predictions"]) == ("stop", "data", 0)
    assert any(named in problem for problem in decided.evidence["problems"])
    assert "batch.parquet" in decided.reason


def test_a_good_batch_is_predicted_and_leaves_no_such_record(store, tmp_path):
    made = bundle()
    promote(store, register(store, made))
    told = {"ledger": store.ledger, "loop": LOOP, "version": 1, "now": NOON}
    done = infer_recorded(made.model(), flights(200, seed=3), tmp_path / "out.parquet", **told)
    assert done.rows == 200
    assert pl.read_parquet(tmp_path / "out.parquet").height == 200
    assert list(store.ledger.events(loop=LOOP, kinds=(Decided,))) == []
