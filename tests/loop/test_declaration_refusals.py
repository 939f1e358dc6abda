from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from homeostat import FileSource, Loop, deploy, how, when, where
from homeostat.core.errors import LoopError

SOURCE = FileSource("rides.csv", time="at", target="late")


def features(rows: Any, column: str = "at") -> Any:
    return rows.drop(column)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "metric": ({"metric": "rocauc"}, "no metric 'rocauc': did you mean 'roc_auc'"),
    "policy's metric": ({"when": when.degraded(rocauc=0.1)}, "no metric 'rocauc': did you mean 'roc_auc'"),
    "other metric": ({"metric": "log_loss", "when": when.degraded(roc_auc=0.1)}, "waits for roc_auc, .* log_loss"),
    "unusual metric": ({"when": when.degraded(f1=0.1)}, "waits for f1, .* declare metric='f1'"),
    "wrapped": ({"metric": "f1", "when": when.degraded(mae=1).cooldown("3d")}, "waits for mae"),
    "either": ({"metric": "f1", "when": when.every("7d") | when.degraded(mae=1)}, "waits for mae"),
    "both": ({"metric": "f1", "when": when.every("7d") & when.degraded(mae=1)}, "waits for mae"),
    "vote": ({"metric": "f1", "when": when.vote(1, when.never(), when.degraded(mae=1))}, "waits for mae"),
    "share": ({"test": 3.0}, "test=3.0 is neither a share"),
    "no share": ({"test": 0}, "test=0 is neither a share"),
    "stretch": ({"test": "2 weeks"}, "test: '2 weeks' is not a length of time"),
    "target": (
        {"source": FileSource("rides.csv", time="at")},
        "source names no target, so there is nothing to predict",
    ),
    "no source": ({"source": "rides.csv"}, "source is a str, not a FileSource"),
    "name": ({"name": "Rides"}, "name has other characters"),
    "class": ({"model": LogisticRegression}, r"model is the class LogisticRegression; write LogisticRegression\(\)"),
    "model": ({"model": "forest"}, "model str has no fit"),
    "deploy": ({"deploy": "canary"}, "deploy is a str"),
    "when": ({"when": "7d"}, "when is a str"),
    "how": ({"how": "refit"}, "how is a str"),
    "where": ({"where": "here"}, "where is a str"),
    "place": ({"target": "a phone"}, "target is a str"),
    "owner": ({"owner": 7}, "owner is a int"),
    "candidates": ({"candidates": [{"C": 1.0}], "how": how.Online()}, "candidates need how.Refit"),
    "trusted": ({"trusted": ["Mine"]}, "trusted has 'Mine', which is neither a class nor a name"),
    "gates": (
        {"gates": [abs, max]},
        r"gates has builtin_function_or_method, builtin_function_or_method, which have no",
    ),
    "observe": ({"observe": "often"}, "observe: 'often' is not a length of time"),
    "retention": ({"retention": "0d"}, "retention: '0d' is not a length of time"),
    "whole": ({"test": 1}, "test=1 is neither a share"),
    "truth": ({"test": True}, "test=True is neither a share"),
    "step": ({"steps": {"trian": abs, "report": abs}}, "there is no step trian to replace"),
    "no arguments": ({"features": lambda: None}, "features takes 0 arguments, not the one DataFrame"),
    "two arguments": ({"features": lambda rows, more: rows}, "features takes 2 arguments, not the one DataFrame"),
    "source": ({"source": SimpleNamespace(spec=SOURCE.spec, parts=None)}, r"has no parts\(\)"),
    "partial": ({"features": partial(features, column="done")}, "features is a partial, not a plain function"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_declaration_that_cannot_work_is_refused_when_it_is_built(case: str) -> None:
    changes, told = WRONG[case]
    with pytest.raises(LoopError, match=told):
        Loop(**{"name": "rides", "source": SOURCE, **changes})


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(LoopError) as told:
        Loop(name="Rides!", source=SOURCE, metric="rocauc", test=3.0)
    assert all(part in told.value.what for part in ("name has", "'rocauc'", "test=3.0"))


def test_what_may_be_declared_is_taken() -> None:
    declared: dict[str, Any] = {"test": 0.99, "observe": "1s", "trusted": "package.Mine", "features": features}
    loop = Loop(name="a" * 63, source=SOURCE, model=LogisticRegression(), candidates=[{"C": 2.0}], **declared)
    assert loop.trusted == ("package.Mine",)
    assert loop.candidates == ({"C": 2.0},)
    assert "package.Mine" in loop.trusted_types
    assert Loop(name="rides", source=SOURCE, how=how.Online()).candidates == ()


def test_what_is_not_declared_has_its_usual_value() -> None:
    loop = Loop(name="rides", source=SOURCE)
    assert (loop.when, loop.how, loop.where, loop.deploy) == (
        when.never(),
        how.Refit(),
        where.Process(),
        deploy.Canary(),
    )
    assert (loop.test, loop.observe, loop.retention, loop.seed) == (0.2, "1h", "30d", 0)
    assert loop.gates
    assert Loop(name="rides", source=SOURCE, gates=[]).gates == ()


@pytest.mark.parametrize("policy", [when.degraded(log_loss=0.1), when.degraded(mae=2.0)])
def test_a_policy_may_wait_for_the_usual_metric_of_a_task(policy: when.Degraded) -> None:
    assert Loop(name="rides", source=SOURCE, when=policy).when == policy


@pytest.mark.parametrize("changes", [{"timeout": "2 hours"}, {"niceness": 20}, {"niceness": -1}])
def test_a_place_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LoopError, match=next(iter(changes))):
        where.Process(**changes)


@pytest.mark.parametrize("niceness", [0, 19])
def test_the_ends_of_how_nice_a_place_may_be_are_part_of_it(niceness: int) -> None:
    assert where.Process(niceness=niceness).niceness == niceness


@pytest.mark.parametrize(
    "changes",
    [
        {"step_rows": -5},
        {"shadow_rows": -1},
        {"alpha_harm": 0.0},
        {"alpha_promote": 1.0},
        {"margin": -0.1},
        {"harm": 2.0},
        {"dependence": 0.5},
        {"steps": (0.5, 0.05)},
        {"horizon": 100},
    ],
)
def test_a_plan_out_of_range_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LoopError, match=next(iter(changes))):
        deploy.Canary(**changes)


def test_a_drop_below_nothing_is_refused() -> None:
    with pytest.raises(LoopError, match="no drop"):
        when.degraded(roc_auc=-0.1)
