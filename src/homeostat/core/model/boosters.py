"""Models of XGBoost and LightGBM in those libraries' own formats, which are text: reading one runs no code."""

from __future__ import annotations

import logging
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core.errors import ModelError
from homeostat.core.model.labelling import Output
from homeostat.core.model.trees import BrokenTreeError, check_lightgbm, check_xgboost

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    from numpy.typing import NDArray

LIBRARIES = ("xgboost", "lightgbm")
_AGAIN = "restore the artifact from a copy, or train the version again"


def library_of(estimator: Any) -> str | None:
    """`xgboost` or `lightgbm` for an estimator of these, else None."""
    package = type(estimator).__module__.partition(".")[0]
    return package if package in LIBRARIES else None


def library(name: str) -> Any:
    """The library itself."""
    try:
        found = import_module(name)
    except ModuleNotFoundError as error:
        hint = f"pip install 'homeostat[{name}]'"
        raise ModelError(f"the model needs {name}, which is not installed here", hint=hint) from error
    if name == "lightgbm":
        # It prints on standard output otherwise, where the output of a command stands.
        found.register_logger(logging.getLogger("lightgbm"))
    return found


def dump_booster(estimator: Any) -> bytes:
    """A fitted estimator's trees: JSON of XGBoost, text of LightGBM.

    Raises:
        ModelError: It has none, as one that is not fitted.
    """
    try:
        if library_of(estimator) == "xgboost":
            return bytes(estimator.get_booster().save_raw("json"))
        return str(estimator.booster_.model_to_string()).encode()
    except Exception as error:  # the libraries' errors have no common base class
        raise ModelError(f"{type(estimator).__name__} cannot be stored: {error}") from error


_TAIL = re.compile(
    rb"end of trees\n\nfeature_importances:\n(?:[^\n]+=\d+\n)*+"
    rb"\nparameters:\n(?:\[[^\n]*\]\n)*+\nend of parameters\n\npandas_categorical:[^\n]*\n?"
)
"""What stands behind the trees of LightGBM, which ends the process where that is cut off."""


class BoosterRuntime:
    """Trees of XGBoost or LightGBM, which take NaN as missing.

    Raises:
        ModelError: The library is not installed, or refuses the bytes.
    """

    def __init__(self, name: str, data: bytes, *, regression: bool, threads: int = 1) -> None:
        self.name, self._regression, self._threads = name, regression, threads
        check_booster(name, data)
        made = library(name)
        try:
            if name == "xgboost":
                self._booster = made.Booster({"nthread": threads})
                self._booster.load_model(bytearray(data))
                self._booster.set_param({"nthread": threads})
            else:
                self._booster = made.Booster(model_str=data.decode())
        except Exception as error:  # the libraries' errors have no common base class
            said = " ".join(str(error).split())[:300]
            raise ModelError(f"{name} cannot read this model: {said}", hint=_AGAIN) from error

    def output(self, rows: NDArray[np.float32] | pl.DataFrame) -> Output:
        """See `Runtime.output`."""
        if self.name == "xgboost":
            given = self._booster.inplace_predict(rows)
        else:
            given = self._booster.predict(rows, num_threads=self._threads)
        found = np.asarray(given, dtype=np.float64)
        if self._regression or found.ndim == 2:
            return Output(found)
        return Output(np.stack([1.0 - found, found], axis=1))


def check_booster(name: str, data: bytes) -> None:
    """Refuse bytes that are cut off or no model, or whose trees lead out of themselves, which would end the process."""
    try:
        if name == "xgboost":
            check_xgboost(data)
        else:
            check_lightgbm(*_lightgbm_parts(data))
    except BrokenTreeError as error:
        raise ModelError(f"these bytes are no whole {name} model: {error}", hint=_AGAIN) from None
    except (msgspec.MsgspecError, RecursionError, ValueError, OverflowError) as error:
        raise ModelError(f"these bytes are no whole {name} model", hint=_AGAIN) from error


def _lightgbm_parts(data: bytes) -> tuple[bytes, Iterator[bytes]]:
    """What stands before the trees, and each of them where the header says that it stands."""
    sizes = re.search(rb"\ntree_sizes=([\d ]*)\n", data)
    if not data.startswith(b"tree\nversion=v") or sizes is None:
        raise BrokenTreeError("it does not begin as one")
    first = data.find(b"Tree=0\n", sizes.end())
    begin = first if first >= 0 else data.find(b"end of trees", sizes.end())
    return data[:begin], _lightgbm_trees(data, begin, [int(size) for size in sizes[1].split()])


def _lightgbm_trees(data: bytes, at: int, sizes: list[int]) -> Iterator[bytes]:
    for number, size in enumerate(sizes):
        if not data.startswith(b"Tree=%d\n" % number, at):
            raise BrokenTreeError(f"tree {number} is not where it has to be")
        yield data[at : at + size]
        at += size
    if not _TAIL.fullmatch(data, at):
        raise BrokenTreeError("it does not end as one")
