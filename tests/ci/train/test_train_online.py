"""Online training: test, then learn; continue where the parent stopped, or say why not."""

from __future__ import annotations

import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression, SGDClassifier

from homeostat.ci.train.online import train_online
from homeostat.core.errors import ModelError
from homeostat.core.schema import infer_schema
from homeostat.core.table.rows import prepare
from homeostat.core.table.spec import TableSpec
from homeostat.ct.how import Online
from tests.core.model_rows import NOW, rows, schema_of

TABLE = rows(1_000)


def taught(table: pl.DataFrame, how: Online, **settings):
    return train_online(table, TABLE.head(50), schema=schema_of(TABLE), now=NOW, how=how, **settings)


@pytest.mark.parametrize(
    ("how", "model"),
    [(Online(learning_rate=0.2), None), (Online(learner="estimator", batch=10), SGDClassifier(loss="log_loss"))],
    ids=["linear", "estimator"],
)
def test_going_on_from_a_parent_is_the_same_as_never_stopping(how: Online, model):
    whole = taught(TABLE, how, model=model)
    parent = taught(TABLE.head(500), how, model=model)
    child = taught(TABLE, how, model=model, parent=parent.bundle)
    assert child.bundle.manifest.lineage.how["began"] == "continued"
    assert (parent.report.rows, child.report.rows) == (500, 500)
    if how.learner == "linear":
        assert child.bundle.data == whole.bundle.data
    assert child.bundle.manifest.lineage.how["learned_rows"] == 1_000


def test_rows_are_learned_in_the_order_of_their_labels():
    shuffled = TABLE.sample(fraction=1.0, shuffle=True, seed=2)
    assert taught(shuffled, Online()).bundle.data == taught(TABLE, Online()).bundle.data


def test_the_report_is_prequential_and_beside_persistence():
    report = taught(TABLE, Online(learning_rate=0.2)).report
    assert report.value > 0.65
    assert report.persistence == pytest.approx(0.5, abs=0.08)
    assert report.kappa_per > 0


def features(table: pl.DataFrame) -> pl.DataFrame:
    return table.select("x", "carrier")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"features": features}, "features() changed"),
        ({"how": Online(learning_rate=0.5)}, "learning_rate changed"),
    ],
)
def test_a_change_begins_anew_and_says_why(change: dict, reason: str):
    parent = taught(TABLE.head(500), Online()).bundle
    child = taught(TABLE, **{"how": Online(), "parent": parent} | change)
    assert reason in child.bundle.manifest.lineage.how["began"]
    assert child.report.rows == 1_000


def test_numbers_are_learned_too():
    table = rows(1_000, target="number")
    learned = train_online(table, table, schema=schema_of(table), now=NOW, how=Online(learning_rate=0.1))
    assert learned.report.metric == "mae"
    assert learned.report.value < learned.report.majority
    learned.bundle.model().check_golden()


def test_three_classes_are_refused_by_the_linear_learner():
    table = rows(200, target="three")
    with pytest.raises(ModelError, match="takes two classes"):
        train_online(table, table, schema=schema_of(table), now=NOW, how=Online())


def test_an_estimator_without_partial_fit_is_refused():
    with pytest.raises(ModelError, match="LogisticRegression cannot learn online"):
        taught(TABLE, Online(learner="estimator"), model=LogisticRegression())


def test_nothing_new_changes_nothing():
    parent = taught(TABLE, Online()).bundle
    child = taught(TABLE, Online(), parent=parent)
    assert child.bundle.data == parent.data
    assert child.report.rows == 0


@pytest.mark.shared_data
def test_row_by_row_learning_follows_the_electricity_market(shared_data):
    spec = TableSpec(time="time", target="price_up")
    table = prepare(pl.read_csv(shared_data / "elec2.csv.gz"), spec)
    schema = infer_schema(table, spec)
    found = {}
    for rate in (0.05, 1.0):
        how = Online(learning_rate=rate)
        found[rate] = train_online(table, table.head(50), schema=schema, now=NOW, how=how).report
    assert found[0.05].kappa_per < 0.1
    assert found[1.0].value == pytest.approx(0.89, abs=0.01)
    assert found[1.0].persistence == pytest.approx(0.853, abs=0.003)
    assert found[1.0].kappa_per > 0.2
