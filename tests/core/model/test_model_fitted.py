"""Models whose arrays lead out of themselves are refused before compiled code follows them and the process ends."""

from __future__ import annotations

import io
import json
import re
import zipfile

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import SplineTransformer
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier
from xgboost import XGBClassifier

from homeostat.core.errors import ModelError
from homeostat.core.model.boosters import check_booster, dump_booster
from homeostat.core.model.fitted import check_fitted
from homeostat.core.model.runtimes import dump_estimator, load_estimator
from homeostat.core.model.trees import BrokenTreeError

DRAW = np.random.default_rng(0)
ROWS = DRAW.normal(size=(200, 3))
KINDS = DRAW.integers(0, 6, 200)
LABELS = (ROWS[:, 0] + (KINDS % 2) > 0.3).astype(int)
CODES = np.column_stack([ROWS, KINDS])
BOOSTED = XGBClassifier(n_estimators=3, max_depth=3, enable_categorical=True, feature_types=["q", "q", "q", "c"])
LEAVES = LGBMClassifier(n_estimators=3, num_leaves=6, min_data_per_group=5, cat_smooth=1, verbose=-1)
XGBOOST = dump_booster(BOOSTED.fit(CODES, LABELS))
LIGHTGBM = dump_booster(LEAVES.fit(CODES, LABELS, categorical_feature=[3]))


@pytest.mark.parametrize(("name", "data"), [("xgboost", XGBOOST), ("lightgbm", LIGHTGBM)])
def test_whole_boosters_pass_and_hold_splits_by_category(name, data):
    check_booster(name, data)
    assert re.search(rb'"categories_nodes":\[\d|\nnum_cat=[1-9]', data)


@pytest.mark.parametrize("library", [{"booster": "gblinear"}, {"booster": "dart"}, {"num_parallel_tree": 2}])
def test_other_boosters_of_xgboost_pass(library):
    check_booster("xgboost", dump_booster(XGBClassifier(n_estimators=2, **library).fit(ROWS, LABELS)))
    check_booster("xgboost", dump_booster(XGBClassifier(n_estimators=2, **library).fit(ROWS, KINDS)))


@pytest.mark.parametrize("library", [{"linear_tree": True}, {"boosting_type": "dart"}, {"boosting_type": "rf"}])
def test_other_boosters_of_lightgbm_pass(library):
    more = {"bagging_freq": 1, "bagging_fraction": 0.5} if library.get("boosting_type") == "rf" else {}
    for target in (LABELS, KINDS):
        made = LGBMClassifier(n_estimators=2, num_leaves=4, verbose=-1, **library, **more).fit(ROWS, target)
        check_booster("lightgbm", dump_booster(made))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("left_children", value) for value in (0, 999, -2)],
        *[("right_children", value) for value in (0, 999)],
        *[("split_indices", value) for value in (-1, 4, 2**31)],
        *[("split_type", 2), ("parents", 0), ("categories_segments", 99), ("categories_sizes", 99)],
        ("categories_nodes", 99),
    ],
)
def test_a_forged_tree_of_xgboost_is_refused(name, value):
    document = json.loads(XGBOOST)
    trees = document["learner"]["gradient_booster"]["model"]["trees"]
    tree = next(one for one in trees if one[name])
    tree[name][-1 if name == "parents" else 0] = value
    with pytest.raises(ModelError, match="no whole xgboost model"):
        check_booster("xgboost", json.dumps(document).encode())


@pytest.mark.parametrize("change", ["info", "rounds", "features", "classes", "lost", "short"])
def test_forged_sizes_of_xgboost_are_refused(change):
    document = json.loads(XGBOOST)
    learner = document["learner"]
    model = learner["gradient_booster"]["model"]
    if change == "info":
        model["tree_info"][0] = 7
    elif change == "rounds":
        model["iteration_indptr"][-1] = 99
    elif change == "features":
        learner["learner_model_param"]["num_feature"] = "2"
    elif change == "classes":
        learner["learner_model_param"]["num_class"] = "99999999"
    elif change == "lost":
        del model["trees"][0]
    else:
        model["trees"][0]["split_conditions"].pop()
    with pytest.raises(ModelError, match="no whole xgboost model"):
        check_booster("xgboost", json.dumps(document).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("left_child", value) for value in (b"0", b"99", b"-99")],
        *[("right_child", value) for value in (b"0", b"99", b"-99")],
        *[("split_feature", value) for value in (b"-1", b"4")],
        *[("num_leaves", b"7"), ("num_cat", b"9"), ("cat_boundaries", b"5"), ("decision_type", b"300")],
        *[("leaf_value", b"1 2"), ("threshold", b"1 2")],
    ],
)
def test_a_forged_tree_of_lightgbm_is_refused(name, value):
    first = re.search(rb"\n%b=(\S+)" % name.encode(), LIGHTGBM)
    forged = LIGHTGBM[: first.start(1)] + value + LIGHTGBM[first.end(1) :]
    if len(value) != len(first[1]):  # the header says how long a tree is
        grown = len(value) - len(first[1])
        size = re.search(rb"tree_sizes=(\d+)", forged)
        forged = forged[: size.start(1)] + str(int(size[1]) + grown).encode() + forged[size.end(1) :]
    with pytest.raises(ModelError, match="no whole lightgbm model"):
        check_booster("lightgbm", forged)


@pytest.mark.parametrize("at", [b"end of trees", b"parameters:", b"end of parameters", b"pandas_categorical"])
def test_a_model_of_lightgbm_that_is_cut_off_behind_its_trees_is_refused(at):
    with pytest.raises(ModelError, match="no whole lightgbm model"):
        check_booster("lightgbm", LIGHTGBM[: LIGHTGBM.index(at) + 5])


# ------------------------------------------------------------------------------------------------------- scikit-learn


def exchanged(estimator, change):
    """The stored estimator with some of its arrays changed: `change` gives True for an array that it altered."""
    data, out, done = dump_estimator(estimator)[0], io.BytesIO(), False
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            if name.endswith(".npy"):
                array = np.load(io.BytesIO(part))
                if not done and (done := bool(change(array))):
                    made = io.BytesIO()
                    np.save(made, array)
                    part = made.getvalue()
            new.writestr(name, part)
    assert done
    return out.getvalue()


def field(name, value):
    def change(array):
        if name not in (array.dtype.names or ()) or len(array) < 3:
            return False
        array[name][0] = value
        return True

    return change


TREES = [
    *[(DecisionTreeClassifier(), name, value) for name in ("left_child", "right_child") for value in (0, 9_999, -5)],
    *[(kind, "feature", 3) for kind in (DecisionTreeClassifier(), RandomForestClassifier(2))],
    (GradientBoostingClassifier(n_estimators=2), "feature", -7),
    *[(HistGradientBoostingClassifier(max_iter=2), name, 9_999) for name in ("left", "right", "feature_idx")],
    *[(KNeighborsClassifier(algorithm=f"{kind}_tree"), "idx_end", 9_999) for kind in ("kd", "ball")],
    (KNeighborsClassifier(algorithm="kd_tree"), "idx_start", -1),
]


@pytest.mark.parametrize(("estimator", "name", "value"), TREES)
def test_a_forged_tree_of_scikit_learn_is_refused(estimator, name, value):
    estimator.fit(ROWS, LABELS)
    load_estimator(dump_estimator(estimator)[0])
    with pytest.raises(ModelError, match="leads out of its own arrays"):
        load_estimator(exchanged(estimator, field(name, value)))


@pytest.mark.parametrize("kind", [RandomForestClassifier(2), GradientBoostingClassifier(n_estimators=2)])
def test_a_tree_that_takes_more_columns_than_its_ensemble_is_refused(kind):
    wide = type(kind)(n_estimators=2).fit(np.column_stack([ROWS, ROWS]), LABELS)
    wide.n_features_in_ = 3
    with pytest.raises(BrokenTreeError):
        check_fitted(wide)


@pytest.mark.parametrize("kind", [SVC(), SVC(probability=False, kernel="linear"), SVR()])
def test_support_vectors_of_other_sizes_are_refused(kind):
    for target in (LABELS, KINDS):
        made = type(kind)(kernel=kind.kernel).fit(ROWS, target)
        check_fitted(made)
        made._n_support = made._n_support + 1_000
        made._dual_coef_ = made._dual_coef_[:, :-1]
        with pytest.raises(BrokenTreeError, match="support vectors"):
            check_fitted(made)


def test_a_sparse_matrix_and_a_spline_that_point_outside_are_refused():
    from scipy.sparse import csr_matrix

    matrix = csr_matrix(np.eye(3))
    check_fitted([matrix])
    matrix.indices[0] = 99
    with pytest.raises(BrokenTreeError, match="sparse"):
        check_fitted([matrix])
    spline = SplineTransformer().fit(ROWS)
    check_fitted(spline)
    spline.bsplines_[0].t = spline.bsplines_[0].t[:2]
    with pytest.raises(BrokenTreeError, match="knots"):
        check_fitted(spline)
