"""Leaks: a feature that alone tells the target is suspected, an honest or useless one is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from homeostat.core.stats.leakage import suspicious_features

if TYPE_CHECKING:
    from pathlib import Path

N = 4_000
RANDOM = np.random.default_rng(7)
DELAY = RANDOM.normal(0, 20, N)
LATE = pl.Series("late", DELAY > 15)
HONEST = pl.DataFrame(
    {
        "weather": DELAY / 2 + RANDOM.normal(0, 20, N),
        "noise": RANDOM.normal(size=N),
        "flight": [f"F{n}" for n in range(N)],
        "row": range(N),
        "carrier": RANDOM.choice(["AA", "UA", "DL"], N),
    }
)


def suspects(target: pl.Series, **planted: object) -> list[str]:
    found = suspicious_features(HONEST.with_columns(**{k: pl.Series(k, v) for k, v in planted.items()}), target)
    return [suspect.column for suspect in found]


def test_honest_features_and_identifiers_are_not_suspected() -> None:
    assert suspects(LATE) == []


@pytest.mark.parametrize(
    "leak",
    [
        DELAY,
        -DELAY,
        np.where(DELAY > 15, 1, 0),
        np.where(DELAY > 15, "yes", "no"),
        np.where(DELAY > 15, None, "on time"),
        np.abs(DELAY - 15) * np.sign(DELAY - 15) ** 2 * np.where(DELAY > 15, 1, -1),
    ],
    ids=["the delay", "reversed", "flag", "words", "null when late", "folded"],
)
def test_a_planted_leak_is_suspected_alone(leak: object) -> None:
    assert suspects(LATE, leak=leak) == ["leak"]


def test_a_leak_of_a_rare_class_is_suspected() -> None:
    assert suspects(pl.Series("late", DELAY > 45), leak=DELAY + 100) == ["leak"]


def test_a_leak_of_several_classes_is_suspected() -> None:
    band = pl.Series("band", np.digitize(DELAY, [-15, 0, 15]))
    assert suspects(band, leak=DELAY.round(1)) == ["leak"]
    assert suspects(band) == []


def test_a_leak_of_a_number_is_suspected() -> None:
    assert suspects(pl.Series("delay", DELAY), leak=DELAY * 3 + RANDOM.normal(0, 1, N)) == ["leak"]


def test_the_reason_names_the_column_and_asks_the_right_question() -> None:
    (suspect,) = suspicious_features(pl.DataFrame({"arrived": DELAY}), LATE)
    assert suspect.reason.startswith("'arrived' alone tells 100% of 'late': is it known before the label is?")


def test_unlabelled_rows_are_left_out_and_too_few_rows_suspect_nothing() -> None:
    few = pl.Series("late", [True, False] + [None] * (N - 2))
    assert suspects(few, leak=DELAY) == []


@pytest.mark.shared_data
def test_the_leak_in_the_bike_rentals_is_found(shared_data: Path) -> None:
    bikes = pl.read_csv(shared_data / "bikes.csv.gz")
    found = suspicious_features(bikes.drop("rides", "time"), bikes["rides"])
    assert [suspect.column for suspect in found] == ["registered"]
