"""Window policies are compared on the same rows, with labels as they became known; persistence is beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat.ci.backtest import backtest
from homeostat.core.errors import DataError
from homeostat.core.table.rows import prepare
from homeostat.core.table.spec import TableSpec
from homeostat.ct.how import Refit
from tests.core.model_rows import SPEC, START, rows

TABLE = rows(800)


class Watching:
    """A method that records what it was shown."""

    def __init__(self):
        self.newest = []

    def select(self, table, time, now):
        self.newest.append((table[time].max(), now))
        return table

    def weights(self, table, time, now):
        return None


def test_nothing_is_learned_before_its_label_is_known():
    seen = Watching()
    backtest(TABLE, SPEC, {"all": seen}, start=START + timedelta(days=10), every="5d", model=LogisticRegression())
    assert len(seen.newest) == 5
    assert all(newest + timedelta(days=1) <= now for newest, now in seen.newest)


def test_methods_are_scored_on_the_same_rows():
    methods = {"sliding": Refit(window="8d"), "expanding": Refit(), "weighted": Refit(half_life="5d")}
    found = backtest(TABLE, SPEC, methods, start=START + timedelta(days=10), every="10d", model=LogisticRegression())
    assert {report.rows for report in found.reports.values()} == {560}
    assert len({report.persistence for report in found.reports.values()}) == 1
    assert found.refits == 3


def test_the_weights_of_a_method_are_learned_with():
    methods = {"even": Refit(), "recent": Refit(half_life="1d")}
    found = backtest(
        TABLE,
        SPEC,
        methods,
        start=START + timedelta(days=10),
        every="10d",
        model=LogisticRegression(),
        metric="log_loss",
    )
    assert found.reports["even"].value != found.reports["recent"].value


def test_a_start_outside_the_history_is_refused():
    with pytest.raises(DataError, match="before"):
        backtest(TABLE, SPEC, {"all": Refit()}, start=START, every="5d")


@pytest.mark.shared_data
def test_persistence_beats_a_monthly_refit_on_the_electricity_market(shared_data):
    spec = TableSpec(time="time", target="price_up")
    table = prepare(pl.read_csv(shared_data / "elec2.csv.gz"), spec)
    found = backtest(
        table,
        spec,
        {"monthly": Refit(window="60d")},
        start=datetime(1996, 7, 6, tzinfo=UTC),
        every="28d",
        model=LogisticRegression(),
    ).reports["monthly"]
    assert found.value == pytest.approx(0.776, abs=0.005)
    assert found.persistence == pytest.approx(0.853, abs=0.003)
    assert found.majority == pytest.approx(0.575, abs=0.003)
    assert found.kappa_per == pytest.approx(-0.53, abs=0.05)
    assert found.verdict.startswith("repeating the last label (0.854) is as good as or beats")
