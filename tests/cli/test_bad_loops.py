"""A spoiled loop.py, typed at the command line: the line, the mistake and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.cli.bad import LOOP, Verb, at, csv, nothing_happened, refused, rides, works, write

SECOND = LOOP[LOOP.index("loop = Loop(") :].replace("loop = ", "other = ").replace('"rides"', '"other"')

UNREADABLE: dict[str, tuple[str, list[str]]] = {
    "syntax error": (LOOP.replace("features=features,", "features=features"), [at("features=features"), "SyntaxError"]),
    "exception": ("x = 1\n\ny = x / 0\n", ["loop.py, line 3", "ZeroDivisionError", "mend that line"]),
    "exit": ("import sys\nsys.exit(0)\n", ["loop.py, line 2", "SystemExit"]),
    "missing module": (
        "import homeostatt\n",
        ["loop.py, line 1", "No module named 'homeostatt'", "install 'homeostatt'"],
    ),
    "missing name": ("from homeostat import Lop\n", ["loop.py, line 1", "cannot import name 'Lop'"]),
    "no loop": ("x = 1\n", ["loop.py declares no Loop", "loop = Loop("]),
    "empty": ("", ["loop.py declares no Loop"]),
    "two loops": (LOOP + SECOND, ["loop.py declares 2 loops (rides, other)"]),
    "unknown argument": (LOOP.replace('name="rides"', 'name="rides", modell=1'), [at("loop = Loop("), "'modell'"]),
    "no fit": (
        LOOP.replace("LogisticRegression()", "type('E', (), {'predict': id})()"),
        [at("loop = Loop("), "E has no fit"],
    ),
    "a class": (
        LOOP.replace("LogisticRegression()", "LogisticRegression"),
        [at("loop = Loop("), "write LogisticRegression()"],
    ),
    "bad schedule": (LOOP.replace('"7d"', '"weekly"'), [at("when="), "'weekly'"]),
    "all at once": (
        LOOP.replace('name="rides"', 'name="Ri des"').replace("gates.beats_champion()", "3").replace('"7d"', '"1d"'),
        [at("loop = Loop("), "name has other characters", "gates has int"],
    ),
    "two meanings": (LOOP.replace('target="late"', 'target="at"'), [at("source="), "declared twice"]),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_declaration_that_cannot_be_read_names_its_line(case: str, homeostat: Verb, tmp_path: Path) -> None:
    loop, words = UNREADABLE[case]
    write(tmp_path, loop=loop)
    for verb in (["run"], ["up", "--port", "0"], ["infer", "rides.csv"], ["replay"]):
        refused(homeostat(*verb), *words)
    assert not (tmp_path / ".homeostat").exists()


def test_a_mistake_in_a_module_of_the_users_own_names_that_module(homeostat: Verb, tmp_path: Path) -> None:
    (tmp_path / "our_features.py").write_text("def hour(rows):\n    return rows['hour'\n")
    write(tmp_path, loop="import our_features\n" + LOOP)
    refused(homeostat("run"), "our_features.py, line 2", "SyntaxError")


FAILING: dict[str, tuple[str, list[str]]] = {
    "fewer rows": (
        'rows.drop("at").head(3)',
        ["step `model`", "given 237 rows and returned 3", "one row for each row"],
    ),
    "other rows' values": ('rows.select(x=pl.col("wind").mean())', ["features()", "rows"]),
    "looks around": ('rows.select(x=pl.col("wind") - pl.col("wind").mean())', ["looks at other rows", "column 'x'"]),
    "a dictionary": ('{"wind": rows["wind"]}', ["returned a dict, not a DataFrame"]),
    "no such column": (
        'rows.select("windy")',
        [f"ColumnNotFoundError ({at('return rows')})", "given the columns ride, at"],
    ),
    "the target": ('rows.select("late")', [at("return rows"), "given the columns ride, at, carrier, wind"]),
    "infinity": ('rows.select(x=pl.col("wind") * float("inf"))', ["feature 'x' holds infinity"]),
}


@pytest.mark.parametrize("case", FAILING)
def test_features_that_do_not_hold_are_the_users_to_mend(case: str, homeostat: Verb, tmp_path: Path) -> None:
    body, words = FAILING[case]
    write(tmp_path, loop=LOOP.replace('rows.drop("at")', body))
    refused(homeostat("run"), *words, "homeostat run --resume run-")
    nothing_happened(tmp_path)
    assert homeostat("runs", "--json").json[0]["status"] in ("stopped", "failed")
    write(tmp_path)
    works(homeostat)


SETTINGS: dict[str, tuple[str, list[str]]] = {
    "a parameter": (LOOP.replace("LogisticRegression()", "LogisticRegression(C=-1)"), ["LogisticRegression", "'C'"]),
    "a metric": (LOOP.replace("gates=", 'metric="rocauc",\n    gates='), ["'rocauc'", "did you mean 'roc_auc'?"]),
    "another task's metric": (
        LOOP.replace("gates=", 'metric="mae",\n    gates='),
        ["'mae' is a metric for regression"],
    ),
    "a share": (LOOP.replace("gates=", "test=1.5,\n    gates="), ["test=1.5"]),
    "a slice": (LOOP.replace("beats_champion()", 'slices("nope", drop=0.1)'), ["no column 'nope'", "carrier"]),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_a_run_finds_wrong_are_the_users_to_mend(case: str, homeostat: Verb, tmp_path: Path) -> None:
    loop, words = SETTINGS[case]
    write(tmp_path, loop=loop)
    refused(homeostat("run"), *words)
    nothing_happened(tmp_path)


def test_features_that_give_the_target_away_are_flagged(homeostat: Verb, tmp_path: Path) -> None:
    told = rides().with_columns(fine=pl.col("wind") * 3 + pl.col("late") * 100, base=pl.col("wind") * 3)
    leak = LOOP.replace('rows.drop("at")', 'rows.select("wind", owed=rows["fine"] - rows["base"])')
    write(tmp_path, loop=leak, data=csv(told))
    shown = homeostat("run")
    assert "warning: 'owed' alone tells 100% of 'late'" in shown.out
    assert "'owed'" in homeostat("run", "--json").json["warnings"][0]


def test_a_column_that_tells_most_of_the_target_is_flagged_once(homeostat: Verb, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    hint = pl.Series("hint", rng.normal(0, 1, rides().height))
    write(tmp_path, data=csv(rides().with_columns(hint=hint + 3 * pl.col("late"))))
    warnings = homeostat("run", "--json").json["warnings"]
    (told,) = [warning for warning in warnings if "'hint'" in warning]
    assert "'late'" in told
    assert f"warning: {told}" in homeostat("run").out


def test_a_declaration_that_is_no_python_file_is_refused(homeostat: Verb, tmp_path: Path) -> None:
    write(tmp_path)
    refused(homeostat("run", "--loop", "rides.csv"), "rides.csv is not a Python file", ".py")
    refused(homeostat("run", "--loop", "nowhere.py"), "there is no file nowhere.py", "homeostat init")
