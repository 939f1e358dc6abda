"""The verbs that only look: runs, versions, status, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.options import (
    STORE,
    JsonOption,
    LoopOption,
    StoreOption,
    loop_name,
    open_ledger,
)
from homeostat.cli.output import (
    console,
    print_json,
    print_table,
    progress,
    say,
    styled,
)
from homeostat.core.ledger.unproven import is_unproven
from homeostat.engine.live.lease import (
    in_charge,
)

if TYPE_CHECKING:
    from homeostat.cd.labels.join import Counts
    from homeostat.core.events import Performance, VersionRegistered
    from homeostat.core.ledger import Ledger, Recorded

LimitOption = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, newest first.")]


def runs(
    loop: LoopOption = None,
    store: StoreOption = STORE,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List pipeline runs."""
    import msgspec

    ledger = open_ledger(store)
    name = loop_name(ledger, loop)
    made = {row.run: row.version for row in ledger.versions(name)}
    rows = [msgspec.structs.replace(row, version=made.get(row.run)) for row in ledger.runs(name)[:limit]]
    if as_json:
        print_json(rows)
        return
    columns = ("run", "status", "started", "seconds", "trigger", "version", "reason or error")
    print_table(columns, [_run(row) for row in rows])


def versions(
    loop: LoopOption = None,
    store: StoreOption = STORE,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List model versions, their metrics and gates."""
    from homeostat.engine.views.card import online_performance

    ledger = open_ledger(store)
    name = loop_name(ledger, loop)
    online = online_performance(ledger, name)
    found = [_version(ledger, row, online.get(row.version)) for row in ledger.versions(name)[:limit]]
    if as_json:
        print_json(found)
        return
    columns = ("version", "state", "registered", "trigger", "trained rows", "metrics on test rows", "online", "gates")
    print_table(columns, [_version_row(one) for one in found])


def status(
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show where the loop stands."""
    from homeostat.cd.labels.join import read_counts
    from homeostat.core import events as ev
    from homeostat.engine.views.why.events import one_line

    ledger = open_ledger(store)
    name = loop_name(ledger, loop)
    champion, arms = ledger.champion(name), ledger.arms(name)
    newest = {kind: list(ledger.events(loop=name, kinds=(kind,)))[-1:] for kind in (ev.Decided, ev.Observed)}
    decided, observed = newest[ev.Decided], newest[ev.Observed]
    found_runs = ledger.runs(name)
    holder = in_charge(ledger, name)
    endpoint = _endpoint(store, name) if holder else None
    facts: dict[str, Any] = {
        "loop": name,
        "url": endpoint.url if endpoint else None,
        "events": ledger.newest(),
        "in_charge": holder,
        "champion": champion,
        "arms": arms.event.arms if arms and isinstance(arms.event, ev.ArmsSet) else (),
        "versions": len(ledger.versions(name)),
        "runs": len(found_runs),
        "newest_run": found_runs[0] if found_runs else None,
        "joined": read_counts(store / "log" / name),
        "last_observation": observed[0] if observed else None,
        "last_decision": decided[0] if decided else None,
    }
    if as_json:
        print_json(facts)
        return
    shown = {
        "loop": name,
        "in charge": facts["in_charge"] or "nobody (`homeostat up` takes charge)",
        "serving at": facts["url"] or "nowhere",
        "champion": f"version {champion.version} since {champion.since:%Y-%m-%d %H:%M}" if champion else "none yet",
        "traffic": ", ".join(f"version {arm.version} {arm.role} {arm.share:.0%}" for arm in facts["arms"]) or "none",
        "versions, runs": f"{facts['versions']}, {facts['runs']}",
        "newest run": f"{found_runs[0].run} {found_runs[0].status}: {_said(found_runs[0])}"
        if found_runs
        else "none yet",
        **_refused(observed),
        "labels": _joined(facts["joined"]),
        "last observation": one_line(observed[0]) if observed else "none yet",
        "last decision": one_line(decided[0]) if decided else "none yet",
    }
    print_facts(shown)


def _joined(counts: Counts | None) -> str:
    """What became of the labels of the log, as the loop saw them last."""
    if counts is None:
        return "not counted yet (`homeostat up` does)"
    if not counts.labels:
        return "none yet"
    parts = {
        "joined": counts.joined,
        "repeated": counts.repeated_labels,
        "conflicting": counts.conflicting_labels,
        "unknown": counts.unknown_labels + counts.forgotten_labels,
    }
    told = ", ".join(f"{count:,} {name}" for name, count in parts.items() if count or name == "joined")
    waiting = counts.predictions - counts.repeated_predictions - counts.joined
    return f"{told}; {waiting:,} of {counts.predictions:,} answered rows have none"


def _refused(observed: list[Recorded]) -> dict[str, str]:
    """What of the data was refused at the last look: the loop serves on, and trains on nothing until it is mended."""
    signals = getattr(observed[0].event, "signals", ()) if observed else ()
    told = [signal.detail for signal in signals if signal.kind == "schema_skew" and signal.alarmed]
    return {"data refused": "; ".join(told)} if told else {}


def _endpoint(store: Path, name: str) -> Any:
    from homeostat.cd.serve import read_endpoint

    return read_endpoint(store, name)


def verify(
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make the status tables again from the events.")] = False,
    anchor: Annotated[
        Path | None, typer.Option("--anchor", metavar="FILE", help="What `homeostat anchor --json` printed earlier.")
    ] = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Check that the store holds what was written.

    Recomputes the ledger's hash chain and the status tables that follow from it, the hash of every artifact and the
    digest of every table, and looks that no table has fewer rows than were appended. With --anchor it also finds events
    that were cut off or rewritten at the end.
    """
    from homeostat.engine.views.integrity import verify_store

    if rebuild:
        open_ledger(store).rebuild()
    with progress("events", quiet=as_json) as bar:
        found = verify_store(store, bar, anchor)
    if as_json:
        print_json(found)
    else:
        size = f"{found.artifacts:,} artifacts ({found.bytes / 1e6:,.1f} MB)"
        whole = f"{size}, {found.versions} versions and {found.rows:,} rows of tables are whole"
        say(f"ok: {found.events:,} events follow from one another; {whole}")


def anchor(store: StoreOption = STORE, as_json: JsonOption = False) -> None:
    """Print the newest event of every loop, with its hash, to be kept elsewhere.

    `homeostat verify --anchor FILE` finds what was cut off or rewritten since.
    """
    from homeostat.core.ledger.anchor import anchor_of

    found = anchor_of(open_ledger(store))
    if as_json:
        print_json(found)
        return
    print_table(("loop", "event", "hash"), [(head.loop, head.seq, head.hash) for head in found.heads])


def print_facts(facts: dict[str, Any]) -> None:
    """Names and values in two columns."""
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        table.add_row(styled(name, style="bold"), styled(str(value)))
    console().print(table)


def _said(row: Any) -> str:
    """Why a run failed, or else what it was for."""
    return str(row.error or row.reason).partition("\n")[0]


def _run(row: Any) -> tuple[Any, ...]:
    seconds = round((row.ended - row.started).total_seconds(), 3) if row.ended else None
    said = _said(row)
    return row.run, row.status, row.started, seconds, row.kind, row.version, said


def _version(ledger: Ledger, row: Any, online: Performance | None) -> dict[str, Any]:
    registered: VersionRegistered = ledger.event(row.seq).event  # type: ignore[assignment]
    return {
        "version": row.version,
        "state": row.state,
        "registered": row.registered,
        "run": row.run,
        "trigger": registered.trigger,
        "parent": registered.parent,
        "how": registered.how,
        "manifest": row.manifest,
        "trained_rows": registered.trained_rows,
        "window": [registered.window_start, registered.window_end],
        "train_metrics": registered.train_metrics,
        "test_metrics": registered.test_metrics,
        "online": online,
        "gates": registered.gates,
        "passed": registered.passed,
    }


def _version_row(one: dict[str, Any]) -> tuple[Any, ...]:
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in one["test_metrics"].items() if value is not None)
    failed = [gate.gate for gate in one["gates"] if not gate.passed]
    gates = f"refused by {', '.join(failed)}" if failed else f"{len(one['gates'])} passed"
    gates = "waits: they ran elsewhere" if is_unproven(one["gates"]) else gates
    trigger = one["trigger"].kind
    online = _online(one["online"])
    return one["version"], one["state"], one["registered"], trigger, one["trained_rows"], metrics, online, gates


def _online(seen: Performance | None) -> str:
    """The metric on matured labels; `homeostat card` has its interval."""
    return "-" if seen is None or seen.value is None else f"{seen.metric} {seen.value:.4g} on {seen.n:,} rows"
