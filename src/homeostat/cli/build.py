"""The verbs that compute once and end: run (the pipeline) and infer (a table of predictions)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from homeostat.cli.options import (
    STORE,
    JsonOption,
    LoopFileOption,
    ReasonOption,
    StoreOption,
    UserOption,
    loop_file,
    who,
)
from homeostat.cli.output import (
    print_json,
    progress,
    say,
)

if TYPE_CHECKING:
    pass


def run(
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with a run that did not succeed.")] = None,
    reason: ReasonOption = "homeostat run",
    user: UserOption = None,
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Run the pipeline once.

    Collect, validate, analyze, train, evaluate, gate, register. What has not changed is taken from the cache; a run
    that was cut off is gone on with.
    """
    from homeostat.cli.outcome import carry_out, feed_of, to_resume
    from homeostat.core.clock import SystemClock, new_id
    from homeostat.core.events import RetrainRequested
    from homeostat.core.store import Store
    from homeostat.loop import load_loop

    declared = load_loop(loop_file(loop))
    opened = Store.open(store)
    feed = feed_of(opened, declared)
    before = to_resume(opened, declared, feed, resume) if resume is not None else None
    if feed.catch_up().inflight is None:
        reason = f"resume of {before}" if before is not None else reason
        request = RetrainRequested(loop=declared.name, user=who(user), reason=reason, request=new_id("request-"))
        feed.give(request, time=SystemClock().now())
    carry_out(opened, declared, feed, as_json=as_json, resume=before)


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
    loop: LoopFileOption = None,
    store: StoreOption = STORE,
    as_json: JsonOption = False,
) -> None:
    """Predict a whole table.

    The same check of the columns and the same answers as the server's; a table that fails the check gets none. It may
    be larger than memory; a run that was cut off is gone on with.
    """
    import msgspec

    from homeostat.core.clock import SystemClock
    from homeostat.core.errors import DataError, NotFoundError
    from homeostat.core.model import Bundle
    from homeostat.core.store import Store
    from homeostat.engine.decide.feed import Feed
    from homeostat.engine.decide.state import Rules
    from homeostat.engine.training.batch import infer_recorded
    from homeostat.loop import load_loop

    if output.suffix.lower() != ".parquet":
        raise DataError(f"{output} is no name for a Parquet file", hint=f"--output {output.with_suffix('.parquet')}")
    declared = load_loop(loop_file(loop))
    opened = Store.open(store, create=False)
    champion = opened.ledger.champion(declared.name)
    if version is None and champion is None:
        raise NotFoundError(f"loop {declared.name!r} has no champion yet", hint="`homeostat run` trains the first one")
    number = version if version is not None or champion is None else champion.version
    row = opened.ledger.version(declared.name, int(number or 0))
    model = Bundle.load(opened.artifacts, row.manifest, declared.features, trusted=declared.trusted_types)
    with progress("predict", quiet=as_json) as bar:
        made = infer_recorded(
            *(Feed(opened.ledger, Rules.of(declared)), model, tables, output),
            version=row.version,
            now=SystemClock().now(),
            form=declared.form,
            progress=bar,
        )
    if as_json:
        print_json({**msgspec.structs.asdict(made), "version": row.version})
        return
    before = f" ({made.resumed:,} of them before it was cut off)" if made.resumed else ""
    say(f"version {row.version} predicted {made.rows:,} rows{before}: {made.out}")
    for said in made.signals:
        say(f"  unusual: {said}")
