"""Tables as exports write them go through `init`, `run`, `infer` and `predict` as a newcomer would type them.

`--tables N` tries N / 33 of them (2 by default; `make test-long` tries 30).
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homeostat
from homeostat.cli import main
from tests.cli.conftest import Typed
from tests.tables.grammar import Style, meant, read_back, styles, written
from tests.tables.refusals import one_sentence
from tests.tables.test_tables_fuzz import FEW

ROWS = 600
ASKED = 40


def test_a_table_becomes_a_model_that_answers_in_every_way_or_is_refused(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ended: Counter[str] = Counter()

    @settings(FEW, max_examples=max(2, request.config.getoption("--tables") // 33))
    @given(styles(), st.integers(0, 2**32))
    def holds(style: Style, seed: int):
        with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
            monkeypatch.chdir(folder)
            ended[_tried(style, seed)] += 1
            monkeypatch.chdir(tmp_path)

    holds()
    assert ended["answered"] >= sum(ended.values()) / 2, ended


def _tried(style: Style, seed: int) -> str:
    """How far a table comes: the verb that refused it, or `answered`."""
    values = meant(style, 0, ROWS, seed)
    file = f"rows{style.suffix}"
    Path(file).write_bytes(written(style, values))
    separator = ("--separator", style.separator) if "separator" in style.declared else ()
    for verb in (("init", file, "--target", "y", *separator), ("run",)):
        done = typed(*verb)
        if done.code != 0:
            assert done.code == 2, done.err
            one_sentence(done.err)
            return verb[0]
        assert not one_sentence(done.out + done.err)
    name = homeostat.load_loop("loop.py").name
    inferred = typed("infer", file, "--version", "1")
    assert inferred.code == 0, inferred.err
    said = pl.read_parquet("predictions.parquet")
    assert said.height == ROWS
    model = homeostat.load(f"{name}@1", ".homeostat")
    asked = {column.name for column in model.signature.inputs}
    back = read_back(style, values)
    rows = [{key: _sent(back[key][row]) for key in back if key in asked} for row in range(0, ROWS, ROWS // ASKED)]
    found = model.predict(rows).value.tolist()
    assert found == said["prediction"].to_list()[:: ROWS // ASKED]
    return "answered"


def _sent(value: Any) -> Any:
    """A value as a caller sends it in JSON."""
    return value.isoformat() if isinstance(value, datetime) else value


def typed(*arguments: str) -> Typed:
    """Run `homeostat` in this process, where no fixture of a single test may be asked for."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main(arguments)
    return Typed(int(ended.value.code or 0), out.getvalue(), err.getvalue())
