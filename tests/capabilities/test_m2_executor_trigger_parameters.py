"""M2: a run records its executor, why it exists and all parameters; a run started by drift names the alert."""

from __future__ import annotations

from homeostat.core import events as ev
from homeostat.engine.views.why import why
from tests.ci import small_loop

ALERT = ev.Signal(
    kind="value_drift", subject="dep_delay", value=0.41, n=900, noise=0.02, q_value=0.001, threshold=0.2, alarmed=True
)
QUIET = ev.Signal(kind="value_drift", subject="carrier", value=0.01, n=900)


def alarm(store):
    """What the monitor saw and what the loop decided upon it, as they stand in the ledger."""
    seen = ev.Observed(loop="flights", now=small_loop.NOW, rows=900, labelled=0, trainable=600, signals=(QUIET, ALERT))
    observed = store.ledger.append(seen, time=small_loop.NOW)
    trigger = ev.Trigger(
        key="flights/retrain/1", kind="drift", reason="PSI of dep_delay 0.41 > 0.2", cause=observed.seq
    )
    decided = ev.Decided(
        loop="flights",
        action="retrain",
        about="policy",
        fired=True,
        reason=trigger.reason,
        evidence={"psi": 0.41},
        commands=(ev.Train(trigger=trigger, now=small_loop.NOW),),
    )
    store.ledger.append(decided, time=small_loop.NOW, cause=observed.seq)
    return observed.seq, trigger


def test_a_run_started_by_drift_names_the_alert_that_started_it(store):
    seq, trigger = alarm(store)
    explanation = why(store.ledger, "flights", small_loop.run(store, trigger=trigger).id)
    assert explanation.facts["trigger"] == trigger.key
    assert explanation.cause == f"drift, upon event @{seq}: PSI of dep_delay 0.41 > 0.2"
    alert = why(store.ledger, "flights", f"@{seq}")
    assert any("dep_delay" in line and "0.41" in line for line in alert.because)


def test_a_run_by_hand_names_the_person(store):
    trigger = ev.Trigger(key="flights/manual/1", kind="manual", reason="new airport", user="ann")
    explanation = why(store.ledger, "flights", small_loop.run(store, trigger=trigger).id)
    assert explanation.cause == "manual, asked by ann: new airport"


def test_a_run_without_a_trigger_names_the_user_of_the_machine(store):
    assert "manual, asked by" in why(store.ledger, "flights", small_loop.run(store).id).cause


def test_executor_and_all_parameters_are_recorded(store):
    facts = why(store.ledger, "flights", small_loop.run(store).id).facts
    assert facts["executor"] == "threads"
    assert facts["setting split.test"] == "0.2"
    assert facts["setting model.seed"] == "0"
    assert facts["setting model.estimator"].startswith("sha256:")
    started = next(store.ledger.events(loop="flights", kinds=(ev.RunStarted,))).event
    assert isinstance(started, ev.RunStarted)
    rows, versions = {"snapshot", "known_by", "accepted", "previous"}, {"parent", "champion", "champion_version"}
    assert set(started.inputs) == rows | versions
