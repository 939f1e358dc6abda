"""A model in a forked, spawned or copied place: it answers, or says in one sentence why it cannot."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import textwrap

import pytest

import homeostat
from homeostat.core.errors import ModelError
from tests.cd.serving import bundle, flights, promote, raw, register

ROWS = raw(flights(3, seed=9))

USER = textwrap.dedent("""
    import json, multiprocessing, os, sys, warnings
    import homeostat
    from homeostat.core import forks
    from homeostat.core.errors import ModelError

    def answer(model, rows):
        try:
            return [str(value) for value in model.predict(rows).value]
        except ModelError as error:
            return str(error)

    if __name__ == "__main__":
        warnings.simplefilter("ignore")
        forks.PATIENCE_SECONDS = 1.0
        rows, how = json.loads(sys.argv[2]), sys.argv[3]
        model = homeostat.load("flights@champion", sys.argv[1], threads=int(sys.argv[4]))
        if "warm" in how:
            answer(model, rows)
        if "spawn" in how:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(json.dumps(pool.apply(answer, (model, rows))))
            sys.exit()
        reading, writing = os.pipe()
        if os.fork() == 0:
            if "twice" in how and os.fork() != 0:
                os._exit(0)
            answer(model, rows)
            os.write(writing, json.dumps(answer(model, rows)).encode())
            sys.exit(7)
        os.close(writing)
        print(os.read(reading, 1 << 16).decode())
        if "twice" not in how:
            assert os.waitstatus_to_exitcode(os.wait()[1]) == 7
""")


@pytest.fixture
def stored(store):
    promote(store, register(store, bundle()))
    store.close()
    return store.path


@pytest.fixture
def said(tmp_path, stored):
    """What a child of a user's program says of three rows."""
    script = tmp_path / "user.py"
    script.write_text(USER)

    def of(how, threads=1):
        command = [sys.executable, str(script), str(stored), json.dumps(ROWS), how, str(threads)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout)

    return of


def expected(stored):
    return [str(value) for value in homeostat.load("flights@champion", stored).predict(ROWS).value]


@pytest.mark.parametrize(("how", "threads"), [("loaded", 1), ("loaded, forked twice", 2), ("warm, spawned", 1)])
def test_a_child_of_a_process_that_has_only_loaded_and_any_that_is_spawned_answers(said, stored, how, threads):
    assert said(how, threads) == expected(stored)


def test_a_child_of_a_process_that_has_predicted_says_why_it_cannot(said):
    told = said("warm, forked twice")
    assert "was forked from one that had used a model or Polars" in told
    assert "spawn" in told


@pytest.mark.parametrize(("how", "threads"), [("loaded", 1), ("loaded", 2), ("warm", 1), ("warm", 2)])
def test_a_child_ends_with_the_status_that_it_was_given(said, how, threads):
    assert said(how, threads)


def test_a_pickled_model_is_loaded_again_from_its_store(stored):
    model = homeostat.load("flights@champion", stored)
    data = pickle.dumps(model)
    assert len(data) < 1_000, "where it is, not what it is"
    assert pickle.loads(data).predict(ROWS).value.tolist() == model.predict(ROWS).value.tolist()


def test_a_model_without_a_store_cannot_be_pickled_and_says_what_to_do(stored):
    model = homeostat.load("flights@champion", stored).model
    with pytest.raises(ModelError, match="cannot be pickled") as refused:
        pickle.dumps(model)
    assert "homeostat.load" in refused.value.hint


def test_a_copy_of_a_model_is_the_model(stored):
    model = homeostat.load("flights@champion", stored)
    assert copy.deepcopy({"model": model})["model"] is model
    assert copy.copy(model.model) is copy.deepcopy(model.model) is model.model
