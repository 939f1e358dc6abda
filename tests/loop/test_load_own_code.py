"""An estimator that a project declares itself: where its folder lies, and what stands beside it, changes nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import polars as pl
import pytest

import homeostat
from homeostat.ci.train import train
from homeostat.core.errors import LoopError, ModelError
from homeostat.core.model import Bundle
from homeostat.core.schema import infer_schema
from homeostat.loop import Loop
from tests.cd.ways import records
from tests.cli.conftest import typed

MINE = """
    import numpy as np
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.linear_model import LogisticRegression


    class Mine(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            self.inner_ = LogisticRegression().fit(X, y)
            return self

        def predict_proba(self, X):
            return self.inner_.predict_proba(X)

        def predict(self, X):
            return self.classes_[(self.predict_proba(X)[:, 1] > LIMIT).astype(int)]


    LIMIT = 0.2
"""
LOOP = """
    from homeostat import FileSource, Loop

    SOURCE = FileSource("rows.csv", time="at", key="id", target="y")
    loop = Loop(name="own", source=SOURCE, model=Mine(), gates=[])
"""
INNER = """
    from sklearn.base import BaseEstimator, ClassifierMixin


    class Outer(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.made_ = Mine().fit(X, y)
            self.classes_ = self.made_.classes_
            return self

        def predict(self, X):
            return self.made_.predict(X)
"""


def rows(n: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.normal(size=n)
    at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(n)]
    y = np.where(x + rng.normal(size=n) > 0.8, "yes", "no")
    return pl.DataFrame({"id": [f"r{row}" for row in range(n)], "at": at, "x": x, "y": y})


def project(folder: Path, *parts: str, **files: str) -> Path:
    folder.mkdir(parents=True)
    rows().write_csv(folder / "rows.csv")
    (folder / "loop.py").write_text("".join(map(textwrap.dedent, parts)))
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    return folder


def trained(loop: Loop) -> Bundle:
    table = rows()
    schema = infer_schema(table, loop.source.spec)
    return train(table, table, schema=schema, now=table["at"][-1], model=loop.model, trusted=loop.trusted_types)


def said(bundle: Bundle, loop: Loop) -> list[str]:
    return bundle.model(trusted=loop.trusted_types).predict(rows()).value.tolist()


def test_a_class_of_loop_py_answers_in_a_copy_of_the_folder(tmp_path, monkeypatch, capsys):
    first = project(tmp_path / "a", MINE, LOOP)
    monkeypatch.chdir(first)
    assert typed(capsys, "run").code == 0
    expected = homeostat.load("own").predict(rows()).value.tolist()
    second = shutil.copytree(first, tmp_path / "elsewhere" / "b")
    monkeypatch.chdir(second)
    shutil.rmtree(first)
    assert homeostat.load("own").predict(rows()).value.tolist() == expected
    assert typed(capsys, "infer", "rows.csv", "--output", "out.parquet").code == 0
    assert pl.read_parquet("out.parquet")["prediction"].to_list() == expected
    command = [sys.executable, "-m", "homeostat", "serve", "--port", "0", "--json"]
    server = subprocess.Popen(command, cwd=second, stderr=subprocess.PIPE, text=True)
    try:
        told = (json.loads(line) for line in server.stderr)
        url = next(line["url"] for line in told if line["message"] == "serving")
        sent = records(rows().drop("y"))
        answer = httpx.post(f"{url}/predict", json={"records": sent}, timeout=60).json()
        assert [one["value"] for one in answer["predictions"]] == expected
    finally:
        server.terminate()
        assert server.wait(60) == 0
        server.stderr.close()


def test_two_projects_of_one_process_keep_their_own_classes_of_one_name(tmp_path):
    folders = project(tmp_path / "low", MINE, LOOP), project(tmp_path / "high", MINE.replace("0.2", "0.9"), LOOP)
    low, high = map(homeostat.load_loop, folders)
    bundle = trained(low)
    values = [said(bundle, loop) for loop in (low, high, low)]
    assert values[0] == values[2]
    assert values[0].count("yes") > values[1].count("yes")
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda loop: said(bundle, loop), [low, high] * 8)) == values[:2] * 8


def test_the_same_declaration_gives_the_same_bytes_wherever_it_lies(tmp_path):
    first, second = (homeostat.load_loop(project(tmp_path / name, MINE, LOOP)) for name in ("a", "b"))
    assert trained(first) == trained(second)
    assert trained(first).manifest.estimator.kind == "__loop__.Mine"
    assert first.digest == second.digest


@pytest.mark.parametrize("line", ["from .beside_it import Mine\n", "from beside_it import Mine\n"])
def test_a_module_beside_the_declaration_is_imported_either_way(tmp_path, monkeypatch, line: str):
    monkeypatch.delitem(sys.modules, "beside_it", raising=False)
    loop = homeostat.load_loop(project(tmp_path / "a", line, LOOP, beside_it=MINE))
    assert set(said(trained(loop), loop)) == {"yes", "no"}
    del sys.modules[type(loop.model).__module__]


def test_a_second_module_of_one_name_is_refused_in_one_sentence(tmp_path):
    line = "from twice import Mine\n"
    homeostat.load_loop(project(tmp_path / "a", line, LOOP, twice=MINE))
    with pytest.raises(LoopError, match=r"imports twice, and this process has imported another twice: .*a/twice\.py"):
        homeostat.load_loop(project(tmp_path / "b", line, LOOP, twice=MINE))
    relative = project(tmp_path / "c", "from .twice import Mine\n", LOOP, twice=MINE)
    assert type(homeostat.load_loop(relative).model).__name__ == "Mine"


def test_a_declaration_that_is_loaded_again_takes_its_edited_neighbour(tmp_path):
    folder = project(tmp_path / "a", "from .edited import Mine\n", LOOP, edited=MINE)
    before = homeostat.load_loop(folder)
    (folder / "edited.py").write_text(textwrap.dedent(MINE).replace("LIMIT = 0.2", "LIMIT = 0.25"))
    after = homeostat.load_loop(folder)
    limits = [loop.model.predict.__globals__["LIMIT"] for loop in (before, after)]
    assert limits == [0.2, 0.25]


OUTER = LOOP.replace("model=Mine()", "model=Outer()")


@pytest.mark.parametrize("trusted", ["(Mine,)", "Mine", "['fitted_by.Mine']"], ids=["class", "alone", "name"])
def test_a_class_that_fit_makes_is_built_when_the_loop_names_it(tmp_path, monkeypatch, trusted: str):
    monkeypatch.delitem(sys.modules, "fitted_by", raising=False)
    named = OUTER.replace("gates=[]", f"gates=[], trusted={trusted}")
    loop = homeostat.load_loop(project(tmp_path / "a", "from fitted_by import Mine\n", INNER, named, fitted_by=MINE))
    assert set(said(trained(loop), loop)) == {"yes", "no"}
    del sys.modules["fitted_by"]


def test_a_class_that_fit_makes_is_refused_with_the_way_out_where_the_loop_does_not_name_it(tmp_path):
    loop = homeostat.load_loop(project(tmp_path / "a", MINE, INNER, OUTER))
    with pytest.raises(ModelError, match=r"__loop__\.Mine") as refusal:
        trained(loop)
    assert "trusted=" in refusal.value.hint


def test_a_bundle_vouches_for_nothing_itself(tmp_path):
    bundle = trained(homeostat.load_loop(project(tmp_path / "a", MINE, LOOP)))
    with pytest.raises(ModelError, match=r"__loop__\.Mine"):
        bundle.model(trusted=())


@pytest.mark.parametrize("trusted", ["(3,)", "('Mine',)", "('a b.C',)", "(None,)"])
def test_what_names_no_class_is_refused_in_the_declaration(tmp_path, trusted: str):
    named = LOOP.replace("gates=[]", f"gates=[], trusted={trusted}")
    with pytest.raises(LoopError, match="neither a class nor a name such as"):
        homeostat.load_loop(project(tmp_path / "a", MINE, named))
