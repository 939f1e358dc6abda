"""D6: a model that is better overall but worse in one segment beyond the limit is refused, and the segment named."""

from __future__ import annotations

import polars as pl

from homeostat.ci import gates
from homeostat.ci.evaluate import evaluate
from tests.core.model_rows import rows, trained

TRAIN, TEST = rows(3_000, noise=0.3), rows(2_000, seed=4, start=3_000, noise=0.3)


def spoiled(table: pl.DataFrame) -> pl.DataFrame:
    """Training rows whose labels are upside down for one carrier."""
    return table.with_columns(y=pl.when(pl.col("carrier") == "WN").then(~pl.col("y")).otherwise("y"))


def weak(table: pl.DataFrame) -> pl.DataFrame:
    """Training rows with a fifth of the labels upside down everywhere."""
    flip = pl.int_range(pl.len()) % 5 < 2
    return table.with_columns(y=pl.when(flip).then(~pl.col("y")).otherwise("y"), z=pl.lit(0.0), carrier=pl.lit("AA"))


def blind(table: pl.DataFrame) -> pl.DataFrame:
    return table.select("x")


CHAMPION = trained(TRAIN, features=blind).model(blind)
CANDIDATE = trained(spoiled(TRAIN)).model()
BETTER = trained(TRAIN).model()


def report(candidate):
    return evaluate(candidate, TRAIN, TEST, champion=CHAMPION, champion_version=1, slices=("carrier",))


def test_worse_in_one_segment_is_refused_by_name_although_better_elsewhere():
    found = report(CANDIDATE)
    gains = {part.value: part.gain.gain for part in found.slices}
    assert all(gain > 0 for name, gain in gains.items() if name != "WN")
    verdict = gates.slices("carrier", drop=0.05).check(found)
    assert not verdict.passed
    assert "carrier=WN" in verdict.reason
    assert list(verdict.numbers["worse"]) == ["carrier=WN"]


def test_better_overall_and_everywhere_passes():
    found = report(BETTER)
    assert gates.beats_champion().check(found).passed
    assert gates.slices("carrier", drop=0.05).check(found).passed


def test_better_overall_but_worse_in_one_segment_is_refused():
    table = TEST.filter((pl.col("carrier") != "WN") | (pl.int_range(pl.len()) % 3 == 0))
    found = evaluate(CANDIDATE, TRAIN, table, champion=CHAMPION, champion_version=1, slices=("carrier",))
    assert gates.beats_champion().check(found).passed
    refused = [verdict for verdict in gates.judge(found, [gates.slices("carrier", min_rows=100)]) if not verdict.passed]
    assert [verdict.gate for verdict in refused] == ["slices"]
    assert "carrier=WN" in refused[0].reason
