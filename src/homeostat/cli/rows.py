"""The verbs about single rows: labels from files, and what was said of one request."""

from __future__ import annotations

from typing import Annotated

import typer

from homeostat.cli.common import STORE, JsonOption, LoopOption, StoreOption, loop_name, print_json, progress
from homeostat.core.errors import NotFoundError

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
    from homeostat.cd.drain import Archive
    from homeostat.cd.label_files import Named, deliver, read_labels
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
        named=Named(id_column, label_column, time_column),
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
            print(f"{count:,} {text}")
    print("nothing was recorded: --dry-run" if dry_run else f"{found.recorded:,} recorded")
