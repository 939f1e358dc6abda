"""What a learner is given: labelled rows, what is to come of them, and the two ways in which the house trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from homeostat.ci.train.online import OnlineSettings, train_online
from homeostat.ci.train.train import train

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.model import Bundle, Lineage
    from homeostat.core.model.features import Features
    from homeostat.core.schema import Schema


@dataclass
class TrainingLesson:
    """The arguments that `train` and `train_online` have in common; see there."""

    rows: pl.DataFrame
    proof: pl.DataFrame
    schema: Schema
    now: datetime
    loop: str = "loop"
    model: Any = None
    features: Features | None = None
    seed: int = 0
    lineage: Lineage | None = None
    candidates: Sequence[Mapping[str, Any]] = ()
    metric: str | None = None
    trusted: Collection[str] = ()

    def train(self, weights: NDArray[np.float64] | None = None) -> Bundle:
        """Fit the Loop's model from scratch."""
        return train(**vars(self), weights=weights)

    def train_on(self, settings: OnlineSettings, parent: Bundle | None) -> Bundle:
        """Go on from the state of a parent, row by row."""
        given = {name: value for name, value in vars(self).items() if name != "candidates"}
        return train_online(**given, how=settings, parent=parent).bundle
