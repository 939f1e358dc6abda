"""An evaluation: everything about a candidate, against the champion and the baselines, on rows new to both."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import roc_auc_score

from homeostat.ci.evaluate import Evaluation, directional, evaluate, invariant
from homeostat.ci.evaluate.baselines import persistence
from homeostat.ci.preprocess import split
from homeostat.ci.train import train
from homeostat.core.errors import DataError, LoopError, ModelError
from homeostat.core.model import Model, Output
from homeostat.core.schema import infer_schema
from homeostat.core.table.rows import prepare
from homeostat.core.table.spec import TableSpec
from tests.core.model_rows import NOW, SPEC, rows, schema_of, trained

OLD, TRAIN, TEST = rows(800), rows(1_600), rows(800, seed=5, start=1_600)
CANDIDATE = trained(TRAIN, model=LogisticRegression()).model()
CHAMPION = trained(OLD, model=LogisticRegression()).model()
FULL = evaluate(CANDIDATE, TRAIN, TEST, champion=CHAMPION, champion_version=1, slices=("carrier", "z"))


def test_metrics_are_taken_on_training_and_test_rows():
    expected = roc_auc_score(TEST["y"].to_numpy(), CANDIDATE.predict(TEST).positive)
    assert FULL.test["roc_auc"] == pytest.approx(expected)
    assert FULL.train["roc_auc"] is not None
    assert set(FULL.train) == set(FULL.test) >= {"roc_auc", "log_loss", "brier", "accuracy", "f1"}
    assert FULL.scored["roc_auc"].low < FULL.test["roc_auc"] < FULL.scored["roc_auc"].high


def test_the_champion_is_scored_on_the_same_rows():
    expected = roc_auc_score(TEST["y"].to_numpy(), CHAMPION.predict(TEST).positive)
    assert FULL.champion.other == pytest.approx(expected)
    assert FULL.champion.rows == TEST.height


def test_rows_that_the_champion_learned_from_are_not_compared():
    mixed = pl.concat([TRAIN.tail(300), TEST])
    later = trained(TRAIN, model=LogisticRegression()).model()
    assert evaluate(CANDIDATE, OLD, mixed, champion=later).champion.rows == TEST.height


def test_a_champion_that_learned_from_all_test_rows_is_not_compared():
    found = evaluate(CANDIDATE, OLD, TRAIN.tail(400), champion=CANDIDATE)
    assert found.champion is None
    assert any("trained on all of the test rows" in warning for warning in found.warnings)


def test_baselines_are_always_there():
    found = {baseline.name: baseline.metrics["roc_auc"] for baseline in FULL.baselines}
    assert found["majority"] == 0.5
    assert found["persistence"] == pytest.approx(0.5, abs=0.06)
    assert found["simple"] == pytest.approx(FULL.test["roc_auc"], abs=0.02)
    assert FULL.kappa_per > 0


def test_segments_are_values_and_quartiles():
    names = {(part.column, part.value) for part in FULL.slices}
    assert {("carrier", name) for name in ("AA", "DL", "UA", "WN")} < names
    assert sum(part.rows for part in FULL.slices if part.column == "z") == TEST.height
    assert all(part.gain is not None for part in FULL.slices)


def test_calibration_is_in_ten_bins():
    assert len(FULL.calibration.bins) == 10
    assert sum(part.rows for part in FULL.calibration.bins) == TEST.height
    assert FULL.calibration.error < 0.15


@pytest.mark.parametrize(
    ("target", "metric", "baseline"), [("three", "log_loss", "majority"), ("number", "mae", "mean")]
)
def test_other_tasks_are_evaluated_too(target: str, metric: str, baseline: str):
    train, test = rows(800, target=target), rows(400, target=target, seed=2, start=800)
    model = LogisticRegression() if target == "three" else None
    found = evaluate(trained(train, model=model).model(), train, test, slices=("carrier",))
    assert found.metric == metric
    assert found.baselines[0].name == baseline
    assert found.baselines[0].gain.lower() > 0


def test_an_evaluation_is_json():
    assert Evaluation.from_json(FULL.to_json()) == FULL


def test_the_same_rows_give_the_same_evaluation():
    again = evaluate(CANDIDATE, TRAIN, TEST, champion=CHAMPION, champion_version=1, slices=("carrier", "z"))
    assert again == FULL


def test_a_random_split_is_noticed_by_its_times():
    mixed = TRAIN.sample(fraction=1.0, shuffle=True, seed=0)
    train, test = mixed.head(1_200), mixed.tail(400)
    found = evaluate(trained(train, model=LogisticRegression()).model(), train, test)
    assert any("seen the future" in warning for warning in found.warnings)


def test_rows_in_both_parts_are_noticed_by_their_ids():
    found = evaluate(CANDIDATE, TRAIN, pl.concat([TRAIN.tail(10), TEST]))
    assert any("10 test rows are training rows too" in warning for warning in found.warnings)


def test_a_candidate_that_gives_nan_has_a_problem_and_no_metrics():
    class Broken:
        name = "broken"

        def output(self, rows):
            return Output(np.full((len(rows), 2), np.nan))

    found = evaluate(Model(CANDIDATE.manifest, Broken()), TRAIN, TEST)
    assert "NaN" in found.problems[0]
    assert found.test == {}


@pytest.mark.parametrize("part", ["train", "test"])
def test_no_rows_are_a_problem(part: str):
    parts = {"train": TRAIN, "test": TEST} | {part: TEST.head(0)}
    assert "rows" in evaluate(CANDIDATE, parts["train"], parts["test"]).problems[0]


def test_unlabelled_rows_are_refused():
    with pytest.raises(DataError, match="1 test rows have no label"):
        evaluate(CANDIDATE, TRAIN, TEST.with_columns(y=pl.when(pl.int_range(pl.len()) > 0).then("y")))


def test_a_column_to_slice_by_has_to_exist():
    with pytest.raises(DataError, match="no column 'airline'"):
        evaluate(CANDIDATE, TRAIN, TEST, slices=("airline",))


def test_a_metric_of_another_task_is_refused():
    with pytest.raises(LoopError, match="'mae' is a metric for regression"):
        evaluate(CANDIDATE, TRAIN, TEST, metric="mae")


def test_probabilities_are_not_asked_of_scores():
    model = trained(TRAIN, model=RidgeClassifier()).model()
    assert "log_loss" not in evaluate(model, TRAIN, TEST).test
    with pytest.raises(LoopError, match="needs probabilities"):
        evaluate(model, TRAIN, TEST, metric="log_loss")


def test_a_champion_that_cannot_run_any_more_is_not_compared():
    def features(table: pl.DataFrame) -> pl.DataFrame:
        return table.select("x", "z")

    bundle = trained(OLD, features=features)
    with pytest.raises(ModelError):
        bundle.model()
    found = evaluate(CANDIDATE, TRAIN, TEST, champion=bundle, champion_version=1)
    assert found.champion is None
    assert any("features() is not the one" in warning for warning in found.warnings)


def test_behaviours_are_tried():
    found = evaluate(
        CANDIDATE,
        TRAIN,
        TEST,
        behaviours=[
            invariant("the id says nothing", lambda table: table.with_columns(id=pl.lit("r0"))),
            invariant("x says nothing", lambda table: table.with_columns(x=pl.lit(3.0))),
            directional("more x, more y", lambda table: table.with_columns(x=pl.col("x") + 1), expect="up"),
            directional("more x, less y", lambda table: table.with_columns(x=pl.col("x") + 1), expect="down"),
        ],
    )
    assert [check.passed for check in found.behaviours] == [True, False, True, False]


def test_a_change_of_the_number_of_rows_is_no_behaviour():
    with pytest.raises(DataError, match="returned 3"):
        evaluate(CANDIDATE, TRAIN, TEST, behaviours=[invariant("half", lambda table: table.head(3))])


def test_a_leak_is_named():
    leaking = TRAIN.with_columns(arrived=pl.col("y").cast(pl.Float64) * 10 + pl.col("z") * 0.01)
    test = TEST.with_columns(arrived=pl.col("y").cast(pl.Float64) * 10 + pl.col("z") * 0.01)
    found = evaluate(trained(leaking).model(), leaking, test)
    assert [leak.feature for leak in found.leaks] == ["arrived"]
    assert FULL.leaks == ()


def test_persistence_uses_only_labels_that_were_known():
    train, test = rows(200), rows(100, seed=3, start=200)
    late = [table.with_columns(known=pl.col("at") + timedelta(days=300)) for table in (train, test)]
    model = trained(late[0]).model()
    found = {baseline.name: baseline for baseline in evaluate(model, *late).baselines}
    assert schema_of(late[0]).spec.label_time == "known"
    assert found["persistence"].metrics["roc_auc"] == 0.5


@pytest.mark.shared_data
def test_hourly_rentals_are_predicted_and_repeating_the_last_hour_is_almost_as_good(shared_data):
    spec = TableSpec(time="time", target="rides")
    table = prepare(pl.read_csv(shared_data / "bikes.csv.gz"), spec).drop("casual", "registered")
    parts = split(table, spec, test="60d")
    bundle = train(parts.train, parts.test, schema=infer_schema(table, spec), now=NOW)
    assert bundle.manifest.blob.runtime == "onnx"
    report = evaluate(bundle.model(), parts.train, parts.test, slices=("season",))
    found = {baseline.name: baseline.gain for baseline in report.baselines}
    assert report.metric == "mae"
    assert found["mean"].lower() > 50
    assert found["persistence"].lower() < 10
    assert 0 < report.kappa_per < 0.2
    assert report.test["r2"] > 0.6


def test_segments_are_compared_on_the_rows_that_the_champion_never_saw():
    mixed = pl.concat([TRAIN.tail(300), TEST])
    later = trained(TRAIN, model=LogisticRegression(C=0.01)).model()
    found = evaluate(CANDIDATE, OLD, mixed, champion=later, slices=("carrier",))
    assert {part.value for part in found.slices} == {"AA", "DL", "UA", "WN"}
    for part in found.slices:
        new = TEST.filter(pl.col("carrier") == part.value)
        assert part.rows > part.gain.rows == new.height
        for model, value in ((later, part.gain.other), (CANDIDATE, part.gain.value)):
            assert value == pytest.approx(roc_auc_score(new["y"].to_numpy(), model.predict(new).positive))


def test_a_champion_of_other_classes_is_not_compared():
    other = trained(rows(400, target="three"), model=LogisticRegression()).model()
    found = evaluate(CANDIDATE, TRAIN, TEST, champion=other)
    assert found.champion is None
    assert any("predicts other classes" in warning for warning in found.warnings)


def test_the_constant_answer_is_the_best_that_there_is():
    odd = TRAIN.filter(pl.col("y") | (pl.int_range(pl.len()) % 2 == 0))
    found = {one.name: one for one in evaluate(CANDIDATE, odd, TEST).baselines}
    assert odd["y"].mean() > 0.55
    assert found["majority"].metrics["accuracy"] == pytest.approx(TEST["y"].mean())
    skewed = rows(400, target="number").with_columns(y=pl.col("y") ** 3)
    numbers = evaluate(trained(skewed.head(300)).model(), skewed.head(300), skewed.tail(100))
    expected = (skewed["y"].tail(100) - skewed["y"].head(300).median()).abs().mean()
    assert numbers.baselines[0].metrics["mae"] == pytest.approx(expected)


def test_persistence_repeats_the_label_that_was_known_last_and_takes_its_shares_from_training_rows():
    train_rows, test = rows(300), rows(100, seed=3, start=300)
    flipped = test.with_columns(y=~pl.col("y"))
    first, second = (persistence(train_rows, one, SPEC, (False, True)) for one in (test, flipped))
    known = pl.concat([train_rows["y"], test["y"]])  # a label is known a day after its hour
    assert first.value.tolist() == known[300 - 24 : 400 - 24].to_list()
    shares = [dict(zip(said.value.tolist(), map(tuple, said.score.tolist()), strict=True)) for said in (first, second)]
    assert set(shares[0]) == {False, True}
    assert shares[0] == shares[1]


def test_a_segment_has_thirty_rows_or_is_not_told_and_unknown_numbers_are_in_none():
    place = pl.int_range(pl.len())
    named = pl.when(place < 29).then(pl.lit("few")).when(place < 59).then(pl.lit("enough")).otherwise(pl.lit("AA"))
    test = TEST.with_columns(carrier=named, x=pl.when(place % 2 == 0).then(None).otherwise("x"))
    found = evaluate(CANDIDATE, TRAIN, test, slices=("carrier", "x")).slices
    assert {part.value: part.rows for part in found if part.column == "carrier"} == {"AA": 741, "enough": 30}
    assert sum(part.rows for part in found if part.column == "x") == test["x"].count()


def test_training_rows_of_the_very_moment_of_the_first_test_row_are_noticed():
    same = pl.concat([TRAIN.tail(1).with_columns(id=pl.lit("another")), TEST])
    assert any("seen the future" in warning for warning in evaluate(CANDIDATE, TRAIN, same).warnings)
    assert not any("seen the future" in warning for warning in FULL.warnings)


def test_a_behaviour_may_be_broken_by_as_many_rows_as_it_says_and_no_more():
    def tried(allowed: float):
        change = invariant("x", lambda table: table.with_columns(x=pl.lit(3.0)), allowed=allowed, tolerance=0.3)
        return evaluate(CANDIDATE, TRAIN, TEST, behaviours=[change]).behaviours[0]

    broken = tried(0.0)
    assert 1 < broken.violations < broken.rows
    share = broken.violations / broken.rows
    assert [tried(allowed).passed for allowed in (share, share - 0.5 / broken.rows)] == [True, False]
