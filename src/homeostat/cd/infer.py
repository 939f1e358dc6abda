"""Batch inference: a table in, its predictions out, by the same check and the same model as the server's.

The rows are read in chunks, so that a table may be larger than memory. Nothing is published unless every chunk fits the
schema: the output appears whole, under its name, or not at all.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.core.errors import DataError, NotFoundError, SchemaError, StoreError
from homeostat.core.schema import fit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

    from homeostat.core.model import Model, Predictions
    from homeostat.core.schema import Schema

CHUNK_ROWS = 50_000
_MOST_PROBLEMS = 20


class Inferred(msgspec.Struct, frozen=True):
    """What a batch inference made.

    Attributes:
        rows: Predicted.
        out: The file with one row per row, in order: the key (or `row`, from 0), `prediction`, and the scores:
            `score` of the positive class of two, or `score_<class>` for each of more.
        signals: Sentences about values that the schema has not seen; they stop nothing.
    """

    rows: int
    out: str
    signals: tuple[str, ...]


def infer(
    model: Model,
    source: pl.DataFrame | Path | str,
    out: Path | str,
    *,
    separator: str = ",",
    ignore: Sequence[str] = (),
    chunk_rows: int = CHUNK_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> Inferred:
    """Predict a table.

    Args:
        model: A loaded model.
        source: A table, or a file as `read_file` takes it. Target and label time are not looked at.
        out: The Parquet file to write.
        separator: What separates the columns of a CSV file.
        ignore: Columns that are left out where they are there, as the training data's source leaves them out.
        chunk_rows: Rows that are in memory at a time.
        progress: Called with the rows done and the rows in all after each chunk.

    Returns:
        What was made.

    Raises:
        SchemaError: Rows do not fit the model's schema; lists the problems of all chunks. No output is written.
        DataError: The table cannot be read.
        StoreError: The output cannot be written.

    Example:
        >>> made = infer(Bundle.load(store.artifacts, manifest), "flights.parquet", "predictions.parquet")
        >>> made.rows
        1000
    """
    target = Path(out)
    if not hasattr(source, "columns") and _is_same(Path(source), target):
        raise DataError(f"{target} is the table itself", hint="choose another --output")
    parts = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        parts.mkdir(parents=True, exist_ok=True)
        frame, total = _opened(source, model.manifest.schema, separator)
        frame = frame.drop(ignore, strict=False)
        done = _chunks(model, frame, total, parts, chunk_rows, progress)
        _publish(parts, target)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"the predictions cannot be written to {target}: {reason}", hint="nothing was written"
        ) from error
    finally:
        shutil.rmtree(parts, ignore_errors=True)
    return Inferred(done[0], str(target), done[1])


def predictions_table(model: Model, rows: pl.DataFrame, found: Predictions, start: int = 0) -> pl.DataFrame:
    """Predictions beside the keys of their rows.

    Args:
        model: What predicted.
        rows: n raw rows.
        found: Their predictions.
        start: Number of the first row, for tables without a key.
    """
    import polars as pl

    signature = model.signature
    keys = [rows[name] for name in signature.key if name in rows.columns]
    columns = keys or [pl.int_range(start, start + rows.height, dtype=pl.Int64, eager=True).alias("row")]
    columns.append(pl.Series("prediction", found.value.tolist()))
    if found.score is not None and signature.classes is not None:
        if len(signature.classes) == 2:
            columns.append(pl.Series("score", found.positive))
        else:
            columns += [pl.Series(f"score_{name}", found.score[:, i]) for i, name in enumerate(signature.classes)]
    return pl.DataFrame(columns)


def _is_same(source: Path, target: Path) -> bool:
    return source.exists() and target.exists() and target.samefile(source)


def _chunks(
    model: Model,
    frame: pl.LazyFrame,
    total: int,
    parts: Path,
    chunk_rows: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, tuple[str, ...]]:
    """Predict chunk by chunk; once one does not fit, the rest is only checked, so that all problems are known."""
    problems: list[str] = []
    signals: dict[str, None] = {}
    done = 0
    for number, chunk in enumerate(_slices(frame, total, chunk_rows)):
        where = f"rows {done + 1:,} to {done + chunk.height:,}: " if total > chunk_rows else ""
        rows, wrong, seen = _checked(model, chunk)
        problems += [where + problem for problem in wrong]
        signals |= dict.fromkeys(where + signal for signal in seen)
        if not problems:
            predictions_table(model, rows, model.predict(rows), done).write_parquet(parts / f"{number:08d}.parquet")
        done += chunk.height
        if progress is not None:
            progress(done, total)
    if not total:
        raise DataError("the table has no rows", hint="give it at least one")
    if problems:
        shown = problems[:_MOST_PROBLEMS] + (
            [f"and {len(problems) - _MOST_PROBLEMS} more"] * (len(problems) > _MOST_PROBLEMS)
        )
        what = "\n".join(
            ["the rows do not fit the model's schema; nothing was predicted:", *(f"  - {p}" for p in shown)]
        )
        hint = "mend the rows, and leave out columns that the model was not trained on; other columns take a loop of "
        raise SchemaError(what, hint=hint + "a new name, which begins a new table and schema")
    return done, tuple(signals)[:_MOST_PROBLEMS]


def _checked(model: Model, chunk: pl.DataFrame) -> tuple[pl.DataFrame, list[str], list[str]]:
    """The chunk in stored types, its problems, and what is merely unusual about it."""
    rows, findings = fit(chunk, model.manifest.schema, target_required=False)
    return rows, list(findings.problems), [f"{signal.subject}: {signal.detail}" for signal in findings.signals]


def _opened(source: Any, schema: Schema, separator: str) -> tuple[pl.LazyFrame, int]:
    """The table, and how many rows it has; text files are read as they are for training, so that codes stay codes."""
    import polars as pl

    from homeostat.core.reading import SUFFIXES, Form, read_file

    if isinstance(source, pl.DataFrame):
        return source.lazy(), source.height
    path = Path(source)
    if not path.exists():
        raise NotFoundError(f"there is no table {path}", hint="check the path")
    if not path.name.lower().endswith(SUFFIXES):
        raise DataError(f"{path.name} is no table that can be read", hint=f"give a {', '.join(SUFFIXES)} file")
    if not path.name.lower().endswith(".parquet"):
        text = tuple(column.name for column in schema.inputs if column.kind in ("category", "text"))
        rows = read_file(path, schema.spec, Form(separator, text))
        return rows.lazy(), rows.height
    try:
        frame = pl.scan_parquet(path)
        return frame, int(frame.select(pl.len()).collect().item())
    except (pl.exceptions.PolarsError, OSError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(f"the table {path.name} cannot be read: {first}", hint="is it complete?") from error


def _slices(frame: pl.LazyFrame, total: int, chunk_rows: int) -> Iterator[pl.DataFrame]:
    import polars as pl

    for start in range(0, total, chunk_rows):
        try:
            yield frame.slice(start, chunk_rows).collect()
        except pl.exceptions.PolarsError as error:
            first = str(error).partition("\n")[0]
            raise DataError(f"rows {start + 1:,} and on cannot be read: {first}") from error


def _publish(parts: Path, target: Path) -> None:
    import polars as pl

    whole = parts / "whole"
    files = sorted(parts.glob("*.parquet"))
    if len(files) == 1:
        files[0].replace(whole)
    else:
        pl.scan_parquet(files).sink_parquet(whole)
    descriptor = os.open(whole, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    whole.replace(target)
