"""Rows a second of exact per-row learning: our compiled logistic regression, scikit-learn's partial_fit, River.

Run with `make bench-online`. Every learner predicts each row and then learns it. River takes part when it is installed.
"""

from __future__ import annotations

import importlib.util

import numpy as np

from homeostat.core.clock import stopwatch
from homeostat.core.model.online import compiled, interpreted, learn, new_state

COLUMNS = 8
SLOW_ROWS = 5_000
ROWS = 2_000_000


def world(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal features and a label that depends on three of them."""
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    signal = codes[:, 0] - codes[:, 1] + 0.5 * codes[:, 2] + rng.normal(size=rows)
    return codes, (signal > 0).astype(np.float64)


def ours(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The compiled learner."""
    return learn(new_state([0] * COLUMNS), codes, labels)


def plain(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The same code, not compiled: the floor."""
    state, said = new_state([0] * COLUMNS), np.empty(len(labels))
    rest = (state.weights, state.moments, state.offset, state.size, said)
    interpreted()(codes, labels, True, 0.05, 0.0, *rest)
    return said


def sklearn(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """StandardScaler and SGDClassifier, one row at a time."""
    from sklearn.linear_model import SGDClassifier
    from sklearn.preprocessing import StandardScaler

    scaler, model, said = StandardScaler(), SGDClassifier(loss="log_loss", random_state=0), np.full(len(labels), 0.5)
    for row in range(len(labels)):
        one = codes[row : row + 1]
        if row:
            said[row] = model.predict_proba(scaler.transform(one))[0, 1]
        model.partial_fit(scaler.partial_fit(one).transform(one), labels[row : row + 1], classes=[0.0, 1.0])
    return said


def river(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """River's StandardScaler | LogisticRegression on dictionaries that are made beforehand."""
    from river import linear_model, preprocessing

    model = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    said = np.empty(len(labels))
    for row, features in enumerate([dict(enumerate(one)) for one in codes.tolist()]):
        said[row] = model.predict_proba_one(features).get(True, 0.5)
        model.learn_one(features, bool(labels[row]))
    return said


def main() -> None:
    """Measure and print one line each."""
    begin = stopwatch()
    compiled()
    ours(*world(10))
    print(f"compiling once per process: {stopwatch() - begin:.2f} s\n")
    print(f"{'learner':<28} {'rows':>10} {'rows a second':>15} {'times slower':>13} {'accuracy':>9}")
    fastest = None
    learners = [("homeostat, compiled", ours, ROWS), ("homeostat, interpreted", plain, SLOW_ROWS)]
    learners.append(("scikit-learn partial_fit", sklearn, SLOW_ROWS // 5))
    if importlib.util.find_spec("river"):
        learners.append(("River", river, SLOW_ROWS * 4))
    for name, learner, rows in learners:
        codes, labels = world(rows)
        begin = stopwatch()
        said = learner(codes, labels)
        speed = rows / (stopwatch() - begin)
        fastest = fastest or speed
        accuracy = ((said > 0.5) == labels).mean()
        print(f"{name:<28} {rows:>10,} {speed:>15,.0f} {fastest / speed:>13,.0f} {accuracy:>9.3f}")


if __name__ == "__main__":
    main()
