"""A ledger that is deleted or replaced under `homeostat up` ends it with one sentence, and no new one is made."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import in_a_process
from tests.cli.test_run import LOOP, bad_project, flights
from tests.cli.test_up import serving, start

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one version, and a copy of its ledger as it is before the loop is up."""
    folder = tmp_path_factory.mktemp("replaced")
    bad_project(folder, flights(), LOOP)
    assert in_a_process("run", cwd=folder).code == 0
    shutil.copy(folder / ".homeostat" / "ledger.sqlite", folder / "older")
    return folder


WAYS = {
    "deleted": lambda file, older: file.unlink(),
    "an older copy written into it": lambda file, older: file.write_bytes(older.read_bytes()),
}


@pytest.mark.parametrize("way", WAYS)
def test_up_ends_with_one_sentence(project: Path, tmp_path: Path, way: str) -> None:
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    file = folder / ".homeostat" / "ledger.sqlite"
    process = start(folder)
    try:
        serving(process)
        WAYS[way](file, folder / "older")
        there = file.stat().st_size if file.exists() else None
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2, errors
    assert "the ledger" in errors
    assert len(re.findall("^error: ", errors, re.MULTILINE)) == 1, errors
    assert "Traceback" not in errors + out
    assert "backup" in errors
    assert (file.stat().st_size if file.exists() else None) == there
