"""Files of a batch are read as files of the training data are: the schema says what a column is, not its looks."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from homeostat.cd.infer import infer
from homeostat.core.schema import fit, infer_schema
from homeostat.core.table.chunks import Chunks
from homeostat.core.table.files import SUFFIXES
from homeostat.core.table.form import form_of
from homeostat.core.table.spec import TableSpec
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file_that_is_collected_can_be_predicted(suffix: str, tmp_path: Path) -> None:
    batch = ROWS.head(20).drop("late", "landed")
    kind = suffix.removesuffix(".gz").removeprefix(".")
    plain = tmp_path / f"plain.{kind}"
    writers = {"parquet": batch.write_parquet, "csv": batch.write_csv, "json": batch.write_json}
    writers.get(kind, batch.write_ndjson)(plain)
    data = plain.read_bytes()
    file = tmp_path / f"batch{suffix}"
    file.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    assert infer(bundle(ROWS).model(), file, tmp_path / "out.parquet").rows == 20


def test_an_unknown_time_in_a_text_file_is_unknown(tmp_path: Path) -> None:
    schema = infer_schema(
        pl.DataFrame({"at": ["2013-01-01"], "opened": [datetime(2012, 1, 1, tzinfo=UTC)]}), TableSpec(time="at")
    )
    (tmp_path / "a.csv").write_text("at,opened\n2013-01-02,NA\n2013-01-03,2012-01-01\n")
    (chunk,) = Chunks(tmp_path / "a.csv", schema.as_read, form_of(), size=9).read()
    rows, _ = fit(chunk.rows, schema, target_required=False)
    assert rows["opened"].to_list() == [None, datetime(2012, 1, 1, tzinfo=UTC)]
