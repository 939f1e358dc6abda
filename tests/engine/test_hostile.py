"""A bundle is data: whatever was changed in one, importing it calls nothing and writes nothing outside of the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from homeostat.ci.train.online import train_online
from homeostat.core.schema import infer_schema
from homeostat.core.store import Store
from homeostat.ct.how import Online
from homeostat.engine.registry.transfer import export
from tests.cd.serving import LOOP, NOON, SPEC, bundle, flights, register

ROWS = flights(300)


def of_table(model):
    """An estimator that takes the table, so that skops keeps it."""
    return make_pipeline(ColumnTransformer([("distance", StandardScaler(), ["distance"])]), model)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A whole export of each runtime, and of each way in which an estimator is kept."""
    folder = tmp_path_factory.mktemp("hostile")
    online = train_online(ROWS, ROWS.tail(100), schema=infer_schema(ROWS, SPEC), now=NOON, how=Online(), loop=LOOP)
    made = {
        "forest": bundle(ROWS, model=RandomForestClassifier(4, max_depth=4)),
        "boosted": bundle(ROWS, model=of_table(HistGradientBoostingClassifier(max_iter=4))),
        "lightgbm": bundle(ROWS, model=LGBMClassifier(n_estimators=4, verbose=-1)),
        "neighbours": bundle(ROWS, model=of_table(KNeighborsClassifier(algorithm="kd_tree"))),
        "numpy": online.bundle,
        "onnx": bundle(),
        "xgboost": bundle(ROWS, model=XGBClassifier(n_estimators=4)),
    }
    kinds = {one.manifest.blob.runtime for one in made.values()}
    assert kinds == {"onnx", "skops", "numpy", "xgboost", "lightgbm"}
    for name, one in made.items():
        store = Store.open(folder / "from" / name)
        export(store, LOOP, register(store, one), folder / "exports" / name)
        store.close()
    return folder


def imported(corpus, first, last):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-m", "tests.engine.hostile", str(corpus), str(first), str(last)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert done.returncode == 0, f"died at {(corpus / 'seed').read_text()}: {done.stderr[-2000:]}"
    return told


def check(told, wanted):
    assert len(told) == wanted
    for one in told:
        assert one["seen"] == [], one
        assert one["outside"] == [], one
        assert one["state"] != "fault", one
        assert one["said"] is None or "\n" not in one["said"], one
    assert sum(one["said"] is not None for one in told) > wanted / 3


def test_dozens_of_mutated_bundles_call_nothing_and_write_nothing_outside(corpus):
    check(imported(corpus, 0, 84), 84)


@pytest.mark.long
def test_a_thousand_mutated_bundles_call_nothing_and_write_nothing_outside(corpus):
    check(imported(corpus, 1_000, 2_000), 1_000)
