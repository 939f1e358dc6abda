"""M9: a version deploys on a clean host from the registry alone; its card fills itself; illegal moves are refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta

import httpx
import msgspec
import pytest

from homeostat.cd.serve import read_endpoint
from homeostat.core import events as ev
from homeostat.core.clock import pause, stopwatch
from homeostat.core.errors import ConflictError, NotFoundError, RefusedError
from homeostat.core.model import Bundle
from homeostat.core.store import Store
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.views.card import card_of, to_html, to_markdown
from homeostat.loop import load_loop
from tests.cli.conftest import typed
from tests.engine.live_world import BEGIN
from tests.engine.rehearsing import Project

SERVE = "import sys; from homeostat.cd.serve import serve; serve(sys.argv[1], 'world')"
GATES = 'gates.slices("kind"), gates.load(seconds=0.3)'


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A registry with one champion, a version that a binding gate refused, and a look at matured labels."""
    made = Project(tmp_path_factory.mktemp("registry"), GATES, 'owner="The <b>Flight</b> | Team"')
    made.edit("    features=features,\n", "")
    made.run()
    made.run()  # the same rows again: exactly tied, which nobody can overrule
    seen = ev.Performance(version=1, metric="roc_auc", value=0.81, low=0.78, high=0.84, n=700)
    observed = ev.Observed(loop="world", now=BEGIN + timedelta(days=1), rows=700, labelled=700, trainable=4_800)
    feed = Feed(made.store.ledger, Rules.of(load_loop(made.file)))
    feed.give(msgspec.structs.replace(observed, performance=(seen,)), time=observed.now)
    assert (made.state(1), made.state(2), made.champion) == ("champion", "refused", 1)
    return made


# --------------------------------------------------------------------------------------------------- a clean host


def command(*words, cwd):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-m", "homeostat", *words], cwd=cwd, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def answers(store_path, body, cwd):
    """What a server that has nothing but this store answers."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    server = subprocess.Popen([sys.executable, "-c", SERVE, str(store_path)], cwd=cwd, env=environment)
    try:
        begin = stopwatch()
        while (endpoint := read_endpoint(store_path, "world")) is None or endpoint.pid != server.pid:
            assert server.poll() is None, "the server ended at its start"
            assert stopwatch() - begin < 60, "the server did not start"
            pause(0.02)
        reply = httpx.post(f"{endpoint.url}/predict", json=body)
        assert reply.status_code == 200, reply.text
        return reply.content
    finally:
        server.terminate()
        server.wait(30)


def test_an_exported_version_serves_the_same_bytes_on_a_host_that_has_nothing_else(project, tmp_path):
    golden = Bundle.read(project.store.artifacts, project.store.ledger.version("world", 1).manifest).manifest.golden
    body = {"records": list(golden.rows), "id": "same"}
    before = answers(project.store.path, body, project.file.parent)

    exported = tmp_path / "exported"
    command("export", "1", str(exported), "--json", "--store", str(project.store.path), cwd=tmp_path)
    assert sorted(file.name for file in exported.iterdir()) == ["manifest.json", "model.bin", "version.json"]

    clean = tmp_path / "clean"
    clean.mkdir()
    exported.rename(clean / "model")
    said = command("import", "model", "--store", "unsure", "--json", cwd=clean)
    assert (said["loop"], said["state"]) == ("world", "candidate")  # nobody here knows what its gates were worth
    said = command("import", "model", "--vouch", "it is ours", "--json", cwd=clean)
    assert (said["loop"], said["state"]) == ("world", "champion")
    assert {"compatible", "contract"} <= {gate["gate"] for gate in said["gates"]}
    assert answers(clean / ".homeostat", body, clean) == before

    again = command("import", "model", "--vouch", "it is ours", "--json", cwd=clean)
    assert (again["version"], again["state"]) == (said["version"], "champion")


# ----------------------------------------------------------------------------------------------------- model card


def test_the_card_is_filled_from_what_is_recorded(project, capsys):
    store = ["--store", str(project.store.path)]
    card = json.loads(typed(capsys, "card", "1", "--json", *store).out)
    sections = {one["title"]: one for one in card["sections"]}
    (metric,) = [row for row in sections["Metrics"]["rows"] if row[0] == "roc_auc"]
    assert metric[4:] == ["0.81", "0.78 to 0.84 on 700 rows"]
    train, test = float(metric[1]), float(metric[2])
    assert 0.5 < test < 1
    assert 0.5 < train < 1
    low, high = map(float, metric[3].split(" to "))
    assert low < test < high
    assert sorted(row[0] for row in sections["Segments"]["rows"]) == ["kind = a", "kind = b"]
    assert float(sections["Calibration"]["facts"]["expected calibration error"]) < 0.2
    assert {"contract", "load", "slices", "compatible"} <= {row[0] for row in sections["Gates"]["rows"]}
    assert "answers a second" in sections["Serving"]["facts"]["under load"]
    assert "MB" in sections["Serving"]["facts"]["memory of a server"]
    assert dict(sections["Serving"]["rows"]).keys() >= {"onnxruntime", "numpy"}
    assert "2026-01-" in sections["Data"]["facts"]["window"]
    assert [row[0] for row in sections["Data"]["rows"]] == ["id", "at", "x", "kind"]
    assert sections["Lineage"]["facts"]["code"]
    assert "epoch 1" in " ".join(sections["History"]["notes"])
    assert "Owner: The <b>Flight</b> | Team" in card["summary"]


def test_the_card_is_a_page_and_a_text_that_what_is_in_it_cannot_break(project, tmp_path, capsys):
    store = ["--store", str(project.store.path)]
    page, text = tmp_path / "card.html", tmp_path / "card.md"
    assert typed(capsys, "card", "1", "--out", str(page), *store).code == 0
    assert typed(capsys, "card", "1", "--out", str(text), *store).code == 0
    html, markdown = page.read_text(), text.read_text()
    assert "The &lt;b&gt;Flight" in html
    assert "<script" not in html
    assert "http" not in html.replace('xmlns="http', "")
    assert "reliability diagram" in html
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(tables) > 30
    assert "## Metrics" in markdown
    card = card_of(project.store, "world", 2)
    assert "REFUSED for good" in to_markdown(card)
    assert "refused" in to_html(card)


def test_versions_show_offline_and_online_metrics_side_by_side(project, capsys):
    store = ["--store", str(project.store.path)]
    first = json.loads(typed(capsys, "versions", "--json", *store).out)[-1]
    assert first["online"]["value"] == 0.81
    assert 0.5 < first["test_metrics"]["roc_auc"] < 1
    shown = typed(capsys, "versions", *store).out
    assert "0.81" in shown
    assert "700 rows" in shown


# ---------------------------------------------------------------------------------------------------- illegal moves


def promoted(version, epoch=2):
    return ev.Promoted(loop="world", version=version, previous=1, epoch=epoch, who="ann", reason="test")


def test_no_way_leads_a_version_where_it_may_not_go(project):
    ledger = project.store.ledger
    newest = ledger.newest()
    with pytest.raises(RefusedError, match="version 2 was refused for good by not_tied"):
        ledger.append(promoted(2), time=BEGIN)
    with pytest.raises(RefusedError, match="refused for good"):
        ledger.promote("world", 2, expected_epoch=1, who="ann", reason="test", time=BEGIN)
    with pytest.raises(NotFoundError, match="no version 9"):
        ledger.append(promoted(9), time=BEGIN)
    arms = (ev.Arm(version=1, role="champion", share=0.9), ev.Arm(version=9, role="canary", share=0.1))
    with pytest.raises(NotFoundError, match="no version 9"):
        ledger.append(ev.ArmsSet(loop="world", arms=arms, salt="s", reason="test"), time=BEGIN)
    with pytest.raises(RefusedError, match="version 1 is champion and cannot become shadow"):
        ledger.append(ev.TrialStarted(loop="world", challenger=1, champion=1, plan={}), time=BEGIN)
    with pytest.raises(ConflictError):
        ledger.append(promoted(1, epoch=1), time=BEGIN)
    assert ledger.newest() == newest
    assert project.champion == 1


@pytest.mark.parametrize(("version", "said"), [(2, "refused for good"), (9, "not registered"), (1, "already")])
def test_a_person_is_refused_too_with_the_reason(project, tmp_path, capsys, version, said):
    told = ["--reason", "test", "--loop", str(project.file), "--store", str(project.store.path)]
    answer = typed(capsys, "promote", str(version), *told)
    assert answer.code == 2
    assert said in answer.err
    assert Store.open(project.store.path).ledger.champion("world").version == 1
