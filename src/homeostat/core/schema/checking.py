"""Hold rows against a schema: the one check that guards training, batch inference and serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from homeostat.core.errors import SchemaError
from homeostat.core.events import Signal
from homeostat.core.schema.columns import Column, Schema, stored_type
from homeostat.core.table.spec import did_you_mean
from homeostat.core.values import unfit

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl


_TITLE = "the rows do not fit the schema"


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        problems: Schema skew, one sentence each: it stops whatever wanted the rows.
        signals: Value skew: values that the schema has not seen. Signals never stop anything.
    """

    problems: tuple[str, ...] = ()
    signals: tuple[Signal, ...] = ()

    def raise_if_any(self) -> None:
        """Stop when there is schema skew."""
        if self.problems:
            from homeostat.core.table.rows import bulleted

            raise SchemaError(
                bulleted(_TITLE, self.problems),
                hint="mend the rows, or leave a new column out with ignore= in the source; if the change is meant, "
                "take it with `homeostat accept-schema`",
            )


def check(rows: pl.DataFrame, schema: Schema, *, target_required: bool) -> Findings:
    """Hold rows against a schema; the one check that guards training, batch inference and serving.

    Schema skew: missing, unexpected or mistyped columns, nulls where there never were any, NaN and infinity. Value
    skew: categories never seen, numbers outside the range seen. Target and label time are ignored where they are not
    required.
    """
    wanted = schema.columns if target_required else schema.inputs
    present = [name for name in rows.columns if target_required or name not in schema.spec.labels]
    problems = [
        f"column {column.name!r} is missing; {did_you_mean(column.name, _spare(present, schema))}"
        if _spare(present, schema)
        else f"column {column.name!r} is missing"
        for column in wanted
        if column.name not in present
    ]
    problems += [
        f"column {name!r} is unexpected; {did_you_mean(name, [c.name for c in wanted])}"
        for name in present
        if name not in schema
    ]
    signals: list[Signal] = []
    for column in wanted:
        if column.name in present:
            found = _check_column(
                rows[column.name], column, event=column.name in (schema.spec.time, schema.spec.label_time)
            )
            problems += found.problems
            signals += found.signals
    return Findings(problems=tuple(problems), signals=tuple(signals))


def fit(rows: pl.DataFrame, schema: Schema, *, target_required: bool) -> tuple[pl.DataFrame, Findings]:
    """Rows in the schema's stored types, and what `check` says of them.

    Args:
        rows: Any number of rows; times may be text, as they are in CSV and JSON files.
        schema: What they must look like.
        target_required: As for `check`; if not, target and label time are dropped, columns take the schema's order, and
            whole numbers become fractions where the schema has fractions, and the reverse.

    Returns:
        The rows, and every problem and signal. With a problem, the rows are good for nothing but looking at them.

    Example:
        >>> import polars as pl
        >>> from homeostat.core.schema import infer_schema
        >>> from homeostat.core.table.spec import TableSpec
        >>> schema = infer_schema(pl.DataFrame({"at": ["2013-01-01"], "delay": [1.5]}), TableSpec(time="at"))
        >>> batch = pl.DataFrame({"delay": [9], "at": ["2013-02-01"]})
        >>> rows, findings = fit(batch, schema, target_required=False)
        >>> rows.columns, [signal.subject for signal in findings.signals]
        (['at', 'delay'], ['delay'])
    """
    import polars as pl

    from homeostat.core.table.rows import key_problems, stored_form

    if not target_required:
        rows = rows.drop(name for name in schema.spec.labels if name in rows.columns)
    rows, broken = stored_form(rows, {column.name: column.form for column in schema.columns if column.kind == "time"})
    findings = check(rows, schema, target_required=target_required)
    told = {problem.split("'")[1] for problem in broken}
    others = [problem for problem in findings.problems if problem.split("'")[1] not in told]
    if not broken and not others:
        others = key_problems(rows, schema.spec)
    if not target_required and not broken and not others:
        # As a server's rows have them, so that features() and the model see the same in every mode.
        rows = rows.select(pl.col(column.name).cast(stored_type(column.kind)) for column in schema.inputs)
    return rows, Findings(problems=(*broken, *others), signals=findings.signals)


def _spare(present: list[str], schema: Schema) -> list[str]:
    return [name for name in present if name not in schema]


def _check_column(series: pl.Series, column: Column, *, event: bool) -> Findings:
    import polars as pl

    from homeostat.core.errors import shown
    from homeostat.core.times.columns import UTC_TIME, outside

    n = series.len()

    def problem(wrong: pl.Series, text: Callable[[str], str]) -> str:
        row = int(wrong.arg_true()[0])
        return (
            f"column {column.name!r} {text(shown(series[row]))} (first in row {row + 1}, {wrong.sum():,} of {n:,} rows)"
        )

    if series.dtype == pl.Null:
        series = series.cast(pl.String)
    nulls = series.is_null()
    problems = []
    if not column.nullable and nulls.any():
        problems.append(problem(nulls, lambda _: "is null, and never was"))
    if nulls.all():
        return Findings(problems=tuple(problems))
    mistyped = _mistyped(series, column)
    if mistyped.any():
        kind = "a whole number" if column.kind == "integer" else f"a {column.kind}"
        return Findings(problems=(*problems, problem(mistyped, lambda value: f"should be {kind}; found {value}")))
    if event and series.dtype == UTC_TIME and (told := outside(series, event=True)) is not None:
        return Findings(problems=(*problems, f"column {column.name!r}: {told}"))
    if (found := unfit(series, column.kind)) is not None:
        wrong, what = found
        return Findings(problems=(*problems, problem(wrong, lambda value: f"holds {value}; {what}")))
    return Findings(problems=tuple(problems), signals=tuple(_value_skew(series, column)))


def _mistyped(series: pl.Series, column: Column) -> pl.Series:
    """Mask of the values that are not of the column's kind."""
    import polars as pl

    dtype, present = series.dtype, series.is_not_null()
    if column.kind == "integer" and dtype.is_float():
        return present & series.is_finite() & (series != series.round())
    text = dtype in (pl.String, pl.Categorical, pl.Enum)
    fits = {
        "number": dtype.is_numeric(),
        "integer": dtype.is_numeric(),
        "boolean": dtype == pl.Boolean,
        "category": text,
        "text": text,
        "time": dtype.is_temporal() and dtype != pl.Duration,
    }[column.kind]
    return present & (not fits)


def _value_skew(series: pl.Series, column: Column) -> list[Signal]:
    n = series.len() - series.null_count()
    if column.categories is not None:
        import polars as pl

        values = series.cast(pl.String).drop_nulls()
        unseen = values.filter(~values.is_in(list(column.categories)))
        if len(unseen):
            names = unseen.unique(maintain_order=True).to_list()
            listed = ", ".join(repr(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
            return [_signal(column, len(unseen) / n, n, f"values never seen before: {listed}")]
    if column.minimum is not None and column.maximum is not None:
        outside = ((series < column.minimum) | (series > column.maximum)).sum()
        if outside:
            detail = (
                f"values from {_shown(series.min())} to {_shown(series.max())}; "
                f"seen before were {column.minimum:g} to {column.maximum:g}"
            )
            return [_signal(column, int(outside) / n, n, detail)]
    return []


def _signal(column: Column, share: float, n: int, detail: str) -> Signal:
    return Signal(
        kind="value_drift", subject=column.name, value=share, n=n, detail=f"{share:.1%} of the rows hold {detail}"
    )


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)
