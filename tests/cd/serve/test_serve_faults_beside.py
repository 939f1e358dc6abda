"""Whatever raises while a version is loaded, or scores beside the answering one, is tried again and stops nothing."""

from __future__ import annotations

import threading
from collections import Counter

from homeostat.cd.log import LogWriter
from homeostat.cd.serve import routing
from homeostat.cd.serve.routing import Router
from homeostat.cd.serve.scoring.loading import load_version
from homeostat.cd.serve.scoring.version import LoadedVersion
from homeostat.cd.serve.shadow.follower import Follower, FollowerNotes
from homeostat.cd.serve.shadow.supervisor import ShadowSupervisor, follow
from tests.cd.faulty import Faults
from tests.cd.serve.test_serve_follower import answered, shadows
from tests.cd.serving import LOOP, bundle, divide, promote, register, until

ROWS = 5
POLLS = 50
"""More than a router waits before it tries a division again that was refused."""


def test_an_exception_at_any_step_of_a_swap_leaves_the_table_and_the_next_attempt_succeeds(store, monkeypatch):
    first, second, third = (register(store, bundle(seed=seed)) for seed in range(3))
    told = []
    faults = Faults(monkeypatch)

    def case():
        promote(store, first)
        router = Router(store.ledger, LOOP, lambda version: load_version(store, LOOP, version), before=told.append)
        router.poll()
        faults.places.clear()
        faults.at(router, "_load", "_before", "_wanted_division")
        faults.at(router._changes, "mark")
        return router

    faults.at(routing, "same_contract", "Division")
    common = list(faults.places)
    router = case()
    places = common + faults.places
    assert len(common) >= 2
    assert len(places) >= 6
    for place in places:
        divide(store, {first: ("champion", 0.5), second: ("canary", 0.3), third: ("canary", 0.2)}, salt=place)
        before = router.table
        with faults.armed(place, 2 if place.endswith("_load") else 1, RuntimeError):
            router.poll()
        assert router.table is before, place
        assert router.status().error, place
        assert told[-1] is before or "mark" in place or "wanted" in place or place == "before _before", place
        for _ in range(POLLS):
            router.poll()
        assert router.status().error is None, place
        assert set(router.table.served) == {first, second, third}
        router.stop()
        router = case()


def test_an_exception_at_any_step_of_a_shadow_costs_no_row_twice_and_no_row_that_it_was_not_about(
    tmp_path, monkeypatch
):
    served = LoadedVersion(2, bundle(seed=1).model())
    FollowerNotes(tmp_path, 2).begin()
    faults = Faults(monkeypatch)
    with LogWriter(tmp_path) as log:
        one = Follower(tmp_path, 2, lambda: served, log.append)
        faults.at(one, "_load", "_append", "_job")
        faults.at(one._reader, "read")
        faults.at(one._notes, "write", "take_in_hand")
        faults.at(served, "score")
        leave, kill = threading.Event(), threading.Event()
        thread = threading.Thread(target=follow, args=(one, leave, kill), kwargs={"poll": 0.001})
        thread.start()
        asked = 0
        for place, _, kind in faults.everywhere(most=1):
            one._served = None
            with faults.armed(place, 1, kind):
                answered(log, *range(ROWS))
                asked += ROWS
                until(lambda due=asked: one.stats.scored + one.stats.failed == due and faults.hit, seconds=10)
            assert (one.stats.waiting, len(one._jobs)) == (0, 0), place
        leave.set()
        thread.join()
    said = Counter(name for record in shadows(tmp_path) for name in record.ids)
    lost = one.stats.scored + one.stats.failed - said.total()
    assert lost == ROWS, "the rows whose own record could not be appended"
    assert one.stats.failed == 6 * ROWS, "those that were being loaded for, scored or appended"


def test_one_version_that_cannot_be_looked_after_keeps_no_other_from_it(tmp_path, monkeypatch):
    looked = Counter()

    class Scorer:
        notes = FollowerNotes(tmp_path, 9)
        gone, stats = True, None

        def __init__(self, version):
            self.version = version

        def watch(self):
            looked[self.version] += 1
            if self.version == 1:
                raise OSError("no more processes")

        def leave(self):
            raise RuntimeError("no pipe")

        def kill(self):
            pass

    others = ShadowSupervisor(tmp_path, lambda version, _: Scorer(version))
    others._scorers = {1: Scorer(1), 2: Scorer(2)}
    others._thread = threading.Thread(target=others._watch, daemon=True)
    others._thread.start()
    until(lambda: looked[1] > 1 and looked[2] > 1)
    others._closed = True
    others._wake.set()
    others._thread.join(5)
