"""`/metrics`: names by the conventions, both formats as accepted, and one set of numbers for many workers."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from homeostat import __version__
from homeostat.cd.serve.operate.workers import Siblings, WorkerState, snapshot, states, together
from homeostat.cd.serve.telemetry.counters import Metrics
from homeostat.cd.serve.telemetry.exposition import counters, merge, render
from homeostat.cd.serve.telemetry.families import BUCKETS, FAMILIES, Snapshot
from homeostat.core.claims import is_running
from homeostat.core.clock import stopwatch
from tests.cd.serving import LOOP, flights, raw

ROW = raw(flights(1, seed=9))[0]
OPENMETRICS = "application/openmetrics-text; version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations.md"


def samples(families):
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def test_a_scraper_gets_the_format_that_it_accepts(client):
    client.predict([ROW])
    plain = client.get("/metrics", {"accept": "text/plain"})
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    opened = client.get("/metrics", {"accept": OPENMETRICS})
    assert opened.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert opened.text.endswith("# EOF\n")
    one = samples(text_string_to_metric_families(plain.text))
    two = samples(openmetrics.text_string_to_metric_families(opened.text))
    seen = {key for key in two if ("route", "/metrics") not in key[1]}  # the first scrape is counted by the second
    assert one.keys() == seen
    predicted = ("homeostat_predictions_total", (("model", LOOP), ("version", "1")))
    assert one[predicted] == two[predicted] == 1.0


def test_every_metric_that_the_table_names_is_shown_and_no_other(client):
    client.predict([ROW])
    shown = {
        family.name
        for family in openmetrics.text_string_to_metric_families(client.get("/metrics", {"accept": OPENMETRICS}).text)
    }
    assert shown <= {family.name for family in FAMILIES}
    missing = {family.name for family in FAMILIES} - shown
    assert all(name.startswith("homeostat_shadow") for name in missing), "no shadow has scored yet"


def test_what_the_process_and_the_build_are(client):
    found = samples(text_string_to_metric_families(client.get("/metrics").text))
    assert found["homeostat_build_info", (("version", __version__),)] == 1.0
    assert any(name == "python_info" for name, _ in found)
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"):
        assert found[name, ()] > 0


def test_names_follow_the_conventions():
    assert FAMILIES
    for family in FAMILIES:
        assert re.fullmatch(r"(homeostat_|process_|python)[a-z_]*", family.name)
        assert not family.name.endswith(("_total", "_info", "_count", "_milliseconds", "_ms", "_kb"))
        if family.kind == "histogram":
            assert family.name.endswith("_seconds")
        assert "le" not in family.labels


def test_the_page_lists_every_metric_with_its_labels():
    rows = re.findall(r"^\| `([a-z_]+)` \| (counter|gauge|histogram|info) \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)
    listed = {name: (kind, tuple(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert listed == {family.shown: (family.kind, family.labels) for family in FAMILIES}


def test_buckets_are_cumulative_and_hold_every_request():
    metrics = Metrics()
    times = [0.0001, 0.0005, 0.0006, 3.0, 99.0]
    for seconds in times:
        metrics.count("/predict", 200, seconds, LOOP)
    metrics.count("/predict", 500, 0.3, LOOP)
    text, _ = render(metrics.snapshot([], live=True, ready=True))
    found = samples(text_string_to_metric_families(text.decode()))
    labels = (("model", LOOP), ("route", "/predict"))
    bounds = [*map(str, BUCKETS), "+Inf"]
    counts = [found["homeostat_request_seconds_bucket", tuple(sorted((("le", bound), *labels)))] for bound in bounds]
    assert counts == sorted(counts)
    assert counts[0] == 2
    assert counts[-1] == 6 == found["homeostat_request_seconds_count", labels]
    assert found["homeostat_request_seconds_sum", labels] == pytest.approx(sum(times) + 0.3)
    assert found["homeostat_requests_total", (*labels, ("status", "200"))] == 5


numbers = st.integers(0, 1_000).map(float)
parts = st.dictionaries(st.tuples(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"])), numbers, max_size=4)
snapshots = st.builds(
    lambda rows, seen: {
        "homeostat_predictions": [(labels, [value]) for labels, value in rows.items()],
        "homeostat_request_seconds": [(labels, [value] * (len(BUCKETS) + 2)) for labels, value in seen.items()],
        "homeostat_ready": [((), [float(len(rows) % 2)])],
    },
    parts,
    parts,
)


def as_dict(snapshot: Snapshot):
    return {name: dict(cells) for name, cells in snapshot.items()}


@given(snapshots, snapshots, snapshots)
def test_merging_is_one_addition_whatever_the_order(a, b, c):
    assert as_dict(merge([a, b, c])) == as_dict(merge([merge([c, a]), b]))
    assert as_dict(merge([a])) == as_dict(a)


def state(place, counts, pid=None, **more):
    told = {"live": True, "ready": True, "draining": False, "problems": [], "hung": [], "routing": {}} | more
    return WorkerState(place=place, pid=pid or os.getpid(), written=stopwatch(), counts=counts, **told)


def rows(number):
    return {"homeostat_predictions": [(("m", "1"), [float(number)])], "homeostat_workers": [((), [1.0])]}


def test_what_a_dead_worker_counted_stays_and_its_gauges_go(tmp_path):
    dead = os.spawnlp(os.P_WAIT, "true", "true") or 2**22 + 1
    first, second = Siblings(tmp_path, 0), Siblings(tmp_path, 1)
    first.publish(lambda: state(0, rows(5), pid=dead))
    own = second.publish(lambda: state(1, rows(3)))
    found = as_dict(snapshot(second.all(own)))
    assert found["homeostat_predictions"]["m", "1"] == [8.0]
    assert found["homeostat_workers"][()] == [1.0]
    successor = Siblings(tmp_path, 0)
    successor.publish(lambda: state(0, rows(2)))
    found = as_dict(snapshot(second.all(own)))
    assert found["homeostat_predictions"]["m", "1"] == [10.0]
    assert found["homeostat_workers"][()] == [2.0]


def test_one_worker_keeps_the_server_live_and_all_of_them_make_it_ready(tmp_path):
    fine, hung = state(0, {}), state(1, {}, live=False, ready=False, problems=["model 'm' is stuck"])
    assert together([fine, fine]) == (True, True, [])
    assert together([fine, hung]) == (True, False, ["worker 1: model 'm' is stuck"])
    assert together([hung])[0] is False
    assert together([]) == (False, False, [])


def test_a_file_that_is_no_state_is_left_out(tmp_path):
    (tmp_path / "0.worker").write_bytes(b"{")
    assert states(tmp_path) == []
    assert is_running(state(0, {}).pid)


def test_only_what_grows_outlives_a_process():
    assert counters(rows(1)).keys() == {"homeostat_predictions"}
