"""Validate rows before anything is trained on them: schema skew stops, value skew and suspicions are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.core.errors import DataError, shown
from homeostat.core.events import Signal
from homeostat.core.schema import Findings, Schema, difference, fit, infer_schema, merge
from homeostat.core.stats.leakage import Suspect, suspicious_features
from homeostat.core.table.rows import prepare

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from homeostat.core.table.spec import TableSpec

_MOSTLY = 0.9
"""From which share of numbers on a column of text is told to be one of numbers."""


class Validation(msgspec.Struct, frozen=True, kw_only=True):
    """What validation found in rows that may be trained on.

    Attributes:
        schema: The schema that these rows and all before them fit: what a model trained on them is given.
        labelled: How many of them have a target.
        changes: What is new in the schema since the last time, one sentence each.
        signals: Values that the earlier schema had not seen.
        suspects: Columns that tell the target by themselves.
        numbers: Columns of text nearly all of whose values are numbers, one sentence each.
    """

    schema: Schema
    rows: int
    labelled: int
    changes: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    numbers: tuple[str, ...] = ()


def validate(
    rows: pl.DataFrame, spec: TableSpec, schema: Schema | None = None, *, text: Sequence[str] = ()
) -> Validation:
    """Refuse rows that must not be trained on, and tell what is odd about the others.

    Args:
        rows: The rows of a run, in stored or own types.
        spec: What the columns mean.
        schema: What earlier rows looked like; None infers a schema from these.
        text: Columns that were declared to be text, whatever they look like.

    Returns:
        The schema from now on, and everything that a person or a policy should know.

    Raises:
        SchemaError: Schema skew; lists every problem.
        DataError: No rows, rows that break their declaration, or a target that nothing can be learned from.

    Example:
        >>> import polars as pl
        >>> from homeostat.core.table.spec import TableSpec
        >>> rows = pl.DataFrame({"at": ["2013-01-01", "2013-01-02"], "delay": [1.5, 40.0], "late": [0, 1]})
        >>> first = validate(rows, TableSpec(time="at", target="late"))
        >>> later = rows.with_columns(pl.col("delay").cast(pl.String))
        >>> validate(later, first.schema.spec, first.schema)
        Traceback (most recent call last):
        homeostat.core.errors.SchemaError: the rows do not fit the schema:
          - column 'delay' should be a number; found '1.5' (first in row 1, 2 of 2 rows)
          hint: mend the rows, or leave a new column out with ignore= in the source; if the change is meant, ...
    """
    if not rows.height:
        raise DataError("there are no rows to train on", hint="collect some first, or widen the training window")
    findings = Findings()
    if schema is not None:
        rows, findings = fit(rows, schema, target_required=True)
        findings.raise_if_any()
    rows = prepare(rows, spec)
    if spec.target is not None:
        refuse_unlearnable(rows[spec.target])
    found = infer_schema(rows, spec)
    merged = found if schema is None else merge(schema, found)
    suspects: tuple[Suspect, ...] = ()
    if spec.target is not None:
        suspects = suspicious_features(rows.drop(set(spec.declared)), rows[spec.target])
    return Validation(
        schema=merged,
        rows=rows.height,
        labelled=rows.height if spec.target is None else rows[spec.target].count(),
        changes=() if schema is None else difference(schema, merged),
        signals=findings.signals,
        suspects=suspects,
        numbers=tuple(filter(None, (_numbers_told(series) for series in rows.drop(*text, *spec.key, strict=False)))),
    )


def _numbers_told(series: pl.Series) -> str | None:
    """What is lost on a column of text that is one of numbers, and what would read it."""
    from homeostat.core.table.files import number_forms

    forms = [form for form in number_forms(series) if form.share >= _MOSTLY and not form.plain]
    if not forms:
        return None
    ways = " or ".join(f"FileSource(..., {form.told(series.name)})" for form in forms[:2])
    return (
        f"column {series.name!r} is text, and {forms[0].share:.0%} of its values are numbers: {ways} reads them, "
        f"text=({series.name!r},) keeps them as text"
    )


def refuse_unlearnable(target: pl.Series) -> None:
    """Refuse labels from which nothing can be learned."""
    if not target.count():
        what = f"nothing can be learned: target {target.name!r} is null in all {target.len():,} rows"
        raise DataError(what, hint="wait for labels, or name another target")
    if target.drop_nulls().n_unique() == 1:
        only = f"one value only, {shown(target.drop_nulls()[0])} in all {target.count():,} labelled rows"
        hint = "collect rows with another value, or name another target"
        raise DataError(f"nothing can be learned: target {target.name!r} has {only}", hint=hint)
