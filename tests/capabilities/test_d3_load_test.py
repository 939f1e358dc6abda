"""D3: rate and percentiles of a short load are stored with each version, and a model that sleeps 50 ms is refused."""

from __future__ import annotations

import pytest

from tests.engine.rehearsing import MODEL, Project, gate, refused_by

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A loop with one version that was loaded and promoted."""
    made = Project(tmp_path_factory.mktemp("load"), "gates.load(seconds=0.6)")
    first = made.run()
    assert refused_by(first) == []
    assert made.champion == first.version
    return made


def test_rate_and_percentiles_are_stored_with_the_version(project):
    numbers = gate(project.store.ledger.event(project.store.ledger.version("world", 1).seq).event, "load").numbers
    assert numbers["qps"] > 20
    assert 0 < numbers["p50_ms"] <= numbers["p95_ms"] <= numbers["p99_ms"]
    assert numbers["requests"] > 20
    assert numbers["errors"] == 0


def test_an_estimator_that_sleeps_50_ms_is_refused_beside_the_champion_of_the_same_seconds(project):
    project.edit(MODEL, "model=Own(seconds=0.05)")
    event = project.run()
    project.edit("model=Own(seconds=0.05)", MODEL)
    said = gate(event, "load")
    assert "load" in refused_by(event)
    assert said.numbers["p50_ms"] >= 50
    assert said.numbers["champion"]["earlier"] is False
    assert said.numbers["champion"]["p50_ms"] < said.numbers["p50_ms"] / 3
    assert "times as long" in said.reason
    assert project.state(event.version) == "refused"
    assert project.champion == 1


def test_features_that_sleep_50_ms_are_refused_beside_what_the_champion_did_once(project):
    """The champion needs the features() of before, so this code cannot serve it."""
    project.edit("    return rows.select", "    time.sleep(0.05)\n    return rows.select")
    event = project.run()
    project.edit("    time.sleep(0.05)\n", "")
    assert "load" in refused_by(event)
    assert gate(event, "load").numbers["champion"]["earlier"] is True
    assert project.champion == 1


def test_a_first_version_is_refused_by_its_limit(tmp_path):
    made = Project(tmp_path, 'gates.load(p99="40ms", seconds=0.3)')
    made.edit(MODEL, "model=Own(seconds=0.05)")
    event = made.run()
    assert refused_by(event) == ["load"]
    assert "and may be 40.0 ms" in gate(event, "load").reason
    assert made.champion is None
