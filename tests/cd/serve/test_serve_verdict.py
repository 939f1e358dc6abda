"""The judge as JSON: the standing of a trial, judgements of what is sent, and the gate's status codes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.cd.deploy import Canary, verdict_api
from homeostat.cd.deploy.judge import judge_losses
from homeostat.core import events as ev
from homeostat.core.errors import DataError, NotFoundError
from tests.cd.serving import LOOP, NOON, Client, bundle, divide, promote, register, serving
from tests.engine.driver import Driver

GOOD, BAD = [0.1] * 600, [0.6] * 600


@pytest.fixture
def tried() -> Driver:
    """A challenger in its first canary step, not judged yet."""
    driver = Driver(plan=Canary(shadow_rows=0, steps=(0.1, 0.5), step_rows=500))
    driver.first_champion()
    driver.register()
    driver.observe(judgement=driver.judged(0))
    return driver


def asked(**body) -> tuple[int, ev.Judgement]:
    return verdict_api.ask(json.dumps(body).encode())


def gated(driver: Driver, body: dict | None = None) -> int:
    return verdict_api.gate(driver.ledger, "loop", b"" if body is None else json.dumps(body).encode())[0]


def test_the_standing_of_a_running_trial(tried) -> None:
    tried.observe(judgement=tried.judged(700, e_benefit=3.5))
    status, found = verdict_api.look(tried.ledger, "loop")
    assert status == 200
    assert (found.champion, found.challenger, found.running, found.outcome) == (1, 2, True, None)
    assert (found.verdict, found.judgement.pairs, found.judgement.e_benefit) == ("continue", 700, 3.5)
    assert {arm.version: arm.share for arm in found.arms} == {1: 0.5, 2: 0.5}


@pytest.mark.parametrize(("said", "outcome"), [("roll_back", "rolled_back"), ("promote", "promoted")])
def test_the_standing_after_a_trial_is_its_outcome(tried, said, outcome) -> None:
    for pairs in (700, 1_300):
        if tried.feed.state.trial is not None:
            tried.observe(judgement=tried.judged(pairs, said))
    tried.observe()
    found = verdict_api.standing(tried.ledger, "loop")
    assert (found.running, found.outcome, found.verdict) == (False, outcome, said)
    assert found.judgement is not None


def test_a_second_trial_is_not_answered_with_the_first_ones_evidence(tried) -> None:
    tried.observe(judgement=tried.judged(700, "roll_back"))
    tried.register()
    found = verdict_api.standing(tried.ledger, "loop")
    assert (found.challenger, found.running, found.verdict, found.judgement) == (3, True, "continue", None)


def test_a_loop_without_a_trial_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no trial yet"):
        verdict_api.standing(Driver().ledger, "loop")


def test_losses_are_judged_as_the_library_judges_them() -> None:
    rng = np.random.default_rng(0)
    old, new = rng.random(900).tolist(), rng.random(900).tolist()
    with_gaps = [None if place % 7 == 0 else value for place, value in enumerate(new)]
    expected = judge_losses(old, [np.nan if one is None else one for one in with_gaps], champion=3, challenger=4)
    assert asked(champion_loss=old, challenger_loss=with_gaps, champion=3, challenger=4) == (200, expected)
    assert asked(champion_loss=GOOD, challenger_loss=BAD)[1].verdict == "roll_back"
    assert asked(champion_loss=GOOD, challenger_loss=BAD, config={"harm": 0.7})[1].verdict == "continue"


@pytest.mark.parametrize(("won", "verdict"), [([0, 1], "promote"), ([2, 1], "roll_back"), ([1, 1], "continue")])
def test_credits_of_interleaved_lists_are_judged_by_who_won_more_of_them(won: list[int], verdict: str) -> None:
    assert asked(credits=[won] * 300)[1].verdict == verdict
    strict = asked(credits=[[0, 1]] * 300, config={"margin": 0.0, "minimum_pairs": 1_000})[1]
    assert (strict.verdict, strict.pairs) == ("continue", 300)


def test_drawn_losses_are_judged_by_own_rows() -> None:
    draw = (np.random.default_rng(1).random(3_000) < 0.3).tolist()
    drawn = {"challenger": draw, "share": 0.3, "loss": [0.6 if mine else 0.2 for mine in draw]}
    _, found = asked(drawn=drawn)
    assert found.verdict == "roll_back"
    assert found.difference == pytest.approx(0.4)


def rows_of(error: float, n: int = 900) -> list[dict]:
    rng, start = np.random.default_rng(2), datetime(2026, 1, 1, tzinfo=UTC)
    labels, wrong, mine = rng.random(n) < 0.5, rng.random(n) < error, rng.random(n) < 0.5
    return [
        {
            "time": (start + timedelta(minutes=place)).isoformat(),
            "label": bool(label),
            "scores": {"1": [1.0 - label, float(label)], "2": [float(label == bad), float(label != bad)]},
            "arm": 2 if own else 1,
            "propensity": 0.5,
        }
        for place, (label, bad, own) in enumerate(zip(labels, wrong, mine, strict=True))
    ]


@pytest.mark.parametrize("randomised", [False, True])
def test_rows_of_a_log_are_judged_by_pairs_or_by_arms(randomised) -> None:
    shared = {"classes": [False, True], "champion": 1, "challenger": 2, "randomised": randomised}
    assert asked(rows=rows_of(0.2), **shared)[1].verdict == "roll_back"
    _, same = asked(rows=rows_of(0.0), **shared)
    assert (same.verdict, same.pairs, same.e_harm < 10) == ("continue", 900, True)


BROKEN = {
    "no JSON": b"{",
    "a number": b"7",
    "nothing asked": b"{}",
    "two things": b'{"champion_loss": [], "challenger_loss": [], "rows": []}',
    "one side": b'{"champion_loss": [0.1]}',
    "lengths": b'{"champion_loss": [0.1], "challenger_loss": [0.1, 0.2]}',
    "outside": b'{"champion_loss": [0.1], "challenger_loss": [1.5]}',
    "bounds": b'{"champion_loss": [0.1], "challenger_loss": [null], "least": [-7], "greatest": [1]}',
    "a text": b'{"champion_loss": [0.1], "challenger_loss": ["x"]}',
    "NaN": b'{"champion_loss": [0.1], "challenger_loss": [NaN]}',
    "alpha": b'{"champion_loss": [0.1], "challenger_loss": [0.1], "config": {"alpha_harm": 0}}',
    "margin": b'{"champion_loss": [0.1], "challenger_loss": [0.1], "config": {"margin": 1}}',
    "unknown": b'{"champion_loss": [0.1], "challenger_loss": [0.1], "confg": {}}',
    "share": b'{"drawn": {"challenger": [true], "share": 1, "loss": [0.1]}}',
    "drawn loss": b'{"drawn": {"challenger": [true], "share": 0.5, "loss": [-1]}}',
    "propensity": b'{"rows": [{"time": "2026-01-01T00:00:00Z", "scores": {}, "propensity": 7}], "classes": [0, 1]}',
    "time": b'{"rows": [{"time": "0001-01-01T00:00:00+14:00", "scores": {}}], "classes": [0, 1]}',
    "hardly drawn": b'{"drawn": {"challenger": [true], "share": 1e-300, "loss": [0.1]}}',
    "no classes": b'{"rows": [{"time": "2026-01-01T00:00:00Z", "scores": {}}]}',
    "scores": b'{"rows": [{"time": "2026-01-01T00:00:00Z", "scores": {"0": [1]}}], "classes": [0, 1]}',
    "task": b'{"rows": [], "task": "ranking"}',
    "nothing drawn": b'{"rows": [{"time": "2026-01-01T00:00:00Z", "scores": {}}], "classes": [0, 1], "randomised": true'
    b"}",
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_what_cannot_be_judged_is_refused(body) -> None:
    with pytest.raises(DataError):
        verdict_api.ask(body)


def test_too_many_rows_are_refused() -> None:
    many = [0.1] * (verdict_api.MOST_ROWS + 1)
    with pytest.raises(DataError, match="100,000 at once"):
        asked(champion_loss=many, challenger_loss=many)


def test_the_gate_goes_on_until_the_judge_says_no(tried) -> None:
    flagger = {"name": "flights", "namespace": "prod", "phase": "Progressing"}
    assert [gated(tried), gated(tried, flagger)] == [200, 200]
    assert gated(tried, flagger | {"metadata": {"pass": "promote"}}) == 409
    tried.observe(judgement=tried.judged(700, "roll_back"))
    assert [gated(tried), gated(tried, flagger)] == [409, 409]
    assert gated(tried, flagger | {"metadata": {"pass": "roll_back"}}) == 200  # Flagger's rollback hook
    assert gated(tried, {"champion_loss": GOOD, "challenger_loss": GOOD}) == 200
    assert gated(tried, {"champion_loss": GOOD, "challenger_loss": BAD}) == 409
    assert gated(tried, {"champion_loss": GOOD, "challenger_loss": BAD, "pass": ["roll_back"]}) == 200
    with pytest.raises(DataError, match="no verdict 'perhaps'"):
        gated(tried, {"pass": "perhaps"})


def test_the_server_answers_for_the_judge(store) -> None:
    promote(store, register(store, bundle()))
    with serving(store) as app:
        client = Client(app)
        assert client.get("/judge").status_code == 404
        assert client.post("/judge/gate", b"").status_code == 404
        register(store, bundle(seed=1))
        begun = ev.TrialStarted(loop=LOOP, challenger=2, champion=1, plan={})
        store.ledger.append(begun, time=NOON)
        divide(store, {1: ("champion", 0.5), 2: ("split", 0.5)})
        found = client.get(f"/judge?model={LOOP}").json()
        assert (found["challenger"], found["verdict"], found["running"]) == (2, "continue", True)
        assert client.get("/judge?model=other").status_code == 404
        assert client.post("/judge/gate", b"").status_code == 200
        assert client.post("/judge/gate", {"metadata": {"pass": "promote"}}).status_code == 409
        losses = {"champion_loss": GOOD, "challenger_loss": BAD}
        assert client.post("/judge", losses).json()["verdict"] == "roll_back"
        assert client.post("/judge/gate", losses).status_code == 409
        assert client.post("/judge", {"champion_loss": GOOD}).status_code == 400
        assert client.ask(("PUT", "/judge", {}))[0].status_code == 405
