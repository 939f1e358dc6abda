"""H3: a prediction is made before its label is learned, and a stored state goes on as if it had never stopped."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier

from homeostat.ci.train.online import train_online
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.model import Bundle
from homeostat.core.model.online import learn, new_state
from homeostat.ct.how import Online
from tests.core.model_rows import NOW, rows, schema_of

TABLE = rows(900)
LINEAR, BATCHES = Online(learning_rate=0.1), Online(learner="estimator", batch=30)


def taught(table, how, **settings):
    model = SGDClassifier(loss="log_loss") if how is BATCHES else None
    return train_online(table, TABLE.head(20), schema=schema_of(TABLE), now=NOW, how=how, model=model, **settings)


def test_no_prediction_knows_its_own_label():
    rng = np.random.default_rng(0)
    codes, labels = rng.normal(size=(500, 4)).astype(np.float32), rng.random(500) < 0.5
    said = learn(new_state([0] * 4, learning_rate=1.0), codes, labels)
    # Labels are noise: whoever does better than chance has seen them.
    assert ((said > 0.5) == labels).mean() == pytest.approx(0.5, abs=0.07)
    flipped = learn(new_state([0] * 4, learning_rate=1.0), codes, np.r_[labels[:250], ~labels[250:]])
    np.testing.assert_array_equal(said[:251], flipped[:251])


@pytest.mark.parametrize("how", [LINEAR, BATCHES], ids=["row by row", "micro-batches"])
def test_stored_and_restored_in_the_middle_equals_uninterrupted(tmp_path, how: Online):
    blobs = ArtifactStore(tmp_path)
    whole = taught(TABLE, how).bundle
    half = Bundle.read(blobs, taught(TABLE.head(450), how).bundle.save(blobs))
    rest = taught(TABLE, how, parent=half).bundle
    assert rest.manifest.lineage.how["learned_rows"] == 900
    np.testing.assert_allclose(rest.model().predict(TABLE).score, whole.model().predict(TABLE).score, rtol=1e-9)
