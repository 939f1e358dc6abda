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


def segment(value: str, of: float, error: float, *, column: str = "carrier", rows: int = 900) -> Segment:
    found = gain(of, error, rows=rows)
    return Segment(column=column, value=value, rows=rows, scored=Scored(value=0.7), gain=found)


def baseline(name: str, of: float, error: float) -> Baseline:
    return Baseline(name=name, metrics={}, gain=gain(of, error))


SURE = 0.001
"""A standard error so small that the gain is what it seems."""


@pytest.mark.parametrize(
    ("gate", "evaluation", "passed"),
    [
        (gates.beats_champion(), but(champion=gain(0.0, 0.0)), False),
        (gates.beats_champion(0.02), but(champion=gain(0.02, 0.0)), False),
        (gates.beats_champion(0.02), but(champion=gain(0.03, SURE)), True),
        (gates.beats_champion(), but(champion=gain(0.01, 0.005)), True),
        (gates.beats_champion(confidence=0.99), but(champion=gain(0.01, 0.005)), False),
        (gates.not_worse_than_champion(0.01), but(champion=gain(-0.005, SURE)), True),
        (gates.not_worse_than_champion(0.01), but(champion=gain(-0.01, 0.0)), False),
        (gates.not_worse_than_champion(0.01), but(champion=gain(0.0, 0.01)), False),
        (gates.at_least(roc_auc=0.75, log_loss=0.4), GOOD, True),
        (gates.at_least(roc_auc=0.76, log_loss=0.5), GOOD, False),
        (gates.at_least(roc_auc=0.7, log_loss=0.39), GOOD, False),
        (gates.calibrated(0.03), GOOD, True),
        (gates.beats_baseline("simple"), but(baselines=(baseline("simple", 0, 0),)), False),
        (gates.beats_baseline(margin=0.05), but(baselines=GOOD.baselines[:2]), True),
        (gates.beats_baseline("majority", margin=0.25), GOOD, False),
        (gates.beats_baseline("majority", "mean"), GOOD, False),
        (gates.beats_baseline(), but(baselines=(baseline("mean", 0.01, 0.02),)), False),
        (gates.beats_baseline(confidence=0.999), but(baselines=(baseline("mean", 0.01, 0.005),)), False),
        (gates.slices("carrier", drop=0.05), but(slices=(segment("AA", -0.04, SURE),)), True),
        (gates.slices("carrier", drop=0.05), but(slices=(segment("AA", -0.06, SURE),)), False),
        (gates.slices("carrier", drop=0.05), but(slices=(segment("AA", -0.06, 0.05),)), True),
        (gates.slices("carrier", drop=0.05), but(slices=(segment("AA", 0.0, SURE), segment("B", -0.06, SURE))), False),
        (gates.slices("carrier", min_rows=300), but(slices=(segment("AA", -0.3, SURE, rows=300),)), False),
        (gates.slices("carrier", min_rows=300), but(slices=(segment("AA", -0.3, SURE, rows=299),)), True),
        (
            gates.slices("carrier"),
            but(slices=(segment("AA", 0.01, SURE), segment("LGA", -0.3, SURE, column="origin"))),
            True,
        ),
        (gates.slices("carrier", "origin"), GOOD, False),
    ],
)
def test_a_gate_passes_up_to_its_bound_and_no_further(gate: gates.Gate, evaluation: Evaluation, passed: bool):
    assert gate.check(evaluation).passed is passed


def test_of_many_segments_one_is_worse_by_chance_and_small_ones_do_not_count_as_many():
    doubtful = segment("AA", -0.02, 0.01)
    gate = gates.slices("carrier", drop=0.0)
    assert not gate.check(but(slices=(doubtful,))).passed
    others = [segment(f"A{place}", 0.01, 0.01) for place in range(19)]
    assert gate.check(but(slices=(doubtful, *others))).passed
    assert not gate.check(but(slices=(segment("AA", -0.04, 0.01), *others))).passed
    small = [msgspec.structs.replace(one, gain=gain(0.01, rows=50)) for one in others]
    assert not gate.check(but(slices=(doubtful, *small))).passed


def standing(**changes) -> dict[str, bool]:
    return {verdict.gate: verdict.passed for verdict in gates.standing(but(**changes))}


@pytest.mark.parametrize(
    ("changes", "gate", "passed"),
    [
        ({"test_rows": 100}, "enough_rows", True),
        ({"rarest_class": 10}, "enough_rows", True),
        ({"rarest_class": 0, "classes": ("a", "b", "c")}, "enough_rows", True),
        ({"champion": gain(0.0, 0.01)}, "not_tied", True),
        ({"champion": gain(0.0, 0.0)}, "not_tied", False),
        ({"champion": gain(0.0, 0.0, rows=0)}, "not_tied", True),
        ({"problems": ("the model gave NaN",)}, "complete", False),
        ({"train": {"roc_auc": float("inf")}}, "complete", False),
        ({"test": {"roc_auc": float("-inf")}}, "complete", False),
        ({"baselines": (baseline("majority", 0.0, 0.0),)}, "not_trivial", False),
        ({"baselines": (baseline("mean", 0.01, 0.005),)}, "not_trivial", True),
        (
            {"baselines": (GOOD.baselines[0], baseline("persistence", 0.0, 0.01))},
            "not_trivial",
            True,
        ),
        ({"inputs": {"x": "number", "z": "number"}}, "same_schema", False),
        ({"champion_inputs": {"x": "number", "z": "number"}}, "same_schema", False),
        ({"champion_inputs": {"x": "number", "z": "unknown"}}, "same_schema", False),
        ({"inputs": {"x": "integer"}}, "same_schema", False),
        ({"inputs": {"x": "text"}}, "same_schema", False),
        ({"inputs": {"x": "boolean"}, "champion_inputs": {"x": "integer"}}, "same_schema", False),
    ],
)
def test_a_standing_check_passes_up_to_its_bound_and_no_further(changes, gate: str, passed: bool):
    assert standing(**changes)[gate] is passed


def test_of_what_else_is_wrong_nothing_is_overruled_because_columns_were_accepted():
    verdicts = gates.judge(but(inputs=WIDER, accepted_inputs=WIDER, test_rows=10), ())
    assert {one.gate: one.binding for one in verdicts if not one.passed} == {"enough_rows": True, "same_schema": False}


def test_no_behaviour_may_fail_beside_others_that_held():
    held = Behaved(name="a", kind="invariance", rows=10, violations=0, allowed=0, passed=True, detail="none")
    assert not gates.behaves().check(but(behaviours=(held, msgspec.structs.replace(held, passed=False)))).passed


def test_scores_that_are_no_probabilities_are_not_calibrated():
    assert not gates.calibrated(0.99).check(but(calibration=CalibrationReport(error=None, bins=()))).passed


@pytest.mark.parametrize(
    "make", [lambda: gates.beats_champion(margin=0.0, confidence=0.5), lambda: gates.slices("a", drop=0.0)]
)
def test_a_setting_may_be_at_the_lower_end_of_its_range(make):
    assert isinstance(make(), gates.Gate)
