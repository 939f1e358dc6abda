"""Classifiers whose labels are not the class of the highest probability, for tests of what is served."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression


class Rule(ClassifierMixin, BaseEstimator):
    """A business rule stands on the probability: the second class from a fifth on."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.inner_ = LogisticRegression().fit(X, y)
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)

    def predict(self, X):
        return self.classes_[(self.predict_proba(X)[:, 1] > 0.2).astype(int)]


class Backwards(ClassifierMixin, BaseEstimator):
    """Its classes are in an order of their own, and so are the columns of its probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)[::-1]
        self.inner_ = LogisticRegression().fit(X, y)
        return self

    def predict_proba(self, X):
        return self.inner_.predict_proba(X)[:, ::-1]

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Votes(ClassifierMixin, BaseEstimator):
    """It has labels and no scores at all."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.inner_ = LogisticRegression().fit(X, y)
        return self

    def predict(self, X):
        return self.inner_.predict(X)


class Unsure(Rule):
    """Some of its labels are no class of the target."""

    def predict(self, X):
        return np.where(np.abs(self.predict_proba(X)[:, 1] - 0.5) < 0.3, "unsure", super().predict(X).astype(str))


OWN_TYPES = frozenset(f"{__name__}.{kind.__name__}" for kind in (Rule, Backwards, Votes, Unsure))
