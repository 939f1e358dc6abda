"""A model as data: a canonical-JSON manifest and content-addressed blobs, and how to make a running model of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from homeostat.core import codecs
from homeostat.core.errors import CodecError, IntegrityError, ModelError, NotFoundError
from homeostat.core.forks import Resident, answering
from homeostat.core.model.boosters import LIBRARIES, BoosterRuntime
from homeostat.core.model.encoder import Coder
from homeostat.core.model.features import apply_features, features_code
from homeostat.core.model.first import ask_first
from homeostat.core.model.inspect import MOST_BYTES, MOST_MANIFEST_BYTES, check_blob
from homeostat.core.model.labelling import Output
from homeostat.core.model.manifest import Golden, Manifest
from homeostat.core.model.runtimes import EstimatorRuntime, OnnxRuntime, Runtime, load_estimator
from homeostat.core.model.signature import Predictions
from homeostat.core.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from homeostat.core.artifacts import ArtifactStore

GOLDEN_ROWS = 5
_GOLDEN_TOLERANCE = 1e-5


class Model(Resident):
    """A model that answers."""

    def __init__(
        self,
        manifest: Manifest,
        runtime: Runtime,
        features: Callable[..., pl.DataFrame] | None = None,
        trusted: Collection[str] = (),
    ) -> None:
        self.manifest = manifest
        self.trusted = tuple(trusted)
        self.signature = manifest.signature
        self.runtime = runtime.name
        self._runtime = runtime
        self._features = features
        self._labels = manifest.schema.spec.labels
        self._coder = None if manifest.encoder is None else Coder(manifest.encoder)
        self._classes = None if self.signature.classes is None else np.array(self.signature.classes)

    def __reduce__(self) -> Any:
        """Refuse to be pickled: sessions and functions have no safe bytes."""
        what = f"a model of loop {self.manifest.loop!r} cannot be pickled"
        raise ModelError(what, hint="load it where it is needed: homeostat.load(...), or Bundle.read(...).model(...)")

    def predict(self, rows: pl.DataFrame) -> Predictions:
        """Predict raw rows.

        Args:
            rows: n rows with the columns of `signature.inputs`; target and label time, if there, are not looked at.

        Raises:
            DataError: The rows cannot be used.
            ModelError: The model gave NaN or infinity, or this process was forked from one that had used Polars.
        """
        return answering(lambda: self.predict_features(self.featurize(rows)), lambda: ask_first(self))

    def featurize(self, rows: pl.DataFrame) -> pl.DataFrame:
        """What the Loop's `features()` makes of raw rows, without target and label time."""
        return apply_features(self._features, rows, labels=self._labels)

    def predict_features(self, features: pl.DataFrame) -> Predictions:
        """Predict rows whose features are computed already."""
        return self._answer(self._feature_output(features))

    def output(self, codes: NDArray[np.float32]) -> Output:
        """What the runtime makes of coded rows of shape (n, codes), NaN and infinity included."""
        return self._runtime.output(codes)

    def table_output(self, rows: pl.DataFrame) -> Output:
        """The same of raw rows."""
        return self._feature_output(self.featurize(rows))

    def _feature_output(self, features: pl.DataFrame) -> Output:
        if self._coder is None:
            return self._runtime.output(_table(features, self.manifest.schema))
        return self._runtime.output(self._coder.frame(features))

    def predict_records(self, records: Sequence[Mapping[str, Any]]) -> Predictions:
        """Predict rows given as plain values by column name, times as ISO text. For few rows, faster than `predict`."""
        if self._features is None and self._coder is not None:
            return self._answer(self._runtime.output(self._coder.records(records)))
        return self.predict(self.signature.decode(records))

    def check_golden(self) -> None:
        """Ask the golden rows again."""
        golden = self.manifest.golden
        if golden is not None and golden.rows:
            found = self.predict(self.signature.decode(golden.rows))
            self.compare_golden(_scores(found), found.value.tolist())

    def compare_golden(self, found: NDArray[np.float64], labels: Sequence[Any]) -> None:
        """Hold answers to the golden rows against those of the manifest.

        Args:
            found: Scores or values, of shape (rows, classes or 1).
            labels: The predicted value of each row.
        """
        golden = self.manifest.golden
        expected = np.array(golden.scores if golden is not None else ())
        scale = 1.0 if self._classes is not None else max(1.0, float(np.abs(expected).max()))
        error = float(np.abs(found - expected).max()) / scale
        other = self._classes is not None and golden is not None and list(golden.labels) != list(labels)
        if other or not error <= _GOLDEN_TOLERANCE:
            said = "other labels" if error <= _GOLDEN_TOLERANCE else f"error {error:.2g}"
            raise ModelError(
                f"the model does not answer its golden rows as it did when it was trained ({said})",
                hint="compare the versions of onnxruntime, scikit-learn and features() with the manifest's",
            )

    def _answer(self, output: Output) -> Predictions:
        scores = output.scores
        if not np.isfinite(scores).all():
            row = int(np.argmin(np.isfinite(scores if scores.ndim == 1 else scores.sum(axis=1))))
            raise ModelError(f"the model gave NaN or infinity for row {row + 1} of {len(scores):,}")
        if self._classes is None:
            return Predictions(scores)
        places = self.manifest.blob.labels.places(scores) if output.places is None else output.places
        return Predictions(self._classes[places], scores)


class Bundle:
    """A model in storable form.

    Raises:
        IntegrityError: The bytes are not the ones that the manifest names.
    """

    def __init__(self, manifest: Manifest, data: bytes) -> None:
        if hashlib.sha256(data).hexdigest() != manifest.blob.sha256:
            raise IntegrityError(
                f"the bytes of this model are not those that its manifest names ({manifest.blob.sha256[:12]})",
                hint="restore the artifact from a copy, or roll back to another version",
            )
        self.manifest = manifest
        self.data = data

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bundle) and other.manifest == self.manifest and other.data == self.data

    def __hash__(self) -> int:
        return hash(self.manifest.blob.sha256)

    def save(self, blobs: ArtifactStore) -> str:
        """Keep both parts; gives the hash of the manifest, which names the model."""
        blobs.put(self.data)
        return blobs.put(self.manifest.to_json())

    @staticmethod
    def read(blobs: ArtifactStore, key: str) -> Bundle:
        """Read both parts back.

        Raises:
            IntegrityError: Bytes were changed, are not there, or are more than they say.
            ModelError: It is no manifest, from a newer Homeostat, or of an absurd size.
        """
        data = _got(blobs, key, MOST_MANIFEST_BYTES, "manifest")
        if hashlib.sha256(data).hexdigest() != key:
            raise IntegrityError(f"the manifest {key[:12]} was changed", hint="restore it from a copy")
        manifest = Manifest.from_json(data)
        blob = manifest.blob
        if blob.size > MOST_BYTES:
            what = (
                f"its manifest says that model {blob.sha256[:12]} has {blob.size:,} bytes; {MOST_BYTES:,} are the most"
            )
            raise ModelError(what, hint="train a smaller model")
        return Bundle(manifest, _got(blobs, blob.sha256, blob.size, "model"))

    @staticmethod
    def load(
        blobs: ArtifactStore,
        key: str,
        features: Callable[..., pl.DataFrame] | None = None,
        *,
        trusted: Collection[str] = (),
        threads: int = 1,
    ) -> Model:
        """A running model from its name.

        Args:
            blobs: Where it is kept.
            key: Hash of its manifest.
            features: The Loop's `features()`; it must be the one that the model was trained with.
            trusted: Types of your own estimators, as `package.module.Class`; see `trusted_types`.
            threads: Threads for large batches.

        Raises:
            ModelError: `features` differs, the format is newer, or the bytes hold types that are not trusted.
            IntegrityError: Bytes were changed.
        """
        return Bundle.read(blobs, key).model(features, trusted=trusted, threads=threads)

    def model(
        self, features: Callable[..., pl.DataFrame] | None = None, *, trusted: Collection[str] = (), threads: int = 1
    ) -> Model:
        """A running model; see `load`."""
        check_features(self.manifest, features)
        if self.manifest.blob.runtime not in ("skops", *LIBRARIES):  # whose bytes are checked where they are read
            check_blob(self.manifest.blob.runtime, self.data)
        blob, classes = self.manifest.blob, self.manifest.signature.classes
        blob.labels.check(classes)
        runtime: Runtime
        if blob.runtime == "onnx":
            runtime = OnnxRuntime(self.data, classes, labelled=blob.labels.by == "model", threads=threads)
        elif blob.runtime == "skops":
            estimator = load_estimator(self.data, trusted)
            runtime = EstimatorRuntime(estimator, classes, blob.labels)
        elif blob.runtime in LIBRARIES:
            runtime = BoosterRuntime(blob.runtime, self.data, regression=classes is None, threads=threads)
        elif blob.runtime == "numpy":
            from homeostat.core.model.online import OnlineRuntime, load_state

            runtime = OnlineRuntime(load_state(self.data))
        else:
            raise ModelError(f"this Homeostat has no runtime called {blob.runtime!r}", hint="upgrade homeostat")
        return Model(self.manifest, runtime, features, trusted)

    def with_facts(self, **facts: Any) -> Bundle:
        """The same model with other fields in its manifest, for example `test_metrics=`."""
        return Bundle(msgspec.structs.replace(self.manifest, **facts), self.data)


def _encode_bundle(bundle: Bundle, blobs: ArtifactStore | None) -> bytes:
    if blobs is None:
        raise CodecError("a model is stored in two parts, and there is no artifact store for the second")
    return bundle.save(blobs).encode()


def _decode_bundle(data: bytes, blobs: ArtifactStore | None) -> Bundle:
    if blobs is None:
        raise CodecError("a model is stored in two parts, and there is no artifact store to read the second from")
    return Bundle.read(blobs, data.decode())


codecs.register(Bundle, "bundle", _encode_bundle, _decode_bundle, blobs=True)


def check_features(manifest: Manifest, features: Callable[..., pl.DataFrame] | None) -> None:
    """Refuse to run a model with another `features()` than it was trained with.

    Raises:
        ModelError: Names the functions that differ.
    """
    have, need = features_code(features), manifest.features
    if have == need or (have and need and have.fingerprint == need.fingerprint):
        return
    before, now = (need.functions if need else {}), (have.functions if have else {})
    differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    raise ModelError(
        "features() is not the one that this model was trained with"
        + (f": {', '.join(differing[:10])} differ" if differing else ""),
        hint="serve with the code that trained it, or train a new version with this code",
    )


def golden_rows(model: Model, rows: pl.DataFrame) -> Golden:
    """Some rows, evenly spaced, with the model's answers."""
    chosen = rows[spaced(rows.height, GOLDEN_ROWS)]
    plain = model.signature.encode(chosen)
    found = model.predict(model.signature.decode(plain))
    labels = () if found.score is None else tuple(found.value.tolist())
    return Golden(rows=plain, scores=tuple(tuple(row) for row in _scores(found).tolist()), labels=labels)


def spaced(rows: int, wanted: int) -> list[int]:
    """At most `wanted` row numbers, evenly spaced over `rows` rows."""
    if rows <= wanted:
        return list(range(rows))
    return [int(place) for place in np.linspace(0, rows - 1, wanted)]


def _scores(predictions: Predictions) -> NDArray[np.float64]:
    return predictions.value.reshape(-1, 1) if predictions.score is None else predictions.score


def _table(features: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    return features.drop([name for name in unlearned(schema) if name in features.columns])


def unlearned(schema: Schema) -> Iterable[str]:
    """Columns that an estimator that takes the table never sees: key, event time and labels."""
    return dict.fromkeys(schema.spec.declared)


def _got(blobs: ArtifactStore, key: str, most: int, part: str) -> bytes:
    """One part of a bundle; a part that is larger than it may be is not read."""
    try:
        size = blobs.size(key)
        if size > most:
            what = f"the {part} {key[:12]} has {size:,} bytes; {most:,} are the most"
            raise IntegrityError(what, hint="restore the artifact from a copy, or roll back to another version")
        return blobs.get(key)
    except NotFoundError as error:
        raise IntegrityError(f"a model is not whole: {error.what}", hint=error.hint) from error
