"""What every test may ask for: the shared data sets and a fresh store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from homeostat.core.store import Store
    from tests.engine.played import Played

# How long an example takes says something of the machine's load, and nothing of the code.
settings.register_profile("homeostat", settings.get_profile(settings.get_current_profile_name()), deadline=None)
settings.load_profile("homeostat")

SHARED = Path(os.environ.get("HOMEOSTAT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")

LIMITS = {"long": 3600, "slow": 600, "crash": 600}
"""Seconds after which a test with this marker hangs; 120 for those without. They are many times what it needs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many tables the fuzzing of tables tries."""
    parser.addoption("--tables", type=int, default=60, help="tables that are written, read and compared")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Limit the time of each test; deselect those that need the shared data sets when they are not there."""
    for item in items:
        limits = [seconds for name, seconds in LIMITS.items() if item.get_closest_marker(name)]
        item.add_marker(pytest.mark.timeout(max(limits, default=120)))
    if SHARED.is_dir():
        return
    without = [item for item in items if item.get_closest_marker("shared_data")]
    if without:
        config.hook.pytest_deselected(items=without)
        items[:] = [item for item in items if item not in without]


def pytest_report_header() -> str:
    """Say at the top of every session whether the shared data sets take part."""
    absent = "absent (see HOMEOSTAT_DATA in CONTRIBUTING.md); its tests are left out"
    return f"shared_data: {'there' if SHARED.is_dir() else absent}"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with Elec2 and the bike rentals; for tests marked `shared_data`."""
    return SHARED


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A recorded live run with a real server and real training; made once for all tests of a process."""
    from tests.engine.played import play

    return play(tmp_path_factory.mktemp("world"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A new, empty store in this test's own folder."""
    from homeostat.core.store import Store

    return Store.open(tmp_path / "store")
