"""A short demo, end to end: the real server, trainer, judge and ledger, ten days of every fourth flight."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from homeostat.core import events as ev
from homeostat.core.errors import RefusedError, StoreError
from homeostat.core.store import Store
from homeostat.demo import run_demo
from homeostat.demo.play import set_up
from homeostat.demo.story import YEAR, Story
from homeostat.engine.decide.feed import decided, replayed
from homeostat.engine.decide.state import Rules
from homeostat.loop import load_loop

pytestmark = pytest.mark.slow

START = YEAR.start
STORY = Story(
    start=START,
    end=datetime(2013, 3, 11, 5, tzinfo=UTC),
    every=4,
    block=timedelta(hours=12),
    declaration=Path(__file__).with_name("small_loop.py"),
    pushes=(msgspec.structs.replace(YEAR.pushes[0], at=datetime(2013, 3, 2, 5, tzinfo=UTC)),),
)


@pytest.fixture(scope="module")
def shown():
    return io.StringIO()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo") / "flights"


@pytest.fixture(scope="module")
def figures(folder, shown):
    return run_demo(output=folder, story=STORY, out=Console(file=shown, width=160))


@pytest.fixture(scope="module")
def ledger(figures, folder):
    return Store.open(folder / ".homeostat", create=False).ledger


def of(ledger, kind):
    return [one.event for one in ledger.events(loop="flight-delays", kinds=(kind,))]


def plain(decisions):
    return msgspec.json.decode(msgspec.json.encode(list(decisions)))


def test_a_later_version_was_promoted_through_shadow_and_canary(ledger):
    promoted = of(ledger, ev.Promoted)
    assert len(promoted) >= 2
    newest = promoted[-1].version
    stages = [arms.stage for arms in of(ledger, ev.ArmsSet) if any(arm.version == newest for arm in arms.arms)]
    assert stages[:3] == [0, 1, 2]


def test_every_flight_was_answered_by_a_promoted_or_canary_version(figures, ledger):
    versions = {version for line in figures.months for version in line.versions}
    assert versions <= {arm.version for arms in of(ledger, ev.ArmsSet) for arm in arms.arms if arm.share > 0}
    assert figures.total.rows > 1_500


def test_the_loop_is_compared_with_its_own_frozen_first_model(figures):
    assert figures.total.loop == pytest.approx(figures.total.frozen, abs=0.05)
    assert figures.total.loop > 0.6
    assert 0.45 < figures.total.persistence < 0.65
    assert np.isfinite(figures.frozen).all()


def test_the_broken_candidate_was_refused_and_never_answered(figures):
    (broken,) = figures.broken
    assert broken.test < 0.45
    assert "at_least" in broken.refused_by
    assert broken.answered == 0


def test_its_author_put_it_on_trial_and_it_was_withdrawn(figures, ledger):
    (broken,) = figures.broken
    trial = next(one for one in of(ledger, ev.TrialEnded) if one.challenger == broken.version)
    assert trial.outcome == "rolled_back"
    assert broken.version not in {one.version for one in of(ledger, ev.Promoted)}


def test_labels_came_when_flights_landed(ledger):
    observed = of(ledger, ev.Observed)
    assert sum(one.labelled for one in observed) > 1_500
    assert all(later.trainable >= earlier.trainable for earlier, later in pairwise(observed))


def test_the_ledger_is_whole_and_its_replay_decides_the_same(ledger, folder):
    ledger.verify()
    loop = load_loop(folder / "loop.py")
    recorded = list(ledger.events(loop=loop.name))
    again = replayed(Rules(loop=loop.name, when=loop.when, deploy=loop.deploy), recorded)
    assert plain((seq, one.decided) for seq, one in again) == plain(decided(recorded))


def test_the_report_stands_alone(figures, folder):
    page = (folder / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "<script" not in page
    assert "src=" not in page
    assert "@import" not in page


def test_the_terminal_tells_the_decisions_and_the_outcome(figures, shown):
    told = shown.getvalue()
    for expected in ("retrain", "shadow", "canary", "promoted", "refused", "rolled back", "2013-03", "homeostat why"):
        assert expected in told


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be made"):
        set_up(tmp_path / "file" / "demo", STORY)


def test_a_folder_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RefusedError, match="is there already"):
        run_demo(output=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
