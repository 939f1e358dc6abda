"""Files of a batch are read as files of the training data are: the schema says what a column is, not its looks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from homeostat.cd.infer import infer
from tests.cd.serving import bundle, flights

if TYPE_CHECKING:
    from pathlib import Path

GATES = pl.Series("gate", [["07", "12", "A1"][n % 3] for n in range(300)])
ROWS = flights(300).with_columns(GATES)


def test_a_code_that_looks_like_a_number_stays_a_code(tmp_path: Path) -> None:
    """In this batch every gate could be read as a number, in the training data not."""
    model = bundle(ROWS).model()
    batch = ROWS.filter(pl.col("gate") != "A1").drop("late", "landed")
    batch.write_csv(tmp_path / "batch.csv")
    infer(model, tmp_path / "batch.csv", tmp_path / "read.parquet")
    infer(model, batch, tmp_path / "given.parquet")
    assert pl.read_parquet(tmp_path / "read.parquet").equals(pl.read_parquet(tmp_path / "given.parquet"))
