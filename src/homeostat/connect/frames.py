"""Rows that are in memory already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from homeostat.core.errors import DataError
from homeostat.core.ports import Part
from homeostat.core.table.form import form_of
from homeostat.core.table.spec import table_spec


class FrameSource:
    """Rows that are in memory already.

    Args:
        frame: A table as `core.frames.frame_of` takes it: Polars, Arrow, pandas, a list of dictionaries, columns.
        time: Event time column.
        key: Column or columns that identify a row; without one the whole row does.
        target: The column to predict.
        label_time: When the target became known; without it, at the event time.
        dates: How times are written that are not year first, as for a `FileSource`.
        name: What to call it in the ledger.
        text: Columns whose bytes are UTF-8.
        rename: Old names of columns to new ones, before everything else.
        ignore: Columns that are not taken in.
        separator: What separates the columns of CSV files that batch inference is given.

    Example:
        >>> import polars as pl
        >>> FrameSource(pl.DataFrame({"at": ["2013-01-01"], "late": [1]}), time="at", target="late").spec.target
        'late'
    """

    def __init__(
        self,
        frame: Any,
        *,
        time: str,
        key: str | Sequence[str] = (),
        target: str | None = None,
        label_time: str | None = None,
        dates: str | Mapping[str, str] | None = None,
        name: str = "frame",
        text: str | Sequence[str] = (),
        rename: Mapping[str, str] | None = None,
        ignore: str | Sequence[str] = (),
        separator: str = ",",
    ) -> None:
        self.frame = frame
        self.name = name
        self.spec = table_spec(time, key, target, label_time, dates)
        self.form = form_of(separator=separator, text=text, rename=rename, ignore=ignore, declared=self.spec.declared)

    def parts(self) -> Iterator[Part]:
        """The one frame."""
        from homeostat.core.fingerprint import fingerprint
        from homeostat.core.table.files import as_declared
        from homeostat.core.table.foreign import frame_of

        frame = frame_of(self.frame)
        if not frame.height:
            raise DataError(f"the frame {self.name!r} has no rows", hint="collect it when it has some")
        frame = self.form.without(as_declared(frame.clone(), self.form), f"the frame {self.name!r}")
        yield Part(self.name, fingerprint(frame), lambda *_: frame)

    def __repr__(self) -> str:
        return f"FrameSource({self.name!r})"
