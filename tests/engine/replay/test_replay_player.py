"""A replay plays every policy on the same rows: answered block by block, looked at, decided upon, and then trained."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import roc_auc_score

from homeostat import FrameSource, Loop, how, when
from homeostat.cd.labels.maturity import Maturity
from homeostat.cd.monitor import MonitorConfig, Window
from homeostat.core import events as ev
from homeostat.core.errors import DataError, LoopError
from homeostat.core.table.rows import prepare
from homeostat.engine.replay import compare_windows, replay
from homeostat.engine.replay.history import History
from homeostat.engine.replay.replay import _cuts, _HistoryPlayer
from homeostat.loop import steps

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS, HOUR, DAY = 481, timedelta(hours=1), timedelta(days=1)
LATE, LEAD = timedelta(hours=20), 4
"""Days that train the first model; sixteen days and an hour are played."""
EVERY = when.every("3d")


def only_x(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("x")


def table(**columns: Any) -> pl.DataFrame:
    random = np.random.default_rng(3)
    x, place = random.normal(size=ROWS), np.arange(ROWS)
    cause = np.where(place > 200, -x, x)
    at = [START + HOUR * int(one) for one in place]
    known = [moment + LATE for moment in at]
    label = (cause + random.normal(size=ROWS) > 0).astype(int)
    return pl.DataFrame({"id": place, "at": at, "x": x, "y": label, "known": known}).with_columns(**columns)


def world(rows: pl.DataFrame | None = None, **changes: Any) -> tuple[Loop, pl.DataFrame]:
    rows = table() if rows is None else rows
    source = FrameSource(rows, time="at", key="id", target="y", label_time="known")
    declared = {"model": LogisticRegression(), "metric": "accuracy", "features": only_x, "how": how.Refit(window="6d")}
    return Loop(name="past", source=source, **{**declared, **changes}), prepare(rows, source.spec)


def player(policy: when.AnyPolicy = EVERY, rows: pl.DataFrame | None = None, **changes: Any) -> _HistoryPlayer:
    history = History(*world(rows, **changes))
    return _HistoryPlayer(history, _cuts(history, f"{LEAD}d", "1d"), history.loop.metric or "", "it", policy)


def recorded(played: _HistoryPlayer, kind: type[ev.Event]) -> list[Any]:
    return [one.event for one in played.feed.ledger.events(kinds=(kind,))]


@pytest.fixture(scope="module")
def played() -> tuple[_HistoryPlayer, Any]:
    """A player of a schedule, and what it found."""
    made = player()
    return made, made.play()


def test_the_blocks_follow_each_other_from_the_first_model_to_the_last_row(played: tuple[_HistoryPlayer, Any]) -> None:
    _, found = played
    blocks = found.blocks
    assert [(one.start, one.end) for one in blocks] == [
        (START + DAY * (LEAD + day), START + DAY * (LEAD + day + 1)) for day in range(17)
    ]
    assert [one.rows for one in blocks] == [24] * 16 + [1]
    assert found.report.rows == 16 * 24 + 1


def test_a_version_answers_from_the_block_after_it_was_trained(played: tuple[_HistoryPlayer, Any]) -> None:
    made, found = played
    fires = [START + DAY * (LEAD + 3 * (one + 1)) for one in range(5)]
    assert [one.time for one in found.fires] == fires
    assert [one.policy for one in found.fires] == ["every"] * 5
    assert found.retrains == 5
    assert list(made.trained_at.values()) == [START + DAY * LEAD, *fires]
    assert [one.version for one in found.blocks] == [
        1 + sum(fire <= one.start for fire in fires) for one in found.blocks
    ]


def test_each_block_is_scored_by_the_answers_of_its_version(played: tuple[_HistoryPlayer, Any]) -> None:
    made, found = played
    history = History(*world())
    for block in found.blocks[2:9:3]:
        first, last = history.between(block.start, block.end)
        said = history.answers(made.trained_at[block.version], first, last)
        labels = history.labels[first:last]
        assert block.value == pytest.approx((said.value == labels).mean())
        assert said.score is not None
        assert block.loss == pytest.approx(((said.score[:, 1] - labels) ** 2).mean())
    assert found.loss == pytest.approx(sum(one.loss * one.rows for one in found.blocks) / (16 * 24 + 1))
    right = sum(one.value * one.rows for one in found.blocks) / (16 * 24 + 1)
    assert found.report.value == pytest.approx(right)


def test_what_is_held_back_is_the_last_two_fifths_of_the_blocks(played: tuple[_HistoryPlayer, Any]) -> None:
    _, found = played
    late = found.blocks[10:]
    assert found.held_back.rows == sum(one.rows for one in late)
    assert found.held_back.value == pytest.approx(sum(one.value * one.rows for one in late) / found.held_back.rows)


def test_each_look_sees_the_rows_of_its_block_and_the_labels_that_came_then(
    played: tuple[_HistoryPlayer, Any],
) -> None:
    made, _ = played
    looks = recorded(made, ev.Observed)
    assert [one.now for one in looks] == [START + DAY * (LEAD + day + 1) for day in range(17)]
    assert [one.newest for one in looks] == [one.now for one in looks]
    assert [one.rows for one in looks] == [24] * 16 + [1]
    known = table()["known"]
    assert [one.trainable for one in looks] == [int((known <= one.now).sum()) for one in looks]
    played_rows = table().filter(pl.col("at") >= START + DAY * LEAD)["known"]
    for look in looks:
        assert look.labelled == int(((played_rows > look.now - DAY) & (played_rows <= look.now)).sum())


def test_a_version_is_registered_with_what_was_known_when_it_was_trained(played: tuple[_HistoryPlayer, Any]) -> None:
    made, found = played
    registered = recorded(made, ev.VersionRegistered)
    assert [one.parent for one in registered] == [None, 1, 2, 3, 4, 5]
    for one, now in zip(registered, made.trained_at.values(), strict=True):
        trained = made.history.trained(now)
        assert (one.trainable, one.trained_rows) == (made.history.trainable(now), trained.rows)
        assert one.test_metrics == {"accuracy": trained.reference}
        assert one.window_end <= now - LATE
    assert [one.version for one in recorded(made, ev.Promoted)] == [1, 2, 3, 4, 5, 6]
    assert made.seconds == pytest.approx(sum(made.history.trained(now).seconds for now in made.trained_at.values()))
    assert found.train_seconds == made.seconds


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_performance_is_measured_on_the_newest_rows_whose_labels_are_in(metric: str) -> None:
    window = Window(rows=20, maturity=Maturity(every=HOUR, wait=DAY))
    made = player(when.never(), monitor=MonitorConfig(window=window), metric=metric)
    made.play()
    history, checked = made.history, 0
    for look in recorded(made, ev.Observed)[3:]:
        last = history.trainable(look.now)
        said, labels = history.answers(START + DAY * LEAD, last - 20, last), history.labels[last - 20 : last]
        (performance,) = look.performance
        assert (performance.version, performance.n) == (1, 20)
        assert said.score is not None
        value = (said.value == labels).mean() if metric == "accuracy" else roc_auc_score(labels, said.score[:, 1])
        assert performance.value == pytest.approx(value)
        assert performance.reference == history.trained(START + DAY * LEAD).reference
        checked += 1
    assert checked == 14


def test_each_version_is_measured_by_the_rows_that_it_answered(played: tuple[_HistoryPlayer, Any]) -> None:
    made, _ = played
    look = recorded(made, ev.Observed)[9]
    assert made.trained_at[4] == look.now - DAY
    counts = {one.version: one.n for one in look.performance}
    assert {version: counts[version] for version in (1, 2, 3)} == {1: 72, 2: 72, 3: 72}
    history = made.history
    for version in (2, 3):
        first, last = history.between(made.trained_at[version], made.trained_at[version + 1])
        said = history.answers(made.trained_at[version], first, last).value
        value = next(one.value for one in look.performance if one.version == version)
        assert value == pytest.approx((said == history.labels[first:last]).mean())


def test_a_training_without_data_ends_stopped_and_the_champion_stays() -> None:
    rows = table()
    gap = rows.filter((pl.col("at") < START + DAY * 8) | (pl.col("at") >= START + DAY * 13))
    made = player(rows=gap, how=how.Refit(window="2d"))
    found = made.play()
    ended = recorded(made, ev.TrainingEnded)
    assert ended
    assert {one.status for one in ended} == {"stopped"}
    assert found.retrains == len(made.trained_at) - 1 == len(recorded(made, ev.Promoted)) - 1
    assert len(found.blocks) == 12, "blocks without a row are left out"
    assert made.feed.state.inflight is None


def test_of_numbers_a_loss_of_one_is_four_deviations_of_the_labels_before() -> None:
    y = pl.col("x") * 10 + 3
    made = player(when.never(), table(y=y + pl.col("id") % 7), model=LinearRegression(), metric="mae")
    block = made.play().blocks[0]
    history = made.history
    first, last = history.between(block.start, block.end)
    error = np.abs(history.answers(block.start, first, last).value - history.labels[first:last])
    assert block.loss == pytest.approx((error / (4 * history.labels[:first].std())).mean())


def test_results_are_ranked_by_their_loss_and_told_of_while_they_come() -> None:
    told: list[tuple[int, int, str]] = []
    policies = {"never": when.never(), "every": EVERY, "again": EVERY}
    loop, rows = world()
    found = replay(loop, rows, policies, block="1d", warmup=f"{LEAD}d", progress=lambda *one: told.append(one))
    assert told == [(0, 3, "never"), (1, 3, "every"), (2, 3, "again"), (3, 3, "")]
    assert [one.name for one in found.results] == ["every", "again", "never"]
    assert [one.loss for one in found.results] == sorted(one.loss for one in found.results)
    assert found.results[0].loss < found.results[2].loss
    assert (found.start, found.end) == (START + DAY * LEAD, START + DAY * 21)
    assert (found.rows, found.metric, found.block) == (16 * 24 + 1, "accuracy", "1d")


def test_the_standard_policies_are_played_when_none_are_named() -> None:
    loop, rows = world(when=when.every("5d"))
    names = {one.name for one in replay(loop, rows, block="4d", warmup=0.2).results}
    assert names == {
        "never",
        "every 28d",
        "every 7d",
        "rows 385",
        "drift psi 0.2",
        "degraded accuracy 0.02",
        "this loop's",
    }


def test_a_warm_up_is_a_share_of_the_time_or_a_length_of_it() -> None:
    history = History(*world())
    assert _cuts(history, 0.25, "2d") == [START + DAY * day for day in range(5, 22, 2)]
    assert _cuts(history, "5d", "2d") == _cuts(history, 0.25, "2d")
    for none in (0, 1, 1.5, -0.1):
        with pytest.raises(LoopError, match="is no share of the history"):
            _cuts(history, none, "2d")


def test_five_blocks_are_enough_and_four_are_not() -> None:
    history = History(*world())
    assert len(_cuts(history, "4d", "4d")) == 6
    with pytest.raises(DataError, match="4 blocks of 4d fit"):
        _cuts(history, "5d", "4d")


@pytest.mark.parametrize(
    ("changes", "named"), [({"how": how.Online()}, "how.Online"), ({"steps": {"model": steps.model}}, "steps={model}")]
)
def test_what_a_replay_would_not_play_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(LoopError, match="it cannot play") as refused:
        replay(*world(**changes), {"never": when.never()}, block="1d")
    assert named in refused.value.what
    with pytest.raises(LoopError, match="it cannot play") as refused:
        compare_windows(*world(**changes), ["all"], every="1d")
    assert named in refused.value.what


def test_a_loop_with_a_step_of_its_own_other_than_the_model_is_played() -> None:
    loop, rows = world(steps={"report": steps.report})
    assert replay(loop, rows, {"never": when.never()}, block="4d").results
