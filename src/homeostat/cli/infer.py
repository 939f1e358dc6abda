"""`homeostat infer`: a table of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from homeostat.cli.options import STORE, FileOption, JsonOption, StoreOption, open_loop
from homeostat.cli.output import print_json, progress, say
from homeostat.core.errors import DataError


def infer(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="TABLE...",
            help="Files (.parquet, .csv, .jsonl, .ndjson, .json, or .gz), patterns, folders, or Delta tables.",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The Parquet file to write.")] = Path(
        "predictions.parquet"
    ),
    version: Annotated[int | None, typer.Option(help="The version that answers; the champion by default.")] = None,
    loop: FileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Predict a whole table.

    The same check of the columns and the same answers as the server's; a table that fails the check gets none. It may
    be larger than memory; a run that was cut off is gone on with.
    """
    from homeostat.engine.training.batch import infer_table

    if output.suffix.lower() != ".parquet":
        raise DataError(f"{output} is no name for a Parquet file", hint=f"--output {output.with_suffix('.parquet')}")
    opened, declared = open_loop(store, loop)
    with progress("predict", quiet=as_json) as bar:
        made = infer_table(opened, declared, tables, output, version=version, progress=bar)
    if as_json:
        print_json(made)
        return
    before = f" ({made.resumed:,} of them before it was cut off)" if made.resumed else ""
    say(f"version {made.version} predicted {made.rows:,} rows{before}: {made.out}")
    for signal in made.signals:
        say(f"  unusual: {signal}")
