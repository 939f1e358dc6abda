"""What is known of one request: inputs, features, arm, every version's prediction, labels, and its versions' origin.

It is read from the log, or from the tables when its part of the log is gone.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import LabelRecord, LogReader, PredictionRecord, ShadowRecord
from homeostat.cd.log.archive import Archive
from homeostat.core import events as ev
from homeostat.core.errors import HomeostatError, NotFoundError
from homeostat.core.model import Bundle
from homeostat.core.model.bundle import check_features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from homeostat.cd.log import RowRecord, Scored
    from homeostat.core.model import Manifest
    from homeostat.core.model.signature import Label
    from homeostat.core.store import Store

MOST_ROWS = 20


class VersionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a version made of a row.

    Attributes:
        answered: Whether this was the answer; the others scored the row beside it.
        scores: Class to probability; None for a regression.
        error: Why it made nothing of it: `dropped`, or what it raised.
    """

    version: int
    answered: bool
    value: Any = None
    scores: dict[str, float | None] | None = None
    error: str | None = None


class GivenLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label as it came; the first one counts."""

    label: Any
    known: datetime
    received: datetime
    counts: bool


class RowFacts(msgspec.Struct, kw_only=True):
    """One row of the request.

    Attributes:
        arm, propensity: The version that answered, and the probability (0..1) with which it was chosen.
        input: Raw inputs as they were received.
        features: What the Loop's `features()` makes of them; None where it cannot be asked.
        predictions: The answer first.
    """

    id: str
    request: str
    time: datetime
    arm: int
    propensity: float
    input: dict[str, Any]
    features: dict[str, Any] | None = None
    note: str | None = None
    predictions: list[VersionAnswer]
    labels: list[GivenLabel] = []


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a version comes from."""

    version: int
    state: str
    registered: datetime
    run: str
    trigger: ev.Trigger
    parent: int | None
    data: dict[str, Any]
    window: tuple[datetime | None, datetime | None]
    rows: int
    gates: tuple[ev.GateResult, ...]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of an id.

    Attributes:
        source: `log`, or `tables` when that part of the log was deleted; these hold no other version's prediction.
        more: How many rows there are beside those.
    """

    loop: str
    id: str
    source: str
    rows: list[RowFacts]
    more: int
    versions: list[Origin]


def explain(store: Store, loop: str, wanted: str, features: Callable[..., pl.DataFrame] | None = None) -> Explained:
    """Everything about a request or a row."""
    archive = Archive(store, loop)
    reader = LogReader(store.log_folder(loop))
    rows, source = _from_log(reader, wanted), "log"
    if not rows:
        rows, source = _from_tables(archive, wanted), "tables"
    shown = rows[:MOST_ROWS]
    labels = _labels(reader, archive, {row.id for row in shown} or {wanted})
    if not shown:
        raise _unknown(wanted, loop, bool(labels))
    _add_others(reader, shown)
    versions = dict.fromkeys(answer.version for row in shown for answer in row.predictions)
    manifests = {version: _manifest(store, loop, version) for version in versions}
    for row in shown:
        row.labels = labels.get(row.id, [])
        row.predictions = [_with_classes(answer, manifests[answer.version]) for answer in row.predictions]
        row.features, row.note = _features(row.input, manifests[row.arm], features)
    origins = [_origin(store, loop, version, manifests[version]) for version in sorted(versions)]
    return Explained(loop=loop, id=wanted, source=source, rows=shown, more=len(rows) - len(shown), versions=origins)


def _from_log(reader: LogReader, wanted: str) -> list[RowFacts]:
    # A block may leave out the ids of its rows, which are then the request's with their place.
    texts = [wanted, wanted.rpartition("/")[0] or wanted]
    return [
        _row(record, row)
        for record in reader.search(texts)
        if isinstance(record, PredictionRecord)
        for row in record.rows
        if wanted in (row.id, record.request)
    ]


def _row(record: PredictionRecord, row: RowRecord) -> RowFacts:
    answers = [_answer_of(version, scored, answered=version == row.arm) for version, scored in row.predictions.items()]
    return RowFacts(
        id=row.id,
        request=record.request,
        time=record.time,
        arm=row.arm,
        propensity=row.propensity,
        input=row.features,
        predictions=answers,
    )


def _answer_of(version: int, scored: Scored, *, answered: bool) -> VersionAnswer:
    scores = {str(place): score for place, score in enumerate(scored[1:])} or None
    return VersionAnswer(version=version, answered=answered, value=scored[0], scores=scores)


def _with_classes(answer: VersionAnswer, manifest: Manifest) -> VersionAnswer:
    """The same with its scores under the names of the classes."""
    classes = manifest.signature.classes
    if answer.scores is None or classes is None or len(classes) != len(answer.scores):
        return answer
    return msgspec.structs.replace(answer, scores=dict(zip(map(str, classes), answer.scores.values(), strict=True)))


def _add_others(reader: LogReader, rows: Sequence[RowFacts]) -> None:
    """What versions that did not answer made of these rows, of these very requests."""
    by_name = {(row.request, row.id): row for row in rows}
    for record in reader.search([row.id for row in rows]):
        if not isinstance(record, ShadowRecord):
            continue
        for place, name in enumerate(zip(record.requests, record.ids, strict=True)):
            row = by_name.get(name)
            if row is None:
                continue
            answer = VersionAnswer(version=record.version, answered=False, error=record.error)
            if record.error is None:
                answer = _answer_of(record.version, record.predictions[place], answered=False)
            row.predictions.append(answer)


def _from_tables(archive: Archive, wanted: str) -> list[RowFacts]:
    import polars as pl

    if not archive.predictions.rows:
        return []
    found = archive.predictions.read().filter((pl.col("id") == wanted) | (pl.col("request") == wanted))
    return [_archived(row) for row in found.iter_rows(named=True)]


def _archived(row: dict[str, Any]) -> RowFacts:
    scores = msgspec.json.decode(row["scores"]) if row["scores"] else []
    return RowFacts(
        id=row["id"],
        request=row["request"],
        time=row["time"],
        arm=row["version"],
        propensity=row["propensity"],
        input={name.removeprefix("input_"): value for name, value in row.items() if name.startswith("input_")},
        predictions=[_answer_of(row["version"], [row["value"], *scores], answered=True)],
    )


def _labels(reader: LogReader, archive: Archive, ids: set[str]) -> dict[str, list[GivenLabel]]:
    """The labels of rows, in the order in which they were received, each once."""
    found: dict[tuple[str, Label, datetime, datetime], None] = {}
    if archive.labels.rows:
        told = archive.labels.read().sort("received", maintain_order=True)
        for one, label, known, received in told.select("id", "label", "label_time", "received").iter_rows():
            if one in ids:
                found[one, label, known, received] = None
    for record in reader.search(sorted(ids)):
        if isinstance(record, LabelRecord):
            for item in record.labels:
                if item.id in ids:
                    found[item.id, item.label, item.time, record.time] = None
    labels: dict[str, list[GivenLabel]] = {}
    for one, label, known, received in sorted(found, key=lambda name: name[3]):
        before = labels.setdefault(one, [])
        before.append(GivenLabel(label=label, known=known, received=received, counts=not before))
    return labels


def _manifest(store: Store, loop: str, version: int) -> Manifest:
    return Bundle.read(store.artifacts, store.ledger.version(loop, version).manifest).manifest


def _features(
    values: dict[str, Any], manifest: Manifest, features: Callable[..., pl.DataFrame] | None
) -> tuple[dict[str, Any] | None, str | None]:
    """What the model saw, or why that is not known."""
    if manifest.features is None:
        return None, "the model takes the inputs as they are"
    if features is None:
        return None, "its features() is in the loop's file, which was not found; --loop PATH"
    try:
        check_features(manifest, features)
        return features(manifest.signature.decode([values])).row(0, named=True), None
    except HomeostatError as error:
        return None, error.what
    except Exception as error:  # noqa: BLE001 - the user's function may raise anything, and the rest is still known
        return None, f"features() raised {type(error).__name__}: {error}"


def _origin(store: Store, loop: str, version: int, manifest: Manifest) -> Origin:
    row = store.ledger.version(loop, version)
    event = store.ledger.event(row.seq).event
    assert isinstance(event, ev.VersionRegistered)
    return Origin(
        version=version,
        state=row.state,
        registered=row.registered,
        run=event.run,
        trigger=event.trigger,
        parent=event.parent,
        data=manifest.lineage.snapshot,
        window=(event.window_start, event.window_end),
        rows=event.trained_rows,
        gates=event.gates,
    )


def _unknown(wanted: str, loop: str, labelled: bool) -> NotFoundError:
    hint = "give the `request` of an answer, or the `id` of one of its predictions"
    if labelled:
        return NotFoundError(f"a label came for {wanted[:200]!r}, and no prediction of loop {loop!r}", hint=hint)
    return NotFoundError(f"loop {loop!r} has answered nothing under the id {wanted[:200]!r}", hint=hint)
