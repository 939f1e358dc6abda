"""The work that every engine in `pipeline.py` is given: 200 empty steps, and five real ones on 10,000 rows."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Two cores are soon full of linear-algebra threads that wait by spinning; engines are compared here, not those.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable

EMPTY = 200
ROWS = 10_000


def rows(seed: int) -> pl.DataFrame:
    """Departures with a scheduled hour, a carrier, wind, and whether they were late."""
    random = np.random.default_rng(seed)
    hour, wind = random.integers(5, 24, ROWS), random.gamma(2.0, 4.0, ROWS)
    chance = 1 / (1 + np.exp(3 - 0.08 * hour - 0.1 * wind))
    return pl.DataFrame(
        {
            "hour": hour,
            "wind": np.where(random.random(ROWS) < 0.05, np.nan, wind),
            "carrier": random.choice(["AA", "B6", "DL", "UA"], ROWS),
            "late": (random.random(ROWS) < chance).astype(np.int8),
        }
    )


def clean(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows whose wind is known, and the carriers as columns."""
    known = rows.filter(pl.col("wind").is_not_nan())
    return known.to_dummies("carrier")


def split(clean: pl.DataFrame) -> dict[str, Any]:
    """The first four fifths and the rest."""
    border = clean.height * 4 // 5
    return {"train": clean[:border], "test": clean[border:]}


def train(split: dict[str, Any]) -> dict[str, Any]:
    """What a logistic regression learned, as arrays."""
    from sklearn.linear_model import LogisticRegression

    table = split["train"]
    model = LogisticRegression(max_iter=200).fit(table.drop("late").to_numpy(), table["late"].to_numpy())
    return {"weights": model.coef_[0], "offset": float(model.intercept_[0])}


def evaluate(train: dict[str, Any], split: dict[str, Any]) -> float:
    """The area under the curve on the test rows."""
    from sklearn.metrics import roc_auc_score

    table = split["test"]
    score = table.drop("late").to_numpy() @ train["weights"] + train["offset"]
    return float(roc_auc_score(table["late"].to_numpy(), score))


REAL = (rows, clean, split, train, evaluate)


def empty_steps(folder: Path) -> list[Callable[..., Any]]:
    """A chain of functions that do nothing, in a module of their own, because engines read the source of steps."""
    text = ["def s0():\n    return 0\n"]
    text += [f"def s{place}(s{place - 1}):\n    return 0\n" for place in range(1, EMPTY)]
    (folder / "empty_steps.py").write_text("\n".join(text))
    sys.path.insert(0, str(folder))
    module = importlib.import_module("empty_steps")
    return [getattr(module, f"s{place}") for place in range(EMPTY)]


def plain(functions: list[Callable[..., Any]] | tuple[Callable[..., Any], ...], given: dict[str, Any]) -> Any:
    """Call the functions one after the other: the floor under every engine."""
    values = dict(given)
    for function in functions:
        needs = function.__code__.co_varnames[: function.__code__.co_argcount]
        values[function.__name__] = function(*(values[need] for need in needs))
    return values[functions[-1].__name__]
