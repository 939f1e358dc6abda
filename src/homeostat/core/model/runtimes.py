"""What runs a stored model: ONNX Runtime, an estimator kept by skops, or plain NumPy for the online learners."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from homeostat.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

INPUT = "x"
_EPOCH = (1980, 1, 1, 0, 0, 0)
TRUSTED_PACKAGES = frozenset({"sklearn", "numpy", "scipy", "skrub", "xgboost", "lightgbm", "polars", "homeostat"})
"""Packages whose estimators a bundle may hold without being asked; other types are named by whoever loads it."""


class Runtime(Protocol):
    """Gives numbers for coded rows."""

    name: str

    def scores(self, rows: NDArray[np.float32] | pl.DataFrame) -> NDArray[np.float64]:
        """Scores of shape (n, classes), or values of shape (n,) for regression."""
        ...


class OnnxRuntime:
    """An ONNX graph with one input `x` of shape (n, k) and its scores or values as the last output.

    Args:
        model: The graph's bytes.
        regression: Whether it gives values instead of scores.
        threads: Threads for large batches. One, without spinning, answers single rows fastest.
    """

    name = "onnx"

    def __init__(self, model: bytes, *, regression: bool, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ModelError(f"ONNX Runtime cannot load this model: {error}") from error
        self._outputs = [self._session.get_outputs()[-1].name]
        # The wrapper around it checks names that never change, which costs as much as a small model.
        self._run = self._session._sess.run  # noqa: SLF001
        self._regression = regression

    def scores(self, rows: NDArray[np.float32] | pl.DataFrame) -> NDArray[np.float64]:
        """See `Runtime.scores`."""
        found: NDArray[np.float64] = self._run(self._outputs, {INPUT: rows}, None)[0].astype(np.float64)
        return found.reshape(-1) if self._regression else found


class EstimatorRuntime:
    """A scikit-learn estimator in this process.

    Args:
        estimator: A fitted estimator.
        classes: Its classes in score order; None for regression.
    """

    name = "skops"

    def __init__(self, estimator: Any, classes: Sequence[Any] | None) -> None:
        self._estimator = estimator
        self._classes = None if classes is None else list(classes)

    def scores(self, rows: NDArray[np.float32] | pl.DataFrame) -> NDArray[np.float64]:
        """See `Runtime.scores`."""
        estimator = self._estimator
        if self._classes is None:
            return np.asarray(estimator.predict(rows), dtype=np.float64).reshape(-1)
        if hasattr(estimator, "predict_proba"):
            return np.asarray(estimator.predict_proba(rows), dtype=np.float64)
        if hasattr(estimator, "decision_function"):
            return squashed(np.asarray(estimator.decision_function(rows), dtype=np.float64))
        given = np.asarray(estimator.predict(rows))
        return np.stack([(given == value).astype(np.float64) for value in self._classes], axis=1)


def squashed(decision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in 0..1 from decision values: same order, no probabilities. Logistic for two classes, else softmax."""
    if decision.ndim == 1:
        positive = 0.5 * (1.0 + np.tanh(0.5 * decision))
        return np.stack([1.0 - positive, positive], axis=1)
    shifted = np.exp(decision - decision.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def dump_estimator(estimator: Any) -> tuple[bytes, tuple[str, ...]]:
    """A fitted estimator as skops bytes, and the exact list of types that reading them back needs.

    Raises:
        ModelError: It holds something that skops has no safe form for, such as a function.
    """
    import skops.io

    try:
        data = _renumbered(skops.io.dumps(estimator))
        return data, tuple(sorted(skops.io.get_untrusted_types(data=data)))
    except Exception as error:  # skops raises whatever the object's own hooks raise
        raise ModelError(
            f"{type(estimator).__name__} cannot be stored without pickle: {error}",
            hint="use estimators that hold only parameters, arrays and other estimators; move functions to features()",
        ) from error


def _renumbered(data: bytes) -> bytes:
    """Parts are named by memory addresses; numbered by place instead, equal estimators give equal bytes."""
    names: dict[Any, int] = {}

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        if not isinstance(node, dict):
            return
        if "__id__" in node:
            shared = (
                node.get("__loader__") != "JsonNode"
            )  # plain values are shared by chance, so each is one of its own
            node["__id__"] = names.setdefault(node["__id__"] if shared else (len(names), "plain"), len(names))
        if isinstance(node.get("file"), str):
            stem, dot, ending = node["file"].rpartition(".")
            node["file"] = f"{names.setdefault(int(stem) if stem.isdigit() else stem, len(names))}{dot}{ending}"
        for value in node.values():
            walk(value)

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        schema = json.loads(old.read("schema.json"))
        walk(schema)
        members = {name: name for name in old.namelist() if name != "schema.json"}
        for name in members:
            stem, dot, ending = name.rpartition(".")
            key: Any = int(stem) if stem.isdigit() else stem
            members[name] = f"{names[key]}{dot}{ending}" if key in names else name
        for name, renamed in sorted(members.items(), key=lambda pair: (len(pair[1]), pair[1])):
            new.writestr(zipfile.ZipInfo(renamed, _EPOCH), old.read(name))
        new.writestr(zipfile.ZipInfo("schema.json", _EPOCH), json.dumps(schema))
    return out.getvalue()


def load_estimator(data: bytes, listed: Sequence[str], *, trusted: Sequence[str] = ()) -> Any:
    """The estimator back from its bytes.

    Args:
        data: What `dump_estimator` gave.
        listed: The types that the manifest lists.
        trusted: Types outside of `TRUSTED_PACKAGES` that the caller vouches for, as `package.module.Class`.

    Raises:
        ModelError: The bytes hold a type that is not listed, or one that nobody vouches for.
    """
    import skops.io

    strange = [name for name in listed if name.partition(".")[0] not in TRUSTED_PACKAGES and name not in trusted]
    if strange:
        raise ModelError(
            f"the bundle holds types that nobody vouched for: {', '.join(strange[:20])}",
            hint="if they are yours, pass them as trusted=",
        )
    try:
        return skops.io.loads(data, trusted=list(listed))
    except Exception as error:  # skops raises whatever the bytes make it raise
        raise ModelError(f"the stored estimator cannot be read: {error}") from error
