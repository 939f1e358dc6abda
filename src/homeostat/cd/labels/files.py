"""Labels from files and tables: held against the model's task as a whole, and in the log once, however often given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.labels.values import typed_label
from homeostat.cd.log import LabelItem, LabelRecord, LogReader, LogWriter, Position, PredictionRecord
from homeostat.core.errors import DataError, shown
from homeostat.core.table.chunks import Chunks
from homeostat.core.table.form import Form
from homeostat.core.table.ids import id_problem, row_id
from homeostat.core.table.rows import bulleted, stored_form
from homeostat.core.table.spec import TableSpec, did_you_mean
from homeostat.core.times.columns import outside
from homeostat.core.values import taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from homeostat.cd.log.archive import Archive
    from homeostat.core.model import Signature
    from homeostat.core.model.signature import Label
    from homeostat.core.schema import Column

_CHUNK_ROWS = 50_000
_READ_ROWS = 200_000
_RECORD_LABELS = 10_000


class LabelColumns(msgspec.Struct, frozen=True):
    """Which columns of a table hold labels; what is not said is found by the model's own names.

    Attributes:
        id: What a label refers to: by default the model's key, else `id`.
        label: By default the model's target, else `label`.
        time: When the label became known: by default the table's label time, else `time`, else it is now.
    """

    id: str | None = None
    label: str | None = None
    time: str | None = None


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the labels of a table. Each is counted once; all but the repeated ones are in the log now.

    Attributes:
        joined: Their row is in the log and had no label.
        late: Their row has left the log and is in the table of predictions: they join the table of labels alone.
        repeated: The same was said before, in this table or earlier; not recorded again.
        conflicting: Something else was said before, and that counts.
        unknown: Nobody predicted a row with that id yet.
        empty: Rows of the table whose label is not known yet.
    """

    joined: int = 0
    late: int = 0
    repeated: int = 0
    conflicting: int = 0
    unknown: int = 0
    empty: int = 0
    recorded: int = 0


def read_labels(
    source: Path | str | pl.DataFrame,
    signature: Signature,
    now: datetime,
    *,
    label_time: str | None = None,
    named: LabelColumns = LabelColumns(),  # noqa: B008 - immutable
    separator: str = ",",
) -> tuple[list[LabelItem], int]:
    """The labels of a table, and how many of its rows have none yet.

    Args:
        source: A file, Delta table, folder, pattern or frame, as `Chunks` takes it. Its labels are held in memory.
        signature: What the model predicts.
        now: When the labels became known, where the table does not say it.
        label_time: The training table's column for that.
        named: The columns.
        separator: What separates the columns of a CSV file.

    Raises:
        DataError: Columns are missing, or rows hold no label of this model; lists the problems of all rows.
        NotFoundError: There is no such table.
    """
    kinds = {column.name: column.kind for column in signature.inputs}
    keys = (named.id,) if named.id else (*signature.key, "id")
    text = [name for name in keys if kinds.get(name, "text") in ("text", "category")]
    if signature.classes is not None and all(isinstance(one, str) for one in signature.classes):
        text.append(named.label or signature.target)
        text.append("label")
    spec = TableSpec(time=named.time or "time", label_time=label_time)
    items: list[LabelItem] = []
    problems: list[str] = []
    before = empty = 0
    for chunk in Chunks(source, spec, Form(separator, tuple(text)), size=_CHUNK_ROWS).read():
        found, without = _items(
            chunk.rows, signature, now, _columns(chunk.rows, signature, label_time, named), problems, before
        )
        items += found
        empty += without
        before += chunk.rows.height
    if problems:
        raise DataError(bulleted("the labels do not fit the model; nothing was recorded", problems))
    return items, empty


def deliver(
    items: Sequence[LabelItem],
    folder: Path,
    archive: Archive,
    now: datetime,
    *,
    empty: int = 0,
    dry_run: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> Delivered:
    """Have labels in the log, those excepted that it holds already.

    Rows without a label are counted along; `progress` is told how many rows of the log were looked through.
    """
    known, answered = _said(items, folder, progress)
    archived = _archived(archive, known, answered)
    counts = dict.fromkeys(("joined", "late", "repeated", "conflicting", "unknown"), 0) | {"empty": empty}
    fresh = []
    for item in items:
        said = known[item.id]
        if item.label in said:
            counts["repeated"] += 1
            continue
        if said:
            counts["conflicting"] += 1
        elif item.id in answered:
            counts["joined"] += 1
        else:
            counts["late" if item.id in archived else "unknown"] += 1
        said.add(item.label)
        fresh.append(item)
    if fresh and not dry_run:
        with LogWriter(folder) as log:
            for start in range(0, len(fresh), _RECORD_LABELS):
                log.append(LabelRecord(now, fresh[start : start + _RECORD_LABELS]))
    return Delivered(**counts, recorded=len(fresh) * (not dry_run))


def _columns(
    rows: pl.DataFrame, signature: Signature, label_time: str | None, named: LabelColumns
) -> tuple[list[str], str, str | None]:
    """Id, label and time column of a table."""
    there = set(rows.columns)
    ids = (
        [named.id] if named.id else list(signature.key) if signature.key and there.issuperset(signature.key) else ["id"]
    )
    label = named.label or (signature.target if signature.target in there else "label")
    time = named.time
    if time is None and label_time in there:
        time = label_time
    elif time is None and "time" in there and signature.time != "time":
        time = "time"
    wanted = {"--id": ids, "--label": [label], "--time": [time] if time else []}
    missing = [
        f"there is no column {name!r} ({option}); {did_you_mean(name, rows.columns)}"
        for option, names in wanted.items()
        for name in names
        if name not in there
    ]
    if missing:
        mark = next((mark for mark in ";|," if len(rows.columns) == 1 and mark in rows.columns[0]), None)
        other = f"; is it separated by another character? try --separator {mark!r}" if mark else ""
        hint = f"it has {', '.join(rows.columns[:20])}{other}"
        raise DataError(bulleted("the table holds no labels", missing), hint=hint)
    return ids, label, time


def _items(
    rows: pl.DataFrame,
    signature: Signature,
    now: datetime,
    columns: tuple[list[str], str, str | None],
    problems: list[str],
    before: int,
) -> tuple[list[LabelItem], int]:
    """The labels of a part of the table; what is wrong with others is added to the problems."""
    ids, label, time = columns
    inputs = {column.name: column for column in signature.inputs}
    times = {name: inputs[name].form for name in ids if name in inputs and inputs[name].kind == "time"}
    times |= {time: None} if time else {}
    rows, mistyped = stored_form(rows.select(list(dict.fromkeys([*ids, label, *times]))), times)
    if time and not mistyped and (told := outside(rows[time], event=True)) is not None:
        mistyped = [f"column {time!r}: {told}"]
    problems += mistyped
    if mistyped:
        return [], 0
    moments = rows[time].to_list() if time else [None] * rows.height
    numbers, wrong, carried_along = _numbers_made_text(rows[label], before), list[str](), list[str]()
    items, empty = [], 0
    names = zip(*(rows[name].to_list() for name in ids), strict=True)
    for place, (parts, value, moment) in enumerate(zip(names, rows[label].to_list(), moments, strict=True), before + 1):
        if value is None:
            empty += 1
            continue
        typed, message = typed_label(value, signature)
        one, strange = _id(parts, ids, inputs)
        if message is not None:
            to_blame = wrong if place not in numbers else carried_along
            to_blame.append(f"row {place}, column {label!r}: {message}")
        elif strange is not None:
            wrong.append(f"row {place}: {strange}")
        else:
            items.append(LabelItem(one, typed, moment or now))
    problems += wrong or carried_along
    return items, empty


def _numbers_made_text(labels: pl.Series, before: int) -> set[int]:
    """Rows whose number became text because another row's label is none, which alone is to blame."""
    import polars as pl

    if labels.dtype != pl.String:
        return set()
    is_number = labels.cast(pl.Float64, strict=False).is_not_null()
    return set() if (is_number | labels.is_null()).all() else {row + before + 1 for row in is_number.arg_true()}


def _id(parts: Sequence[Any], names: Sequence[str], inputs: dict[str, Column]) -> tuple[str, str | None]:
    """The id of a row, by the rule and in the types of the answers that it had; or why it has none."""
    values = []
    for name, part in zip(names, parts, strict=True):
        # As it is, where the model has no such column; times are times already.
        known = name in inputs and part is not None and inputs[name].kind != "time"
        value, message = taken(part, inputs[name].kind) if known else (part, None)
        if message is not None:
            return "", f"column {name!r} {message}"
        values.append(value)
    one = row_id(values) or ""
    problem = id_problem(one)
    return one, None if problem is None else f"the id {shown(one)} {problem}"


def _said(
    items: Iterable[LabelItem], folder: Path, progress: Callable[[int, int | None], None] | None
) -> tuple[dict[str, set[Label]], set[str]]:
    """What the log says of these ids already: their labels, and which of them were predicted."""
    known: dict[str, set[Any]] = {item.id: set() for item in items}
    answered: set[str] = set()
    reader, position, more, rows = LogReader(folder), Position(), True, 0
    while more:
        batch = reader.read(position, limit=_READ_ROWS)
        position, more = batch.position, batch.more
        for record in batch.records:
            match record:
                case PredictionRecord():
                    rows += len(record.rows)
                    answered.update(row.id for row in record.rows if row.id in known)
                case LabelRecord():
                    for item in record.labels:
                        if item.id in known:
                            known[item.id].add(item.label)
        if progress is not None:
            progress(rows, None)
    return known, answered


def _archived(archive: Archive, known: dict[str, set[Any]], answered: set[str]) -> set[str]:
    """Which ids have left the log; what was said of them is added to what is known."""
    import polars as pl

    ids = pl.Series("id", list(known), dtype=pl.String)
    if archive.labels.rows:
        told = archive.labels.read(columns=["id", "label"]).filter(pl.col("id").is_in(ids.implode()))
        for one, label in told.iter_rows():
            # Of a row that is in the log its labels are there too: what is told by the table alone never joined it.
            if one not in answered:
                known[one].add(label)
    if not archive.predictions.rows or answered.issuperset(known):
        return set()
    there = archive.predictions.read(columns=["id"])["id"]
    return set(there.filter(there.is_in(ids.implode()))) - answered
