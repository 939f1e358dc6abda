from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from homeostat import Loop, Store, how, when
from homeostat.ci.train import TrainingLesson
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import LoopError
from homeostat.core.model import Bundle
from homeostat.core.schema import infer_schema
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.replay import replay
from homeostat.engine.training.training import carry_out
from tests.laws.toys import KeepsTheFirst, NewestRows
from tests.laws.world import START, TABLE, history, loop_of

EXAMPLES = (how.Refit(window="30d", half_life="10d"), how.Online(), NewestRows(count=300), KeepsTheFirst())
NAMES = [msgspec.to_builtins(learner)["how"] for learner in EXAMPLES]
NOW = START + timedelta(days=40)
LOOP, ROWS = history()
SCHEMA = infer_schema(ROWS, LOOP.source.spec)
every_learner = pytest.mark.parametrize("learner", EXAMPLES, ids=NAMES)


def lesson(rows: pl.DataFrame = ROWS, **changes: Any) -> TrainingLesson:
    """All rows of the world but the last hundred, which prove the model."""
    return TrainingLesson(rows[:-100], rows[-100:], schema=SCHEMA, now=NOW, model=LOOP.model, **changes)


def test_every_learner_of_the_table_has_an_example():
    assert set(NAMES) == set(how.LEARNERS)


@every_learner
def test_the_same_lesson_gives_the_same_bytes(learner: how.Learner):
    first, again = (learner.fit(lesson(), None) for _ in range(2))
    assert (first.data, first.manifest.to_json()) == (again.data, again.manifest.to_json())


@every_learner
def test_what_it_makes_is_a_model_that_says_what_it_was_taught(learner: how.Learner):
    bundle = learner.fit(lesson(), None)
    said = bundle.model().predict(ROWS)
    assert bundle.manifest.signature.classes == (False, True)
    assert (said.value == ROWS["late"].to_numpy()).mean() > 0.6
    assert bundle.manifest.golden is not None
    assert bundle.manifest.reference is not None


@every_learner
def test_a_parent_matters_to_those_alone_that_say_so(learner: how.Learner):
    parent = learner.fit(lesson(ROWS[:500]), None)
    child, orphan = learner.fit(lesson(), parent), learner.fit(lesson(), None)
    assert learner.continues or child.manifest.to_json() == orphan.manifest.to_json()
    assert not learner.continues or child.manifest.to_json() != orphan.manifest.to_json()


@every_learner
def test_it_can_be_written_down_for_the_lineage(learner: how.Learner):
    assert msgspec.json.decode(msgspec.json.encode(learner.describe()))["label"] == learner.label


@every_learner
def test_a_loop_trains_with_it_twice_and_the_lineage_says_so(learner: how.Learner, tmp_path: Path):
    store, declared = Store.open(tmp_path), {"how": learner, "gates": ()}
    early, loop = loop_of(TABLE[:600], **declared), loop_of(TABLE, **declared)
    made = [trained(store, one, day) for one, day in ((early, 25), (loop, 40))]
    lineages = [one.manifest.lineage for one in made]
    assert [one.how["how"] for one in lineages] == [learner.describe()["how"]] * 2
    assert [one.parent for one in lineages] == [None, 1]
    assert (made[0].data == made[1].data) is isinstance(learner, KeepsTheFirst)


def trained(store: Store, loop: Loop, day: int) -> Bundle:
    """What a run makes on a day when somebody asked for it."""
    now = START + timedelta(days=day)
    feed = Feed(store.ledger, Rules.of(loop))
    asked = ev.RetrainRequested(loop=loop.name, user="ann", reason=f"day {day}", request=str(day))
    _, (decision,) = feed.give(asked, time=now)
    (command,) = decision.decided.commands
    version = carry_out(store, loop, command.trigger.key, clock=VirtualClock(now), raising=True)
    assert version is not None
    return Bundle.read(store.artifacts, store.ledger.version(loop.name, version).manifest)


@every_learner
def test_a_replay_plays_those_that_need_no_parent(learner: how.Learner):
    loop, rows = history(how=learner)
    policies = {"never": when.never(), "every": when.every("10d")}
    if learner.continues:
        with pytest.raises(LoopError, match="cannot play"):
            replay(loop, rows, policies, block="5d")
    else:
        found = replay(loop, rows, policies, block="5d")
        assert max(result.retrains for result in found.results) == 3


def test_a_learner_that_goes_on_from_its_parent_tries_no_candidates():
    with pytest.raises(LoopError, match="candidates need"):
        loop_of(how=KeepsTheFirst(), candidates=[{"C": 0.1}])
    assert loop_of(how=NewestRows(), candidates=[{"C": 0.1}]).candidates == ({"C": 0.1},)
