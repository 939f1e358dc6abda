"""The steps of a Loop's own pipeline, as plain functions: any of them can be replaced by one of the user's.

    rows ─ validation ─┬─ split ─┬─ model ─ evaluation ─ verdicts
      └────────────────┴ report  └──────────────┘

Positional parameters name the steps above, or the inputs of the run; keyword-only ones are settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homeostat.core.errors import DataError
from homeostat.ct.how import Refit

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    import polars as pl

    from homeostat.ci.analyze import Report
    from homeostat.ci.evaluate import Evaluation
    from homeostat.ci.validate import Validation
    from homeostat.core.events import GateResult
    from homeostat.core.model import Bundle
    from homeostat.core.schema import Schema
    from homeostat.core.table.spec import Snapshot


def rows(snapshot: Snapshot, known_by: datetime, *, how: Any = Refit()) -> pl.DataFrame:  # noqa: B008 - immutable
    """Labelled rows of the training window, labels as they were known at `known_by`."""
    from homeostat.core.table.table import read

    start = how.bounds(known_by)[0]
    found = read(snapshot, known_by=known_by, start=start)
    if not found.height:
        raise _nothing_known(snapshot, known_by, start)
    return found


def validation(
    rows: pl.DataFrame, snapshot: Snapshot, accepted: Schema | None, *, text: tuple[str, ...] = ()
) -> Validation:
    """The rows held against the schema that the champion was trained on: schema skew stops here, value skew is told."""
    from homeostat.ci.validate import validate

    return validate(rows, snapshot.spec, accepted, text=text)


def report(rows: pl.DataFrame, validation: Validation, previous: Report | None) -> Report:
    """What the data look like, and what changed since the previous run."""
    from homeostat.ci.analyze import analyze

    return analyze(rows, validation.schema.spec, previous.statistics if previous else None)


def split(rows: pl.DataFrame, validation: Validation, *, test: str | float = 0.2) -> dict[str, Any]:
    """Training and test rows, divided at one event time."""
    from homeostat.ci.preprocess import split as divide

    parts = divide(rows, validation.schema.spec, test=test)
    return {"train": parts.train, "test": parts.test, "info": parts.info}


def model(
    split: dict[str, Any],
    validation: Validation,
    parent: Bundle | None,
    *,
    loop: str,
    estimator: Any = None,
    features: Any = None,
    how: Any = Refit(),  # noqa: B008 - immutable
    seed: int = 0,
    trusted: Collection[str] = (),
    candidates: tuple[dict[str, Any], ...] = (),
    metric: str | None = None,
) -> Bundle:
    """A trained model in storable form, its conversion proved on the test rows.

    It knows no time but that of its rows, so that the same rows give the same bytes.
    """
    from homeostat.ci.train import TrainingLesson
    from homeostat.core.model import Lineage

    lesson = TrainingLesson(
        split["train"],
        split["test"],
        schema=validation.schema,
        now=split["test"][validation.schema.spec.time].max(),
        loop=loop,
        model=estimator,
        features=features,
        seed=seed,
        lineage=Lineage(how=how.describe()),
        candidates=candidates,
        metric=metric,
        trusted=trusted,
    )
    fitted: Bundle = how.fit(lesson, parent)
    return fitted


def evaluation(
    model: Bundle,
    split: dict[str, Any],
    champion: Bundle | None,
    champion_version: int | None,
    accepted: Schema | None,
    *,
    features: Any = None,
    metric: str | None = None,
    slices: tuple[str, ...] = (),
    behaviours: tuple[Any, ...] = (),
    trusted: Collection[str] = (),
) -> Evaluation:
    """Candidate, champion and baselines on the same new rows."""
    from homeostat.ci.evaluate import evaluate

    return evaluate(
        model.model(features, trusted=trusted),
        split["train"],
        split["test"],
        metric=metric,
        champion=champion,
        features=features,
        champion_version=champion_version,
        accepted=accepted,
        slices=slices,
        behaviours=behaviours,
        warnings=split["info"].warnings,
    )


def verdicts(evaluation: Evaluation, *, gates: tuple[Any, ...] = ()) -> list[GateResult]:
    """What every gate says."""
    from homeostat.ci.gates import judge

    return list(judge(evaluation, gates))


def _nothing_known(snapshot: Snapshot, known_by: datetime, start: datetime | None) -> DataError:
    """Why no row of a table can be trained on."""
    from homeostat.core.table.table import read

    spec = snapshot.spec
    if not snapshot.rows:
        return DataError("the table has no rows to train on", hint="collect some first")
    labelled = read(snapshot, columns=spec.declared).drop_nulls(spec.labels)
    if not labelled.height:
        what = f"none of the {snapshot.rows:,} rows has a label: target {spec.target!r} is null in all of them"
        return DataError(what, hint="wait for labels, or name another target")
    known = spec.label_time or spec.time
    now = labelled.filter(labelled[known] <= known_by)
    if not now.height:
        what = f"no label was known by {_minute(known_by)}: the earliest {known!r} is {_minute(labelled[known].min())}"
        return DataError(what, hint="wait, or mend that column if its times are wrong")
    what = f"none of the {now.height:,} labelled rows is of the training window, which begins at {_minute(start)}"
    hint = f"the newest is of {_minute(now[spec.time].max())}: choose a longer how.Refit(window=...), or none"
    return DataError(what, hint=hint)


def _minute(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


STEPS = (rows, validation, report, split, model, evaluation, verdicts)
INPUTS = ("snapshot", "known_by", "accepted", "previous", "parent", "champion", "champion_version")
