"""Which flights out of New York arrive more than 15 minutes late? The loop that `homeostat demo` runs."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from homeostat import FileSource, Loop, deploy, gates, how, when, where
from homeostat.cd.labels.maturity import Maturity
from homeostat.cd.monitor import MonitorConfig, Window

HERE = Path(__file__).parent


def features(rows: pl.DataFrame) -> pl.DataFrame:
    """What the model looks at: the flight, the weather, and how punctual the last hours were."""
    local = pl.col("scheduled").dt.convert_time_zone("America/New_York")
    return rows.select(
        "carrier",
        "origin",
        "dest",
        "distance",
        "departs",
        "arrives",
        local.dt.weekday().cast(pl.Float64).alias("weekday"),
        "temperature",
        "dew_point",
        "humidity",
        "wind_direction",
        "wind_speed",
        "precipitation",
        "pressure",
        "visibility",
        "origin_delay",
        "carrier_delay",
        "origin_delay_day",
        "carrier_delay_day",
    )


loop = Loop(
    name="flight-delays",
    source=FileSource(
        HERE / "flights" / "*.parquet", time="scheduled", key="flight_id", target="late", label_time="landed"
    ),
    features=features,
    model=HistGradientBoostingClassifier(max_iter=80, early_stopping=False),
    metric="roc_auc",
    # The gates keep out what is plainly broken; whether a fresh model is better is judged on live traffic.
    gates=[
        gates.at_least(roc_auc=0.6),
        gates.beats_baseline("majority", "persistence"),
        gates.not_worse_than_champion(margin=0.02),
    ],
    deploy=deploy.Canary(shadow_rows=1_500, steps=(0.05, 0.5), step_rows=500),
    when=when.every("28d") | when.degraded(roc_auc=0.05).cooldown("7d"),
    how=how.Refit(),  # from scratch, on everything so far
    where=where.Process(niceness=0),  # the virtual clock waits for it, so it need not step back
    test="14d",
    observe="1d",
    # A cancelled flight never lands, so an hour of flights is judged a day later, whatever is still missing then.
    monitor=MonitorConfig(window=Window(maturity=Maturity(wait=timedelta(days=1)))),
)
