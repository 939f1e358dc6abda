"""The ports: what Homeostat asks of whatever stands outside; adapters are in `connect`, or beside what they keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import polars as pl

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
        ...

    def parts(self) -> Iterable[Part]:
        """Everything that is there now."""
        ...


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
        ...


class StreamAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
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
        ...

    def write(self, answers: Sequence[StreamAnswer], dead: Sequence[DeadRow], after: dict[str, Any]) -> None:
        """Keep answers, dead letters and the source's position behind them: all of it or nothing.

        Raises:
            StoreError: They cannot be written.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
