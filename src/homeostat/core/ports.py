"""The ports: what Homeostat asks of whatever stands outside; adapters are in `connect`, or beside what they keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import polars as pl
    import sqlalchemy as sa

    from homeostat.core.table.spec import TableSpec


@dataclass(frozen=True)
class Part:
    """Rows that are collected together or not at all, such as a file.

    Attributes:
        name: What to call it.
        digest: SHA-256 of its content: a part with a digest that was collected before is skipped.
        read: Gives its rows. It may be called with the columns that are text elsewhere and so have to be text here,
            and with a function to call with a sentence for whatever was not taken as it is.
    """

    name: str
    digest: str
    read: Callable[..., pl.DataFrame]


class Source(Protocol):
    """Where rows come from, and what their columns mean.

    One that reads files may have a `form`, as `FileSource` has, by which batch inference and streams read theirs too,
    and `seen_from(folder)`, which is told where the loop's file lies.
    """

    @property
    def spec(self) -> TableSpec:
        """What the columns mean."""

    def parts(self) -> Iterable[Part]:
        """Everything that is there now."""


class Unread(msgspec.Struct, frozen=True):
    """Something that is no row: where it stood, its text as far as there is one, and the reason."""

    name: str
    text: str
    reason: str


class Taken(msgspec.Struct):
    """Some rows of a stream.

    Attributes:
        after: The position behind them, in plain values that JSON can hold.
        rows: Column name to plain value, one mapping per row.
        names: Where each row stands, which is its id when it has no key: the same each time that it is read.
        unread: What could not be read as rows.
        finite: Whether the rows are known to hold no NaN or infinity, as what came as JSON.
        ended: Whether nothing can come any more.
        lost: Why rows before these could not be read, if so.
    """

    after: dict[str, Any]
    rows: list[Any] = msgspec.field(default_factory=list)
    names: list[str] = msgspec.field(default_factory=list)
    unread: list[Unread] = msgspec.field(default_factory=list)
    finite: bool = True
    ended: bool = False
    lost: str | None = None


class StreamSource(Protocol):
    """Gives rows, and gives them again from any position that it gave.

    Attributes:
        name: Says where the rows come from. A sink refuses to go on from the position of a source of another name.
    """

    name: str

    def take(self, after: dict[str, Any], limit: int) -> Taken:
        """What is behind a position now; it does not wait, so there may be no rows.

        Args:
            after: A position of an earlier `Taken`, or `{}` for the beginning.
            limit: About how many rows at most.
        """


class RowAnswer(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is said about a row.

    Attributes:
        id: Its key, or where it stood; labels refer to it.
        value: The prediction.
        version: The version that made it.
        score: Of the second class of two.
        probabilities: Of more classes than two.
    """

    id: str
    value: Any
    version: int
    score: float | None = None
    probabilities: dict[str, float] | None = None


class DeadRow(msgspec.Struct, frozen=True):
    """A row that got no answer: where it stood, why, and what it was."""

    name: str
    reason: str
    row: Any


class StreamSink(Protocol):
    """Takes answers."""

    def begin(self, source: str) -> dict[str, Any]:
        """Get ready, undoing what a crash left half done.

        Args:
            source: Name of the source.

        Returns:
            Its position behind what is in this sink; `{}` for the beginning.
        """

    def write(self, answers: Sequence[RowAnswer], dead: Sequence[DeadRow], after: dict[str, Any]) -> None:
        """Keep answers, dead letters and the source's position behind them: all of it or nothing.

        Raises:
            StoreError: They cannot be written.
        """

    def close(self) -> None:
        """Let go of it."""


class Changes(Protocol):
    """Tells whether anybody may have written to a database since it was last asked, for next to no work."""

    def mark(self) -> object:
        """Equal to the last one only if no other connection has committed in between."""

    def close(self) -> None:
        """Let go of it."""


class Database(Protocol):
    """What keeps a ledger's tables. Statements are SQLAlchemy's, so that they are written once; errors are ours.

    Whatever goes wrong in one of its methods or blocks is a `StoreError`, or a `ConflictError` where somebody else was
    faster, with a hint what to do: nothing is ever reported as success that is not on the disk.

    Attributes:
        name: What to call it in messages.
    """

    name: str

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection that sees one state of the database, whoever writes meanwhile."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A connection that writes alone: others wait. What the block did is kept whole, or not at all if it raises."""

    def look_up(self, statement: sa.Select[Any], value: str) -> Sequence[Any] | None:
        """The first row of a statement with one parameter, as fast as it goes: it is asked for every step."""

    def changes(self) -> Changes:
        """What tells whether there is anything new to read."""

    def scratch(self) -> AbstractContextManager[sa.Connection]:
        """A connection to an empty database of its own, which is gone after the block."""

    def check(self) -> None:
        """Look at everything that it keeps, and at every index.

        Raises:
            IntegrityError: Something is damaged.
        """

    def about(self) -> str:
        """Which database it is, and how it keeps several writers apart, for `homeostat doctor`."""

    def close(self) -> None:
        """Close every connection."""


class Blobs(Protocol):
    """Keeps bytes under names of 64 hexadecimal digits; what they mean, and whether they are right, others know.

    What cannot be read or written is a `StoreError`, with a hint what to do.

    Attributes:
        name: What to call it in messages.
    """

    name: str

    def put(self, key: str, data: bytes) -> None:
        """Keep bytes in place of what is under that name, whole or not at all; durably once `settle` has returned."""

    def settle(self) -> None:
        """Wait until everything that was put is durable.

        Raises:
            StoreError: It is not; nothing that names it may be recorded.
        """

    def get(self, key: str) -> bytes:
        """The bytes under a name.

        Raises:
            NotFoundError: There are none.
        """

    def size(self, key: str) -> int | None:
        """How many bytes are under a name, which are not read; None when there are none."""

    def keys(self) -> Iterator[str]:
        """All names, in order; what is being written has none."""


class TrainingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is to be carried out.

    Attributes:
        trigger: The key of its trigger, whose command stands in the ledger.
        store: The store's folder.
        loop_file: The declaration.
        played: Whether the loop's clock is a virtual one.
    """

    trigger: str
    store: str
    loop_file: str
    played: bool = False


class Executor(Protocol):
    """Where runs are carried out, one at a time. What becomes of a run stands in the ledger, and nowhere else."""

    def start(self, spec: TrainingSpec) -> None:
        """Begin a run beside the caller. To begin one again that left no record is harmless."""

    def running(self) -> bool:
        """Whether the run that was started last is under way, as far as can be told from here.

        Raises:
            HomeostatError: Why it ended without a record; a `UserError` where another attempt would end alike.
        """

    def cancel(self, trigger: str) -> None:
        """End the run of a trigger at once, where it can be ended and is the one that was started last."""

    def logs(self) -> str:
        """What the run that was started last printed, or what ended it."""

    def close(self) -> None:
        """Let everything end in good order; a run that was under way is begun again by the next start."""
