"""The stream itself: take, check, predict, record, write; a row that fails is set aside with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.log import PredictionRecord, RowRecord
from homeostat.cd.serve.rows import RowDecoder, Rows
from homeostat.core.clock import Clock, new_id, pause
from homeostat.core.errors import DataError, StoreError
from homeostat.core.ports import DeadRow, RowAnswer, StreamSink, StreamSource, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from homeostat.cd.log import LogWriter, Scored
    from homeostat.cd.stream.champion import Champions

BATCH_ROWS = 1_000
PAUSE_SECONDS = 0.05


class Streamed(msgspec.Struct):
    """What a stream has done since it was started.

    Attributes:
        dead: Set aside, each with its reason.
        lost: What the source could not give any more, as sentences.
        refused: Why a newer champion could not.
    """

    rows: int = 0
    dead: int = 0
    batches: int = 0
    lost: list[str] = msgspec.field(default_factory=list)
    version: int | None = None
    refused: str | None = None


class _Good(msgspec.Struct):
    """A row that fits: its id, and an instance of the decoder's row type."""

    name: str
    id: str
    row: Any


def stream(
    champions: Champions,
    source: StreamSource,
    sink: StreamSink,
    *,
    clock: Clock,
    log: LogWriter | None = None,
    ignore: Sequence[str] = (),
    batch_rows: int = BATCH_ROWS,
    every: float = PAUSE_SECONDS,
    once: bool = False,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[Streamed], None] | None = None,
) -> Streamed:
    """Answer what a source gives until it ends, or until it is told to stop.

    Each batch is recorded in the prediction log, then written with the source's position. A crash between the two
    records rows a second time under the same ids, of which the first counts.

    Args:
        champions: Who answers.
        source: Where rows come from.
        sink: Where answers and dead letters go.
        clock: Gives the time that is recorded.
        log: Of the loop, so that labels join; None records nothing.
        ignore: Columns that are left out where they are there, besides target and label time.
        batch_rows: Rows of a batch at most.
        every: Seconds to wait when less than that was there.
        once: End when there is nothing more now, instead of waiting.
        stopped: Asked before each batch.
        progress: Told after each batch.

    Raises:
        StoreError: The sink or the log cannot be written. The same call goes on from there.
        ConflictError: Another process writes to the sink.
    """
    done = Streamed()
    unlearned = {*champions.model.manifest.schema.spec.labels, *ignore}
    try:
        after = sink.begin(source.name)
        while not stopped():
            taken = source.take(after, batch_rows)
            if taken.lost is not None:
                done.lost.append(taken.lost)
            if taken.after != after or taken.rows or taken.unread:
                champions.follow()
                _batch(champions, taken, sink, unlearned, log, clock.now(), done)
                after = taken.after
                if progress is not None:
                    progress(done)
            elif once or taken.ended:
                break
            if len(taken.rows) < batch_rows and not (once or taken.ended):
                pause(every)
    finally:
        sink.close()
    done.version, done.refused = champions.version, champions.refused
    return done


def _batch(
    champions: Champions,
    taken: Taken,
    sink: StreamSink,
    unlearned: set[str],
    log: LogWriter | None,
    moment: datetime,
    done: Streamed,
) -> None:
    """Answer what was taken, and keep it with its position."""
    dead = [DeadRow(one.name, one.reason, one.text) for one in taken.unread]
    good = _fitting(champions, taken, unlearned, dead)
    answered = _predicted(champions, good, dead)
    if log is not None and answered:
        version = champions.version
        rows = [RowRecord(one.id, version, 1.0, one.row, {version: scored}) for one, scored in answered]
        log.append(PredictionRecord(new_id(), moment, rows))
        log.sync()
    sink.write([_answer(champions, one.id, scored) for one, scored in answered], dead, taken.after)
    done.rows += len(answered)
    done.dead += len(dead)
    done.batches += 1


def _fitting(champions: Champions, taken: Taken, unlearned: set[str], dead: list[DeadRow]) -> list[_Good]:
    """The rows that fit the model's signature; the others go to the dead letters."""
    decoder = champions.decoder
    records = [
        {name: value for name, value in row.items() if name not in unlearned} if isinstance(row, dict) else row
        for row in taken.rows
    ]
    try:
        found: list[tuple[Any, str | None] | None] = list(_decoded(decoder, records, finite=taken.finite))
    except DataError:
        found = []
        for name, record in zip(taken.names, records, strict=True):
            try:
                found += _decoded(decoder, [record], finite=taken.finite)
            except DataError as error:
                found.append(None)
                dead.append(DeadRow(name, error.what.replace("row 0, ", "").replace("row 0: ", ""), _plain(record)))
    return [
        _Good(name, name if one[1] is None else one[1], one[0])
        for name, one in zip(taken.names, found, strict=True)
        if one is not None
    ]


def _decoded(decoder: RowDecoder, records: list[Any], *, finite: bool) -> Iterator[tuple[Any, str | None]]:
    """Rows of the decoder's type, and their keys."""
    rows = decoder.rows(records, finite=finite)
    return zip(rows, decoder.keys(Rows(len(rows), rows)), strict=True)


def _predicted(champions: Champions, good: list[_Good], dead: list[DeadRow]) -> list[tuple[_Good, Scored]]:
    """The rows with `[value, probability, ...]` each; what `features()` or the model cannot take is set aside."""
    if not good:
        return []
    try:
        found = champions.model.predict(champions.decoder.frame([one.row for one in good]))
    except StoreError:
        raise
    except Exception as error:  # noqa: BLE001 - the user's features and any estimator may raise anything
        if len(good) > 1:
            half = len(good) // 2
            return [*_predicted(champions, good[:half], dead), *_predicted(champions, good[half:], dead)]
        what = " ".join(str(error).split())
        reason = what if hasattr(error, "what") else f"{type(error).__name__}: {what}"
        dead.append(DeadRow(good[0].name, reason, _plain(good[0].row)))
        return []
    values = found.value.tolist()
    scores = [[]] * len(values) if found.score is None else found.score.tolist()
    return [(one, [value, *row]) for one, value, row in zip(good, values, scores, strict=True)]


def _answer(champions: Champions, own: str, scored: Scored) -> RowAnswer:
    classes, version = champions.model.signature.classes, champions.version
    if classes is None:
        return RowAnswer(own, scored[0], version)
    if len(classes) == 2:
        return RowAnswer(own, scored[0], version, scored[2])
    return RowAnswer(own, scored[0], version, None, dict(zip(map(str, classes), scored[1:], strict=True)))


def _plain(row: Any) -> Any:
    """A row that JSON can hold, whatever is in it."""
    try:
        return msgspec.json.decode(msgspec.json.encode(row))
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return repr(row)[:1_000]
