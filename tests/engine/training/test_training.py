"""A training command is carried out once, on what was known when it was given, and however it ends that is recorded."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat import FrameSource, how, where
from homeostat.cd.deploy import Immediately
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import DataError, HomeostatError, NotFoundError
from homeostat.core.store import Store
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.training.training import carry_out, end_training, outstanding, previous_report
from homeostat.loop import Loop
from tests.ci.small_loop import NOW, START, small_loop, table

DAY = timedelta(days=1)
ROWS = table(2_000)


class Failing(LogisticRegression):
    """A model that cannot be trained."""

    def fit(self, rows, target):
        raise RuntimeError("no fit today")


def declared(rows: pl.DataFrame | None = None, **changes) -> Loop:
    source = FrameSource(ROWS if rows is None else rows, time="at", key="id", target="late", label_time="landed")
    plain = {"source": source, "where": where.Local(), "gates": [], "deploy": Immediately()}
    return small_loop(**{**plain, **changes})


def asked(store: Store, loop: Loop, now=NOW) -> str:
    """Somebody wants a run; gives its trigger."""
    feed = Feed(store.ledger, Rules.of(loop))
    request = ev.RetrainRequested(loop=loop.name, user="ann", reason="now", request=f"r{store.ledger.newest()}")
    feed.give(request, time=now)
    assert feed.state.inflight is not None
    return feed.state.inflight.key


def registered(store: Store, version: int) -> ev.VersionRegistered:
    event = store.ledger.event(store.ledger.version("flights", version).seq).event
    assert isinstance(event, ev.VersionRegistered)
    return event


def ends(store: Store) -> list[ev.TrainingEnded]:
    return [one.event for one in store.ledger.events(kinds=(ev.TrainingEnded,))]  # type: ignore[misc]


def test_a_command_is_carried_out_on_labels_that_were_known_when_it_was_given(store: Store) -> None:
    loop, now = declared(), START + 8 * DAY
    version = carry_out(store, loop, asked(store, loop, now), clock=VirtualClock(NOW))
    assert version == 1
    event = registered(store, version)
    assert event.trainable == int((ROWS["landed"] <= now).sum())
    assert event.window_end is not None
    assert event.window_end <= now - timedelta(hours=3)
    assert event.trained_rows < event.trainable


def test_a_command_that_is_carried_out_again_has_the_version_that_it_had(store: Store) -> None:
    loop = declared()
    key = asked(store, loop)
    assert [carry_out(store, loop, key, clock=VirtualClock(NOW)) for _ in range(2)] == [1, 1]
    assert [row.trigger for row in store.ledger.versions("flights")] == [key]


def test_a_later_version_names_its_parent_and_only_its_own_window(store: Store) -> None:
    first = declared()
    carry_out(store, first, asked(store, first, START + 6 * DAY), clock=VirtualClock(START + 6 * DAY))
    second = declared(how=how.Refit(window="5d"))
    assert store.ledger.champion("flights") is not None
    version = carry_out(store, second, asked(store, second), clock=VirtualClock(NOW))
    assert version == 2
    event = registered(store, version)
    assert (registered(store, 1).parent, event.parent) == (None, 1)
    assert (registered(store, 1).how, event.how) == ("expanding", "sliding 5d")
    assert event.window_start is not None
    assert event.window_start >= NOW - 5 * DAY


@pytest.mark.parametrize(
    ("broken", "status"),
    [({"model": Failing()}, "failed"), ({"rows": ROWS.with_columns(late=pl.lit(None, pl.Int64()))}, "stopped")],
)
def test_a_run_that_ends_without_a_version_says_whether_the_data_were_to_blame(
    store: Store, broken: dict, status: str
) -> None:
    loop = declared(**broken)
    key = asked(store, loop)
    assert carry_out(store, loop, key, clock=VirtualClock(NOW)) is None
    (ended,) = ends(store)
    assert (ended.trigger, ended.status) == (key, status)
    assert Feed(store.ledger, Rules.of(loop)).catch_up().inflight is None
    with pytest.raises(DataError if status == "stopped" else HomeostatError):
        carry_out(store, loop, asked(store, loop), clock=VirtualClock(NOW), raising=True)
    assert [one.status for one in ends(store)] == [status, status]


def test_the_end_of_a_trigger_is_recorded_once_and_names_its_newest_run(store: Store) -> None:
    loop = declared(model=Failing())
    key = asked(store, loop)
    carry_out(store, loop, key, clock=VirtualClock(NOW))
    feed = Feed(store.ledger, Rules.of(loop))
    end_training(store, feed, VirtualClock(NOW), key, "cancelled", "again")
    (ended,) = ends(store)
    assert (ended.status, ended.run) == ("failed", store.ledger.runs("flights")[0].run)


def test_a_trigger_that_nobody_decided_has_no_command(store: Store) -> None:
    loop = declared()
    first = asked(store, loop)
    assert outstanding(store, "flights", first).now == NOW
    with pytest.raises(NotFoundError, match="for the trigger 'flights/99'"):
        outstanding(store, "flights", "flights/99")
    with pytest.raises(NotFoundError):
        outstanding(store, "other", first)


def test_a_run_is_compared_with_the_report_of_the_one_before(store: Store) -> None:
    loop = declared()
    assert previous_report(store, loop) is None
    carry_out(store, loop, asked(store, loop, START + 6 * DAY), clock=VirtualClock(START + 6 * DAY))
    first = previous_report(store, loop)
    between = store.ledger.newest()
    carry_out(store, loop, asked(store, loop), clock=VirtualClock(NOW))
    second = previous_report(store, loop)
    assert first.statistics != second.statistics
    assert previous_report(store, loop, before=between + 1).statistics == first.statistics
