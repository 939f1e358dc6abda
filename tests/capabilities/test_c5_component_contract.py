"""C5: each step's declared outputs exist, have the declared type and their hash; delete one and the check is red."""

from __future__ import annotations

import pytest

from homeostat.ci.pipeline import check_run
from homeostat.core.errors import IntegrityError, LoopError
from homeostat.loop.pipeline import pipeline_of
from tests.ci import small_loop

LOOP = small_loop.small_loop()
STEPS = pipeline_of(LOOP).steps


@pytest.fixture
def finished(store):
    return small_loop.run(store, LOOP)


def place(store, finished, step):
    name = finished.outputs[step]
    return store.artifacts.blobs.folder / name[:2] / name[2:]


def test_every_step_declares_a_type_that_is_checked(finished):
    from homeostat.ci.pipeline.contract import declared_type

    # A type is known once its step has run: nothing is imported to look it up.
    declared = {name: declared_type(pipeline_of(LOOP).step(name).function) for name in finished.outputs}
    assert None not in declared.values(), declared


def test_the_outputs_of_a_run_are_there_typed_and_hashed(store, finished):
    assert set(finished.outputs) == set(STEPS)
    check_run(store, finished.id, pipeline_of(LOOP))


@pytest.mark.parametrize("step", STEPS)
def test_a_deleted_output_is_red_and_the_next_run_makes_it_again(store, finished, step):
    place(store, finished, step).unlink()
    with pytest.raises(IntegrityError, match=rf"the output of step `{step}`: artifact .* is missing"):
        check_run(store, finished.id, pipeline_of(LOOP))
    small_loop.run(store, LOOP)
    check_run(store, finished.id, pipeline_of(LOOP))


def test_a_flipped_byte_is_red(store, finished):
    where = place(store, finished, "rows")
    data = where.read_bytes()
    where.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(IntegrityError, match=r"step `rows`: artifact .* was damaged"):
        check_run(store, finished.id, pipeline_of(LOOP))


def test_an_output_of_another_type_is_refused_when_it_is_made(store):
    def report(rows, validation, previous) -> str:
        return None

    with pytest.raises(LoopError, match="step `report` declares that it returns str but returned NoneType"):
        small_loop.run(store, small_loop.small_loop(steps={"report": report}))
