"""Networks of PyTorch: trained in a Loop, exported, proved, and served without PyTorch.

PyTorch is too large for everybody's environment, so these tests are left out where it is not installed.
"""

from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest

from homeostat import TorchClassifier, TorchRegressor
from homeostat.core.errors import ModelError
from homeostat.core.model import Bundle
from tests.cd.serving import bundle, flights

ROWS = flights(600)


def network(inputs, outputs):
    from torch import nn

    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, outputs))


class TestWithTorch:
    """Left out without PyTorch."""

    pytestmark = pytest.mark.long

    @pytest.fixture(autouse=True)
    def _torch(self):
        pytest.importorskip("torch")

    @pytest.mark.parametrize("late", [pl.col("late"), pl.col("distance") // 1_000], ids=["two classes", "three"])
    def test_a_classifier_is_exported_and_proved(self, late):
        rows = ROWS.with_columns(late=late)
        made = bundle(rows, model=TorchClassifier(network, epochs=40, lr=1e-2))
        assert made.manifest.blob.runtime == "onnx", made.manifest.blob.reason
        assert made.manifest.blob.proof.holds
        assert (made.model().predict(rows).value == rows["late"].to_numpy()).mean() > 0.7

    def test_a_regressor_gives_numbers_of_the_targets_size(self):
        rows = ROWS.with_columns(late=pl.col("distance") * 10.0 + 5_000)
        made = bundle(rows, model=TorchRegressor(network, epochs=60, lr=1e-2))
        assert made.manifest.blob.runtime == "onnx", made.manifest.blob.reason
        error = made.model().predict(rows).value - rows["late"].to_numpy()
        assert np.abs(error).mean() < 0.3 * rows["late"].std()

    def test_missing_values_and_categories_never_seen_are_answered(self):
        odd = ROWS[:2].with_columns(wind=pl.lit(None, pl.Float64), carrier=pl.lit("??"))
        made = bundle(ROWS, model=TorchClassifier(network, epochs=2)).model()
        assert np.isfinite(made.predict(odd).score).all()
        assert np.allclose(made.predict(odd[:1]).score, made.predict(odd).score[:1])

    def test_the_same_seed_gives_the_same_bytes_and_weights_count(self):
        first, second = (bundle(ROWS, model=TorchClassifier(network, epochs=2)) for _ in range(2))
        assert first.data == second.data
        assert first.manifest.to_json() == second.manifest.to_json()
        coded = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        late = coded[:, 0] > 0
        even = TorchClassifier(network, random_state=0).fit(coded, late).predict_proba(coded)
        uneven = TorchClassifier(network, random_state=0).fit(coded, late, np.where(late, 10.0, 0.1))
        assert (uneven.predict_proba(coded)[:, 1] > even[:, 1]).mean() > 0.9

    def test_it_is_served_without_torch(self, monkeypatch):
        made = bundle(ROWS, model=TorchClassifier(network, epochs=2))
        monkeypatch.setitem(sys.modules, "torch", None)
        assert Bundle(made.manifest, made.data).model().predict(ROWS).value.shape == (600,)

    def test_what_is_no_network_is_refused(self):
        with pytest.raises(ModelError, match="build gave a list"):
            bundle(ROWS, model=TorchClassifier(lambda inputs, outputs: []))
        with pytest.raises(ModelError, match="could not be fitted"):
            bundle(ROWS, model=TorchClassifier(lambda inputs, outputs: network(inputs + 1, outputs)))

    def test_a_network_that_answers_differently_each_time_is_refused(self):
        def drawing(inputs, outputs):
            import torch

            class Drawing(torch.nn.Linear):
                def forward(self, rows):
                    found = super().forward(rows)
                    return found + torch.rand_like(found)

            return Drawing(inputs, outputs)

        with pytest.raises(ModelError, match="the network cannot be stored"):
            bundle(ROWS, model=TorchClassifier(drawing, epochs=1))


@pytest.mark.parametrize("kind", [TorchClassifier, TorchRegressor])
def test_without_torch_the_error_says_what_to_install(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    late = pl.col("late") if kind is TorchClassifier else pl.col("distance") * 1.0
    with pytest.raises(ModelError, match="torch, which is not installed") as told:
        bundle(ROWS.with_columns(late=late), model=kind(network))
    assert told.value.hint == "pip install 'homeostat[torch]'"
