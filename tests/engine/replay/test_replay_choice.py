"""A policy is chosen on the first 60 % of the blocks and held against never retraining on the others."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from homeostat.core.stats.prequential import StreamReport
from homeostat.ct import when
from homeostat.engine.replay.choose import compare, held_back_from
from homeostat.engine.replay.policies import standard_policies
from homeostat.engine.replay.result import Block, PolicyResult

START = datetime(2026, 1, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def result(
    name: str, losses: Sequence[float], *, rows: Sequence[int] = (), retrains: int = 1, kappa: float | None = 0.5
) -> PolicyResult:
    """A policy with one block for each loss."""
    counts = rows or [100] * len(losses)
    blocks = tuple(
        Block(start=START + WEEK * place, end=START + WEEK * (place + 1), rows=n, loss=loss, value=None, version=1)
        for place, (n, loss) in enumerate(zip(counts, losses, strict=True))
    )
    baseline = {"persistence": 0.5, "majority": 0.5, "kappa_per": kappa, "verdict": "the last label is better"}
    report = StreamReport(metric="accuracy", rows=sum(counts), value=0.6, low=0.5, high=0.7, **baseline)
    whole = {"report": report, "held_back": report, "train_seconds": 1.0, "blocks": blocks, "fires": ()}
    return PolicyResult(name=name, label=name, retrains=retrains, loss=float(np.mean(losses)), **whole)


NEVER = result("never", [0.5] * 10, retrains=0)


def test_the_choice_is_made_on_the_first_six_of_ten_blocks() -> None:
    early, late = result("early", [0.4] * 6 + [0.9] * 4), result("late", [0.6] * 6 + [0.0] * 4)
    assert compare([NEVER, early, late]).chosen == "early"
    assert compare([NEVER, late]).chosen == "never"
    sixth = result("sixth", [0.5] * 5 + [0.4] + [0.9] * 4)
    assert compare([NEVER, sixth]).chosen == "sixth"
    seventh = result("seventh", [0.5] * 6 + [0.0] * 4)
    assert compare([NEVER, seventh]).chosen == "never"
    assert held_back_from(NEVER.blocks) == NEVER.blocks[6].start
    assert held_back_from(NEVER.blocks[:1]) == NEVER.blocks[0].start


def test_of_policies_that_did_as_well_the_one_that_trained_least_is_chosen() -> None:
    often, seldom = result("often", [0.4] * 10, retrains=9), result("seldom", [0.4] * 10, retrains=2)
    assert compare([NEVER, often, seldom]).chosen == "seldom"


def test_blocks_count_by_their_rows() -> None:
    rows = [1_000, *[10] * 9]
    base = result("never", [0.5] * 10, rows=rows)
    assert compare([base, result("few", [0.6] + [0.1] * 9, rows=rows)]).chosen == "never"
    uneven = [100] * 6 + [300, 100, 100, 100]
    base = result("never", [0.5] * 10, rows=uneven)
    found = compare([base, result("other", [0.4] * 6 + [0.1, 0.5, 0.5, 0.5], rows=uneven)])
    assert found.difference == pytest.approx(-0.4 * 300 / 600)


def test_what_is_better_on_the_held_back_blocks_too_is_evidence() -> None:
    found = compare([NEVER, result("weekly", [0.4] * 6 + [0.41, 0.42, 0.43, 0.44])])
    assert found.evidence
    assert found.verdict.startswith("retrain by 'weekly'")
    assert found.low <= found.difference <= found.high < 0
    assert found.difference == pytest.approx(-0.075)


def test_what_did_harm_later_is_not_taken() -> None:
    found = compare([NEVER, result("weekly", [0.4] * 6 + [0.61, 0.62, 0.63, 0.64])])
    assert (found.evidence, found.difference > 0) == (False, True)
    assert found.verdict.startswith("do not retrain: 'weekly' was best at first and did harm later")


def test_what_is_better_and_worse_in_turns_is_no_evidence() -> None:
    found = compare([NEVER, result("weekly", [0.4] * 6 + [0.1, 0.2, 0.9, 0.7])])
    assert not found.evidence
    assert found.low < 0 < found.high
    assert found.verdict.startswith("no evidence that 'weekly' pays")


def test_where_nothing_did_better_the_first_model_stays() -> None:
    found = compare([result("weekly", [0.6] * 10), NEVER])
    assert (found.chosen, found.evidence, found.difference) == ("never", False, 0.0)
    assert found.verdict.startswith("do not retrain")


def test_without_a_policy_called_never_the_first_one_is_held_against() -> None:
    first, second = result("weekly", [0.6] * 10), result("daily", [0.5] * 10)
    assert compare([first, second]).difference == pytest.approx(-0.1)


@pytest.mark.parametrize(("kappa", "told"), [(-0.1, True), (0.0, True), (0.1, False), (None, False)])
def test_a_choice_that_the_last_label_beats_is_told_with_it(kappa: float | None, told: bool) -> None:
    found = compare([NEVER, result("weekly", [0.1] * 10, kappa=kappa)])
    assert found.verdict.endswith("But the last label is better") is told


def test_the_interval_holds_the_true_difference_about_as_often_as_it_says() -> None:
    random, held, blocks = np.random.default_rng(7), 0, 200
    for _ in range(100):
        losses = np.concatenate([np.full(blocks * 6 // 10, 0.1), 0.5 + random.normal(0, 0.1, blocks * 4 // 10)])
        found = compare([result("never", [0.5] * blocks), result("weekly", losses.tolist())])
        held += found.low <= 0 <= found.high
    assert 85 <= held < 100


@pytest.mark.parametrize(
    ("span", "rows", "volume"),
    [(timedelta(days=280), 1_000, 100), (timedelta(days=14), 1_000, 1_000), (WEEK * 400, 10, 1)],
)
def test_the_plain_policies_retrain_about_every_month_by_volume(span: timedelta, rows: int, volume: int) -> None:
    policies = standard_policies("f1", span, rows)
    assert policies[f"rows {volume:,}"] == when.rows(volume)
    assert policies["never"] == when.never()
    assert policies["degraded f1 0.02"] == when.degraded(f1=0.02).cooldown("7d")


def test_the_loops_own_policy_takes_part_unless_it_is_one_of_the_plain_ones() -> None:
    own = when.every("3d")
    assert standard_policies("f1", WEEK, 10, declared=own)["this loop's"] == own
    assert "this loop's" not in standard_policies("f1", WEEK, 10, declared=when.every("7d"))
    assert "this loop's" not in standard_policies("f1", WEEK, 10)
