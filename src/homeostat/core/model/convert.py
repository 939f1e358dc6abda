"""From a fitted estimator to bytes that can be served: ONNX when it is proved to say the same, else a safe format."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core.errors import HomeostatError, ModelError
from homeostat.core.model.boosters import BoosterRuntime, dump_booster, library_of
from homeostat.core.model.labelling import TIE, Labelling, Output, takes_highest, without_threshold
from homeostat.core.model.own_code import lasting
from homeostat.core.model.runtimes import INPUT, EstimatorRuntime, OnnxRuntime, dump_estimator

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray

TOLERANCE = 1e-5
"""Largest difference of a probability, or of a value relative to the spread of the values, that counts as the same."""

_HOLES = 2_000
"""So many rows with something missing are asked, or a few for each column."""

_OPSET = {"": 21, "ai.onnx.ml": 3}


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """How a converted model compared with its estimator on real rows.

    Attributes:
        max_error: Largest difference of a probability, or of a value relative to the spread (standard deviation, at
            least 1) of the estimator's values.
        labels_agree: Whether every label was the one that the estimator's own `predict` gives.
    """

    rows: int
    max_error: float
    labels_agree: bool

    @property
    def holds(self) -> bool:
        """Whether the conversion may be used."""
        return self.labels_agree and self.max_error <= TOLERANCE

    @property
    def misfit(self) -> str:
        """What speaks against it."""
        return "other labels" if self.max_error <= TOLERANCE else f"error {self.max_error:.2g}"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A model as bytes.

    Attributes:
        runtime: What reads them: `onnx`, `skops`, `numpy`, `xgboost` or `lightgbm`.
        proof: The comparison that allowed ONNX, or that forbade it.
        trusted: Types that skops needs to read the bytes.
        labels: How the labels of a classifier come about.
    """

    runtime: str
    data: bytes
    proof: Proof | None = None
    reason: str | None = None
    trusted: tuple[str, ...] = ()
    labels: Labelling = Labelling()


def store_estimator(
    estimator: Any, rows: NDArray[np.float32] | pl.DataFrame, classes: Sequence[Any] | None, holes: Sequence[int] = ()
) -> Stored:
    """Make a fitted estimator storable.

    Args:
        estimator: Fitted on rows like these.
        rows: Rows that the conversion is proved on: a matrix of codes of shape (n, k), or, for an estimator that was
            fitted on a table, a table, which is never converted.
        classes: Its classes in score order; None for regression.
        holes: Columns that may be missing in serving. Some conversions send such rows another way, so that some of the
            rows are also asked with each of these missing, and with all.

    Returns:
        ONNX bytes when the conversion is proved; the own format of XGBoost and LightGBM, proved likewise; else skops
        bytes with the reason.
    """
    reference = EstimatorRuntime(estimator, classes)
    if isinstance(rows, np.ndarray) and len(rows) and holes:
        rows = _with_holes(reference, rows, holes)
    said = _said(reference, rows) if len(rows) else None
    bare, threshold = without_threshold(estimator, classes)
    if library_of(bare) is not None and isinstance(rows, np.ndarray):
        return _own_format(bare, said, rows, classes, threshold or Labelling())
    proof = None
    if not isinstance(rows, np.ndarray):
        reason = "it was fitted on a table, not on codes"
    elif classes is not None and not hasattr(bare, "predict_proba"):
        reason = "it has no predict_proba"
    elif said is None:
        reason = "there were no rows to prove a conversion on"
    else:
        try:
            data = to_onnx(bare, rows.shape[1])
            proof, labels = _proved(bare, data, said, rows, classes, threshold)
            if proof.holds:
                return Stored(runtime="onnx", data=data, proof=proof, labels=labels)
            reason = f"the conversion does not say the same on {proof.rows:,} rows ({proof.misfit})"
        except Exception as error:  # noqa: BLE001 - converters raise anything at all, and skops still works
            words = lasting(" ".join(str(error).split()))
            reason = f"it cannot be converted: {type(error).__name__}: {words}"[:300]
    if _network(bare)[1] is not None:
        raise ModelError(
            f"the network cannot be stored: {reason}", hint="use operators that ONNX has, and none that draw"
        )
    data, trusted = dump_estimator(estimator)
    labels = Labelling() if classes is None else _native(estimator, said, threshold)
    return Stored(runtime="skops", data=data, proof=proof, reason=reason, trusted=trusted, labels=labels)


def _proved(
    estimator: Any,
    data: bytes,
    said: Output,
    rows: NDArray[np.float32],
    classes: Sequence[Any] | None,
    threshold: Labelling | None,
) -> tuple[Proof, Labelling]:
    """The proof of a converted model, and how its labels come about."""
    if classes is None:
        return prove(said, OnnxRuntime(data, None).output(rows)), Labelling()
    if threshold is None and not takes_highest(estimator):
        return prove(said, OnnxRuntime(data, classes, labelled=True).output(rows)), Labelling(by="model")
    scores = OnnxRuntime(data, classes).output(rows).scores
    ways = [Labelling(tie=TIE), Labelling()] if threshold is None else [threshold, *_moved(threshold, said, scores)]
    tried = [(prove(said, Output(scores, way.places(scores))), way) for way in ways]
    return next((one for one in tried if one[0].holds), tried[0])


def _moved(threshold: Labelling, said: Output, scores: NDArray[np.float64]) -> list[Labelling]:
    """The threshold where it stands among the scores of the conversion, if float32 put one of them on its other side.

    A tuned threshold often is the very score of a leaf, and a leaf holds many rows.
    """
    ranked, reached = scores[:, threshold.place], said.places == threshold.place
    lowest = float(ranked[reached].min(initial=np.inf))
    highest = float(ranked[~reached].max(initial=-np.inf))
    middle, reach = (highest + lowest) / 2, TOLERANCE / 2
    at = min(middle, highest + reach) if threshold.at <= highest else max(middle, lowest - reach)
    if not highest < at <= lowest or abs(at - threshold.at) > TOLERANCE:
        return []
    return [msgspec.structs.replace(threshold, at=at)]


def _with_holes(reference: EstimatorRuntime, rows: NDArray[np.float32], holes: Sequence[int]) -> NDArray[np.float32]:
    """The rows, and some of them again with each column that may be missing, and with all of those."""
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), max(8, _HOLES // len(holes)))).astype(int)]
    made = [some.copy() for _ in range(len(holes) + 1)]
    for place, rows_without in zip(holes, made, strict=False):
        rows_without[:, place] = np.nan
    made[-1][:, list(holes)] = np.nan
    holed = np.concatenate(made)
    try:
        reference.output(holed)
    except Exception:  # noqa: BLE001 - an estimator that takes no missing values has nothing to be compared with
        return rows
    return np.concatenate([rows, holed])


def _said(reference: EstimatorRuntime, rows: NDArray[np.float32] | pl.DataFrame) -> Output:
    """What the estimator itself makes of the rows of the proof, each of which it answers alone as among the others.

    A server asks rows in any company, so that an estimator that ranks them or draws by their places is none for it.
    """
    places = sorted({0, len(rows) // 3, len(rows) // 2, len(rows) - 1})
    try:
        said = reference.output(rows)
        alone = [reference.output(rows[place : place + 1]) for place in places]
    except HomeostatError:
        raise
    except Exception as error:  # other libraries' estimators have errors of their own
        what = f"{reference.who} was fitted, and cannot predict {len(rows):,} rows: {' '.join(str(error).split())}"
        raise ModelError(what, hint="check the estimator's parameters against its features") from error
    for place, one in zip(places, alone, strict=True):
        if not _alike(one, said, place):
            what = f"{reference.who} answers row {place + 1:,} of {len(rows):,} otherwise when it is asked alone"
            raise ModelError(what, hint="let its predict look at each row by itself, and draw nothing")
    return said


def _alike(alone: Output, said: Output, place: int) -> bool:
    right, found = said.scores[place], alone.scores[0]
    near = np.abs(found - right) <= TOLERANCE * (np.maximum(1.0, np.abs(right)) if said.scores.ndim == 1 else 1.0)
    same = said.places is None or alone.places is None or said.places[place] == alone.places[0]
    return bool((same and near.all()) or not np.isfinite(right).all())


def _native(estimator: Any, said: Output | None, threshold: Labelling | None) -> Labelling:
    """How the labels of an estimator come about that is served as it is: it names them where no rule is known."""
    if said is None or said.places is None:
        return Labelling(by="model")
    rule = Labelling() if threshold is None and takes_highest(estimator) else threshold
    agrees = rule is not None and np.array_equal(rule.places(said.scores), said.places)
    return rule if rule is not None and agrees else Labelling(by="model")


def _own_format(
    estimator: Any, said: Output | None, rows: NDArray[np.float32], classes: Sequence[Any] | None, labels: Labelling
) -> Stored:
    """Trees as their library writes them; the estimator's settings may change what they say, so they are proved too."""
    library = str(library_of(estimator))
    data = dump_booster(estimator)
    found = BoosterRuntime(library, data, regression=classes is None).output(rows)
    if classes is not None and ((found.scores < 0) | (found.scores > 1)).any():
        hint = "use one that gives probabilities"
        raise ModelError(f"the objective of {type(estimator).__name__} gives scores outside of 0 to 1", hint=hint)
    proof = None
    if said is not None:
        ways = [labels, *(_moved(labels, said, found.scores) if labels.by == "threshold" else [])]
        places = [None if classes is None else way.places(found.scores) for way in ways]
        proofs = [prove(said, Output(found.scores, one)) for one in places]
        proof, labels = next((pair for pair in zip(proofs, ways, strict=True) if pair[0].holds), (proofs[0], labels))
    if proof is not None and not proof.holds:
        raise ModelError(
            f"the trees of {type(estimator).__name__} alone do not say what it says ({proof.misfit})",
            hint="use an objective that gives probabilities or values, and missing=nan",
        )
    reason = f"{library} has a safe format of its own"
    return Stored(runtime=library, data=data, proof=proof, reason=reason, labels=labels)


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


def prove(expected: Output, found: Output) -> Proof:
    """Compare a converted model's answers with the estimator's own."""
    right, given = expected.scores, found.scores
    if right.shape != given.shape:
        raise ModelError(f"the conversion gives {given.shape}, the estimator {right.shape}")
    if not len(right):
        return Proof(rows=0, max_error=0.0, labels_agree=False)
    if not (np.isfinite(given).all() and np.isfinite(right).all()):
        return Proof(rows=len(right), max_error=float(np.finfo(np.float64).max), labels_agree=False)
    spread = max(1.0, float(right.std())) if right.ndim == 1 else 1.0
    agree = expected.places is None or (found.places is not None and np.array_equal(expected.places, found.places))
    return Proof(rows=len(right), max_error=float(np.abs(right - given).max()) / spread, labels_agree=agree)
