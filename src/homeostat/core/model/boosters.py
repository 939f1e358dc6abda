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

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

LIBRARIES = ("xgboost", "lightgbm")
_AGAIN = "restore the artifact from a copy, or train the version again"


def library_of(estimator: Any) -> str | None:
    """`xgboost` or `lightgbm` for an estimator of these, else None."""
    package = type(estimator).__module__.partition(".")[0]
    return package if package in LIBRARIES else None


def library(name: str) -> Any:
    """The library itself.

    Raises:
        ModelError: It is not installed.
    """
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


class BoosterRuntime:
    """Trees of XGBoost or LightGBM, which take NaN as missing.

    Args:
        name: Which of them.
        data: What `dump_booster` gave.
        regression: Whether it gives values instead of scores.
        threads: Threads of a call.

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
    """Refuse bytes that are cut off or no model, on some of which LightGBM would end the process.

    Raises:
        ModelError: They are.
    """
    if not (_is_xgboost(data) if name == "xgboost" else _is_lightgbm(data)):
        raise ModelError(f"these bytes are no whole {name} model", hint=_AGAIN)


class _Document(msgspec.Struct):
    """The outermost fields of a model of XGBoost."""

    learner: dict[str, msgspec.Raw]
    version: tuple[int, int, int]


def _is_xgboost(data: bytes) -> bool:
    try:
        found = msgspec.json.decode(data, type=_Document)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return {"gradient_booster", "objective", "learner_model_param"} <= found.learner.keys()


def _is_lightgbm(data: bytes) -> bool:
    """Whether the trees stand where the header says that they do."""
    if not data.startswith(b"tree\nversion=v"):
        return False
    sizes = re.search(rb"\ntree_sizes=([\d ]*)\n", data)
    if sizes is None:
        return False
    at = data.find(b"Tree=0\n", sizes.end())
    for number, size in enumerate(map(int, sizes[1].split())):
        if not data.startswith(b"Tree=%d\n" % number, at):
            return False
        at += size
    return data.startswith(b"end of trees", at)
