"""Writes the table of docs/models.md that says how each estimator of scikit-learn is served, by training all of them.

Each is trained as a loop would train it, alone and within others, on a small table. What is refused has to be refused
with a reason: that its own `fit` or `predict` fails on the same rows, or that it holds what cannot be stored safely. A
test (tests/core/model/test_every_estimator.py) trains them too, asks them in every way, and compares the page.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from homeostat.ci.train import train
from homeostat.ci.train.fitting import fit, inputs_of
from homeostat.core.errors import HomeostatError
from homeostat.core.model import Bundle, Output
from homeostat.core.model.estimator import prepared, seeded_clone
from homeostat.core.model.runtimes import EstimatorRuntime
from homeostat.core.schema import infer_schema
from homeostat.core.table.spec import TableSpec

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "models.md"
BEGIN, END = "<!-- begin: written by tools/estimators.py -->", "<!-- end -->"
START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS, LEARNED = 160, 120
SPEC = TableSpec(time="at", key=("id",), target="y")
WAYS = ("alone", "three classes", "in a pipeline", "under a threshold", "calibrated", "transformed target", "bagged")
"""How an estimator is tried; a classifier in the first five ways, a regressor in the first, the third and the last."""


class Tried(msgspec.Struct, frozen=True):
    """What became of an estimator in one way.

    Attributes:
        name: Its class.
        way: One of `WAYS`.
        bundle: The stored model; None when it was refused.
        refusal: What was said then.
        fitted: The same estimator fitted by hand on the same codes; None when its own `fit` or `predict` fails.
    """

    name: str
    way: str
    bundle: Bundle | None
    refusal: str | None
    fitted: Any

    @property
    def cell(self) -> str:
        """What the table says of it."""
        if self.bundle is None:
            if self.fitted is None:
                return "its `fit` fails"
            return "its answers are NaN" if "NaN" in str(self.refusal) else "not safe"
        blob = self.bundle.manifest.blob
        return blob.runtime + (", named" if blob.labels.by == "model" else "")


def table(target: str) -> pl.DataFrame:
    """Some rows with numbers, holes and a category; `target` is `two`, `three` or `number`."""
    draw = np.random.default_rng(0)
    x, z, c = draw.normal(size=ROWS), draw.normal(size=ROWS), draw.choice(["red", "green", "blue"], ROWS)
    signal = x + 0.5 * z**2 + (c == "red") + 0.3 * draw.normal(size=ROWS)
    labels = {
        "two": np.where(signal > 0.6, "yes", "no"),
        "three": np.where(signal > 1.2, "high", np.where(signal < 0, "low", "mid")),
        "number": 20 + 5 * signal,
    }
    at = [START + timedelta(hours=hour) for hour in range(ROWS)]
    numbers = {"x": [None if row % 40 == 39 else value for row, value in enumerate(x.tolist())], "z": z}
    return pl.DataFrame({"id": [f"r{row}" for row in range(ROWS)], "at": at, **numbers, "c": c, "y": labels[target]})


def kinds() -> dict[str, tuple[Callable[[], Any], bool]]:
    """Every estimator by the name of its class: how to make one, and whether it classifies."""
    from sklearn.utils import all_estimators

    found: dict[str, tuple[Callable[[], Any], bool]] = {}
    for task in ("classifier", "regressor"):
        for name, kind in all_estimators(type_filter=task):
            found[name] = (_maker(kind, classifies=task == "classifier"), task == "classifier")
    for library, classifiers, regressors in (
        ("xgboost", ("XGBClassifier", "XGBRFClassifier"), ("XGBRegressor", "XGBRFRegressor")),
        ("lightgbm", ("LGBMClassifier",), ("LGBMRegressor",)),
    ):
        module = __import__(library)
        more = {"verbose": -1} if library == "lightgbm" else {}
        for name in (*classifiers, *regressors):
            made = _making(getattr(module, name), {"n_estimators": 5, **more})
            found[name] = made, name in classifiers
    return found


def _maker(kind: Any, *, classifies: bool) -> Callable[[], Any]:
    """What makes one with what it cannot do without, and little enough to be quick."""
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    inner = LogisticRegression() if classifies else Ridge()
    tree = DecisionTreeClassifier(max_depth=2) if classifies else DecisionTreeRegressor(max_depth=2)
    given: dict[str, Any] = {}
    needed = {"estimator"} if kind.__name__ == "SelfTrainingClassifier" else set()
    arguments = kind.__init__.__code__.co_varnames[1 : kind.__init__.__code__.co_argcount]
    defaults = len(kind.__init__.__defaults__ or ())
    for name in {*needed, *arguments[: len(arguments) - defaults]}:
        given[name] = {"estimators": [("a", inner), ("b", tree)]}.get(name, inner)
    for name, value in {"n_estimators": 5, "max_iter": 50}.items():
        if name in arguments or name in _keywords(kind):
            given.setdefault(name, value)
    if kind.__name__ in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        given["max_iter"] = 5
    if kind.__name__.startswith("MLP") or kind.__name__ in ("LogisticRegressionCV", "GammaRegressor"):
        given.pop("max_iter")
    return _making(kind, given)


def _keywords(kind: Any) -> tuple[str, ...]:
    code = kind.__init__.__code__
    return tuple(code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount])


def _making(kind: Any, given: dict[str, Any]) -> Callable[[], Any]:
    return lambda: kind(**given)


def ways(classifies: bool) -> tuple[str, ...]:
    """How an estimator is tried."""
    return WAYS[:5] if classifies else (WAYS[0], WAYS[2], *WAYS[5:])


def dressed(estimator: Any, way: str, *, classifies: bool) -> tuple[Any, str]:
    """The estimator within what a way puts around it, and the target that it is trained on."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import BaggingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.model_selection import FixedThresholdClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    around: dict[str, Callable[[], Any]] = {
        "in a pipeline": lambda: make_pipeline(SimpleImputer(), MinMaxScaler(), estimator),
        "under a threshold": lambda: FixedThresholdClassifier(estimator, threshold=0.3),
        "calibrated": lambda: CalibratedClassifierCV(estimator, cv=2),
        "transformed target": lambda: TransformedTargetRegressor(estimator, transformer=StandardScaler()),
        "bagged": lambda: BaggingRegressor(estimator, n_estimators=2),
    }
    target = ("three" if way == "three classes" else "two") if classifies else "number"
    return around.get(way, lambda: estimator)(), target


def tried(name: str, make: Callable[[], Any], way: str, *, classifies: bool) -> Tried:
    """Train an estimator in one way, and fit it by hand."""
    bundle = refusal = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, target = dressed(make(), way, classifies=classifies)
        rows = table(target)
        schema = infer_schema(rows, SPEC)
        try:
            bundle = train(rows[:LEARNED], rows[LEARNED:], schema=schema, now=START, loop="every", model=model)
        except HomeostatError as error:
            refusal = error.what
        return Tried(name, way, bundle, refusal, by_hand(model, rows, bundle))


def by_hand(model: Any, rows: pl.DataFrame, bundle: Bundle | None) -> Any:
    """The estimator fitted without the pipeline, on the codes that it was trained on; None when it cannot be."""
    from homeostat.core.model.encoder import fit_encoder

    schema = infer_schema(rows, SPEC)
    encoder = fit_encoder(rows[:LEARNED].drop("y"), exclude=schema.spec.key)
    assert bundle is None or bundle.manifest.encoder == encoder
    codes = inputs_of(rows, encoder, schema)
    try:
        fitted = prepared(seeded_clone(model, 0), encoder)
        fit(fitted, codes[:LEARNED], rows["y"][:LEARNED].to_numpy())
        fitted.predict(codes)
    except Exception:  # noqa: BLE001 - estimators have errors of their own
        return None
    return fitted


def own_answers(done: Tried, rows: pl.DataFrame) -> tuple[list[Any], Any]:
    """What the estimator itself says: its labels or values, and its probabilities in the order of the classes."""
    assert done.bundle is not None
    manifest = done.bundle.manifest
    codes = inputs_of(rows, manifest.encoder, manifest.schema)
    said = np.asarray(done.fitted.predict(codes)).reshape(-1).tolist()
    classes = manifest.signature.classes
    if classes is None:
        return said, None
    if done.name.startswith("XGB") and said and not isinstance(said[0], str):
        said = [classes[place] for place in said]
    found: Output = EstimatorRuntime(done.fitted, classes).output(codes)
    return said, found.scores


def everything() -> Iterator[Tried]:
    """All estimators in all ways."""
    for name, (make, classifies) in kinds().items():
        for way in ways(classifies):
            yield tried(name, make, way, classifies=classifies)


def render(found: list[Tried]) -> str:
    """The tables, without the marks around them."""
    cells = {(one.name, one.way): one.cell for one in found}
    lines = []
    for title, classifies in (("classifier", True), ("regressor", False)):
        columns = ways(classifies)
        lines += ["", f"| {title} | {' | '.join(columns)} |", f"| --- |{' --- |' * len(columns)}"]
        names = [name for name, (_, own) in kinds().items() if own is classifies]
        lines += [f"| `{name}` | {' | '.join(cells[name, way] for way in columns)} |" for name in names]
    return "\n".join(lines[1:]) + "\n"


def written() -> str:
    """What the page says now."""
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(BEGIN + "\n")[2].partition(END)[0].strip("\n") + "\n"


if __name__ == "__main__":
    found = list(everything())
    if "--show" in sys.argv:
        for one in found:
            print(f"{one.name:32} {one.way:20} {one.cell:24} {(one.refusal or '')[:140]}")
        print(render(found))
        sys.exit()
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{render(found)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
