"""Models in the formats of XGBoost and LightGBM behind the server: the same answers, alone and among others."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cd.serving import Client, bundle, flights, promote, raw, register, serving

lightgbm = pytest.importorskip("lightgbm")
xgboost = pytest.importorskip("xgboost")

ROWS = flights(150, seed=4)
MODELS = {
    "xgboost": xgboost.XGBClassifier(n_estimators=20, n_jobs=1),
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=20, n_jobs=1),
}


@pytest.mark.parametrize("library", MODELS)
def test_the_server_gives_the_models_answers(store, library):
    made = bundle(flights(300), model=MODELS[library])
    promote(store, register(store, made))
    expected = made.model().predict(ROWS)
    with serving(store) as app:
        client = Client(app)
        together = client.predict(raw(ROWS))
        alone = [client.predict([row])[0] for row in raw(ROWS[:5])]
    assert made.manifest.blob.runtime == library
    assert [one["value"] for one in together] == expected.value.tolist()
    assert np.abs(expected.positive - [one["score"] for one in together]).max() < 1e-6
    assert np.abs(expected.positive[:5] - [one["score"] for one in alone]).max() < 1e-6
