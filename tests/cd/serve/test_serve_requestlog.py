"""What the server says on standard error: structured, about failures and slow requests, and never what was in them."""

from __future__ import annotations

import io
import json
import logging

import pytest

from homeostat.cd.serve.settings import OperatingSettings, operating_settings
from homeostat.cd.serve.telemetry.request_log import RequestLog, set_up_logging, tell
from homeostat.core.errors import RefusedError


@pytest.fixture
def written(monkeypatch):
    """Set up logging for a program that reads it; gives what was written."""
    monkeypatch.delenv("HOMEOSTAT_LOG", raising=False)
    before = {name: list(logging.getLogger(name).handlers) for name in ("homeostat", "uvicorn")}
    out = io.StringIO()
    set_up_logging(out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    for name, handlers in before.items():
        logging.getLogger(name).handlers = handlers


def test_a_line_is_one_json_object(written):
    tell("serving", url="http://127.0.0.1:8000", pid=7)
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    serving, invalid = written()
    assert serving.pop("time").endswith("+00:00")
    assert serving == {
        "level": "info",
        "logger": "homeostat.serve",
        "message": "serving",
        "url": "http://127.0.0.1:8000",
        "pid": 7,
    }
    assert (invalid["level"], invalid["logger"]) == ("warning", "uvicorn.error")


def test_an_exception_stays_on_one_line(written):
    try:
        raise ValueError("a\nb")
    except ValueError:
        logging.getLogger("homeostat.serve").exception("it failed")
    (line,) = written()
    assert "ValueError: a\nb" in line["traceback"]


def test_people_get_text(monkeypatch, written):
    monkeypatch.setenv("HOMEOSTAT_LOG", "text")
    out = io.StringIO()
    set_up_logging(out)
    tell("worker is killed", level=logging.WARNING, worker=3)
    assert out.getvalue().endswith(" warning: worker is killed worker=3\n")


def test_another_form_is_refused(monkeypatch):
    monkeypatch.setenv("HOMEOSTAT_LOG", "xml")
    with pytest.raises(RefusedError, match="HOMEOSTAT_LOG is 'xml'"):
        set_up_logging(io.StringIO())


@pytest.mark.parametrize(
    ("status", "seconds", "wanted"),
    [(200, 0.1, False), (400, 0.1, False), (200, 2.0, True), (500, 0.1, True), (503, 0, True)],
)
def test_failures_and_slow_requests_are_told_of(status, seconds, wanted):
    assert RequestLog(slow_seconds=2.0).wants(status, seconds) is wanted


def test_one_of_so_many_others_is_told_of():
    log = RequestLog(sample=10)
    assert sum(log.wants(200, 0.0) for _ in range(1_000)) == 100


def test_a_storm_of_failures_is_a_hundred_lines_and_a_count(written):
    log = RequestLog()
    for _ in range(1_000):
        log.tell(503, 0.0, route="/predict", request=None)
    lines = written()
    assert 100 <= len(lines) <= 300
    assert lines[0]["message"] == "request failed"
    assert "request" not in lines[0]
    log._second = float("-inf")
    log.tell(503, 0.0, route="/predict")
    assert written()[-1]["left_out"] >= 700


def test_settings_come_from_the_environment():
    assert operating_settings({}) == OperatingSettings()
    found = operating_settings(
        {"HOMEOSTAT_DRAIN_SECONDS": "2.5", "HOMEOSTAT_LOG_SAMPLE": "100", "HOMEOSTAT_HANG_SECONDS": " "}
    )
    assert found == OperatingSettings(drain_seconds=2.5, log_sample=100)


def test_the_log_is_bounded_as_the_environment_says():
    found = operating_settings({"HOMEOSTAT_LOG_BYTES": "1000000", "HOMEOSTAT_LOG_WHEN_FULL": "drop"})
    assert found == OperatingSettings(log_bytes=1_000_000, when_full="drop")
    with pytest.raises(RefusedError, match="HOMEOSTAT_LOG_WHEN_FULL is 'ignore', neither block nor drop"):
        operating_settings({"HOMEOSTAT_LOG_WHEN_FULL": "ignore"})


def test_bad_settings_are_named_all_at_once():
    with pytest.raises(RefusedError) as refused:
        operating_settings(
            {"HOMEOSTAT_DRAIN_SECONDS": "soon", "HOMEOSTAT_HANG_SECONDS": "-1", "HOMEOSTAT_LOG_SAMPLE": "1.5"}
        )
    assert str(refused.value).splitlines()[0] == (
        "HOMEOSTAT_DRAIN_SECONDS is 'soon'; HOMEOSTAT_HANG_SECONDS is '-1'; HOMEOSTAT_LOG_SAMPLE is '1.5'"
    )
