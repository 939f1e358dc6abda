"""Methods are values: which rows they learn from, how much each counts, and how they are recorded."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from homeostat.core.errors import LoopError
from homeostat.ct.how import Online, Refit
from tests.core.model_rows import START, rows

TABLE = rows(240)
NOW = START + timedelta(hours=240)


def test_a_sliding_window_goes_back_from_now():
    chosen = Refit(window="2d").select(TABLE, "at", NOW)
    assert (chosen["at"].min(), chosen.height) == (NOW - timedelta(days=2), 48)


def test_an_expanding_window_takes_everything_until_now():
    assert Refit().select(TABLE, "at", NOW).height == 240
    assert Refit().select(TABLE, "at", START + timedelta(hours=9)).height == 10


def test_weights_halve_with_every_half_life():
    weights = Refit(half_life="1d").weights(TABLE, "at", NOW)
    assert weights[-24] == pytest.approx(0.5)
    assert weights[-48] == pytest.approx(0.25)
    assert (np.diff(weights) > 0).all()
    assert Refit(half_life="1d").weights(TABLE, "at", START)[[0, -1]].tolist() == [1.0, 1.0]
    assert Refit().weights(TABLE, "at", NOW) is None


@pytest.mark.parametrize(
    ("method", "described"),
    [
        (Refit(window="60d"), {"how": "refit", "label": "sliding 60d", "window": "60d", "half_life": None}),
        (
            Refit(half_life="9d"),
            {"how": "refit", "label": "expanding, half-life 9d", "window": None, "half_life": "9d"},
        ),
    ],
)
def test_a_method_describes_itself_for_the_lineage(method: Refit, described: dict):
    assert method.describe() == described


def test_online_describes_its_settings():
    described = Online(learning_rate=0.1).describe()
    assert (described["label"], described["learning_rate"]) == ("online linear", 0.1)
    assert Online().continues
    assert not Refit().continues


@pytest.mark.parametrize(
    "make",
    [
        lambda: Refit(window="soon"),
        lambda: Refit(half_life="-3d"),
        lambda: Online(learning_rate=0),
        lambda: Online(l2=1.0),
        lambda: Online(batch=0),
        lambda: Online(learner="forest"),
    ],
)
def test_a_method_that_makes_no_sense_is_refused_when_it_is_declared(make):
    with pytest.raises(LoopError):
        make()
