"""Networks of PyTorch as estimators: trained by a plain loop over small batches, served by ONNX Runtime without it.

Missing numbers, categories and scales are dealt with in front of the network, as for every estimator that takes no NaN.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from homeostat.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

OPSET = 18
"""The newest ONNX operators that the exporter writes."""


class _Network(BaseEstimator):  # type: ignore[misc]
    """What both tasks have in common."""

    def __init__(
        self,
        build: Callable[[int, int], Any],
        *,
        epochs: int = 20,
        batch_rows: int = 256,
        lr: float = 1e-3,
        weight_decay: float = 1e-4,
        random_state: int | None = None,
    ) -> None:
        self.build = build
        self.epochs = epochs
        self.batch_rows = batch_rows
        self.lr = lr
        self.weight_decay = weight_decay
        self.random_state = random_state

    def _fit(
        self, X: Any, target: Any, last: Any, outputs: int, loss: Callable[[Any, Any], Any], weights: ArrayLike | None
    ) -> None:
        """Minimise the weighted mean of `loss` (one per row) with AdamW; the same seed gives the same network.

        `last` stands behind the network when it answers.
        """
        torch = _torch()
        rows = torch.from_numpy(_dense(X))
        given = torch.from_numpy(np.ones(len(rows), np.float32) if weights is None else np.asarray(weights, np.float32))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state or 0)
            module = self.build(rows.shape[1], outputs)
            if not isinstance(module, torch.nn.Module):
                raise ModelError(f"build gave a {type(module).__name__}", hint="return a torch.nn.Module")
            optimizer = torch.optim.AdamW(module.parameters(), lr=self.lr, weight_decay=self.weight_decay)
            module.train()
            for _ in range(self.epochs):
                for places in torch.randperm(len(rows)).split(self.batch_rows):
                    optimizer.zero_grad()
                    losses = loss(module(rows[places]), target[places])
                    ((losses * given[places]).sum() / given[places].sum()).backward()
                    optimizer.step()
        self.module_ = torch.nn.Sequential(module, last).eval()
        self.n_features_in_ = rows.shape[1]

    def _answers(self, X: Any) -> NDArray[np.float64]:
        torch = _torch()
        with torch.no_grad():
            return np.asarray(self.module_(torch.from_numpy(_dense(X))).numpy(), dtype=np.float64)

    def export_onnx(self) -> bytes:
        """The fitted network as an ONNX model with the input `x` of shape (n, columns)."""
        torch = _torch()
        out = io.BytesIO()
        with warnings.catch_warnings():
            # The tracing exporter is the old one. The new one takes seconds and a package more, and writes where in
            # the user's files each operator comes from.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self.module_,
                (torch.zeros(2, self.n_features_in_),),
                out,
                input_names=["x"],
                output_names=["y"],
                dynamic_axes={"x": {0: "rows"}, "y": {0: "rows"}},
                opset_version=OPSET,
                dynamo=False,
            )
        return out.getvalue()


class TorchClassifier(ClassifierMixin, _Network):  # type: ignore[misc]
    """A network that tells classes apart; it gives logits, and cross-entropy is minimised.

    Args:
        build: A plain function from the number of inputs and of classes to a `torch.nn.Module`, which takes floats of
            shape (n, inputs) and gives logits of shape (n, classes).
        epochs: Passes over the training rows.
        batch_rows: Rows of a step.
        lr, weight_decay: Of AdamW.
        random_state: Seed of the weights and of the order of the rows.

    Example:
        >>> def network(inputs, classes):                                # doctest: +SKIP
        ...     return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, classes))
        >>> Loop(name="flights", source=source, model=TorchClassifier(network, epochs=30))
    """

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit; weights are relative, of shape (n,)."""
        torch = _torch()
        self.classes_, places = np.unique(np.asarray(y), return_inverse=True)
        loss = torch.nn.CrossEntropyLoss(reduction="none")
        target, last = torch.from_numpy(places.astype(np.int64)), torch.nn.Softmax(dim=1)
        self._fit(X, target, last, len(self.classes_), loss, sample_weight)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probabilities of shape (n, classes)."""
        return self._answers(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable classes."""
        return np.asarray(self.classes_[self._answers(X).argmax(axis=1)])


class TorchRegressor(RegressorMixin, _Network):  # type: ignore[misc]
    """A network that gives a number; the squared error of the standardised target is minimised.

    Args:
        build: A plain function from the number of inputs and of outputs (one) to a `torch.nn.Module`, which takes
            floats of shape (n, inputs) and gives values of shape (n, 1).
        epochs, batch_rows, lr, weight_decay, random_state: As for `TorchClassifier`.
    """

    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit; weights are relative, of shape (n,)."""
        torch = _torch()
        numbers = np.asarray(y, dtype=np.float64)
        mean, scale = float(numbers.mean()), float(numbers.std()) or 1.0
        target = torch.from_numpy(((numbers - mean) / scale).astype(np.float32).reshape(-1, 1))
        last = torch.nn.Linear(1, 1)
        with torch.no_grad():
            last.weight.fill_(scale)
            last.bias.fill_(mean)
        self._fit(X, target, last, 1, lambda given, wanted: ((given - wanted) ** 2)[:, 0], sample_weight)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Values of shape (n,)."""
        return self._answers(X)[:, 0]


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        what = "a network is trained by torch, which is not installed here"
        raise ModelError(what, hint="pip install 'homeostat[torch]'") from error
    return torch


def _dense(X: Any) -> NDArray[np.float32]:
    """One-hot codes come as a sparse matrix."""
    return np.ascontiguousarray(X.toarray() if hasattr(X, "toarray") else X, dtype=np.float32)
