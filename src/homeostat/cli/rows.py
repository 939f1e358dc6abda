"""The verbs about single rows: labels from files, and what was said of one request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homeostat.cli.options import (
    LOOP_FILE,
    STORE,
    JsonOption,
    LoopOption,
    StoreOption,
    loop_name,
)
from homeostat.cli.output import (
    cell,
    console,
    print_json,
    print_table,
    progress,
    say,
    styled,
)
from homeostat.core.errors import NotFoundError

if TYPE_CHECKING:
    from homeostat.engine.views.request import Explained, Origin, RowFacts

_ENDINGS = {
    "joined": "joined a row that waited for its label",
    "late": "came after their row left the log: kept in the table of labels, seen by no judge",
    "repeated": "were known already and not recorded again",
    "conflicting": "contradict what was said before, which counts",
    "unknown": "wait for a prediction with their id",
    "empty": "rows have no label yet",
}


def labels(
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            help="A file (.parquet, .csv, .jsonl, .ndjson, .json, or .gz), a pattern, a folder, or a Delta table.",
        ),
    ],
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="What was predicted: the model's key, or `id`.")
    ] = None,
    label_column: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="The label: the model's target, or `label`.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option("--time", metavar="COLUMN", help="When it became known: by default it is now.")
    ] = None,
    separator: Annotated[str, typer.Option(metavar="TEXT", help="Between the columns of a CSV file.")] = ",",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count, and record nothing.")] = False,
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Give the labels of a whole table.

    They are checked against the model first, and none is recorded unless all fit it. The same table given twice changes
    nothing. A running loop reads them within a second.
    """
    from homeostat.cd.labels.files import LabelColumns, deliver, read_labels
    from homeostat.cd.log.archive import Archive
    from homeostat.core.clock import SystemClock
    from homeostat.core.model import Bundle
    from homeostat.core.store import Store

    opened = Store.open(store, create=False)
    name, now = loop_name(opened.ledger, loop), SystemClock().now()
    champion = opened.ledger.champion(name)
    if champion is None:
        raise NotFoundError(f"loop {name!r} has no champion yet", hint="`homeostat run` trains the first one")
    version = opened.ledger.version(name, champion.version)
    manifest = Bundle.read(opened.artifacts, version.manifest).manifest
    items, empty = read_labels(
        table,
        manifest.signature,
        now,
        label_time=manifest.schema.spec.label_time,
        named=LabelColumns(id_column, label_column, time_column),
        separator=separator,
    )
    with progress("look through the log", quiet=as_json) as bar:
        found = deliver(
            items, opened.log_folder(name), Archive(opened, name), now, dry_run=dry_run, progress=bar, empty=empty
        )
    if as_json:
        print_json(found)
        return
    for field, text in _ENDINGS.items():
        if count := getattr(found, field):
            say(f"{count:,} {text}")
    say("nothing was recorded: --dry-run" if dry_run else f"{found.recorded:,} recorded")


def explain(
    one: Annotated[str, typer.Argument(metavar="ID", help="A request's or a row's id, as the answer gave it.")],
    loop: LoopOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of one answer.

    Its input, features, arm, every version's prediction, labels, and where the versions come from.
    """
    from homeostat.core.store import Store
    from homeostat.engine.views.request import explain as explained

    opened = Store.open(store, create=False)
    name = loop_name(opened.ledger, loop)
    found = explained(opened, name, one, _features(loop, name))
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
    said = [
        (one.version, "answer" if one.answered else "beside it", one.value, _shown(one.scores), one.error)
        for one in row.predictions
    ]
    print_table(("version", "said as", "prediction", "probabilities", "error"), said)
    if not row.labels:
        out.print(styled("no label yet\n"))
        return
    told = [
        (one.label, one.known, one.received, "yes" if one.counts else "no: the first one does") for one in row.labels
    ]
    print_table(("label", "known", "received", "counts"), told)


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
