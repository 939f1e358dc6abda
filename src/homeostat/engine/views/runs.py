"""The runs of a loop, and one of them with its steps, its version and what was decided upon it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core import codecs
from homeostat.core import events as ev
from homeostat.core.files import make_folder, write_whole
from homeostat.core.ledger import RunRow, VersionRow

if TYPE_CHECKING:
    from pathlib import Path

    from homeostat.core.ledger import Ledger
    from homeostat.core.store import Store


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        warnings: What a reader should know of the data and the candidate.
    """

    run: RunRow
    steps: tuple[ev.StepFinished, ...]
    version: VersionRow | None
    warnings: tuple[str, ...]
    decided: ev.Decided | None


def runs(ledger: Ledger, loop: str, limit: int | None = None) -> list[RunRow]:
    """The runs of a loop, newest first, each with the version that it registered."""
    made = {row.run: row.version for row in ledger.versions(loop)}
    return [msgspec.structs.replace(row, version=made.get(row.run)) for row in ledger.runs(loop)[:limit]]


def run_report(store: Store, loop: str, trigger: str) -> RunReport:
    """The newest run of a trigger."""
    ledger = store.ledger
    row = next(one for one in ledger.runs(loop) if one.trigger == trigger)
    steps = tuple(one.event for one in ledger.steps(row.run) if isinstance(one.event, ev.StepFinished))
    version = next((one for one in ledger.versions(loop) if one.trigger == trigger), None)
    decided = [one.event for one in ledger.events(loop=loop, kinds=(ev.Decided,), after=version.seq if version else 0)]
    last = decided[-1] if decided else None
    return RunReport(
        run=row,
        steps=steps,
        version=version,
        warnings=(*_notes(ledger, loop, version), *_warnings(store, steps)),
        decided=last if isinstance(last, ev.Decided) else None,
    )


def data_report(store: Store, found: RunReport) -> Path | None:
    """The run's data report as a file that a browser opens; None when it made none."""
    page = getattr(_output(store, found.steps, "report"), "html", None)
    if not isinstance(page, str):
        return None
    path = store.path / "reports" / f"{found.run.run}.html"
    make_folder(path.parent)
    write_whole(path, page.encode(), durable=False)
    return path


def _output(store: Store, steps: tuple[ev.StepFinished, ...], name: str) -> Any:
    """What a step gave; None when it did not run, or its result was cleared."""
    output = next((step.output for step in steps if step.step == name), None)
    if output is None or not store.artifacts.has(output):
        return None
    return codecs.decode(store.artifacts.get(output), store.artifacts)


def _notes(ledger: Ledger, loop: str, version: VersionRow | None) -> list[str]:
    """What of the files that came since the version before was not taken as it is."""
    earlier = [one.seq for one in ledger.versions(loop) if version is None or one.seq < version.seq]
    events = ledger.events(loop=loop, kinds=(ev.RowsAppended,), after=max(earlier, default=0))
    return [note for one in events if isinstance(one.event, ev.RowsAppended) for note in one.event.notes]


def _warnings(store: Store, steps: tuple[ev.StepFinished, ...]) -> list[str]:
    """Suspected leaks, values that were never seen before, and what validation and evaluation note."""
    evaluated, validated = _output(store, steps, "evaluation"), _output(store, steps, "validation")
    leaks = {leak.feature: leak.detail for leak in getattr(evaluated, "leaks", ())}
    suspects = {suspect.column: suspect.reason for suspect in getattr(validated, "suspects", ())}
    found = [*leaks.values(), *(reason for column, reason in suspects.items() if column not in leaks)]
    found += getattr(evaluated, "warnings", ())
    found += getattr(validated, "numbers", ())
    found += [f"{signal.subject}: {signal.detail}" for signal in getattr(validated, "signals", ())]
    return found
