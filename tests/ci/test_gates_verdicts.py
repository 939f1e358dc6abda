"""Gates are pure: they pass and refuse by the numbers in an evaluation, and say which."""

from __future__ import annotations

import msgspec
import pytest

from homeostat.ci import gates
from homeostat.ci.evaluate import Baseline, Behaved, Evaluation, Leak, Scored, Segment
from homeostat.ci.evaluate.report import CalibrationReport
from homeostat.core.errors import LoopError
from homeostat.core.stats.metrics import Difference


def gain(of: float, error: float = 0.005, *, value: float = 0.75, rows: int = 5_000) -> Difference:
    return Difference(metric="roc_auc", rows=rows, value=value, other=value - of, gain=of, error=error)


GOOD = Evaluation(
    task="classification",
    metric="roc_auc",
    classes=("False", "True"),
    train={"roc_auc": 0.8, "accuracy": 0.9},
    test={"roc_auc": 0.75, "log_loss": 0.4},
    train_rows=20_000,
    test_rows=5_000,
    rarest_class=900,
    baselines=(
        Baseline(name="majority", metrics={"roc_auc": 0.5}, gain=gain(0.25)),
        Baseline(name="persistence", metrics={"roc_auc": 0.55}, gain=gain(0.2)),
        Baseline(name="simple", metrics={"roc_auc": 0.7}, gain=gain(0.05)),
    ),
    champion=gain(0.02),
    champion_version=3,
    slices=(
        Segment(column="carrier", value="AA", rows=900, scored=Scored(value=0.7), gain=gain(0.01)),
        Segment(column="carrier", value="UA", rows=900, scored=Scored(value=0.7), gain=gain(0.03)),
    ),
    calibration=CalibrationReport(error=0.03, bins=()),
    inputs={"x": "number"},
    champion_inputs={"x": "number"},
)
ALONE = msgspec.structs.replace(
    GOOD,
    champion=None,
    champion_version=None,
    champion_inputs=None,
    slices=tuple(msgspec.structs.replace(part, gain=None) for part in GOOD.slices),
)
EVERY = (
    gates.beats_champion(),
    gates.not_worse_than_champion(),
    gates.at_least(roc_auc=0.7, log_loss=0.5),
    gates.slices("carrier", drop=0.05),
    gates.beats_baseline(),
    gates.calibrated(),
    gates.not_leaking(),
)


def but(**changes) -> Evaluation:
    return msgspec.structs.replace(GOOD, **changes)


@pytest.mark.parametrize("evaluation", [GOOD, ALONE], ids=["with champion", "first model"])
def test_a_good_candidate_passes_everything(evaluation: Evaluation):
    refused = [verdict for verdict in gates.judge(evaluation, EVERY) if not verdict.passed]
    assert not refused


@pytest.mark.parametrize(
    ("gate", "evaluation", "words"),
    [
        (gates.beats_champion(), but(champion=gain(0.005)), "not above 0"),
        (gates.beats_champion(margin=0.02), GOOD, "not above 0.02"),
        (gates.beats_champion(), but(champion=None), "not scored on the test rows"),
        (gates.not_worse_than_champion(0.01), but(champion=gain(-0.005)), "below -0.01"),
        (gates.at_least(roc_auc=0.8), GOOD, "roc_auc is 0.7500 and has to be 0.8"),
        (gates.at_least(log_loss=0.3), GOOD, "log_loss is 0.4000 and has to be 0.3"),
        (gates.at_least(f1=0.3), GOOD, "f1 is undefined"),
        (gates.slices("origin"), GOOD, "no segments by origin"),
        (gates.beats_baseline(margin=0.1), GOOD, "not better beyond noise than simple"),
        (gates.beats_baseline("mean"), GOOD, "mean"),
        (gates.calibrated(0.01), GOOD, "0.0300 and may be 0.01"),
        (gates.calibrated(), but(calibration=None), "no probabilities"),
        (gates.not_leaking(), but(leaks=(Leak(feature="arrived", strength=0.999, detail=""),)), "arrived (0.999)"),
        (gates.behaves(), GOOD, "no behaviour was declared"),
    ],
)
def test_a_gate_refuses_with_its_numbers(gate: gates.Gate, evaluation: Evaluation, words: str):
    verdict = gate.check(evaluation)
    assert not verdict.passed
    assert words in verdict.reason
    assert msgspec.json.decode(msgspec.json.encode(verdict)) is not None


@pytest.mark.parametrize(
    ("evaluation", "gate", "words"),
    [
        (but(problems=("the model gave NaN",), test={}, train={}), "complete", "gave NaN"),
        (but(train={}), "complete", "train rows is missing"),
        (but(test={"roc_auc": None}), "complete", "test rows is missing"),
        (but(test={"roc_auc": float("nan")}), "complete", "is nan"),
        (but(test_rows=99), "enough_rows", "99 test rows are fewer than 100"),
        (but(rarest_class=9), "enough_rows", "9 test rows of the rarer class"),
        (but(baselines=(Baseline(name="majority", metrics={}, gain=gain(0.005)),)), "not_trivial", "tie within noise"),
        (but(baselines=()), "not_trivial", "no constant answer"),
        (but(inputs={"x": "number", "y": "text"}), "same_schema", "other columns than the champion: y"),
        (but(inputs={"x": "category"}), "same_schema", "x"),
        (but(champion=gain(0.0, 0.0)), "not_tied", "same"),
    ],
)
def test_the_standing_checks_cannot_be_switched_off(evaluation: Evaluation, gate: str, words: str):
    refused = {verdict.gate: verdict.reason for verdict in gates.judge(evaluation, ()) if not verdict.passed}
    assert words in refused[gate]


WIDER = {"x": "number", "y": "text"}


def test_columns_that_a_person_accepted_are_refused_until_a_person_promotes_them():
    for accepted, binding in ((WIDER, False), ({"x": "number"}, True), (None, True)):
        verdicts = gates.judge(but(inputs=WIDER, accepted_inputs=accepted), ())
        (verdict,) = [one for one in verdicts if one.gate == "same_schema"]
        assert (verdict.passed, verdict.binding) == (False, binding)
        assert ("as was accepted" in verdict.reason) is not binding


@pytest.mark.parametrize(
    ("before", "now"), [("integer", "number"), ("category", "text"), ("unknown", "number"), ("unknown", "boolean")]
)
def test_columns_that_callers_may_go_on_to_send_are_the_same(before: str, now: str):
    evaluation = but(inputs={"x": now}, champion_inputs={"x": before}, accepted_inputs={"x": now})
    (verdict,) = [one for one in gates.judge(evaluation, ()) if one.gate == "same_schema"]
    assert (verdict.passed, verdict.binding) == (True, True)


def test_repeating_the_last_label_is_trivial():
    same = (GOOD.baselines[0], Baseline(name="persistence", metrics={}, gain=gain(0.0, 0.0)))
    refused = {verdict.gate for verdict in gates.standing(but(baselines=same)) if not verdict.passed}
    assert refused == {"not_trivial"}


def test_few_and_many_values_of_a_text_column_are_the_same_contract():
    verdicts = gates.standing(but(inputs={"x": "text"}, champion_inputs={"x": "category"}))
    assert all(verdict.passed for verdict in verdicts)


def test_a_segment_that_is_worse_by_chance_only_is_not_refused():
    noisy = Segment(column="carrier", value="FL", rows=300, scored=Scored(value=0.6), gain=gain(-0.06, error=0.05))
    assert gates.slices("carrier", drop=0.05).check(but(slices=(noisy,))).passed


def test_a_segment_with_too_few_rows_is_not_judged():
    small = Segment(column="carrier", value="FL", rows=50, scored=Scored(value=0.6), gain=gain(-0.3, rows=50))
    assert gates.slices("carrier", drop=0.05, min_rows=100).check(but(slices=(small,))).passed


def test_declared_behaviours_are_a_gate():
    held = Behaved(name="a", kind="invariance", rows=10, violations=0, allowed=0, passed=True, detail="none")
    broke = msgspec.structs.replace(held, name="b", passed=False, detail="3 of 10 rows did otherwise")
    assert gates.behaves().check(but(behaviours=(held,))).passed
    assert "b: 3 of 10" in gates.behaves().check(but(behaviours=(held, broke))).reason


@pytest.mark.parametrize(
    "make",
    [
        lambda: gates.beats_champion(margin=-1),
        lambda: gates.beats_champion(confidence=1.0),
        gates.at_least,
        lambda: gates.at_least(roc_acu=0.7),
        gates.slices,
        lambda: gates.beats_baseline("random"),
        lambda: gates.calibrated(ece=2),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused_when_it_is_declared(make):
    with pytest.raises(LoopError):
        make()


def test_gates_are_values():
    assert gates.beats_champion() == gates.beats_champion()
    assert gates.slices("carrier").slices == ("carrier",)
    assert gates.at_least(roc_auc=0.6).slices == ()


def test_an_evaluation_survives_json():
    assert Evaluation.from_json(GOOD.to_json()) == GOOD
