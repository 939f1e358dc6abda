"""The policies that a replay compares when none are named: the plain ones that every clever one has to beat."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from homeostat.ct import when

if TYPE_CHECKING:
    from homeostat.ct.when import Policy


def standard_policies(metric: str, span: timedelta, rows: int, *, declared: Policy | None = None) -> dict[str, Policy]:
    """Never, two schedules, volume, drift and performance, and the Loop's own policy."""
    month = timedelta(days=28)
    volume = max(1, round(rows * min(1.0, month / span)))
    policies: dict[str, Policy] = {
        "never": when.never(),
        "every 28d": when.every("28d"),
        "every 7d": when.every("7d"),
        f"rows {volume:,}": when.rows(volume),
        "drift psi 0.2": when.drift(psi=0.2).cooldown("7d"),
        f"degraded {metric} 0.02": when.Degraded(metric=metric, drop=0.02).cooldown("7d"),
    }
    if declared is not None and declared not in policies.values():
        policies["this loop's"] = declared
    return policies
