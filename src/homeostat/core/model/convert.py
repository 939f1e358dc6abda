"""From a fitted estimator to bytes that can be served: ONNX when it is proved to say the same, else a safe format."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core.errors import ModelError
from homeostat.core.model.boosters import BoosterRuntime, dump_booster, library_of
from homeostat.core.model.runtimes import INPUT, EstimatorRuntime, OnnxRuntime, dump_estimator

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

TOLERANCE = 1e-5
"""Largest difference of a probability, or of a value relative to the spread of the values, that counts as the same."""

_OPSET = {"": 21, "ai.onnx.ml": 3}


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How a converted model compared with its estimator on real rows.

    Attributes:
        rows: Rows compared.
        max_error: Largest difference of a probability, or of a value relative to the spread (standard deviation, at
            least 1) of the estimator's values.
        labels_agree: Whether every label was the same. A row whose two best classes are closer than the tolerance has
            no label to agree on.
    """

    rows: int
    max_error: float
    labels_agree: bool

    @property
    def holds(self) -> bool:
        """Whether the conversion may be used."""
        return self.labels_agree and self.max_error <= TOLERANCE


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A model as bytes.

    Attributes:
        runtime: What reads them: `onnx`, `skops`, `numpy`, `xgboost` or `lightgbm`.
        data: The bytes.
        proof: The comparison that allowed ONNX, or that forbade it.
        reason: Why it is not ONNX.
        trusted: Types that skops needs to read the bytes.
    """

    runtime: str
    data: bytes
    proof: Proof | None = None
    reason: str | None = None
    trusted: tuple[str, ...] = ()


def store_estimator(estimator: Any, rows: NDArray[np.float32] | pl.DataFrame, classes: Sequence[Any] | None) -> Stored:
    """Make a fitted estimator storable.

    Args:
        estimator: Fitted on rows like these.
        rows: Rows that the conversion is proved on: a matrix of codes of shape (n, k), or, for an estimator that was
            fitted on a table, a table, which is never converted.
        classes: Its classes in score order; None for regression.

    Returns:
        ONNX bytes when the conversion is proved; the own format of XGBoost and LightGBM, proved likewise; else skops
        bytes with the reason.

    Raises:
        ModelError: Neither is possible.
    """
    reference = EstimatorRuntime(estimator, classes)
    if library_of(estimator) is not None and isinstance(rows, np.ndarray):
        return _own_format(estimator, reference, rows, classes)
    proof = None
    if not isinstance(rows, np.ndarray):
        reason = "it was fitted on a table, not on codes"
    elif classes is not None and not hasattr(estimator, "predict_proba"):
        reason = "it has no predict_proba"
    elif not len(rows):
        reason = "there were no rows to prove a conversion on"
    else:
        try:
            data = to_onnx(estimator, rows.shape[1])
            runtime = OnnxRuntime(data, regression=classes is None)
            proof = prove(reference.scores(rows), runtime.scores(rows))
            if proof.holds:
                return Stored(runtime="onnx", data=data, proof=proof)
            reason = f"the conversion does not say the same on {proof.rows:,} rows (error {proof.max_error:.2g})"
        except Exception as error:  # noqa: BLE001 - converters raise anything at all, and skops still works
            reason = f"it cannot be converted: {type(error).__name__}: {' '.join(str(error).split())}"[:300]
    if _network(estimator)[1] is not None:
        raise ModelError(
            f"the network cannot be stored: {reason}", hint="use operators that ONNX has, and none that draw"
        )
    data, trusted = dump_estimator(estimator)
    return Stored(runtime="skops", data=data, proof=proof, reason=reason, trusted=trusted)


def _own_format(
    estimator: Any, reference: EstimatorRuntime, rows: NDArray[np.float32], classes: Sequence[Any] | None
) -> Stored:
    """Trees as their library writes them; the estimator's settings may change what they say, so they are proved too."""
    library = str(library_of(estimator))
    data = dump_booster(estimator)
    runtime = BoosterRuntime(library, data, regression=classes is None)
    found = runtime.scores(rows)
    if classes is not None and ((found < 0) | (found > 1)).any():
        hint = "use one that gives probabilities"
        raise ModelError(f"the objective of {type(estimator).__name__} gives scores outside of 0 to 1", hint=hint)
    proof = prove(reference.scores(rows), found) if len(rows) else None
    if proof is not None and not proof.holds:
        raise ModelError(
            f"the trees of {type(estimator).__name__} alone do not say what it says (error {proof.max_error:.2g})",
            hint="use an objective that gives probabilities or values, and missing=nan",
        )
    return Stored(runtime=library, data=data, proof=proof, reason=f"{library} has a safe format of its own")


def to_onnx(estimator: Any, columns: int) -> bytes:
    """Convert a fitted estimator; the bytes depend on nothing but the estimator.

    Args:
        estimator: Fitted on float32 codes of shape (n, columns).
        columns: How many codes it takes.
    """
    with warnings.catch_warnings():
        # skl2onnx gives protobuf NumPy booleans, which it accepts with a warning that an error filter makes fatal.
        warnings.simplefilter("ignore")
        import onnx
        from skl2onnx import to_onnx as convert
        from skl2onnx.common.data_types import FloatTensorType
        from sklearn.base import is_classifier

        front, network = _network(estimator)
        with contextlib.redirect_stdout(io.StringIO()):
            if front is None:
                graph = onnx.load_from_string(network.export_onnx())
            else:
                graph = convert(
                    front,
                    name="model",
                    initial_types=[(INPUT, FloatTensorType([None, columns]))],
                    options={"zipmap": False} if is_classifier(front) else None,
                    target_opset=_OPSET if network is None else _OPSET | {"": 18},
                )
        if front is not None and network is not None:
            graph = _joined(graph, onnx.load_from_string(network.export_onnx()))
        # skl2onnx lists the operator sets in the order of a set, which differs from process to process.
        opsets = sorted(graph.opset_import, key=lambda opset: opset.domain)
        del graph.opset_import[:]
        graph.opset_import.extend(opsets)
        return bytes(graph.SerializeToString(deterministic=True))


def _network(estimator: Any) -> tuple[Any, Any]:
    """What skl2onnx converts, and the network behind it that writes itself: one of them may be None."""
    from sklearn.pipeline import Pipeline

    if hasattr(estimator, "export_onnx"):
        return None, estimator
    if isinstance(estimator, Pipeline) and hasattr(estimator.steps[-1][1], "export_onnx"):
        return estimator[:-1], estimator.steps[-1][1]
    return estimator, None


def _joined(front: Any, network: Any) -> Any:
    """One graph: what the first gives is what the second takes."""
    from onnx import compose

    network = compose.add_prefix(network, "network/")
    network.ir_version = front.ir_version
    return compose.merge_models(front, network, io_map=[(front.graph.output[-1].name, network.graph.input[0].name)])


def prove(expected: NDArray[np.float64], found: NDArray[np.float64]) -> Proof:
    """Compare a converted model's answers with the estimator's.

    Args:
        expected: Scores of shape (n, classes) or values of shape (n,).
        found: The same from the converted model.

    Raises:
        ModelError: The shapes differ.
    """
    if expected.shape != found.shape:
        raise ModelError(f"the conversion gives {found.shape}, the estimator {expected.shape}")
    if not len(expected):
        return Proof(rows=0, max_error=0.0, labels_agree=False)
    if not (np.isfinite(found).all() and np.isfinite(expected).all()):
        return Proof(rows=len(expected), max_error=float(np.finfo(np.float64).max), labels_agree=False)
    error = np.abs(expected - found)
    if expected.ndim == 1:
        spread = max(1.0, float(expected.std()))
        return Proof(rows=len(expected), max_error=float(error.max()) / spread, labels_agree=True)
    two_best = np.partition(expected, -2, axis=1)[:, -2:]
    decided = two_best[:, 1] - two_best[:, 0] > 2 * TOLERANCE
    same = expected.argmax(axis=1) == found.argmax(axis=1)
    return Proof(rows=len(expected), max_error=float(error.max()), labels_agree=bool((same | ~decided).all()))
