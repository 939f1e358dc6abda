"""Trees of XGBoost and LightGBM that lead nowhere but inside themselves: compiled code follows them without asking.

A tree is a few arrays in which a node names its children and a column by their places. One that was forged leads to
memory of something else, or round in a circle, and ends the process that serves it. So each array is looked at before a
library reads the model; see `fitted` for those of scikit-learn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class BrokenTreeError(Exception):
    """A tree points outside of itself."""


# ----------------------------------------------------------------------------------------------------------- XGBoost


class _Sizes(msgspec.Struct):
    num_nodes: str
    num_feature: str
    size_leaf_vector: str


class _Tree(msgspec.Struct):
    tree_param: _Sizes
    left_children: list[int]
    right_children: list[int]
    parents: list[int]
    split_indices: list[int]
    split_conditions: list[float]
    split_type: list[int]
    default_left: list[int]
    base_weights: list[float]
    loss_changes: list[float]
    sum_hessian: list[float]
    categories: list[int]
    categories_nodes: list[int]
    categories_segments: list[int]
    categories_sizes: list[int]


class _Model(msgspec.Struct):
    trees: list[_Tree] = []
    tree_info: list[int] = []
    iteration_indptr: list[int] = []
    weights: list[float] | None = None
    cats: dict[str, list[Any]] = {}


class _Inner(msgspec.Struct):
    model: _Model


class _Booster(msgspec.Struct):
    name: str
    model: _Model | None = None
    gbtree: _Inner | None = None
    weight_drop: list[float] = []


class _Shape(msgspec.Struct):
    num_class: str
    num_feature: str
    num_target: str = "1"


class _Learner(msgspec.Struct):
    gradient_booster: _Booster
    learner_model_param: _Shape
    objective: dict[str, Any]


class _Document(msgspec.Struct):
    learner: _Learner
    version: tuple[int, int, int]


def check_xgboost(data: bytes) -> None:
    """Refuse a model of XGBoost whose trees lead out of their arrays.

    Raises:
        BrokenTreeError: One does.
        msgspec.MsgspecError: It is no such model.
        RecursionError, ValueError: It is nested without end, or a size is no number.
    """
    learner = msgspec.json.decode(data, type=_Document).learner
    booster, shape = learner.gradient_booster, learner.learner_model_param
    model = booster.model if booster.gbtree is None else booster.gbtree.model
    columns, groups = int(shape.num_feature), max(1, int(shape.num_class)) * max(1, int(shape.num_target))
    if model is None or not 0 < columns < 1 << 24 or not groups < 1 << 16:
        raise BrokenTreeError("its sizes are none")
    if booster.name == "gblinear":
        if len(model.weights or ()) != (columns + 1) * groups:
            raise BrokenTreeError("it has fewer weights than columns")
        return
    if booster.name not in ("gbtree", "dart") or any(model.cats.values()):
        raise BrokenTreeError(f"a {booster.name!r:.40} is not known here")
    rounds = model.iteration_indptr
    if len(model.tree_info) != len(model.trees) or not all(0 <= group < groups for group in model.tree_info):
        raise BrokenTreeError("its trees belong to no class")
    if rounds and (rounds[0] != 0 or rounds != sorted(rounds) or rounds[-1] != len(model.trees)):
        raise BrokenTreeError("its rounds hold other trees than it has")
    if booster.name == "dart" and len(booster.weight_drop) != len(model.trees):
        raise BrokenTreeError("its trees have no weights")
    for number, tree in enumerate(model.trees):
        try:
            _check_xgboost_tree(tree, columns)
        except BrokenTreeError as error:
            raise BrokenTreeError(f"tree {number}: {error}") from None


def _check_xgboost_tree(tree: _Tree, columns: int) -> None:
    nodes = int(tree.tree_param.num_nodes)
    places = (tree.left_children, tree.right_children, tree.parents)
    others = (tree.split_indices, tree.split_type, tree.default_left)
    numbers = (tree.split_conditions, tree.base_weights, tree.loss_changes, tree.sum_hessian)
    if (
        nodes < 1
        or any(len(values) != nodes for values in (*places, *others, *numbers))
        or int(tree.tree_param.size_leaf_vector) > 1
    ):
        raise BrokenTreeError("its arrays are of other sizes than its nodes")
    if int(tree.tree_param.num_feature) != columns:
        raise BrokenTreeError("it takes another number of columns")
    left, right, parents = (np.array(values, dtype=np.int64) for values in places)
    inner = np.flatnonzero(left != -1)
    # A child that names its parent has no other, so that no way leads back.
    for child in (left[inner], right[inner]):
        within(child, 1, nodes, "a node")
        if (parents[child] != inner).any():
            raise BrokenTreeError("a node has two parents")
    if (right[left == -1] != -1).any():
        raise BrokenTreeError("a leaf has a child")
    within(np.array(tree.split_indices, dtype=np.int64)[inner], 0, columns, "a column")
    begins, sizes = (np.array(values, dtype=np.int64) for values in (tree.categories_segments, tree.categories_sizes))
    kinds = np.array(tree.split_type, dtype=np.int64)
    within(kinds, 0, 2, "a kind of split")
    named = tree.categories_nodes
    if len(begins) != len(named) or len(sizes) != len(named) or (kinds == 1).sum() != len(named):
        raise BrokenTreeError("its categories belong to no nodes")
    if sorted(named) != np.flatnonzero(kinds == 1).tolist() or sorted(named) != named:
        raise BrokenTreeError("its categories belong to no nodes")
    within(sizes, 0, len(tree.categories) + 1, "a size")
    within(begins, 0, len(tree.categories) + 1, "a category")
    within(begins + sizes, 0, len(tree.categories) + 1, "a category")
    within(np.array(tree.categories, dtype=np.int64), 0, 1 << 24, "a category")


# ---------------------------------------------------------------------------------------------------------- LightGBM

_SIZE = re.compile(rb"^(num_class|num_tree_per_iteration|max_feature_idx)=(\d{1,8})$", re.MULTILINE)


def check_lightgbm(head: bytes, trees: Iterator[bytes]) -> None:
    """Refuse a model of LightGBM whose trees lead out of their arrays."""
    sizes = {name: int(value) for name, value in _SIZE.findall(head)}
    if len(sizes) != 3 or sizes[b"num_class"] > 1 << 16 or sizes[b"num_tree_per_iteration"] > 1 << 16:
        raise BrokenTreeError("its sizes are none")
    columns, count = sizes[b"max_feature_idx"] + 1, 0
    for number, text in enumerate(trees):
        count += 1
        pairs = [line.partition(b"=") for line in text.split(b"\n") if line]
        fields = {name: value for name, _, value in pairs}
        if len(fields) != len(pairs):
            raise BrokenTreeError(f"tree {number}: a line is there twice")
        try:
            _check_lightgbm_tree(fields, columns)
        except (BrokenTreeError, KeyError, OverflowError) as error:
            raise BrokenTreeError(f"tree {number}: {error}") from None
    groups = sizes[b"num_tree_per_iteration"]
    if not groups or count % groups or groups not in (1, sizes[b"num_class"]):
        raise BrokenTreeError("its trees belong to no class")


def _check_lightgbm_tree(fields: dict[bytes, bytes], columns: int) -> None:
    leaves, sets = int(fields[b"num_leaves"]), int(fields[b"num_cat"])
    if not 1 <= leaves <= 1 << 24 or not 0 <= sets < leaves:
        raise BrokenTreeError("its sizes are none")
    if len(fields[b"leaf_value"].split()) != leaves:
        raise BrokenTreeError("its arrays are of other sizes than its nodes")
    if fields.get(b"is_linear", b"0") not in (b"0", b"1"):
        raise BrokenTreeError("it is of no known kind")
    if fields.get(b"is_linear") == b"1":
        _check_linear(fields, leaves, columns)
    if leaves == 1:
        return
    nodes = leaves - 1
    names = (b"left_child", b"right_child", b"split_feature", b"decision_type", b"threshold")
    if any(len(fields[name].split()) != nodes for name in names):
        raise BrokenTreeError("its arrays are of other sizes than its nodes")
    places = np.arange(nodes)
    for name in names[:2]:
        child = _ints(fields[name])
        # A node is made after the one that it hangs from, so that no way leads back.
        inner = child >= 0
        within(child[inner] - places[inner], 1, nodes, "a node")
        within(child[inner], 1, nodes, "a node")
        within(~child[~inner], 0, leaves, "a leaf")
    within(_ints(fields[b"split_feature"]), 0, columns, "a column")
    kinds = _ints(fields[b"decision_type"])
    within(kinds, 0, 128, "a kind of split")
    named = np.array([float(word) for word in fields[b"threshold"].split()])[(kinds & 1) == 1]
    if len(named) and not (np.isfinite(named).all() and (named == named.round()).all()):
        raise BrokenTreeError("its categories are none")
    within(named.astype(np.int64), 0, sets, "a set of categories")
    if sets:
        begins = _ints(fields[b"cat_boundaries"])
        words = len(fields[b"cat_threshold"].split())
        if len(begins) != sets + 1 or begins[0] != 0 or (np.diff(begins) < 0).any() or begins[-1] != words:
            raise BrokenTreeError("its categories are none")


def _check_linear(fields: dict[bytes, bytes], leaves: int, columns: int) -> None:
    counts = _ints(fields[b"num_features"])
    used, factors = (len(fields[name].split()) for name in (b"leaf_features", b"leaf_coeff"))
    if len(counts) != leaves or (counts < 0).any() or not counts.sum() == used == factors:
        raise BrokenTreeError("its leaves have other columns than they say")
    if len(fields[b"leaf_const"].split()) != leaves:
        raise BrokenTreeError("its arrays are of other sizes than its nodes")
    within(_ints(fields[b"leaf_features"]), 0, columns, "a column")


def _ints(words: bytes) -> Ints:
    return np.array([int(word) for word in words.split()], dtype=np.int64)


def within(values: Ints, low: int, high: int, what: str) -> None:
    """Refuse places outside of `low` up to, and without, `high`."""
    if len(values) and (int(values.min()) < low or int(values.max()) >= high):
        raise BrokenTreeError(f"{what} is {int(values.min())} or {int(values.max())} of {high}")
