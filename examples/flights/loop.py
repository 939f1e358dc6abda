"""Which flights out of New York will arrive more than 15 minutes late?"""

from __future__ import annotations

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from homeostat import FileSource, Loop, deploy, gates, how, when


def features(rows: pl.DataFrame) -> pl.DataFrame:
    """The raw columns without key and time, and what the local clock says."""
    local = pl.col("scheduled").dt.convert_time_zone("America/New_York")
    return rows.select(
        pl.exclude("flight_id", "scheduled"),
        local.dt.hour().cast(pl.Float64).alias("hour"),
        local.dt.weekday().cast(pl.Float64).alias("weekday"),
    )


loop = Loop(
    name="flights",
    source=FileSource("flights/*.parquet", time="scheduled", key="flight_id", target="late", label_time="landed"),
    features=features,
    model=HistGradientBoostingClassifier(max_iter=60, early_stopping=False),
    metric="roc_auc",
    gates=[gates.at_least(roc_auc=0.6), gates.not_worse_than_champion(), gates.slices("origin", drop=0.05)],
    deploy=deploy.Canary(shadow_rows=2_000, steps=(0.05, 0.5)),
    when=when.every("7d") | when.drift(psi=0.25, at_least=2).cooldown("3d"),
    how=how.Refit(),  # from scratch, on everything so far
    test="7d",
)
