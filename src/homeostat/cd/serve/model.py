"""One model of a server: which versions answer, where answers are recorded, and how requests get to them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.serve.http import access
from homeostat.cd.serve.http.replies import Reply, encode, failure
from homeostat.cd.serve.protocols import binary, openinference
from homeostat.cd.serve.scoring.dispatch import Answer, Dispatcher, NotReadyError, Pending
from homeostat.core.clock import stopwatch
from homeostat.core.errors import ENDINGS, DataError
from homeostat.core.text.read_json import TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable

    from homeostat.cd.log import LogWriter
    from homeostat.cd.serve.routing import Division, Router
    from homeostat.cd.serve.rows import Rows
    from homeostat.cd.serve.shadow.supervisor import ShadowSupervisor
    from homeostat.cd.serve.telemetry.counters import ModelCounts
    from homeostat.core.clock import Clock

    Decoded = tuple[Rows, Any]
    """The rows of a request, and what its lane needs to know for the answer."""
    Done = Callable[[Reply], None]

BINARY = b"application/octet-stream"


class ServedModel:
    """A model that a server answers for.

    Args:
        name: Name of its Loop.
        router: Which versions answer.
        log: The prediction log.
        others: Scores the arms that do not answer.
        counts: What is counted of it.
        clock: What time it is, unless requests say so.
        header_clock: Whether they may.
        most_rows: Rows of one request.
    """

    def __init__(
        self,
        name: str,
        router: Router,
        log: LogWriter,
        others: ShadowSupervisor,
        counts: ModelCounts,
        clock: Clock,
        *,
        header_clock: bool = False,
        most_rows: int = 100_000,
    ) -> None:
        self.name, self.router, self.log, self.others, self.clock = name, router, log, others, clock
        self.header_clock, self.most_rows = header_clock, most_rows
        self.counts = counts
        self.desk = Dispatcher(log, counts)

    @property
    def ready(self) -> bool:
        """Whether a version is in effect, and the log takes what it answers and keeps it."""
        return self.router.table is not None and self.log.stats().good

    def table(self) -> Division:
        """The division of traffic in effect.

        Raises:
            NotReadyError: There is none.
        """
        table = self.router.table
        if table is None:
            reason = self.router.status().error or "no version has been promoted yet"
            raise NotReadyError(
                f"there is no model to answer: {reason}", hint="`homeostat run` trains and promotes one"
            )
        return table

    def now(self, minded: dict[bytes, bytes]) -> Any:
        """The time of a request."""
        if self.header_clock and (said := access.moment(minded)) is not None:
            return said
        return self.clock.now()


class Lane:
    """One way of asking a model: how a body becomes rows, and an answer a body.

    Args:
        hosted: The model.
        version: The version that is asked for, or None for whichever arm a row belongs to.
    """

    route = "/predict"

    def __init__(self, hosted: ServedModel, version: int | None = None) -> None:
        self.hosted, self.version = hosted, version

    def decode(self, table: Division, body: bytes, minded: dict[bytes, bytes]) -> Decoded:
        """The rows of a body."""
        return table.champion.decoder.body(body), None

    def encode(self, table: Division, answer: Answer, asked_for: Any) -> Reply:
        """The answer's body."""
        return Reply(200, encode(_Predicted(answer.request, self.hosted.name, _predictions(answer))), self.route)

    def patience(self, asked_for: Any) -> float | None:
        """Seconds that the body says the caller waits at most."""
        return None

    def answer(self, body: bytes, minded: dict[bytes, bytes], done: Done) -> None:
        """Answer a request: `done` is told the reply, now or later, exactly once, whatever goes wrong."""
        hosted, request = self.hosted, ""
        try:
            table = hosted.table()
            rows, asked_for = self.decode(table, body, minded)
            if not rows.count:
                raise DataError("the request has no rows", hint="send at least one")
            if rows.count > hosted.most_rows:
                what = f"the request has {rows.count:,} rows and this server takes {hosted.most_rows:,}"
                raise TooLargeError(what, hint="send several requests, or use `homeostat infer` for tables")
            request = rows.request or ""
            asked = Pending(
                table,
                rows,
                hosted.now(minded),
                lambda answer: self._reply(table, answer, asked_for),
                lambda found: done(self._failure(found, asked.request) if isinstance(found, BaseException) else found),
                version=self.version,
                deadline=self._deadline(minded, asked_for),
            )
        except ENDINGS:
            raise
        except BaseException as error:  # noqa: BLE001 - every failure is an answer
            done(self._failure(error, request))
        else:
            hosted.desk.take(asked)

    def _deadline(self, minded: dict[bytes, bytes], asked_for: Any) -> float:
        said = access.patience(minded) if b"homeostat-deadline" in minded else None
        seconds = said if said is not None else self.patience(asked_for)
        return math.inf if seconds is None else stopwatch() + seconds

    def _reply(self, table: Division, answer: Answer, asked_for: Any) -> Reply:
        reply = self.encode(table, answer, asked_for)
        reply.model, reply.request = self.hosted.name, answer.request
        return reply

    def _failure(self, error: BaseException, request: str) -> Reply:
        reply = failure(error, self.route, request)
        reply.model = self.hosted.name
        return reply


class InferLane(Lane):
    """The Open Inference Protocol v2."""

    route = "/v2/infer"

    def decode(self, table: Division, body: bytes, minded: dict[bytes, bytes]) -> Decoded:
        """The rows of an inference request, and which outputs it wants."""
        tensors = table.champion.tensors
        if binary.HEADER in minded:
            length = binary.header_length(minded.items())
            return tensors.binary(body, 0 if length is None else length)
        return tensors.json(body)

    def encode(self, table: Division, answer: Answer, asked_for: Any) -> Reply:
        """The outputs as tensors."""
        body, length = openinference.encode(self.hosted.name, table.champion.version, answer, asked_for)
        if length is None:
            return Reply(200, body, self.route)
        return Reply(200, body, self.route, BINARY, ((binary.HEADER, b"%d" % length),))

    def patience(self, asked_for: Any) -> float | None:
        """The parameter `timeout` in microseconds."""
        return None if asked_for.timeout is None else asked_for.timeout / 1e6


class Prediction(msgspec.Struct, omit_defaults=True, gc=False):
    """One row of the answer to `POST /predict`."""

    id: str
    value: Any
    version: int
    score: float | None = None
    probabilities: dict[str, float | None] | None = None


class _Predicted(msgspec.Struct):
    request: str
    model: str
    predictions: list[Prediction]


def _predictions(answer: Answer) -> list[Prediction]:
    """The rows of the answer to `POST /predict`."""
    classes, scores = answer.signature.classes, answer.scores
    columns: list[Any] = [answer.ids, scores.values, answer.by_row()]
    if classes is not None and len(classes) == 2:
        columns.append([row[1] for row in scores.lists] if scores.lists else scores.array[:, 1].tolist())
    elif classes is not None:
        names = [str(value) for value in classes]
        probabilities = [dict(zip(names, row, strict=True)) for row in scores.rows]
        columns += [[None] * len(answer.ids), probabilities]
    return [Prediction(*values) for values in zip(*columns, strict=True)]
