"""Drives the decisions of a loop in memory: a real ledger, the real decide, and times that the test chooses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from homeostat.cd.deploy import Canary, Plan
from homeostat.core import events as ev
from homeostat.core.ledger import Ledger
from homeostat.ct import when
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules

START = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Canary(shadow_rows=1_000, steps=(0.05, 0.5), step_rows=500, horizon=20_000)
PASSED = (ev.GateResult(gate="beats_champion", passed=True, reason="better by 0.01", numbers={"difference": 0.01}),)
REFUSED = (ev.GateResult(gate="at_least", passed=False, reason="roc_auc 0.5 < 0.6", numbers={"roc_auc": 0.5}),)


class Driver:
    """A loop under test; `hours` move its clock."""

    def __init__(
        self, policy: when.Policy | None = None, plan: Plan = PLAN, ledger: Ledger | None = None, loop: str = "loop"
    ) -> None:
        self.loop = loop
        self.ledger = ledger or Ledger.open(":memory:")
        self.rules = Rules(loop=loop, when=policy or when.never(), deploy=plan)
        self.feed = Feed(self.ledger, self.rules)
        self.now = START

    def give(self, event: ev.AnyEvent, *, hours: float = 0.0, key: str | None = None) -> list[ev.Decided]:
        """Record an event after so many hours; returns what was decided upon it."""
        self.now += timedelta(hours=hours)
        _, decisions = self.feed.give(event, time=self.now, key=key)
        return [decision.decided for decision in decisions]

    def start(self) -> list[ev.Decided]:
        """Take the loop in charge."""
        return self.give(ev.LoopStarted(loop=self.loop, who="test", declaration="d"))

    def observe(self, *, hours: float = 1.0, trainable: int = 0, **seen: Any) -> list[ev.Decided]:
        """Let the monitor look."""
        moment = self.now + timedelta(hours=hours)
        values = {"rows": 100, "labelled": 100} | seen
        return self.give(ev.Observed(loop=self.loop, now=moment, trainable=trainable, **values), hours=hours)

    def register(
        self,
        *,
        trigger: str | None = None,
        gates: tuple[ev.GateResult, ...] = PASSED,
        trainable: int = 0,
        parent: int | str | None = "the champion",
    ) -> int:
        """Register a model for the trigger in flight, or for one by hand."""
        inflight = self.feed.state.inflight
        cause = inflight or ev.Trigger(key=trigger or f"by-hand/{self.ledger.newest()}", kind="manual", reason="test")
        event = ev.VersionRegistered(
            loop=self.loop,
            version=0,
            run="run",
            trigger=cause,
            manifest="m" * 64,
            parent=self.feed.catch_up().champion if isinstance(parent, str) else parent,
            train_metrics={"roc_auc": 0.8},
            test_metrics={"roc_auc": 0.7},
            gates=gates,
            how="refit",
            trained_rows=100,
            trainable=trainable,
            window_start=None,
            window_end=None,
        )
        recorded, _ = self.feed.register(event, time=self.now)
        return recorded.event.version  # type: ignore[union-attr]

    def first_champion(self) -> int:
        """Start, train and crown version 1."""
        self.start()
        return self.register()

    def confirm(self) -> None:
        """Let the server confirm that it answers with the newest division of traffic."""
        recorded = self.ledger.arms(self.loop)
        assert recorded is not None
        self.give(ev.RoutingApplied(loop=self.loop, arms_seq=recorded.seq))

    def judged(self, pairs: int, verdict: ev.Verdict = "continue", **numbers: Any) -> ev.Judgement:
        """The judge's view of the running trial."""
        trial = self.feed.state.trial
        assert trial is not None
        values = {"e_harm": 0.5, "e_benefit": 0.5, "difference": 0.0, "low": -0.1, "high": 0.1} | numbers
        return ev.Judgement(
            champion=trial.champion,
            challenger=trial.challenger,
            pairs=pairs,
            verdict=verdict,
            reason=f"the judge says {verdict}",
            **values,
        )

    def arms(self) -> dict[int, float]:
        """Version to share of the newest division of traffic."""
        recorded = self.ledger.arms(self.loop)
        assert recorded is not None
        return {arm.version: arm.share for arm in recorded.event.arms}  # type: ignore[union-attr]

    def state_of(self, version: int) -> str:
        """The registry's state of a version."""
        return self.ledger.version(self.loop, version).state


def drifted(psi: float, column: str = "x", *, n: int = 1_000, q: float = 0.0) -> ev.Signal:
    """A value-drift signal."""
    return ev.Signal(kind="value_drift", subject=column, value=psi, noise=0.01, q_value=q, n=n, alarmed=psi > 0.2)


def scored(value: float, *, reference: float = 0.75, n: int = 1_000, version: int = 1) -> ev.Performance:
    """A measured ROC AUC with an interval of 0.01 to both sides."""
    return ev.Performance(
        version=version, metric="roc_auc", value=value, low=value - 0.01, high=value + 0.01, n=n, reference=reference
    )
