"""What runs a stored model: ONNX Runtime, an estimator kept by skops, or plain NumPy for the online learners."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from homeostat.core.errors import ModelError
from homeostat.core.forks import forks, has_threads
from homeostat.core.model.boosters import library_of
from homeostat.core.model.fitted import check_fitted
from homeostat.core.model.inspect import check_skops
from homeostat.core.model.labelling import Labelling, Output, decider, places_of
from homeostat.core.model.own_code import found_at_home, lasting
from homeostat.core.model.skops_form import check_classes
from homeostat.core.model.trees import BrokenTreeError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import polars as pl
    from numpy.typing import NDArray

INPUT = "x"
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Runtime(Protocol):
    """Gives numbers for coded rows."""

    name: str

    def output(self, rows: NDArray[np.float32] | pl.DataFrame) -> Output:
        """Scores or values of n rows, and their classes where the model itself names them."""


class OnnxRuntime:
    """An ONNX graph with one input `x` of shape (n, k), its scores or values as the last output, and labels before it.

    One thread, without spinning, answers single rows fastest.
    """

    name = "onnx"

    def __init__(
        self, model: bytes, classes: Sequence[Any] | None, *, labelled: bool = False, threads: int = 1
    ) -> None:
        self._model, self._threads = model if threads > 1 else b"", threads
        self._classes, self._labelled = classes, labelled
        self._begin(model)

    def _begin(self, model: bytes) -> None:
        import onnxruntime

        self._forks = forks()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what goes wrong is raised
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base class
            raise ModelError(f"ONNX Runtime cannot load this model: {error}") from error
        if self._threads > 1:
            has_threads(self._session)
        names = [output.name for output in self._session.get_outputs()]
        if self._labelled and len(names) < 2:
            raise ModelError("this onnx model gives no labels", hint="train the version again")
        self._outputs = [names[-1], *(names[:1] if self._labelled else [])]
        # The wrapper around it checks names that never change, which costs as much as a small model.
        self._run = self._session._sess.run  # noqa: SLF001

    def output(self, rows: NDArray[np.float32] | pl.DataFrame) -> Output:
        """See `Runtime.output`."""
        if self._model and self._forks != forks():
            self._begin(self._model)  # its threads stayed with the parent
        found = self._run(self._outputs, {INPUT: rows}, None)
        scores: NDArray[np.float64] = found[0].astype(np.float64)
        if self._classes is None:
            return Output(scores.reshape(-1))
        return Output(scores, places_of(found[1], self._classes, "the graph") if self._labelled else None)


class EstimatorRuntime:
    """A scikit-learn estimator in this process."""

    name = "skops"

    def __init__(self, estimator: Any, classes: Sequence[Any] | None, labelling: Labelling | None = None) -> None:
        self._estimator = estimator
        self._classes = None if classes is None else list(classes)
        self._own = labelling is None or labelling.by == "model"
        self._last = decider(estimator)
        self.who = type(self._last).__name__
        self._order: tuple[list[Any], list[int]] | None = None

    def output(self, rows: NDArray[np.float32] | pl.DataFrame) -> Output:
        """See `Runtime.output`."""
        estimator = self._estimator
        if self._classes is None:
            values = np.asarray(estimator.predict(rows), dtype=np.float64)
            if values.size != len(rows):
                what = f"predict of {self.who} gives an array of shape {values.shape} for {len(rows):,} rows"
                raise ModelError(what, hint="give one number for each row")
            return Output(values.reshape(-1))
        given = self._given(rows)
        if given is not None and not self._own:
            return Output(self._ordered(given))
        places = places_of(estimator.predict(rows), self._known()[0], self.who)
        places = np.asarray(self._known()[1], dtype=np.intp)[places]
        return Output(np.eye(len(self._classes))[places] if given is None else self._ordered(given), places)

    def _given(self, rows: Any) -> NDArray[np.float64] | None:
        """Scores in the estimator's own order of classes; None when it has none."""
        estimator = self._estimator
        if hasattr(estimator, "predict_proba"):
            return np.asarray(estimator.predict_proba(rows), dtype=np.float64)
        if not hasattr(estimator, "decision_function"):
            return None
        # Votes between pairs of classes are no scores of classes.
        if getattr(self._last, "decision_function_shape", "ovr") != "ovr":
            return None
        return squashed(np.asarray(estimator.decision_function(rows), dtype=np.float64))

    def _known(self) -> tuple[list[Any], list[int]]:
        """The estimator's classes in its own order, and the place of each among those that are wanted."""
        if self._order is None:
            assert self._classes is not None
            own = np.asarray(getattr(self._estimator, "classes_", self._classes)).tolist()
            if own == list(range(len(self._classes))) and library_of(self._last) == "xgboost":
                # It was fitted on the places of the classes.
                self._order = own, own
            else:
                self._order = own, places_of(own, self._classes, self.who).tolist()
        return self._order

    def _ordered(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        """The scores in the order of the wanted classes; 0 for one that the estimator never met."""
        assert self._classes is not None
        places = self._known()[1]
        if given.ndim != 2 or given.shape[1] != len(places):
            what = f"{self.who} gives scores of shape {given.shape} for {len(places)} classes"
            raise ModelError(what, hint="give one score for each of classes_")
        if places == list(range(len(self._classes))):
            return given
        scores = np.zeros((len(given), len(self._classes)))
        scores[:, places] = given
        return scores


def squashed(decision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores in 0..1 from decision values: same order, no probabilities. Logistic for two classes, else softmax."""
    if decision.ndim == 1:
        positive = 0.5 * (1.0 + np.tanh(0.5 * decision))
        return np.stack([1.0 - positive, positive], axis=1)
    shifted = np.exp(decision - decision.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def dump_estimator(estimator: Any) -> tuple[bytes, tuple[str, ...]]:
    """A fitted estimator as skops bytes, and the types that skops itself does not trust, for the record.

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
    """Parts are named by memory addresses; numbered by place instead, equal estimators give equal bytes.

    An object that is there several times is written alike each time: a number stands for one thing.
    """
    names: dict[Any, int] = {}
    written: dict[Any, dict[str, Any]] = {}
    used: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for item in node:
                walk(item)
        if not isinstance(node, dict):
            return
        if "__id__" in node:
            # plain values are shared by chance, so each is one of its own
            shared = node.get("__loader__") != "JsonNode"
            seen = written.get(node["__id__"]) if shared else None
            if seen is not None:
                node.clear()
                node.update(seen)
                return
            if shared:
                written[node["__id__"]] = node
            node["__id__"] = names.setdefault(node["__id__"] if shared else (len(names), "plain"), len(names))
        if isinstance(node.get("file"), str):
            used.add(node["file"])
            stem, dot, ending = node["file"].rpartition(".")
            node["file"] = f"{names.setdefault(int(stem) if stem.isdigit() else stem, len(names))}{dot}{ending}"
        for value in node.values():
            walk(value)

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        schema = json.loads(old.read("schema.json"))
        walk(schema)
        members = {}
        for name in used:
            stem, dot, ending = name.rpartition(".")
            members[name] = f"{names[int(stem) if stem.isdigit() else stem]}{dot}{ending}"
        for name, renamed in sorted(members.items(), key=lambda pair: (len(pair[1]), pair[1])):
            new.writestr(zipfile.ZipInfo(renamed, _EPOCH), old.read(name))
        new.writestr(zipfile.ZipInfo("schema.json", _EPOCH), lasting(json.dumps(schema)))
    return out.getvalue()


def load_estimator(data: bytes, trusted: Collection[str] = ()) -> Any:
    """The estimator back from its bytes; nothing of it is built before all of it was checked.

    Args:
        data: What `dump_estimator` gave.
        trusted: Classes of the project's own, as `package.module.Class`. The bytes themselves, and the manifest that
            came along with them, vouch for nothing.

    Raises:
        ModelError: The bytes are not what skops writes, or hold a type that is neither on the fixed list nor trusted.
    """
    import skops.io

    try:
        with found_at_home(trusted) as own:
            named = check_skops(data, own)
            check_classes(named)
            made = skops.io.loads(data, trusted=named)
        check_fitted(made)
    except BrokenTreeError as error:
        raise ModelError(f"the stored estimator leads out of its own arrays: {error}") from None
    except ModelError:
        raise
    except Exception as error:  # skops raises whatever the bytes make it raise
        raise ModelError(f"the stored estimator cannot be read: {' '.join(str(error).split())[:300]}") from error
    return made
