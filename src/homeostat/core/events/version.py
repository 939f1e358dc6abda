"""Events of a version: registered, made the champion, taken back."""

from __future__ import annotations

from datetime import datetime

from homeostat.core.events.values import Event, GateResult, Trigger


class VersionRegistered(Event, tag="version_registered", frozen=True, kw_only=True):
    """A model entered the registry, with everything that the gates saw. Refused candidates are registered too.

    Attributes:
        manifest: Artifact hash of the bundle's manifest.
        train_metrics, test_metrics: Metric name to value; NaN is recorded as None.
        window_start, window_end: Event-time range of the training rows.
        trainable: Rows of the table whose label had matured when training began.
        told: What gates said in the registry that an imported version comes from: information, which decides nothing.
    """

    version: int
    run: str
    trigger: Trigger
    manifest: str
    parent: int | None
    train_metrics: dict[str, float | None]
    test_metrics: dict[str, float | None]
    gates: tuple[GateResult, ...]
    how: str
    trained_rows: int
    trainable: int
    window_start: datetime | None
    window_end: datetime | None
    told: tuple[GateResult, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether every gate passed. No gates at all is not a pass."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)


class Promoted(Event, tag="promoted", frozen=True, kw_only=True):
    """The champion changed by compare-and-set: `epoch` is the new epoch, `previous` what it replaced."""

    version: int
    previous: int | None
    epoch: int
    who: str
    reason: str


class RolledBack(Event, tag="rolled_back", frozen=True, kw_only=True):
    """The champion was replaced by an earlier one."""

    version: int
    previous: int
    epoch: int
    who: str
    reason: str
