"""What is known of a model: its contract, where it comes from, how it was trained, and which bytes it is."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import msgspec

from homeostat.core.errors import ModelError
from homeostat.core.events import RunContext
from homeostat.core.model.convert import Proof, Stored
from homeostat.core.model.encoder import Encoder
from homeostat.core.model.features import FeaturesCode
from homeostat.core.model.labelling import Labelling
from homeostat.core.model.needs import Needs
from homeostat.core.model.signature import Label, Signature
from homeostat.core.schema import Schema
from homeostat.core.stats.profile import Profile
from homeostat.core.text import records

FORMAT = 1


class EstimatorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was fitted.

    Attributes:
        kind: Its class, as `module.Class`.
        params: Every parameter, nested ones included, as text.
        prepared: Whether imputing, scaling and one-hot encoding were put in front.
        table: Whether it takes the table itself instead of codes.
    """

    kind: str
    text: str
    params: dict[str, str]
    prepared: bool
    table: bool
    seed: int


class Blob(msgspec.Struct, frozen=True, kw_only=True):
    """The stored model.

    Attributes:
        runtime: What runs it: `onnx`, `skops`, `numpy`, `xgboost` or `lightgbm`.
        proof: How the conversion compared with the estimator.
        trusted: Types that skops asks about. They are for the record: what may be built is never the bundle's to say.
        labels: How the labels of a classifier come about.
    """

    runtime: str
    sha256: str
    size: int
    proof: Proof | None = None
    reason: str | None = None
    trusted: tuple[str, ...] = ()
    labels: Labelling = Labelling()

    @classmethod
    def of(cls, stored: Stored) -> Blob:
        """What a stored model is called."""
        return cls(
            runtime=stored.runtime,
            sha256=hashlib.sha256(stored.data).hexdigest(),
            size=len(stored.data),
            proof=stored.proof,
            reason=stored.reason,
            trusted=stored.trusted,
            labels=stored.labels,
        )


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model comes from.

    Attributes:
        run, trigger: The pipeline run, and the key of what caused it.
        snapshot: Name of the data: uri, version, digest.
        how: The learner and its settings, for example a window policy.
        window_start, window_end: Event times of the first and the last row that it learned from.
        parent: The version whose state it continued, or that it was compared with.
    """

    run: str | None = None
    trigger: str | None = None
    snapshot: dict[str, Any] = {}
    how: dict[str, Any] = {}
    rows: int = 0
    window_start: datetime | None = None
    window_end: datetime | None = None
    parent: int | None = None
    environment: RunContext | None = None


class TriedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One setting that was tried. `score` is the metric on the held-out end of the training rows."""

    params: dict[str, Any]
    metric: str | None
    score: float | None
    chosen: bool


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Raw rows and the answers that this model must give to them wherever it is loaded.

    Attributes:
        scores: Of each row; of a regression its value alone.
        labels: Of each row; empty for a regression.
    """

    rows: tuple[dict[str, Any], ...]
    scores: tuple[tuple[float, ...], ...]
    labels: tuple[Label, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known about a model; its SHA-256 is the model's name.

    Attributes:
        encoder: How features become codes; None for an estimator that takes the table.
        reference: Profile of the raw training rows, with the scores: what drift is measured from.
        train_metrics, test_metrics: By name; None where a metric is undefined.
        needs: What its runtime uses; None in a bundle that no loop has registered.
    """

    format: int = FORMAT
    loop: str
    created: datetime
    signature: Signature
    schema: Schema
    encoder: Encoder | None
    features: FeaturesCode | None
    estimator: EstimatorInfo
    blob: Blob
    lineage: Lineage
    reference: Profile | None = None
    train_metrics: dict[str, float | None] = {}
    test_metrics: dict[str, float | None] = {}
    candidates: tuple[TriedSettings, ...] = msgspec.field(default=(), name="trials")
    golden: Golden | None = None
    needs: Needs | None = None
    owner: str | None = None

    def to_json(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        return records.to_json(self)

    @staticmethod
    def from_json(data: bytes) -> Manifest:
        """The inverse of `to_json`.

        Raises:
            ModelError: A newer Homeostat wrote it, or it is no manifest.
        """
        return records.from_json(data, Manifest, ModelError, "this is not a model's manifest", newest=("model", FORMAT))
