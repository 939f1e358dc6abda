"""Asks a model the first row in a process, to see whether anything comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homeostat.core.forks import use_polars

if TYPE_CHECKING:
    from homeostat.core.model.bundle import Model


def ask_first(model: Model) -> None:
    """Ask a golden row, if the model has one, and Polars in any case."""
    golden = model.manifest.golden
    use_polars()
    if golden is not None and golden.rows:
        model.predict_features(model.featurize(model.signature.decode(golden.rows[:1])))
