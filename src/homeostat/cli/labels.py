"""`homeostat labels`: the labels of a whole table."""

from __future__ import annotations

from typing import Annotated

import typer

from homeostat.cli.options import STORE, JsonOption, LoopOption, StoreOption, open_named
from homeostat.cli.output import print_json, progress, say

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
    from homeostat.cd.labels.files import LabelColumns
    from homeostat.engine import requests

    opened, name = open_named(store, loop)
    columns = LabelColumns(id_column, label_column, time_column)
    with progress("look through the log", quiet=as_json) as bar:
        found = requests.give_labels(opened, name, table, columns, separator=separator, dry_run=dry_run, progress=bar)
    if as_json:
        print_json(found)
        return
    for field, text in _ENDINGS.items():
        if count := getattr(found, field):
            say(f"{count:,} {text}")
    say("nothing was recorded: --dry-run" if dry_run else f"{found.recorded:,} recorded")
