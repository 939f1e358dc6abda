"""`homeostat versions`: the versions of a loop, their metrics and gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.cli.options import STORE, JsonOption, LimitOption, LoopOption, StoreOption, open_named
from homeostat.cli.output import print_json, print_table

if TYPE_CHECKING:
    from homeostat.core.events import Performance
    from homeostat.engine.views.versions import VersionFacts


def versions(
    loop: LoopOption = None, store: StoreOption = STORE, limit: LimitOption = 20, as_json: JsonOption = False
) -> None:
    """List model versions, their metrics and gates."""
    from homeostat.engine.views import versions as view

    opened, name = open_named(store, loop)
    found = view.versions(opened.ledger, name, limit)
    if as_json:
        print_json(found)
        return
    columns = ("version", "state", "registered", "trigger", "trained rows", "metrics on test rows", "online", "gates")
    print_table(columns, [_row(one) for one in found])


def _row(one: VersionFacts) -> tuple[Any, ...]:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in one.test_metrics.items() if value is not None)
    gates = f"refused by {', '.join(one.refused_by)}" if one.refused_by else f"{len(one.gates)} passed"
    gates = "waits: they ran elsewhere" if one.unproven else gates
    online = _online(one.online)
    return one.version, one.state, one.registered, one.trigger.kind, one.trained_rows, metrics, online, gates


def _online(seen: Performance | None) -> str:
    """The metric on matured labels; `homeostat card` has its interval."""
    return "-" if seen is None or seen.value is None else f"{seen.metric} {seen.value:.4g} on {seen.n:,} rows"
