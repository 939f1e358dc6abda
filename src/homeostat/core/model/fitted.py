"""Fitted estimators of scikit-learn whose arrays fit together: its compiled code follows their numbers without asking.

Whatever was built from stored bytes is looked at before it is used: trees whose nodes name children and columns, trees
of neighbours whose nodes name rows, support vectors, splines and sparse matrices. What is numbers for NumPy alone needs
no look: NumPy asks by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from homeostat.core.model.trees import BrokenTreeError, within

_SEALED = ("sklearn.ensemble._forest", "sklearn.ensemble._gb", "sklearn.ensemble._iforest")
"""Ensembles that give their own rows to trees unasked: a tree inside of one takes no more columns than it."""


def check_fitted(estimator: Any) -> None:
    """Refuse an estimator that leads out of its arrays. Nothing of it is called but what gives its state."""
    seen: set[int] = set()
    pending: list[tuple[Any, int | None, bool]] = [(estimator, None, False)]
    while pending:
        value, columns, sealed = pending.pop()
        if id(value) in seen and not sealed:
            continue
        seen.add(id(value))
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        look = _LOOKS.get(kind)
        if look is not None:
            look(value, columns)
        elif isinstance(value, dict):
            pending.extend((item, columns, sealed) for item in value.values())
        elif isinstance(value, (list, tuple, set)):
            pending.extend((item, columns, sealed) for item in value)
        elif isinstance(value, np.ndarray):
            pending.extend((item, columns, sealed) for item in (value.flat if value.dtype == object else ()))
        elif type(value).__module__.startswith("scipy.sparse"):
            _check_sparse(value)
        elif isinstance(getattr(value, "__dict__", None), dict):
            held = vars(value)
            own = held.get("n_features_in_")
            own = int(own) if isinstance(own, (int, np.integer)) else columns
            if sealed and columns is not None and own is not None:
                own = min(own, columns)
            if "_n_support" in held and "support_vectors_" in held:
                _check_support(held, own)
            inside = type(value).__module__ in _SEALED
            pending.extend((item, own, inside) for item in held.values())


def _check_tree(tree: Any, columns: int | None) -> None:
    state = tree.__getstate__()
    nodes = state["nodes"]
    count = len(nodes)
    wider = columns is not None and tree.n_features > columns
    if state["node_count"] != count or len(state["values"]) != count or wider:
        raise BrokenTreeError("its arrays are of other sizes than its nodes")
    left, right = nodes["left_child"].astype(np.int64), nodes["right_child"].astype(np.int64)
    inner = np.flatnonzero(left != -1)
    # A node is made after the one that it hangs from, so that no way leads back.
    for child in (left[inner], right[inner]):
        within(child, 0, count, "a node")
        within(child - inner, 1, count, "a node")
    within(nodes["feature"][inner].astype(np.int64), 0, int(tree.n_features), "a column")


def _check_predictor(predictor: Any, columns: int | None) -> None:
    nodes = predictor.nodes
    count = len(nodes)
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    for name in ("left", "right"):
        child = nodes[name][inner].astype(np.int64)
        within(child, 0, count, "a node")
        within(child - inner, 1, count, "a node")
    within(nodes["feature_idx"][inner].astype(np.int64), 0, columns or 0, "a column")
    named = nodes["bitset_idx"][inner][nodes["is_categorical"][inner] == 1].astype(np.int64)
    sets = min(len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets))
    within(named, 0, sets, "a set of categories")
    for bits in (predictor.raw_left_cat_bitsets, predictor.binned_left_cat_bitsets):
        if bits.dtype != np.uint32 or bits.ndim != 2 or bits.shape[1] != 8:
            raise BrokenTreeError("its categories are none")


def _check_neighbours(tree: Any, _columns: int | None) -> None:
    rows, places, nodes, bounds, _, levels, count, *_, metric, weights = tree.__getstate__()
    if rows.ndim != 2 or places.shape != (len(rows),) or nodes.shape != (count,) or count != 2**levels - 1:
        raise BrokenTreeError("its arrays are of other sizes than its nodes")
    if bounds.shape != (2 if "KDTree" in type(tree).__name__ else 1, count, rows.shape[1]):
        raise BrokenTreeError("its bounds are of other sizes than its nodes")
    if weights is not None and weights.shape != (len(rows),):
        raise BrokenTreeError("its weights are of other sizes than its rows")
    within(places, 0, len(rows), "a row")
    begin, end = nodes["idx_start"], nodes["idx_end"]
    within(begin, 0, len(rows) + 1, "a row")
    within(end, 0, len(rows) + 1, "a row")
    within(end - begin, 0, len(rows) + 1, "a row")
    if (nodes["is_leaf"][2 * np.arange(count) + 2 >= count] == 0).any():
        raise BrokenTreeError("a leaf has a child")
    name, state = type(metric).__name__, metric.__getstate__()
    vector, matrix = np.asarray(state[1]), np.asarray(state[2])
    if name.startswith(("SEuclidean", "Minkowski")) and vector.size not in (1 if "Mink" in name else -1, rows.shape[1]):
        raise BrokenTreeError("its distance is of other columns")
    if name.startswith("Mahalanobis") and matrix.shape != (rows.shape[1], rows.shape[1]):
        raise BrokenTreeError("its distance is of other columns")


def _check_support(held: dict[str, Any], columns: int | None) -> None:
    counts, vectors, factors = np.asarray(held["_n_support"]), held["support_vectors_"], held["_dual_coef_"]
    intercept, support = np.asarray(held["_intercept_"]), np.asarray(held["support_"])
    size = len(support)
    if vectors.ndim != 2 or vectors.shape[0] != size or vectors.shape[1] != columns or counts.ndim != 1:
        raise BrokenTreeError("its support vectors are of other sizes")
    several = "classes_" in held and len(counts) > 1
    groups = len(counts) if several else 2
    pairs = groups * (groups - 1) // 2
    if (counts < 0).any() or (counts.sum() != size and several) or factors.shape != (groups - 1, size):
        raise BrokenTreeError("its support vectors are of other sizes")
    chances = {len(np.asarray(held.get(name, ()))) for name in ("_probA", "_probB")}
    if intercept.shape != (pairs,) or len(chances) != 1 or not chances <= {0, pairs, 1 if not several else 0}:
        raise BrokenTreeError("its support vectors are of other sizes")


def _check_sparse(matrix: Any) -> None:
    try:
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenTreeError(f"a sparse matrix points outside of itself: {error}") from None


def _check_spline(spline: Any, _columns: int | None) -> None:
    knots, factors, degree = np.asarray(spline.t), np.asarray(spline.c), spline.k
    right = knots.ndim == 1 and type(degree) is int and 0 <= degree < 100 and factors.ndim >= 1
    if not right or len(knots) < len(factors) + degree + 1 or len(factors) < degree + 1:
        raise BrokenTreeError("a spline has fewer knots than it needs")
    if not np.isfinite(knots).all() or (np.diff(knots) < 0).any():
        raise BrokenTreeError("the knots of a spline are in no order")


_LOOKS: dict[str, Callable[[Any, int | None], None]] = {
    "sklearn.tree._tree.Tree": _check_tree,
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor": _check_predictor,
    "scipy.interpolate._bsplines.BSpline": _check_spline,
    **{
        f"sklearn.neighbors._{module}_tree.{kind}Tree{bits}": _check_neighbours
        for module, kind in (("kd", "KD"), ("ball", "Ball"))
        for bits in ("", "32", "64")
    },
}
