"""Labelled rows of the log get into the training table when they fit it, and not again once they were removed."""

from __future__ import annotations

import polars as pl
import pytest

from homeostat.cd.labels.training_rows import training_rows
from homeostat.ci.admit import schema_of
from homeostat.ci.collect import collect, record
from homeostat.connect import FrameSource
from homeostat.core.clock import SystemClock, VirtualClock
from homeostat.core.events import ColumnChange, SchemaAccepted
from homeostat.engine.table.admission import Admission
from homeostat.engine.table.remove import Selection, remove
from tests.cd.serving import LOOP, NOON, SPEC, bundle, flights, promote, raw, register


@pytest.fixture
def table(store):
    promote(store, register(store, bundle()))
    table = store.table(LOOP, "rows", SPEC)
    source = FrameSource(
        flights(), time="scheduled", key="flight_id", target="late", label_time="landed", name="first flights"
    )
    collect(source, table, store.ledger, LOOP, VirtualClock(NOON), accepted=schema_of(store, LOOP))
    return table


def labelled(table, rows=5):
    """Rows as the log gives them, in the training table's types."""
    frame = flights(rows, seed=7)
    given = [(row, False, moment) for row, moment in zip(raw(frame), frame["landed"], strict=True)]
    return training_rows(given, bundle().manifest.signature, SPEC, table.columns["late"])[0]


def test_a_null_where_there_was_none_is_set_aside_and_the_others_are_taken(store, table):
    rows = labelled(table).with_columns(carrier=pl.Series(["UA", None, "AA", "AA", "UA"]))
    taken, aside = Admission(store, LOOP, table).admitted(rows)
    assert (taken.height, aside.total()) == (4, 1)
    assert taken["carrier"].null_count() == 0


def test_rows_that_a_person_took_out_do_not_come_back_with_the_log(store, table):
    admission = Admission(store, LOOP, table)
    rows, _ = admission.admitted(labelled(table))
    record(rows, table, store.ledger, LOOP, SystemClock(), source="prediction log")
    chosen = Selection(keys=("f7-0", "f7-3"))
    event = remove(store, LOOP, table, chosen, user="ann", reason="test", clock=VirtualClock(NOON))
    assert (event.rows, table.rows) == (2, 403)
    for door in (admission, Admission(store, LOOP, table)):
        again, aside = door.admitted(labelled(table))
        assert sorted(again["flight_id"]) == ["f7-1", "f7-2", "f7-4"]
        assert aside == {"taken out by a person before": 2}
    remove(store, LOOP, table, Selection(keys=("f7-1",)), user="ann", reason="test", clock=VirtualClock(NOON))
    again, aside = admission.admitted(labelled(table))
    assert sorted(again["flight_id"]) == ["f7-2", "f7-4"]
    assert aside == {"taken out by a person before": 3}
    mended, _ = admission.admitted(labelled(table).with_columns(wind=pl.lit(1.5)))
    assert mended.height == 5


def test_rows_follow_the_columns_that_were_accepted_since_they_were_asked_for(store, table):
    changes = (ColumnChange(column="wind", kind=None), ColumnChange(column="gust", kind="number", nullable=True))
    accepted = SchemaAccepted(loop=LOOP, user="ann", reason="gusts", changes=changes, described=())
    store.ledger.append(accepted, time=NOON)
    table.rewrite(lambda rows: rows.drop("wind").with_columns(gust=pl.lit(None, pl.Float64())), source="accept-schema")
    taken, aside = Admission(store, LOOP, table).admitted(labelled(table))
    assert (taken.height, aside.total(), set(taken.columns)) == (5, 0, set(table.columns))
    assert table.append(taken).rows == 5
