"""What waits together is scored together; who would wait too long, or longer than he may, is told at once."""

from __future__ import annotations

import asyncio
import math
import threading
from dataclasses import dataclass

import pytest

from homeostat.cd.serve.rows import Rows
from homeostat.cd.serve.scoring.batcher import Batcher, BusyError, LateError
from homeostat.core.clock import stopwatch
from tests.cd.serving import MOODY, Client, Moody, bundle, flights, promote, raw, register, serving

ROW = raw(flights(1, seed=9))[0]


@dataclass
class Piece:
    rows: Rows
    deadline: float = math.inf


def piece(count, deadline=math.inf):
    return Piece(Rows(count, list(range(count))), deadline)


class Recorder:
    """Stands for a model and for who is told: notes each call's rows, and every result."""

    def __init__(self, release=None):
        self.calls, self.told, self.release = [], [], release
        self.entered, self.news = threading.Event(), asyncio.Event()

    def call(self, parts):
        self.calls.append([part.count for part in parts])
        self.entered.set()
        if self.release is not None:
            assert self.release.wait(30)
        return [part.count for part in parts]

    def finish(self, results):
        self.told += results
        self.news.set()

    async def until(self, count):
        while len(self.told) < count:
            await self.news.wait()
            self.news.clear()


@pytest.mark.parametrize("inline", [True, False], ids=["on the loop", "in a thread"])
def test_requests_of_one_turn_share_a_call(inline):
    recorder = Recorder()
    batcher = Batcher(recorder.call, recorder.finish, inline=inline)

    async def three():
        for count in (1, 2, 3):
            batcher.submit(piece(count))
        await recorder.until(3)

    asyncio.run(three())
    assert recorder.calls == [[1, 2, 3]]
    assert [result for _, result in recorder.told] == [1, 2, 3]


def test_a_call_is_capped_in_rows_and_a_larger_request_is_one_by_itself():
    recorder = Recorder()
    batcher = Batcher(recorder.call, recorder.finish, inline=True, most_rows=10)

    async def several():
        for count in (6, 4, 1, 25, 3):
            batcher.submit(piece(count))
        await recorder.until(5)

    asyncio.run(several())
    assert recorder.calls == [[6, 4], [1], [25], [3]]


def test_what_comes_during_a_call_is_the_next_one():
    recorder = Recorder(threading.Event())
    batcher = Batcher(recorder.call, recorder.finish, inline=False)

    async def during():
        batcher.submit(piece(1))
        assert await asyncio.to_thread(recorder.entered.wait, 30)
        for _ in range(3):
            batcher.submit(piece(2))
        recorder.release.set()
        await recorder.until(4)

    asyncio.run(during())
    assert recorder.calls == [[1], [2, 2, 2]]


def test_who_would_wait_too_long_is_refused_with_the_time_to_come_back():
    recorder = Recorder()
    batcher = Batcher(recorder.call, recorder.finish, inline=True, seconds=0.1, most_wait=2.0)

    async def flood():
        batcher.submit(piece(25))
        with pytest.raises(BusyError, match="25 rows are waiting") as refused:
            batcher.submit(piece(1))
        assert refused.value.retry_after == 3
        await recorder.until(1)
        batcher.submit(piece(1))  # the estimate follows what calls really take
        await recorder.until(2)

    asyncio.run(flood())


def test_rows_that_were_answered_are_not_waited_for_any_more():
    recorder = Recorder()
    batcher = Batcher(recorder.call, recorder.finish, inline=True, seconds=0.1)

    async def several():
        batcher.submit(piece(5))
        assert (batcher.waits, batcher.wait) == (True, pytest.approx(0.5))
        await recorder.until(1)

    asyncio.run(several())
    assert (batcher.waits, batcher.wait, batcher.in_hand, batcher.calls) == (False, 0.0, 0.0, 1)


def test_the_wait_is_expected_to_be_what_calls_took_lately():
    recorder = Recorder()
    batcher = Batcher(recorder.call, recorder.finish, inline=True, seconds=0.1, most_wait=2.0)

    async def quick_calls():
        for count in range(1, 21):
            batcher.submit(piece(10))
            await recorder.until(count)
        batcher.submit(piece(30))  # three seconds, had nothing been learned
        batcher.submit(piece(1))
        await recorder.until(22)

    asyncio.run(quick_calls())
    assert recorder.calls[-1] == [30, 1]


def test_a_deadline_that_cannot_be_met_is_refused_and_one_that_passed_is_not_scored():
    recorder = Recorder()
    batcher = Batcher(recorder.call, recorder.finish, inline=True, seconds=0.1)

    async def deadlines():
        batcher.submit(piece(5, deadline=stopwatch() - 1))
        with pytest.raises(LateError, match="longer than the request's deadline"):
            batcher.submit(piece(1, deadline=stopwatch() + 0.2))
        batcher.submit(piece(1, deadline=stopwatch() + 100))
        await recorder.until(2)

    asyncio.run(deadlines())
    assert recorder.calls == [[1]]
    assert isinstance(recorder.told[0][1], LateError)


@pytest.fixture
def slow(store, monkeypatch):
    """A server whose model waits until `release` is set; gives client and event."""
    made = bundle(model=Moody())
    promote(store, register(store, made))
    release = threading.Event()
    with serving(store, trusted=MOODY) as app:
        monkeypatch.setattr(Moody, "acts", staticmethod(lambda: release.wait(30) or None))
        yield Client(app), release
        release.set()


def test_a_late_answer_is_a_gateway_timeout_for_its_caller_alone(slow):
    client, release = slow
    threading.Timer(0.3, release.set).start()
    first, hurried, patient = client.ask(
        ("POST", "/predict", {"records": [ROW], "id": "first"}),
        ("POST", "/predict", {"records": [ROW], "id": "hurried"}, {"homeostat-deadline": "0.001"}),
        ("POST", "/predict", {"records": [ROW], "id": "patient"}, {"homeostat-deadline": "20000"}),
    )
    assert (first.status_code, hurried.status_code, patient.status_code) == (200, 504, 200)
    assert "deadline" in hurried.json()["error"]


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "0"])
def test_a_deadline_that_is_no_time_is_refused(slow, value):
    client, release = slow
    release.set()
    reply = client.post("/predict", ROW, {"homeostat-deadline": value})
    assert reply.status_code == 400
    assert "homeostat-deadline" in reply.json()["error"]
