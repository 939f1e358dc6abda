"""W3: new data fires once at the threshold, and not again for the same data."""

from __future__ import annotations

from pathlib import Path

from homeostat import FileSource
from homeostat.ci.collect import collect
from homeostat.core.clock import VirtualClock
from homeostat.core.table.spec import TableSpec
from homeostat.core.table.table import Table
from homeostat.ct import when
from tests.engine.driver import Driver


def retrained(driver: Driver, trainable: int) -> bool:
    return any(one.action == "retrain" for one in driver.observe(trainable=trainable))


def test_volume_fires_once_at_the_threshold() -> None:
    driver = Driver(when.rows(1_000))
    driver.start()
    driver.register(trainable=500)
    assert not retrained(driver, 1_499)
    assert retrained(driver, 1_500)
    assert not retrained(driver, 1_500)
    driver.register(trainable=1_500, gates=())
    assert not retrained(driver, 1_500)
    assert not retrained(driver, 2_499)
    assert retrained(driver, 2_500)


def test_a_new_version_of_the_source_fires_once() -> None:
    driver = Driver(when.new_version())
    driver.start()
    driver.register()

    def arrives(version: str) -> bool:
        fired = any(one.action == "retrain" for one in driver.observe(source_version=version))
        if driver.feed.state.inflight is not None:
            driver.register(gates=())
        return fired

    assert [arrives(version) for version in ("a", "a", "b", "b", "b", "c")] == [False, False, True, False, False, True]


def test_a_file_that_arrives_at_the_source_is_a_new_version_once(tmp_path: Path) -> None:
    driver = Driver(when.new_version())
    driver.start()
    driver.register()
    table = Table(tmp_path / "table", TableSpec(time="at", key=("id",), target="y"))

    def looks() -> bool:
        source = FileSource(tmp_path / "*.csv", time="at", key="id", target="y")
        collected = collect(source, table, driver.ledger, "loop", VirtualClock(driver.now))
        return any(one.action == "retrain" for one in driver.observe(source_version=collected.source_version))

    (tmp_path / "one.csv").write_text("id,at,y\n1,2026-01-01,0\n3,2026-01-01,1\n")
    assert not looks()
    (tmp_path / "two.csv").write_text("id,at,y\n2,2026-01-02,1\n4,2026-01-02,0\n")
    assert [looks(), looks()] == [True, False]
