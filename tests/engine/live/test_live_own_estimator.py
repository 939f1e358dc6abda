"""An estimator that the user's own loop.py defines is trained, compared, served and asked like any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest

from homeostat.cli import main
from homeostat.core import codecs
from homeostat.core import events as ev
from homeostat.core.clock import VirtualClock
from homeostat.core.errors import ModelError
from homeostat.core.model import Bundle
from homeostat.core.store import Store
from homeostat.engine.live.live import Live
from homeostat.loop import load_loop
from tests.engine.live_world import BEGIN, Caller, rows_of, write_world

pytestmark = pytest.mark.slow
OWN = """
class Own(LogisticRegression):
    pass

def features"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """The small world with an estimator of its own, after a first and a second run."""
    file = write_world(tmp_path_factory.mktemp("own"), policy="when.never()")
    declared = file.read_text().replace("model=LogisticRegression()", "model=Own()")
    file.write_text(declared.replace("\ndef features", OWN))
    with Live(Store.open(file.parent / "store"), load_loop(file), clock=VirtualClock(BEGIN)) as live:
        live.settle()
        request = ev.RetrainRequested(loop="world", user="ann", reason="test", request="1")
        live.feed.give(request, time=BEGIN)
        live.settle()
        yield live


def test_it_is_not_converted_so_it_has_to_be_trusted(live: Live) -> None:
    (manifest, *_) = (row.manifest for row in live.store.ledger.versions("world"))
    bundle = Bundle.read(live.store.artifacts, manifest)
    assert bundle.manifest.blob.runtime == "skops"
    with pytest.raises(ModelError, match="nobody vouched for"):
        bundle.model(live.loop.features)


def test_the_server_answers_with_it(live: Live) -> None:
    rows = rows_of(range(20, 21)).head(5)
    with closing(Caller(str(live.server.url))) as caller:
        assert len(caller.predict(rows, BEGIN)) == 5


def test_the_second_is_compared_with_the_first(live: Live) -> None:
    ledger = live.store.ledger
    finished = ledger.last_step("world", "evaluation").event
    evaluation = codecs.decode(live.store.artifacts.get(finished.output), live.store.artifacts)
    assert evaluation.champion_version == 1
    assert not [said for said in evaluation.warnings if "cannot be compared" in said]


def test_a_table_is_predicted_with_it(live: Live, tmp_path: Path) -> None:
    rows, out = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    rows_of(range(20, 21)).drop("y", "known").write_parquet(rows)
    options = ["--loop", str(live.loop.file), "--store", str(live.store.path), "--output", str(out)]
    with pytest.raises(SystemExit) as ended:
        main(["infer", str(rows), *options])
    assert not ended.value.code
    assert pl.read_parquet(out).height == 240
