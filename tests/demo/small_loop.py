"""The demo's loop with a plan that a few days of thinned-out traffic can get through."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from sklearn.ensemble import HistGradientBoostingClassifier

from homeostat import FileSource, Loop, deploy, gates, when
from homeostat.cd.labels.maturity import Maturity
from homeostat.cd.monitor import MonitorConfig, Window
from homeostat.demo import loop as demo

features = demo.features

loop = Loop(
    name="flight-delays",
    source=FileSource(
        Path(__file__).parent / "flights" / "*.parquet",
        time="scheduled",
        key="flight_id",
        target="late",
        label_time="landed",
    ),
    features=features,
    model=HistGradientBoostingClassifier(max_iter=20, early_stopping=False),
    metric="roc_auc",
    gates=[gates.at_least(roc_auc=0.55)],
    deploy=deploy.Canary(shadow_rows=150, steps=(0.05, 0.5), step_rows=50, margin=0.02),
    when=when.every("3d"),
    test="14d",
    observe="12h",
    monitor=MonitorConfig(window=Window(maturity=Maturity(wait=timedelta(days=1)))),
)
