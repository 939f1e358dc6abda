"""The numbers of a data report: every row counts, and they are what a slow and plain computation gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from homeostat.ci.analyze import analyze
from homeostat.ci.analyze.changes import find_changes
from homeostat.ci.analyze.statistics import describe
from homeostat.core.errors import DataError
from homeostat.core.table.spec import TableSpec

SPEC = TableSpec(time="at", key=("id",), target="late", label_time="landed")
N = 5_000


def flights(seed: int = 1, *, warmer: float = 0.0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": [f"F{n}" for n in range(N)],
            "temperature": random.normal(10 + warmer, 5, N),
            "seats": random.integers(50, 300, N),
            "carrier": random.choice(["AA", "UA", "B6"], N, p=[0.5, 0.3, 0.2]),
            "night": random.random(N) < 0.25,
            "late": (random.random(N) < 0.2).astype(int),
        }
    ).with_columns(
        at=pl.datetime(2013, 1, 1, time_zone="UTC") + pl.duration(minutes=pl.int_range(N)),
        landed=pl.datetime(2013, 1, 1, time_zone="UTC") + pl.duration(minutes=pl.int_range(N) + 150),
        temperature=pl.when(pl.int_range(N) % 10 > 0).then("temperature"),
    )


def test_numbers_are_those_of_a_plain_computation() -> None:
    rows = flights()
    found = describe(rows, SPEC)["columns"]["temperature"]
    values = rows["temperature"].drop_nulls().to_numpy()
    assert (found["rows"], found["nulls"], found["distinct"]) == (N, N // 10, len(set(values)))
    assert found["mean"] == pytest.approx(values.mean())
    assert found["std"] == pytest.approx(values.std())
    assert (found["minimum"], found["maximum"]) == (values.min(), values.max())
    assert found["quantiles"][3] == pytest.approx(np.median(values), abs=0.01)
    assert sum(found["bars"]) == sum(found["counts"]) == len(values)


def test_words_are_counted_with_the_most_frequent_first() -> None:
    rows = flights()
    found = describe(rows, SPEC)["columns"]["carrier"]
    counted = rows["carrier"].value_counts(sort=True).rows()
    assert found["top"] == [list(pair) for pair in counted]
    assert (found["distinct"], found["other"]) == (3, 0)


def test_among_equally_frequent_words_the_choice_is_the_same_every_time() -> None:
    words = pl.DataFrame({"at": [datetime(2013, 1, 1, tzinfo=UTC)] * 40, "w": [f"w{n % 20:02}" for n in range(40)]})
    first, again = (describe(rows, TableSpec(time="at"))["columns"]["w"] for rows in (words, words.reverse()))
    assert first["top"] == again["top"] == [[f"w{n:02}", 2] for n in range(12)]
    assert first["other"] == 16


def test_roles_kinds_and_the_label_delay_are_told() -> None:
    found = describe(flights(), SPEC)
    roles = {name: (column["role"], column["kind"]) for name, column in found["columns"].items()}
    assert roles["id"] == ("key", "key")
    assert roles["late"] == ("target", "integer")
    assert roles["landed"] == ("label time", "time")
    assert roles["night"] == ("feature", "boolean")
    assert found["labels"] == {"labelled": N, "delay": [9_000.0, 9_000.0, 9_000.0]}


def test_time_is_covered_in_equal_stretches() -> None:
    found = describe(flights(), SPEC)["time"]
    assert sum(found["rows"]) == N
    assert max(found["rows"]) - min(found["rows"]) <= 1
    assert found["answer"] == "share of late = 1"
    assert np.mean(found["target"]) == pytest.approx(flights()["late"].mean(), abs=0.01)


def test_a_leaking_column_is_among_the_suspects() -> None:
    rows = flights().with_columns(arrived=pl.col("late") * 30.0)
    assert [one["column"] for one in describe(rows, SPEC)["suspects"]] == ["arrived"]


def test_statistics_survive_json() -> None:
    found = describe(flights(), SPEC)
    assert msgspec.json.decode(msgspec.json.encode(found)) == found


@pytest.mark.parametrize(
    "odd",
    [
        pl.lit(None, pl.Float64),
        pl.lit(None, pl.String),
        pl.lit(3.0),
        pl.lit("same"),
        pl.when(pl.int_range(pl.len()) == 0).then(1e300).otherwise(-1e-300),
        pl.when(pl.int_range(pl.len()) == 0).then(float("inf")),
    ],
    ids=["no number", "no text", "one number", "one word", "extremes", "infinite"],
)
def test_odd_columns_are_described_too(odd: pl.Expr) -> None:
    rows = flights().with_columns(odd=odd)
    first = analyze(rows, SPEC)
    again = analyze(rows, SPEC, first.statistics)
    assert find_changes(again.statistics, first.statistics) == []


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="no rows to analyze"):
        analyze(flights().clear(), SPEC)


def changes(before: pl.DataFrame, after: pl.DataFrame) -> list[tuple[str, str]]:
    first: dict[str, Any] = describe(before, SPEC)
    return [(one.column, one.what) for one in find_changes(describe(after, SPEC, first), first)]


def test_rows_like_the_previous_ones_have_no_notable_change() -> None:
    assert changes(flights(1), flights(2)) == []


def test_the_biggest_change_comes_first() -> None:
    after = flights(2, warmer=12.0).with_columns(
        carrier=pl.when(pl.int_range(N) % 2 == 0).then(pl.lit("AA")).otherwise("carrier"),
        seats=pl.when(pl.int_range(N) % 3 > 0).then("seats"),
        gate=pl.lit("A1"),
    )
    assert changes(flights(1), after.drop("night")) == [
        ("gate", "new"),
        ("night", "gone"),
        ("temperature", "distribution"),
        ("seats", "missing"),
        ("carrier", "distribution"),
    ]


def test_a_change_says_what_moved() -> None:
    first = describe(flights(1), SPEC)
    after = flights(1).with_columns(carrier=pl.lit("UA"), temperature=pl.col("temperature") + 20)
    told = {one.column: (one.before, one.after) for one in find_changes(describe(after, SPEC, first), first)}
    assert told["carrier"] == ("UA: 30.0%", "UA: 100.0%")
    assert told["temperature"][0].startswith("9.9")
    assert told["temperature"][1].startswith("29.9")


def test_a_column_of_another_type_is_a_change() -> None:
    assert ("seats", "type") in changes(flights(), flights().with_columns(pl.col("seats").cast(pl.String)))
