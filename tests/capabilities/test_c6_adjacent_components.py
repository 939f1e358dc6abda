"""C6: rename a column in the output of step n and the run is red at step n+1, which names the column."""

from __future__ import annotations

import pytest

from homeostat.core.errors import HomeostatError
from homeostat.loop import steps
from tests.ci import small_loop


def renamed(old, new):
    def rows(snapshot, known_by, *, how=None):
        return steps.rows(snapshot, known_by).rename({old: new})

    return rows


@pytest.mark.parametrize(("column", "new"), [("late", "delayed"), ("at", "departure"), ("wind", "gust")])
def test_a_renamed_column_is_red_in_the_next_component_by_name(store, column, new):
    accepted = small_loop.run(store)["validation"].schema
    loop = small_loop.small_loop(steps={"rows": renamed(column, new)})
    given = {**small_loop.inputs(store, loop), "accepted": accepted}
    with pytest.raises(HomeostatError, match=f"step `validation`.*(.|\n)*'{column}'"):
        small_loop.run(store, loop, inputs=given)
    latest = store.ledger.runs("flights")[0]
    outcomes = {each.step: each.outcome for each in small_loop.records(store, latest.run)}
    assert outcomes == {"rows": "ran", "validation": "failed"}


def test_a_column_renamed_behind_validation_is_red_in_the_component_that_reads_it(store):
    def split(rows, validation, *, test=0.2):
        parts = steps.split(rows, validation)
        return {**parts, "train": parts["train"].rename({"wind": "gust"})}

    with pytest.raises(HomeostatError, match="step `model`") as caught:
        small_loop.run(store, small_loop.small_loop(steps={"split": split}))
    assert "wind" in str(caught.value)
