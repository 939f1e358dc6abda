"""M2: a run records its executor, why it exists and all parameters; a run started by drift names the alert."""

from __future__ import annotations

from homeostat.ci.pipeline import explain
from homeostat.core import events as ev
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
    explanation = explain(store.ledger, small_loop.run(store, trigger=trigger).id)
    assert explanation.trigger == trigger
    assert explanation.cause == f"event {seq} (observed): value_drift of `dep_delay` 0.41"
    said = "\n".join(explanation.lines)
    assert "drift: PSI of dep_delay 0.41 > 0.2" in said
    assert "carrier" not in said.partition("rows:")[0]


def test_a_run_by_hand_names_the_person(store):
    trigger = ev.Trigger(key="flights/manual/1", kind="manual", reason="new airport", user="ann")
    explanation = explain(store.ledger, small_loop.run(store, trigger=trigger).id)
    assert "manual: new airport (by ann)" in explanation.lines[0]


def test_a_run_without_a_trigger_names_the_user_of_the_machine(store):
    trigger = explain(store.ledger, small_loop.run(store).id).trigger
    assert (trigger.kind, bool(trigger.user)) == ("manual", True)


def test_executor_and_all_parameters_are_recorded(store):
    explanation = explain(store.ledger, small_loop.run(store).id)
    assert explanation.executor == "threads"
    assert explanation.settings["split.test"] == 0.2
    assert explanation.settings["model.seed"] == 0
    assert str(explanation.settings["model.estimator"]).startswith("sha256:")
    started = next(store.ledger.events(loop="flights", kinds=(ev.RunStarted,))).event
    assert isinstance(started, ev.RunStarted)
    assert set(started.inputs) == {"snapshot", "known_by", "accepted", "previous", "champion", "champion_version"}
