"""W3: new data fires once at the threshold, and not again for the same data."""

from __future__ import annotations

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

    assert [arrives(version) for version in ("a", "a", "b", "b", "b", "c")] == [True, False, True, False, False, True]
