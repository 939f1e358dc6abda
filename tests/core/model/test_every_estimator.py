"""Every estimator of scikit-learn, alone and within others: what is served, in every way, is what it says itself."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from homeostat.core.store import Store
from tests.cd.ways import asked_in_every_way
from tests.docs.pages import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from estimators import Tried, kinds, own_answers, render, table, tried, ways, written

KINDS = kinds()
ALL = [(name, way) for name, (_, classifies) in KINDS.items() for way in ways(classifies)]
SAMPLE = [
    ("LogisticRegression", "three classes"),
    ("HistGradientBoostingClassifier", "under a threshold"),
    ("RandomForestClassifier", "alone"),
    ("NuSVC", "three classes"),
    ("TunedThresholdClassifierCV", "in a pipeline"),
    ("StackingClassifier", "alone"),
    ("VotingClassifier", "three classes"),
    ("LGBMClassifier", "under a threshold"),
    ("XGBClassifier", "three classes"),
    ("Ridge", "transformed target"),
    ("SVR", "bagged"),
]

FAR = ("alone", "three classes", "under a threshold", "calibrated")
REFUSED = {
    # Rows that are far from every training row are divided by nothing: their answers are NaN.
    "LabelPropagation": FAR,
    "LabelSpreading": FAR,
    "RadiusNeighborsRegressor": ("alone", "transformed target", "bagged"),
}
"""What is refused although its own `fit` and `predict` work, and in which ways."""


@pytest.fixture(scope="module")
def found() -> dict[tuple[str, str], Tried]:
    return {}


def trained(found: dict[tuple[str, str], Tried], name: str, way: str) -> Tried:
    make, classifies = KINDS[name]
    if (name, way) not in found:
        found[name, way] = tried(name, make, way, classifies=classifies)
    return found[name, way]


def agrees(done: Tried, folder: Path) -> None:
    """Labels are equal in every way, and scores within the noise of float32."""
    assert done.bundle is not None, done.refusal
    signature = done.bundle.manifest.signature
    two = signature.classes is not None and len(signature.classes) == 2
    rows = table("number" if signature.classes is None else "two" if two else "three").drop("y")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # estimators warn of names, versions and ties
        values, scores = own_answers(done, rows)
        answers = asked_in_every_way(Store.open(folder / "store"), done.bundle, rows, folder)
    for way, said in answers.items():
        n = len(said.values)
        if signature.classes is None:
            assert np.abs(np.array(said.values) - values[:n]).max() <= 2e-5 * max(1.0, np.std(values)), way
            continue
        assert said.values == values[:n], way
        assert said.scores is None or np.abs(said.scores - scores[:n]).max() <= 2e-5, way


@pytest.mark.parametrize(("name", "way"), SAMPLE, ids=lambda value: value.replace(" ", "-"))
def test_what_is_served_is_what_the_estimator_says(found, tmp_path, name: str, way: str):
    done = trained(found, name, way)
    agrees(done, tmp_path)
    assert f"| {done.cell} |" in next(line for line in written().splitlines() if line.startswith(f"| `{name}` |"))


def test_the_page_has_a_row_for_every_estimator_there_is():
    named = [line.split("`")[1] for line in written().splitlines() if line.startswith("| `")]
    assert sorted(named) == sorted(KINDS), "run `make estimators`"


@pytest.mark.long
@pytest.mark.parametrize(("name", "way"), ALL, ids=lambda value: value.replace(" ", "-"))
def test_every_estimator_is_served_as_it_speaks_or_refused_with_reason(found, tmp_path, name: str, way: str):
    done = trained(found, name, way)
    if done.bundle is None:
        assert (done.fitted is None) != (way in REFUSED.get(name, ())), done.refusal
        return
    assert way not in REFUSED.get(name, ())
    agrees(done, tmp_path)


@pytest.mark.long
def test_the_page_says_what_became_of_each(found):
    for name, way in ALL:
        trained(found, name, way)
    assert written() == render(list(found.values())), "run `make estimators`"
