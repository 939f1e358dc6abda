from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat import FileSource, Loop, deploy, gates, how, when, where
from homeostat.cd.monitor import MonitorConfig
from homeostat.ci.evaluate import invariant
from homeostat.ci.preprocess import split

NAMED: dict[str, Any] = {"time": "at", "target": "late"}


def features(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("at")


def others(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.drop("at").head()


def my_split(rows: pl.DataFrame) -> Any:
    return split(rows, None, test=0.5)  # type: ignore[arg-type]


def declared(**changes: Any) -> Loop:
    given = {"name": "rides", "source": FileSource("rides.csv", **NAMED), "features": features}
    return Loop(**{**given, "model": LogisticRegression(), **changes})


CHANGES: dict[str, dict[str, Any]] = {
    "source": {"source": FileSource("trips.csv", **NAMED)},
    "spec": {"source": FileSource("rides.csv", key="ride", **NAMED)},
    "separator": {"source": FileSource("rides.csv", separator=";", **NAMED)},
    "features": {"features": others},
    "model": {"model": LogisticRegression(C=2.0)},
    "metric": {"metric": "f1"},
    "gates": {"gates": [gates.beats_champion()]},
    "deploy": {"deploy": deploy.Immediately()},
    "when": {"when": when.every("7d")},
    "how": {"how": how.Online()},
    "where": {"where": where.Local()},
    "test": {"test": "14d"},
    "seed": {"seed": 1},
    "behaviours": {"behaviours": [invariant("carrier", others)]},
    "monitor": {"monitor": MonitorConfig(drop=0.1)},
    "observe": {"observe": "2h"},
    "retention": {"retention": "60d"},
    "steps": {"steps": {"split": my_split}},
}


@pytest.mark.parametrize("part", CHANGES)
def test_a_changed_part_changes_the_digest(part: str) -> None:
    assert declared(**CHANGES[part]).digest != declared().digest


def test_the_same_declaration_has_the_same_digest() -> None:
    assert declared().digest == declared().digest


class Oddity:
    """An estimator without a fingerprint: it holds something that no name can be given to."""

    def __init__(self) -> None:
        self.stream = iter(())

    def fit(self, rows: Any, target: Any) -> Oddity:
        return self

    def predict(self, rows: Any) -> Any:
        return [0] * len(rows)


def test_a_model_that_cannot_be_named_has_a_digest_that_stays() -> None:
    assert declared(model=Oddity()).digest == declared(model=Oddity()).digest
