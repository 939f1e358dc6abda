"""How numbers, unknown values, names and folders are written is found, told, and declared in the new loop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from homeostat import load_loop
from homeostat.core.table.table import Table
from tests.cli.bad import refused

ROWS = 300
RNG = np.random.default_rng(3)
PRICES = RNG.uniform(800, 9_000, ROWS).round(2)


def european(price: float) -> str:
    return f"{price:,.2f}".replace(",", "_").replace(".", ",").replace("_", ".")


def table(cells: list[str]) -> pl.DataFrame:
    """Rows with a column of text."""
    at = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=row) for row in range(len(cells))]
    rows = {"id": [f"r{row}" for row in range(len(cells))], "at": at, "price": cells}
    return pl.DataFrame(rows | {"y": [row % 2 for row in range(len(cells))]})


def write(folder: Path, cells: list[str], separator: str = ";") -> None:
    table(cells).write_csv(folder / "rows.csv", separator=separator, datetime_format="%Y-%m-%d %H:%M:%S")


def prices(folder: Path) -> pl.Series:
    """What a table holds, read by the source that was written."""
    source = load_loop(folder / "loop.py").source
    (part,) = source.parts()
    return Table(folder / "table", source.spec).conform(part.read())["price"]


WRITTEN: list[tuple[str, Callable[[float], str]]] = [
    ("decimal commas", lambda price: f"{price:.2f}".replace(".", ",")),
    ("English thousands", lambda price: f"{price:,.2f}"),
    ("German thousands", european),
    ("Swiss thousands", lambda price: f"{price:,.2f}".replace(",", "'")),
    ("dollars", lambda price: f"${price:,.2f}"),
    ("euros", lambda price: f"{european(price)} €"),
    ("percent", lambda price: f"{price}%"),
]


@pytest.mark.parametrize(("write_one"), [pytest.param(one, id=name) for name, one in WRITTEN])
def test_numbers_in_text_are_declared_and_told(homeostat, tmp_path: Path, write_one: Callable[[float], str]):
    write(tmp_path, [write_one(price) for price in PRICES])
    answer = homeostat("init", "rows.csv", "--target", "y", "--separator", ";")
    assert answer.code == 0, answer.err
    assert "'price' is text that is read as numbers" in answer.out
    assert prices(tmp_path).to_list() == pytest.approx(PRICES.tolist())


def test_words_among_numbers_are_declared_as_unknown(homeostat, tmp_path: Path):
    write(tmp_path, ["k.A." if row % 20 == 0 else european(price) for row, price in enumerate(PRICES)])
    assert homeostat("init", "rows.csv", "--target", "y", "--separator", ";").code == 0
    assert prices(tmp_path).null_count() == ROWS // 20


def test_numbers_that_can_be_read_in_two_ways_are_refused_until_it_is_said(homeostat, tmp_path: Path):
    write(tmp_path, [f"{1 + row % 9},{100 + row}" for row in range(ROWS)])
    answer = homeostat("init", "rows.csv", "--target", "y", "--separator", ";")
    refused(answer, "'price'", "1,100", "1.1 (--decimal ',')", "--thousands ','", "--text price")
    assert homeostat("init", "rows.csv", "--target", "y", "--separator", ";", "--decimal", ",").code == 0
    assert prices(tmp_path)[0] == pytest.approx(1.1)
    said = homeostat("init", "rows.csv", "--target", "y", "--separator", ";", "--text", "price", "--force")
    assert said.code == 0, said.err
    assert prices(tmp_path)[0] == "1,100"


def test_text_with_many_numbers_stays_text_and_is_told(homeostat, tmp_path: Path):
    write(tmp_path, [f"~{row} EUR?" if row % 15 == 0 else european(price) for row, price in enumerate(PRICES)])
    answer = homeostat("init", "rows.csv", "--target", "y", "--separator", ";")
    assert "it stays text because of others" in answer.out
    assert prices(tmp_path).dtype == pl.String


def test_a_class_called_none_and_a_country_called_na_survive(homeostat, tmp_path: Path):
    words = table([("NA", "DE", "None")[row % 3] for row in range(ROWS)])
    words.write_csv(tmp_path / "rows.csv")
    assert homeostat("init", "rows.csv", "--target", "price").code == 0
    assert set(prices(tmp_path)) == {"NA", "DE", "None"}


def test_a_better_name_can_be_given(homeostat, tmp_path: Path):
    table(["a"] * ROWS).with_columns(PRICE=pl.lit(1.5)).write_csv(tmp_path / "rows.csv")
    refused(homeostat("init", "rows.csv", "--target", "y"), "'price' and 'PRICE' differ in case only", "options")
    assert homeostat("init", "rows.csv", "--target", "y", "--rename", "PRICE=amount").code == 0
    assert dict(load_loop(tmp_path / "loop.py").source.form.rename) == {"PRICE": "amount"}
    refused(homeostat("init", "rows.csv", "--target", "y", "--rename", "PRICE", "--force"), "OLD=NEW")


def test_folders_that_are_columns_are_declared(homeostat, tmp_path: Path):
    for region in ("north", "south"):
        (tmp_path / "data" / f"region={region}").mkdir(parents=True)
        rows = table(["a"] * ROWS).with_columns(pl.col("id") + region)
        rows.write_parquet(tmp_path / "data" / f"region={region}" / "1.parquet")
    assert homeostat("init", "data/**/*.parquet", "--target", "y").code == 0
    loop = load_loop(tmp_path / "loop.py")
    assert loop.name == "data-y"
    assert {part.read()["region"][0] for part in loop.source.parts()} == {"north", "south"}


def test_what_was_left_out_is_told_and_programs_hear_it_too(homeostat, tmp_path: Path):
    table([european(price) for price in PRICES]).with_row_index("").write_csv(tmp_path / "rows.csv")
    told = homeostat("init", "rows.csv", "--target", "y", "--json").json
    assert any("only counts the rows" in note for note in told["notes"])
    assert told["declared"]["decimal"] == {"price": ","}
