"""The figures of a performance: the loop against the model that was never renewed, month by month."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import polars as pl

from homeostat.cd.deploy import Canary
from homeostat.ci.evaluate.baselines import persistence
from homeostat.core import events as ev
from homeostat.core.model import Bundle
from homeostat.core.model.signature import Predictions
from homeostat.core.stats.metrics import score
from homeostat.demo.flights import LOCAL_ZONE, TARGET, TIME

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from homeostat.core.ledger import Ledger, Recorded
    from homeostat.core.store import Store
    from homeostat.demo.play import Played
    from homeostat.loop import Loop

_CLASSES = (False, True)
_CHUNK = 50_000
_FEWEST = 100
_MONTH = timedelta(days=30)


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of time.

    Attributes:
        late: Share of late flights (0..1).
        loop, frozen, persistence: ROC AUC; None where it is undefined.
        loop_loss, frozen_loss: Log loss.
    """

    label: str
    rows: int
    late: float
    versions: tuple[int, ...]
    loop: float | None
    frozen: float | None
    persistence: float | None
    loop_loss: float | None
    frozen_loss: float | None

    @property
    def gain(self) -> float:
        """How much higher the loop's ROC AUC is."""
        return (self.loop or 0.0) - (self.frozen or 0.0)


class Broken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a broken candidate.

    Attributes:
        test: Its metric on the test rows, as the gates saw it.
        share: Part (0..1) of all rows that were asked about in the month after it was pushed.
        allowed: The first canary step of the plan: the largest share without proof of being harmless on live traffic.
    """

    version: int
    user: str
    reason: str
    at: str
    test: float | None
    gates: str
    refused_by: tuple[str, ...]
    trial: str
    answered: int
    share: float
    allowed: float


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the trials of candidates beside the champion.

    Attributes:
        outcomes: `promoted`, `inconclusive`, `rolled_back` or `cancelled` to the trials that ended so.
        days: How long the ended ones took on average; None when none ended.
    """

    opened: int
    outcomes: dict[str, int]
    days: float | None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown at the end."""

    months: tuple[Line, ...]
    total: Line
    broken: tuple[Broken, ...]
    trials: Trials
    frozen: NDArray[np.float64]


def figures(folder: Path, store: Store, loop: Loop, played: Played) -> Figures:
    """Compare the loop with its own first model on the same rows."""
    first = next(store.ledger.events(loop=loop.name, kinds=(ev.Promoted,))).event
    assert isinstance(first, ev.Promoted)
    manifest = store.ledger.version(loop.name, first.version).manifest
    model = Bundle.read(store.artifacts, manifest).model(loop.features)
    inputs = played.table.drop(TARGET, loop.source.spec.label_time or TARGET)
    frozen = np.concatenate([_late(model.predict(chunk)) for chunk in inputs.iter_slices(_CHUNK)])
    known = played.table[TARGET].is_not_null().to_numpy()
    history = pl.read_parquet(folder / "flights" / "history.parquet")
    repeated = np.full(len(frozen), np.nan)
    landed = played.table.drop_nulls(TARGET)
    repeated[known] = _late(persistence(history.drop_nulls(TARGET), landed, loop.source.spec, _CLASSES))
    month = played.table[TIME].dt.convert_time_zone(LOCAL_ZONE).dt.strftime("%Y-%m").to_numpy()
    lines = [_line(name, played, frozen, repeated, known & (month == name)) for name in np.unique(month)]
    return Figures(
        months=tuple(lines),
        total=_line("all", played, frozen, repeated, known),
        broken=tuple(_broken(store.ledger, loop, played)),
        trials=trials_of(store.ledger.events(loop=loop.name, kinds=(ev.TrialStarted, ev.TrialEnded))),
        frozen=frozen,
    )


def trials_of(events: Iterable[Recorded]) -> Trials:
    """What became of trials, from the events that began and ended them."""
    begun: dict[int, datetime] = {}
    outcomes: Counter[str] = Counter()
    took: list[timedelta] = []
    opened = 0
    for one in events:
        if isinstance(one.event, ev.TrialStarted):
            opened += 1
            begun[one.event.challenger] = one.time
        elif isinstance(one.event, ev.TrialEnded):
            outcomes[one.event.outcome] += 1
            took.append(one.time - begun.pop(one.event.challenger, one.time))
    days = sum(took, timedelta()) / timedelta(days=1) / len(took) if took else None
    return Trials(opened=opened, outcomes=dict(outcomes), days=days)


def fortnightly(figures: Figures, played: Played) -> dict[str, list[tuple[datetime, float | None]]]:
    """ROC AUC of the loop and of its frozen first model in each fortnight, at its middle."""
    fortnights = played.table[TIME].dt.truncate("2w")
    known = played.table[TARGET].is_not_null().to_numpy()
    series: dict[str, list[tuple[datetime, float | None]]] = {"the loop": [], "first model, frozen": []}
    for start in fortnights.unique().sort():
        chosen = known & (fortnights == start).to_numpy()
        if chosen.sum() < _FEWEST:
            continue
        for name, scores in (("the loop", played.score), ("first model, frozen", figures.frozen)):
            series[name].append((start + timedelta(days=7), _measure("roc_auc", played, scores, chosen)))
    return series


def _measure(metric: str, played: Played, scores: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float | None:
    truth = played.table[TARGET].fill_null(value=False).to_numpy()[chosen]
    late = scores[chosen]
    predictions = Predictions(late > 0.5, np.column_stack([1 - late, late]))
    return score(metric, truth, predictions, _CLASSES) if len(truth) else None


def _late(predictions: Predictions) -> NDArray[np.float64]:
    assert predictions.score is not None
    return predictions.score[:, 1]


def _line(
    label: str, played: Played, frozen: NDArray[np.float64], repeated: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> Line:
    truth = played.table[TARGET].fill_null(value=False).to_numpy()[chosen]

    return Line(
        label=str(label),
        rows=len(truth),
        late=float(truth.mean()) if len(truth) else 0.0,
        versions=tuple(int(one) for one in np.unique(played.version[chosen])),
        loop=_measure("roc_auc", played, played.score, chosen),
        frozen=_measure("roc_auc", played, frozen, chosen),
        persistence=_measure("roc_auc", played, repeated, chosen),
        loop_loss=_measure("log_loss", played, played.score, chosen),
        frozen_loss=_measure("log_loss", played, frozen, chosen),
    )


def _broken(ledger: Ledger, loop: Loop, played: Played) -> list[Broken]:
    registered = {
        one.event.version: one.event
        for one in ledger.events(loop=loop.name, kinds=(ev.VersionRegistered,))
        if isinstance(one.event, ev.VersionRegistered)
    }
    trials = {
        one.event.challenger: one.event
        for one in ledger.events(loop=loop.name, kinds=(ev.TrialEnded,))
        if isinstance(one.event, ev.TrialEnded)
    }
    found = []
    for pushed in played.pushed:
        version = registered[pushed.version]
        month = pl.select(pl.lit(played.table[TIME]).is_between(pushed.at, pushed.at + _MONTH)).to_series().to_numpy()
        mine = played.version == pushed.version
        trial = trials.get(pushed.version)
        found.append(
            Broken(
                version=pushed.version,
                user=pushed.push.user,
                reason=pushed.push.reason,
                at=f"{pushed.at:%Y-%m-%d}",
                test=version.test_metrics.get(loop.metric or ""),
                gates="; ".join(f"{gate.gate}: {gate.reason}" for gate in version.gates if not gate.passed) or "passed",
                refused_by=tuple(gate.gate for gate in version.gates if not gate.passed),
                trial="none" if trial is None else f"{trial.outcome.replace('_', ' ')}: {trial.reason}",
                answered=int(mine.sum()),
                share=float(mine[month].mean()) if month.any() else 0.0,
                allowed=loop.deploy.steps[0] if isinstance(loop.deploy, Canary) and loop.deploy.steps else 0.0,
            )
        )
    return found
