"""A replay says what policies would have gained: something where the concept changed, nothing where it did not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from homeostat import FrameSource, Loop, how, when
from homeostat.core.errors import DataError
from homeostat.core.table.rows import prepare
from homeostat.engine.replay import Replay, replay

START = datetime(2026, 1, 1, tzinfo=UTC)
POLICIES = {"never": when.never(), "every 6d": when.every("6d"), "degraded": when.degraded(roc_auc=0.05)}


def history(
    *, changes: bool, delay: timedelta = timedelta(0), rows: int = 3_000, window: str = "9d"
) -> tuple[Loop, pl.DataFrame]:
    random = np.random.default_rng(1)
    x = random.normal(size=(rows, 2))
    cause = np.where(changes & (np.arange(rows) > rows // 2), x[:, 1], x[:, 0])
    at = [START + timedelta(minutes=30 * place) for place in range(rows)]
    table = pl.DataFrame(
        {
            "id": range(rows),
            "at": at,
            "x": x[:, 0],
            "z": x[:, 1],
            "y": (cause + random.normal(size=rows) > 0).astype(int),
            "known": [moment + delay for moment in at],
        }
    )
    loop = Loop(
        name="switch",
        source=FrameSource(table, time="at", key="id", target="y", label_time="known"),
        model=LogisticRegression(),
        metric="roc_auc",
        how=how.Refit(window=window),
    )
    return loop, prepare(table, loop.source.spec)


def play(loop: Loop, rows: pl.DataFrame) -> Replay:
    return replay(loop, rows, POLICIES, block="3d", warmup="20d")


@pytest.fixture(scope="module")
def changed() -> Replay:
    return play(*history(changes=True))


def by_name(found: Replay) -> dict[str, float]:
    return {result.name: result.report.value or 0.0 for result in found.results}


def test_where_the_concept_changes_retraining_pays(changed: Replay) -> None:
    scores = by_name(changed)
    assert scores["every 6d"] > scores["never"] + 0.05
    assert scores["degraded"] > scores["never"] + 0.05
    assert changed.comparison.chosen != "never"
    assert changed.comparison.evidence


def test_never_trains_once_and_a_schedule_as_often_as_it_says(changed: Replay) -> None:
    retrains = {result.name: result.retrains for result in changed.results}
    assert retrains["never"] == 0
    played = changed.end - changed.start
    assert abs(retrains["every 6d"] - played / timedelta(days=6)) <= 1
    assert 1 <= retrains["degraded"] <= retrains["every 6d"]


def test_every_policy_answers_the_same_rows(changed: Replay) -> None:
    assert len({result.report.rows for result in changed.results}) == 1
    assert len({tuple(block.rows for block in result.blocks) for result in changed.results}) == 1
    assert len({result.report.persistence for result in changed.results}) == 1


def test_without_a_change_there_is_no_evidence_to_retrain() -> None:
    found = play(*history(changes=False))
    assert not found.comparison.evidence
    assert "do not retrain" in found.comparison.verdict or "no evidence" in found.comparison.verdict


def test_labels_that_come_late_delay_what_a_policy_sees() -> None:
    late = play(*history(changes=True, delay=timedelta(days=4), window="18d"))
    soon = play(*history(changes=True, window="18d"))

    def first_fire(found: Replay) -> datetime:
        result = next(result for result in found.results if result.name == "degraded")
        return result.fires[0].time

    assert first_fire(late) >= first_fire(soon) + timedelta(days=3)


def test_too_little_history_is_refused_with_a_way_out() -> None:
    loop, rows = history(changes=False)
    with pytest.raises(DataError, match="too few to compare") as caught:
        replay(loop, rows, POLICIES, block="30d")
    assert "shorter block" in str(caught.value)
