"""`homeostat explain`: all that is known of one answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.options import LOOP_FILE, STORE, JsonOption, LoopOption, StoreOption, open_named
from homeostat.cli.output import cell, console, print_json, print_table, say, styled

if TYPE_CHECKING:
    from homeostat.engine.views.request import Explained, Origin, RowFacts


def explain(
    one: Annotated[str, typer.Argument(metavar="ID", help="A request's or a row's id, as the answer gave it.")],
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one answer.

    Its input, features, arm, every version's prediction, labels, and where the versions come from.
    """
    from homeostat.engine.views import request as view

    opened, name = open_named(store, loop)
    found = view.explain(opened, name, one, _features(loop, name))
    if as_json:
        print_json(found)
    else:
        _print(found)


def _features(loop: str | None, name: str) -> Any:
    """The loop's `features()`, where its file is at hand."""
    from homeostat.loop import load_loop

    file = Path(loop) if loop and Path(loop).is_file() else Path(LOOP_FILE)
    declared = load_loop(file) if file.is_file() else None
    return declared.features if declared is not None and declared.name == name else None


def _print(found: Explained) -> None:
    for row in found.rows:
        _print_row(row)
    if found.more:
        say(f"and {found.more:,} more rows of this request", end="\n\n")
    for origin in found.versions:
        _print_origin(origin)
    if found.source == "tables":
        say("this part of the log was deleted: what other versions said of the rows is not known any more")


def _print_row(row: RowFacts) -> None:
    out = console()
    out.print(styled(f"{row.id} of request {row.request}", style="bold"))
    out.print(styled(f"answered {cell(row.time)} by version {row.arm}, chosen with probability {cell(row.propensity)}"))
    features = row.features or {}
    names = [*row.input, *(name for name in features if name not in row.input)]
    print_table(("column", "input", "feature"), [(name, row.input.get(name), features.get(name)) for name in names])
    if row.note:
        out.print(styled(row.note, style="dim"))
    answers = [
        (one.version, "answer" if one.answered else "beside it", one.value, _shown(one.scores), one.error)
        for one in row.predictions
    ]
    print_table(("version", "said as", "prediction", "probabilities", "error"), answers)
    if not row.labels:
        out.print(styled("no label yet\n"))
        return
    given = [
        (one.label, one.known, one.received, "yes" if one.counts else "no: the first one does") for one in row.labels
    ]
    print_table(("label", "known", "received", "counts"), given)


def _print_origin(origin: Origin) -> None:
    out = console()
    out.print(styled(f"version {origin.version}, {origin.state}", style="bold"))
    begin, end = origin.window
    data = ", ".join(f"{name} {value}" for name, value in origin.data.items() if name in ("uri", "version", "digest"))
    lines = [
        f"trained in {origin.run} by the trigger {origin.trigger.key} ({origin.trigger.kind}): {origin.trigger.reason}",
        f"on {origin.rows:,} rows from {cell(begin)} to {cell(end)} of {data or 'unknown data'}",
        *(f"gate {gate.gate} {'passed' if gate.passed else 'refused it'}: {gate.reason}" for gate in origin.gates),
    ]
    for line in lines:
        out.print(styled(f"  • {line}"))
    out.print(styled(f"see also: homeostat why {origin.version}", style="dim"))


def _shown(scores: dict[str, float | None] | None) -> str | None:
    return ", ".join(f"{name} {cell(score)}" for name, score in scores.items()) if scores else None
