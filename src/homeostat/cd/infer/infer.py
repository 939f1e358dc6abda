"""Batch inference: a table in, its predictions out, by the same check and the same model as the server's.

The rows are read in chunks, so that a table may be larger than memory. Nothing is published unless every chunk fits the
schema: the output appears whole, under its name, or not at all. Finished chunks are kept until then, so that a run that
was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from homeostat.cd.infer.checkpoint import ChunkNote, Unfinished
from homeostat.core.clock import new_id
from homeostat.core.errors import DataError, ModelError, SchemaError, StoreError
from homeostat.core.schema import fit
from homeostat.core.table.chunks import BLOCK_BYTES, Chunk, Chunks, Place
from homeostat.core.table.form import Form

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import polars as pl

    from homeostat.core.model import Model, Predictions
    from homeostat.core.schema import Schema

CHUNK_ROWS = 50_000
_MOST_PROBLEMS = 20
_FORMAT = 1
"""Of the chunks that a killed run leaves behind."""


class Inferred(msgspec.Struct, frozen=True):
    """What a batch inference made.

    Attributes:
        out: The file with one row per row, in order: the key (or `row`, from 0), `prediction`, and the scores:
            `score` of the positive class of two, or `score_<class>` for each of more.
        signals: Sentences about values that the schema has not seen; they stop nothing.
        resumed: Rows of these that an earlier run had predicted before it was cut off.
    """

    rows: int
    out: str
    signals: tuple[str, ...]
    resumed: int = 0


def infer(
    model: Model,
    source: pl.DataFrame | Path | str | Sequence[Path | str],
    out: Path | str,
    *,
    form: Form = Form(),  # noqa: B008 - immutable
    chunk_rows: int = CHUNK_ROWS,
    progress: Callable[[int, int], None] | None = None,
) -> Inferred:
    """Predict a table, in bounded memory and going on where an earlier run of the same was cut off.

    Args:
        model: A loaded model.
        source: A DataFrame; a file, a Delta table's folder, a folder of files, a pattern such as `day/*.parquet`; or
            several of them. Target and label time are not looked at.
        out: The Parquet file to write.
        form: How its files are written, and which columns are left out where they are there, as the training data's
            source declares it: `loop.form`.
        chunk_rows: Rows that are in memory at a time; of text files 8 MB are, and a .json file is read at once.
        progress: Called with the rows done and the rows in all (for text files, an estimate) after each chunk.

    Raises:
        SchemaError: Rows do not fit the model's schema; lists the problems of all chunks. No output is written.
        DataError: The table cannot be read.
        StoreError: The output cannot be written. Finished chunks stay for the next attempt.
        ConflictError: Another process makes the same output now.

    Example:
        >>> made = infer(Bundle.load(store.artifacts, manifest), "flights.parquet", "predictions.parquet")
        >>> made.rows
        1000
    """
    target, schema = Path(out), model.manifest.schema
    _not_itself(source, target)
    chunks = Chunks(source, schema.as_read, _text_too(schema, form), size=chunk_rows)
    settings = (_FORMAT, form, chunk_rows, BLOCK_BYTES)
    same = (chunks.fingerprint or new_id(), model.manifest.to_json(), settings)
    with _unfinished(target, hashlib.sha256(msgspec.msgpack.encode(same)).hexdigest()) as unfinished:
        notes = unfinished.notes
        resumed = sum(note.rows for note in notes)
        try:
            _predict(model, chunks, unfinished, form.ignored, progress)
            _refuse_problems(notes)
            unfinished.publish()
        except (DataError, ModelError):
            unfinished.drop()
            raise
        finally:
            if chunks.fingerprint is None:
                unfinished.drop()
    signals = tuple(dict.fromkeys(signal for note in notes for signal in note.signals))
    return Inferred(sum(note.rows for note in notes), str(target), signals[:_MOST_PROBLEMS], resumed)


def predictions_table(model: Model, rows: pl.DataFrame, found: Predictions, start: int = 0) -> pl.DataFrame:
    """Predictions beside the keys of their rows. Rows of a table without a key are numbered from `start` on."""
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


@contextmanager
def _unfinished(target: Path, fingerprint: str) -> Iterator[Unfinished]:
    """The place of the finished chunks, and what the disk says against it as one clear error."""
    unfinished = None
    try:
        unfinished = Unfinished(target, fingerprint)
        try:
            yield unfinished
        finally:
            unfinished.close()
    except OSError as error:
        reason = error.strerror or str(error)
        kept = "finished chunks are kept, and the same command goes on behind them"
        hint = "nothing was written" if unfinished is None else f"mend that; {kept}"
        raise StoreError(f"the predictions cannot be written to {target}: {reason}", hint=hint) from error


def _text_too(schema: Schema, form: Form) -> Form:
    """How text files are read: as for training, so that codes stay codes."""
    return form.with_text([column.name for column in schema.inputs if column.kind in ("category", "text")])


def _not_itself(source: Any, target: Path) -> None:
    paths = source if isinstance(source, (list, tuple)) else [source]
    for path in paths:
        if isinstance(path, (str, Path)) and Path(path).exists() and target.exists() and target.samefile(path):
            raise DataError(f"{target} is the table itself", hint="choose another --output")


def _predict(
    model: Model,
    chunks: Chunks,
    unfinished: Unfinished,
    ignore: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> None:
    """Predict chunk by chunk; once one does not fit, the rest is only checked, so that all problems are known."""
    notes = unfinished.notes
    done = sum(note.rows for note in notes)
    refused = any(note.problems for note in notes)
    for chunk in chunks.read(notes[-1].after if notes else Place()):
        rows, note = _checked(model.manifest.schema, chunk, ignore)
        refused = refused or bool(note.problems)
        unfinished.add(note, None if refused else predictions_table(model, rows, model.predict(rows), done))
        done += note.rows
        if progress is not None:
            progress(done, done + chunk.rest)


def _checked(schema: Schema, chunk: Chunk, ignore: Sequence[str]) -> tuple[pl.DataFrame, ChunkNote]:
    """The chunk in stored types, and what the check says of it."""
    import polars as pl

    rows = chunk.rows.drop(ignore, strict=False)
    absent: tuple[str, ...] = ()
    if chunk.ragged:
        absent = tuple(column.name for column in schema.inputs if column.name not in rows.columns)
        rows = rows.with_columns(pl.lit(None).alias(name) for name in absent)
    rows, findings = fit(rows, schema, target_required=False)
    problems = tuple(chunk.where + problem for problem in findings.problems)
    signals = tuple(f"{chunk.where}{signal.subject}: {signal.detail}" for signal in findings.signals)
    note = ChunkNote(rows=rows.height, after=chunk.after, problems=problems, signals=signals, absent=absent)
    return rows, note


def _refuse_problems(notes: Sequence[ChunkNote]) -> None:
    if not any(note.rows for note in notes):
        raise DataError("the table has no rows", hint="give it at least one")
    problems = [problem for note in notes for problem in note.problems]
    for part in dict.fromkeys(note.after.part for note in notes):
        lacking = [set(note.absent) for note in notes if note.after.part == part]
        problems += [f"column {name!r} is missing" for name in sorted(set.intersection(*lacking))]
    if not problems:
        return
    shown = problems[:_MOST_PROBLEMS] + (
        [f"and {len(problems) - _MOST_PROBLEMS} more"] * (len(problems) > _MOST_PROBLEMS)
    )
    what = "\n".join(["the rows do not fit the model's schema; nothing was predicted:", *(f"  - {p}" for p in shown)])
    hint = "mend the rows, and leave out columns that the model was not trained on; other columns take a loop of "
    raise SchemaError(what, hint=hint + "a new name, which begins a new table and schema")
