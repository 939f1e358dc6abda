"""Reading: versions, windows, and never a label before its time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import polars as pl
import pytest

from homeostat.core.errors import IntegrityError, NotFoundError
from homeostat.core.table.table import Table, TableSpec, read

if TYPE_CHECKING:
    from pathlib import Path

SPEC = TableSpec(time="at", key=("id",), target="late", label_time="landed")
START = datetime(2013, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def flights(*numbers: int, labelled: bool = True) -> pl.DataFrame:
    at = [START + number * HOUR for number in numbers]
    return pl.DataFrame(
        {"id": numbers, "at": at, "late": [n % 2 if labelled else None for n in numbers]},
        schema_overrides={"late": pl.Int64},
    ).with_columns(landed=pl.when(pl.lit(labelled)).then(pl.col("at") + 3 * HOUR))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "t", SPEC)


def test_rows_come_back_in_time_order_whatever_order_they_arrived_in(table: Table) -> None:
    table.append(flights(3, 1))
    table.append(flights(2, 0))
    assert table.read()["id"].to_list() == [0, 1, 2, 3]


def test_the_window_holds_its_start_and_not_its_end(table: Table) -> None:
    table.append(flights(0, 1, 2, 3))
    assert table.read(start=START + HOUR, end=START + 3 * HOUR)["id"].to_list() == [1, 2]


def test_an_old_version_is_read_as_it_was(table: Table) -> None:
    table.append(flights(1, labelled=False))
    old = table.snapshot()
    table.append(flights(1, 2))
    table.compact(over=0)
    assert read(old)["late"].to_list() == [None]
    assert table.snapshot(old.version) == old


def test_training_does_not_see_a_label_before_its_time(table: Table) -> None:
    """The leak is built: at 5:00 the labels of 3:00 and 4:00 are stored, but belong to the future."""
    table.append(flights(0, 1, 2, 3, 4))
    now = START + 5 * HOUR
    leaky = table.read(end=now)
    assert (leaky["landed"] > now).any()
    assert table.read(known_by=now)["id"].to_list() == [0, 1, 2]


def test_a_label_that_was_stored_later_but_known_earlier_counts_as_known(table: Table) -> None:
    table.append(flights(0, 1, labelled=False))
    table.append(flights(0))
    assert table.read(known_by=START + 3 * HOUR)["id"].to_list() == [0]


def test_a_target_whose_label_time_is_unknown_is_never_trained_on(table: Table) -> None:
    table.append(flights(0, 1).with_columns(landed=pl.when(pl.col("id") == 1).then("landed")))
    assert table.read(known_by=START + 99 * HOUR)["id"].to_list() == [1]
    assert table.count_trainable(START + 99 * HOUR) == 1


def test_without_a_label_time_labels_are_known_at_their_event(tmp_path: Path) -> None:
    table = Table(tmp_path / "t", TableSpec(time="at", key=("id",), target="late"))
    table.append(flights(0, 1, 2).drop("landed"))
    assert table.read(known_by=START + HOUR)["id"].to_list() == [0, 1]
    assert table.count_trainable(START + HOUR) == 2


def test_counting_trainable_rows_agrees_with_reading_them(table: Table) -> None:
    table.append(flights(*range(10), labelled=False))
    table.append(flights(*range(0, 10, 2)))
    for hour in range(14):
        now = START + hour * HOUR
        assert table.count_trainable(now) == table.read(known_by=now).height


def test_chosen_columns_come_in_the_order_asked_for(table: Table) -> None:
    table.append(flights(1, labelled=False))
    table.append(flights(1, 0))
    assert table.read(columns=["late", "id"]).rows() == [(0, 0), (1, 1)]


def test_a_column_that_is_not_there_is_named(table: Table) -> None:
    table.append(flights(1))
    with pytest.raises(NotFoundError, match=r"no column 'lat'\n  hint: did you mean 'late'"):
        table.read(columns=["lat"])


def test_an_empty_table_reads_as_no_rows_and_has_no_snapshot(table: Table) -> None:
    assert table.read().is_empty()
    assert table.count_trainable(START) == 0
    assert table.newest is None
    with pytest.raises(NotFoundError, match="has no rows yet"):
        table.snapshot()


def test_a_version_that_never_was_is_not_found(table: Table) -> None:
    table.append(flights(1))
    with pytest.raises(NotFoundError, match="no version 7"):
        table.snapshot(7)


def test_equal_rows_have_equal_digests_however_they_came(tmp_path: Path) -> None:
    one, other = Table(tmp_path / "one", SPEC), Table(tmp_path / "other", SPEC)
    one.append(flights(0, 1, 2))
    for number in (2, 0, 1, 0):
        other.append(flights(number, labelled=False))
    other.append(flights(1, 0, 2))
    assert one.snapshot().digest == other.snapshot().digest
    assert one.content_digest() == other.content_digest()
    assert one.read().equals(other.read())


def test_another_value_gives_another_digest(tmp_path: Path) -> None:
    one, other = Table(tmp_path / "one", SPEC), Table(tmp_path / "other", SPEC)
    one.append(flights(0, 1))
    other.append(flights(0, 1).with_columns(late=1))
    assert one.snapshot().digest != other.snapshot().digest


def test_compaction_changes_files_and_version_but_not_the_rows(table: Table) -> None:
    for number in range(5):
        table.append(flights(number, labelled=False))
    table.append(flights(1, 2))
    before, rows = table.snapshot(), table.read()
    assert table.compact(over=3)
    assert not table.compact(over=3)
    assert table.snapshot().digest == before.digest == table.content_digest()
    assert table.read().equals(rows)
    assert table.append(flights(3)).labelled == 1


def test_a_damaged_data_file_is_an_integrity_error(table: Table) -> None:
    table.append(flights(0, 1))
    file = next(table.folder.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:-9] + b"123456789")
    with pytest.raises(IntegrityError, match="damaged"):
        table.read()


def test_rows_that_are_not_those_of_the_snapshot_are_noticed(table: Table) -> None:
    table.append(flights(0, 1))
    other = msgspec.structs.replace(table.snapshot(), digest="0" * 32)
    with pytest.raises(IntegrityError, match="digest"):
        table.content_digest(other)
