"""X1: each kind of thing, asked for by id, names its inputs, its thresholds and its cause."""

from __future__ import annotations

import polars as pl
import pytest

from homeostat.ci.pipeline import Pipeline
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock
from homeostat.core.events import Trigger
from homeostat.core.store import Store
from homeostat.ct import when
from homeostat.engine.views.why import Why, why
from tests.engine.driver import REFUSED, START, Driver, drifted, scored


@pytest.fixture
def driver() -> Driver:
    made = Driver(when.drift(psi=0.2).cooldown("2d"))
    made.first_champion()
    made.confirm()
    return made


def ask(driver: Driver, asked: str) -> Why:
    return why(driver.ledger, driver.loop, asked)


def everything(answer: Why) -> str:
    parts = [answer.answer, *answer.because, *(f"{name} = {value}" for name, value in answer.facts.items())]
    return "\n".join([*parts, f"cause {answer.cause}"])


def clean(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop_nulls()


def total(clean: pl.DataFrame, *, factor: int = 1) -> float:
    return float(clean["x"].sum() * factor)


def test_a_run_and_its_cache_misses_and_hits(store: Store):
    pipeline, rows = Pipeline(clean, total), pl.DataFrame({"x": [1.0, None, 3.0]})
    trigger = {key: Trigger(key=key, kind="manual", reason=f"to see {key}", user="ann") for key in "abc"}
    first, second, third = (
        pipeline.run(
            store,
            loop="sums",
            trigger=trigger[key],
            clock=VirtualClock(START),
            inputs={"rows": rows},
            settings={"total.factor": factor},
        ).id
        for key, factor in (("a", 1), ("b", 1), ("c", 7))
    )
    ran = everything(why(store.ledger, "sums", f"{first}/total"))
    assert "has not run it before" in ran
    hit = everything(why(store.ledger, "sums", f"{second}/total"))
    assert "taken from the cache" in hit
    assert first in hit
    miss = everything(why(store.ledger, "sums", f"{third}/total"))
    assert "`factor` 1 -> 7" in miss
    assert "manual" in miss
    run = everything(why(store.ledger, "sums", third[:12]))
    assert "to see c" in run
    assert "by ann" in run
    assert "taken from the cache" in run


def test_a_retrain_names_the_signal_its_threshold_and_the_observation(driver: Driver):
    driver.observe(signals=(drifted(0.31, "wind", n=1_200),), hours=72)
    answer = why(driver.ledger, driver.loop, "last")
    text = everything(answer)
    assert answer.answer.startswith("Retraining was decided")
    assert "wind" in text
    assert "0.31" in text
    assert "0.2" in text
    assert "100 labels" in text


def test_a_non_retrain_names_what_was_seen_and_what_held_it_back(driver: Driver):
    driver.observe(signals=(drifted(0.05, "wind"),), hours=72)
    quiet = why(driver.ledger, driver.loop, "last")
    assert quiet.answer.startswith("No retraining was decided")
    assert "0.05" in everything(quiet)
    assert "0.2" in everything(quiet)
    driver.observe(signals=(drifted(0.4, "wind"),), hours=1)
    driver.register()
    driver.give(ev.CancelRequested(loop=driver.loop, user="ann", reason="not now"))
    driver.observe(signals=(drifted(0.4, "wind"),), hours=1)
    held = everything(why(driver.ledger, driver.loop, "last"))
    assert "cooling down until" in held
    assert "0.4" in held


def test_a_refusal_names_the_gate_and_its_numbers(driver: Driver):
    version = driver.register(gates=REFUSED)
    answer = ask(driver, str(version))
    assert answer.answer.startswith("It was refused by at_least")
    assert "roc_auc 0.5 < 0.6" in everything(answer)
    assert "gate at_least.roc_auc = 0.5" in everything(answer)
    assert "trigger" in str(answer.cause)


def test_a_promotion_names_who_from_what_and_upon_which_evidence(driver: Driver):
    version = driver.register()
    driver.confirm()
    for pairs in (1_000, 1_500, 3_000):
        driver.observe(judgement=driver.judged(pairs, "promote", e_benefit=42.0))
        driver.confirm()
    answer = ask(driver, f"v{version}")
    assert answer.facts["state"] == "champion"
    assert answer.facts["e-value of no harm"] == "42"
    assert "gate beats_champion passed" in everything(answer)
    promoted = next(r for r in driver.ledger.events(kinds=(ev.Promoted,)) if r.event.version == version)
    fact = ask(driver, f"@{promoted.seq}")
    assert "version 1" not in fact.subject
    assert fact.facts["previous"] == "1"
    assert any("decided as" in line for line in fact.because)
    assert "observed" in str(fact.cause)


def test_a_rollback_by_a_person_names_the_person_and_the_reason(driver: Driver):
    version = driver.register()
    driver.give(ev.PromotionRequested(loop=driver.loop, version=version, user="ann", reason="demo"))
    driver.give(ev.RollbackRequested(loop=driver.loop, version=None, user="bob", reason="customers complain"))
    text = everything(ask(driver, str(version)))
    assert "rolled back" in text
    assert "bob" in text
    assert "customers complain" in text


def test_an_observation_names_every_signal_and_score(driver: Driver):
    driver.observe(signals=(drifted(0.05, "wind", n=1_200),), performance=(scored(0.71),))
    observed = list(driver.ledger.events(kinds=(ev.Observed,)))[-1]
    text = everything(ask(driver, f"@{observed.seq}"))
    assert "value_drift wind = 0.05 (n 1,200, by chance 0.01)" in text
    assert "version 1 roc_auc = 0.71" in text
    assert "decided upon it" in text
