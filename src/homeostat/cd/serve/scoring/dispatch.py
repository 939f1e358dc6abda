"""From decoded rows to an answer that is in the log: choose the arms, score, record, and only then reply."""

from __future__ import annotations

import math
import weakref
from logging import ERROR
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.cd.log import BlockRecord, Packed, PredictionRecord, RowRecord
from homeostat.cd.serve.rows import Rows
from homeostat.cd.serve.scoring.batcher import Batcher
from homeostat.cd.serve.scoring.scores import Scores
from homeostat.cd.serve.telemetry.request_log import tell
from homeostat.core.clock import new_id, stopwatch
from homeostat.core.errors import ENDINGS, DataError, ModelError, NotFoundError, RetryableError
from homeostat.core.table.ids import id_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from homeostat.cd.log import LogWriter
    from homeostat.cd.serve.http.replies import Reply
    from homeostat.cd.serve.model import ServedProtocol
    from homeostat.cd.serve.routing import Division
    from homeostat.cd.serve.scoring.version import LoadedVersion
    from homeostat.cd.serve.telemetry.counters import ModelCounts

_LONGEST_CHAIN = 100
"""An error's causes may be tied into a ring."""

_Choice = tuple[int, float]
"""A version, and the probability with which it was chosen."""


class NotReadyError(RetryableError):
    """There is no champion to answer yet, or the server is going away."""


class Answer(msgspec.Struct, frozen=True):
    """What is said about the rows of one request.

    Attributes:
        versions: The version that answered all rows, or one per row.
        champion: The version that the request's contract is of.
    """

    request: str
    ids: list[str]
    versions: int | list[int]
    scores: Scores
    champion: int

    def by_row(self) -> list[int]:
        """The version that answered each row."""
        return [self.versions] * len(self.ids) if isinstance(self.versions, int) else self.versions


class Pending:
    """One request on its way: it is whole when every part of it was scored, and answered when it is in the log.

    Args:
        table: The division of traffic that it began with.
        rows: Its rows.
        moment: When it is answered.
        protocol: Makes the reply of the answer, before that is recorded: what cannot be sent is not in the log.
        done: Told the reply; once.
        version: Ask this version, not the arm that a row belongs to.
        deadline: When the caller stops waiting, on the stopwatch.

    Raises:
        NotFoundError: No arm has that version.
        DataError: An id is too long.
    """

    __slots__ = (
        "begun",
        "choice",
        "deadline",
        "done",
        "ids",
        "missing",
        "moment",
        "pieces",
        "protocol",
        "request",
        "rows",
        "table",
    )

    def __init__(
        self,
        table: Division,
        rows: Rows,
        moment: datetime,
        protocol: ServedProtocol,
        done: Callable[[Reply], None],
        deadline: float = math.inf,
        version: int | None = None,
    ) -> None:
        self.table, self.rows, self.moment, self.deadline = table, rows, moment, deadline
        self.protocol = protocol
        self.done: Callable[[Reply], None] | None = done
        """None once it has its answer."""
        self.request = rows.request or new_id()
        keys = table.champion.decoder.keys(rows)
        self.ids = _ids(rows, keys, self.request)
        self.choice: _Choice | list[_Choice] = (
            (table.sole, 1.0)
            if table.sole is not None and version is None
            else _choose(table, keys, self.request, version)
        )
        self.pieces: list[tuple[ArmPart, Scores]] = []
        self.missing = 1
        self.begun: float | None = None

    def settle(self, found: Reply | BaseException) -> None:
        """Tell the answer, a reply or an error; whatever comes later is too late."""
        done, self.done = self.done, None
        # Parts know their request: a cycle that only the garbage collector would find.
        self.pieces.clear()
        if done is None:
            return
        try:
            done(self.protocol.failure(found, self.request) if isinstance(found, BaseException) else found)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - the other requests of the call still have to be answered
            tell("an answer was not sent", level=ERROR, request=self.request, error=error)

    def answer(self) -> Answer:
        """The answer, once it is whole."""
        choice = self.choice
        versions = choice[0] if isinstance(choice, tuple) else [version for version, _ in choice]
        scores = self.pieces[0][1] if len(self.pieces) == 1 else self._joined()
        return Answer(self.request, self.ids, versions, scores, self.table.champion.version)

    def record(self, scores: Scores) -> PredictionRecord | BlockRecord:
        """What goes into the log."""
        rows, choice = self.rows, self.choice
        awaits = () if len(self.table.arms) == 1 else self.awaits()
        if rows.count == 1 and rows.rows is not None:
            arm, share = choice if isinstance(choice, tuple) else choice[0]
            one = scores.first()
            return PredictionRecord(
                self.request, self.moment, [RowRecord(self.ids[0], arm, share, rows.rows[0], {arm: one})], awaits
            )
        if rows.rows is not None:
            chosen = [choice] * rows.count if isinstance(choice, tuple) else choice
            found = zip(self.ids, chosen, rows.rows, scores.scored(), strict=True)
            records = [RowRecord(name, arm, share, row, {arm: one}) for name, (arm, share), row, one in found]
            return PredictionRecord(self.request, self.moment, records, awaits)
        assert rows.columns is not None
        arms: Any
        shares: Any
        arms, shares = choice if isinstance(choice, tuple) else map(list, zip(*choice, strict=True))
        return BlockRecord(
            self.request,
            self.moment,
            rows.count,
            self.ids,
            arms,
            shares,
            {name: _packed(column) for name, column in rows.columns.items()},
            _packed(scores.array) if scores.whole.ndim == 1 else scores.values,
            _packed(scores.array) if scores.whole.ndim == 2 else None,
            awaits,
        )

    def awaits(self) -> tuple[int, ...]:
        """Versions that are to score rows which another one answered; the one that answers all traffic is not asked."""
        arms, choice = self.table.arms, self.choice
        if isinstance(choice, tuple):
            return tuple(arm.version for arm in arms if arm.version not in (choice[0], self.table.sole))
        return tuple(arm.version for arm in arms if any(version != arm.version for version, _ in choice))

    def _joined(self) -> Scores:
        n = self.rows.count
        first = self.pieces[0][1].array
        array = np.empty((n, *first.shape[1:]))
        values: list[Any] = [None] * n
        for part, scores in self.pieces:
            array[part.places] = scores.array
            for place, value in zip(part.places or (), scores.values, strict=True):
                values[place] = value
        return Scores(array, 0, values)


class ArmPart:
    """The rows of a request that one version is to score: all of them, unless the request is divided among arms."""

    __slots__ = ("asked", "deadline", "places", "rows", "served")

    def __init__(self, asked: Pending, served: LoadedVersion, rows: Rows, places: list[int] | None = None) -> None:
        self.asked, self.served, self.rows, self.places = asked, served, rows, places
        self.deadline = asked.deadline


class GoldenPart(ArmPart):
    """A row whose answer is known, sent the way of traffic to see whether it comes back; neither logged nor counted."""

    __slots__ = ("told",)
    deadline = math.inf

    def __init__(self, served: LoadedVersion, rows: Rows, told: Callable[[BaseException | None], None]) -> None:
        self.served, self.rows, self.told = served, rows, told


_Made = tuple[Pending, "Reply", PredictionRecord | BlockRecord]
"""A request that is scored, its reply, and what goes into the log."""


class Dispatcher:
    """Takes requests of one model, and sees to it that each is scored, recorded and answered exactly once.

    Everything here happens on the event loop.
    """

    def __init__(self, log: LogWriter, counts: ModelCounts) -> None:
        self._log, self._counts = log, counts
        # A version that was replaced gives its memory back with the last request that uses it.
        self._batchers: weakref.WeakKeyDictionary[LoadedVersion, dict[bool, Batcher]] = weakref.WeakKeyDictionary()

    def batchers(self, served: LoadedVersion) -> Collection[Batcher]:
        """What has scored rows by a version, and what waits for it."""
        return self._batchers.get(served, {}).values()

    def take(self, asked: Pending) -> None:
        """Have a request answered, now or later; it is settled whatever goes wrong."""
        try:
            if asked.table.sole is None:
                asked.begun = stopwatch()
            if isinstance(asked.choice, tuple):
                self._submit(ArmPart(asked, asked.table.served[asked.choice[0]], asked.rows))
                return
            for part in _parts(asked, asked.choice):
                self._submit(part)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - every failure is an answer
            asked.settle(error)

    def probe(self, served: LoadedVersion, told: Callable[[BaseException | None], None]) -> None:
        """Have a version answer its first golden row, if it has one; `told` hears of its error, or None.

        Raises:
            HomeostatError: It is refused at once.
        """
        golden = served.model.manifest.golden
        if golden is None or not golden.rows:
            told(None)
            return
        self._submit(GoldenPart(served, Rows(1, served.decoder.rows(golden.rows[:1])), told))

    def _submit(self, part: ArmPart) -> None:
        served = part.served
        inline = part.rows.count <= served.inline_rows
        try:
            batcher = self._batchers[served][inline]
        except KeyError:
            batcher = Batcher(_call_of(served), self._finish, inline=inline, seconds=served.seconds)
            self._batchers.setdefault(served, {})[inline] = batcher
        batcher.submit(part)

    def _finish(self, results: list[tuple[ArmPart, Scores | BaseException]]) -> None:
        """Take the results of a call. An exception fails the request that it is about, and no other one."""
        made: list[_Made] = []
        for part, found in results:
            try:
                if isinstance(part, GoldenPart):
                    part.told(found if isinstance(found, BaseException) else None)
                else:
                    self._take_in(part, found, made)
                    if self._log.singly:
                        self._record(made)
            except ENDINGS:
                raise
            except BaseException as error:  # noqa: BLE001 - every failure is an answer
                if not isinstance(part, GoldenPart):
                    part.asked.settle(error)
            if isinstance(found, BaseException):
                _forget(found)
        self._record(made)

    def _take_in(self, part: ArmPart, found: Scores | BaseException, made: list[_Made]) -> None:
        asked = part.asked
        if asked.done is None:
            return
        if not isinstance(found, Scores):
            self._failed(part, found)
            return
        asked.pieces.append((part, found))
        asked.missing -= 1
        if not asked.missing:
            answer = asked.answer()
            made.append((asked, asked.protocol.encode(asked, answer), asked.record(answer.scores)))

    def _failed(self, part: ArmPart, error: BaseException) -> None:
        """The champion answers for another arm that raised; its own errors are the answer."""
        asked, champion = part.asked, part.asked.table.champion
        version = part.served.version
        self._counts.invalid[version] += part.rows.count * isinstance(error, ModelError)
        if version == champion.version or isinstance(error, RetryableError):
            asked.settle(error)
            return
        self._counts.fallbacks[version] += part.rows.count
        if part.places is None or isinstance(asked.choice, tuple):
            asked.choice = (champion.version, 1.0)
        else:
            for place in part.places:
                asked.choice[place] = (champion.version, 1.0)
        self._submit(ArmPart(asked, champion, part.rows, part.places))

    def _record(self, made: list[_Made]) -> None:
        """Have answers in the log and only then sent: together, or each by itself when they are not taken together."""
        if len(made) > 1:
            try:
                self._log.append_all([record for _, _, record in made])
            except ENDINGS:
                raise
            except BaseException:  # noqa: BLE001 - what is wrong with one of them is not wrong with the others
                for one in made:
                    self._record([one])
            else:
                for asked, reply, _ in made:
                    self._answer(asked, reply)
        elif made:
            ((asked, reply, record),) = made
            try:
                self._log.append(record)
                self._answer(asked, reply)
            except ENDINGS:
                raise
            except BaseException as error:  # noqa: BLE001 - what cannot be recorded is not answered
                asked.settle(error)
        made.clear()

    def _answer(self, asked: Pending, reply: Any) -> None:
        """Send what is in the log."""
        try:
            for part, _ in asked.pieces:
                self._counts.rows[part.served.version] += part.rows.count
            if asked.begun is not None:
                self._time(asked, asked.begun)
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - it is an answer all the same
            tell("an answer was not counted", level=ERROR, request=asked.request, error=error)
        asked.settle(reply)

    def _time(self, asked: Pending, begun: float) -> None:
        """How long an arm took, where a draw gave it the whole request: what the judge compares arms by."""
        if isinstance(asked.choice, tuple) and asked.choice[1] < 1:
            self._counts.answered(asked.choice[0], stopwatch() - begun)


def _forget(error: BaseException | None) -> None:
    """Drop an error's tracebacks: their frames hold the model, and the results that hold the error."""
    for _ in range(_LONGEST_CHAIN):
        if error is None:
            return
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _call_of(served: LoadedVersion) -> Callable[[Sequence[Rows]], list[Scores | BaseException]]:
    """Its `score_parts`, for a batcher that does not keep it alive."""
    reference = weakref.ref(served)

    def call(parts: Sequence[Rows]) -> list[Scores | BaseException]:
        alive = reference()
        assert alive is not None  # whoever waits for the parts holds it
        return alive.score_parts(parts)

    return call


def _parts(asked: Pending, choice: list[_Choice]) -> Sequence[ArmPart]:
    parts = []
    served, decoder = asked.table.served, asked.table.champion.decoder
    for version in sorted({version for version, _ in choice}):
        places = [place for place, (chosen, _) in enumerate(choice) if chosen == version]
        parts.append(ArmPart(asked, served[version], decoder.chosen(asked.rows, places), places))
    asked.missing = len(parts)
    return parts


def _ids(rows: Rows, keys: Sequence[str | None], request: str) -> list[str]:
    if rows.request is not None and (problem := id_problem(request)) is not None:
        raise DataError(f"the request's id {problem}")
    if rows.ids is not None:
        return rows.ids
    if None not in keys:
        return list(keys)  # type: ignore[arg-type]
    if rows.count == 1:
        return [request]
    if (problem := id_problem(f"{request}/{rows.count - 1}")) is not None:
        raise DataError(f"the id of the request's last row {problem}", hint="send a shorter id of the request")
    return [f"{request}/{place}" if key is None else key for place, key in enumerate(keys)]


def _choose(table: Division, keys: Sequence[str | None], request: str, version: int | None) -> _Choice | list[_Choice]:
    """Version and propensity: of all rows, or of each."""
    if version is not None:
        if version not in table.served:
            there = ", ".join(str(number) for number in sorted(table.served))
            raise NotFoundError(f"version {version} gets no traffic", hint=f"there are {there}")
        return version, 1.0
    arms = [table.arm(key or request) for key in keys]
    if len({arm.version for arm in arms}) == 1:
        return arms[0].version, arms[0].share
    return [(arm.version, arm.share) for arm in arms]


def _packed(column: Any) -> list[Any] | Packed:
    if isinstance(column, np.ndarray):
        return Packed(column.dtype.newbyteorder("<").str, column.tobytes())
    return column  # type: ignore[no-any-return]
