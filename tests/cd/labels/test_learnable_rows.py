"""One labelled row that cannot be learned from does not keep the others from it, and says why."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from homeostat.cd.labels.training_rows import storable, training_rows
from homeostat.cd.labels.values import stored_label
from homeostat.core.model import Signature
from homeostat.core.schema import Column
from homeostat.core.table.spec import TableSpec
from homeostat.core.table.table import Table
from tests.cd.log_records import LATER, NOON

SPEC = TableSpec(time="at", key=("id",), target="y", label_time="known")
SIGNATURE = Signature(
    inputs=(
        Column(name="id", kind="category", nullable=False),
        Column(name="at", kind="time", nullable=False),
        Column(name="wind", kind="number", nullable=True),
    ),
    key=("id",),
    time="at",
    target="y",
    task="regression",
)


def labelled(name="a", label=1, known=LATER, at=NOON, wind=3.5):
    return ({"id": name, "at": at, "wind": wind}, label, known)


def learned(*rows, dtype=None):
    return training_rows(rows, SIGNATURE, SPEC, dtype or pl.Int64())


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (labelled(None), "no key"),
        (labelled(at=None), "no time"),
        (labelled(known=NOON - timedelta(seconds=1)), "a label from before the row"),
        (labelled(label="late"), "a label that is no Int64"),
        (labelled(label=30.7), "a label that is no Int64"),
        (labelled(label=2**80), "a label that is no Int64"),
        (labelled(wind=float("inf")), "numbers that are not finite"),
        (labelled(wind="strong"), "inputs of another type"),
    ],
)
def test_a_row_that_cannot_be_stored_is_set_aside_alone(tmp_path, row, reason):
    rows, aside = learned(labelled("b"), row, labelled("c"))
    assert rows["id"].to_list() == ["b", "c"]
    assert aside == {reason: 1}
    assert Table(tmp_path / "rows", SPEC).append(rows).rows == 2


def test_labels_are_stored_in_the_type_of_the_target():
    rows, aside = learned(labelled("a", 30.0), labelled("b", True), labelled("c", "7"))
    assert (rows["y"].to_list(), rows["y"].dtype, aside) == ([30, 1, 7], pl.Int64, {})
    texts, _ = learned(labelled("a", "late"), labelled("b", 1), labelled("c", True), dtype=pl.String())
    assert texts["y"].to_list() == ["late", "1", "true"]


@pytest.mark.parametrize("label", [float("nan"), float("inf"), "late", 10**400])
def test_a_number_is_a_finite_one(label):
    assert stored_label(label, pl.Float64()) is None


def test_a_truth_value_may_be_given_as_a_number_and_nothing_else():
    given = [True, 0, 1.0, 2, "true"]
    assert [stored_label(label, pl.Boolean()) for label in given] == [True, False, True, None, None]


def test_nothing_is_learned_from_no_rows():
    rows, aside = learned(labelled(None))
    assert (rows.height, rows.columns, aside) == (0, ["id", "at", "wind", "y", "known"], {"no key": 1})


def test_of_rows_that_a_table_refuses_for_a_reason_of_its_own_the_others_are_taken(tmp_path):
    table = Table(tmp_path / "rows", SPEC)
    table.append(learned(labelled("z"))[0].with_columns(wind=pl.lit(1, dtype=pl.Int64)))
    rows, _ = learned(labelled("a", wind=2.0), labelled("b", wind=2.5), labelled("c", wind=None))
    kept, aside = storable(rows, table.conform)
    assert kept["id"].to_list() == ["a", "c"]
    assert aside == {"not as the training table stores rows": 1}
    assert table.append(kept).rows == 2
