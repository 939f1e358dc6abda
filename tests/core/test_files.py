"""Files of a store: for their owner alone whatever the umask, and read only when they are files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from homeostat.core.artifacts import ArtifactStore
from homeostat.core.errors import IntegrityError, NotFoundError, StoreError
from homeostat.core.files import OddFileError, make_folder, open_regular, read_regular

STORE = """
import os, sys
os.umask(int(sys.argv[2], 8))
from datetime import UTC, datetime
from pathlib import Path
import polars as pl
from homeostat.cd.serve.shadow.follower import FollowerNotes
from homeostat.cd.labels.join import Counts, write_counts
from homeostat.ci.pipeline.inflight import InFlight
from homeostat.core.table.spec import table_spec
from homeostat.core.store import Store
from homeostat.core import events as ev
now = datetime(2026, 1, 1, tzinfo=UTC)
store = Store.open(Path(sys.argv[1]) / "a" / "store")
store.ledger.append(ev.LoopStarted(loop="rides", who="ann", declaration="0"), time=now)
store.artifacts.put(b"bytes")
table = store.table("rides", "rows", table_spec("at", "id", target="y"))
for day in (1, 2, 3):
    table.append(pl.DataFrame({"at": [now.replace(day=day)], "id": [day], "y": [1.0]}))
table.compact(over=1)
write_counts(store.log_folder("rides"), Counts())
FollowerNotes(store.log_folder("rides"), 1).begin()
InFlight(store.path / "locks")
"""


@pytest.mark.parametrize("umask", ["000", "022", "077", "777"])
def test_everything_in_a_store_is_for_its_owner_alone(tmp_path: Path, umask: str) -> None:
    if umask == "777" and os.geteuid() != 0:
        pytest.skip("Delta Lake's writer cannot read its own files under this umask")
    subprocess.run([sys.executable, "-c", STORE, str(tmp_path), umask], check=True)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (tmp_path / "a").rglob("*")}
    assert {modes[path] for path in modes if path.is_dir()} == {0o700}
    assert {path.name: oct(mode) for path, mode in modes.items() if path.is_file() and mode != 0o600} == {}
    names = {path.name for path in modes}
    assert {"ledger.sqlite", "locks", "rides", "rows", "_delta_log", "artifacts", "log", "shadow"} <= names


def odd(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        (path.parent / "elsewhere").write_bytes(b"of somebody else")
        path.symlink_to(path.parent / "elsewhere")


KINDS = ["pipe", "folder", "device", "link"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_neither_read_nor_written_nor_waited_for(tmp_path: Path, kind: str) -> None:
    odd(tmp_path / "odd", kind)
    for use in (
        lambda: read_regular(tmp_path / "odd"),
        lambda: open_regular(tmp_path / "odd", os.O_RDWR | os.O_CREAT),
    ):
        with pytest.raises(OddFileError, match="no regular file"):
            use()
    if kind == "link":
        assert (tmp_path / "elsewhere").read_bytes() == b"of somebody else"


@pytest.mark.parametrize("kind", KINDS)
def test_an_artifact_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    name = artifacts.put(b"a model")
    place = tmp_path / "artifacts" / name[:2] / name[2:]
    place.unlink()
    odd(place, kind)
    assert not artifacts.has(name)
    with pytest.raises((StoreError, IntegrityError, NotFoundError)):
        artifacts.get(name)
    if kind != "folder":
        assert artifacts.put(b"a model") == name  # which mends it
        assert artifacts.get(name) == b"a model"
    if kind == "link":
        assert (place.parent / "elsewhere").read_bytes() == b"of somebody else"


def test_a_file_is_read_up_to_its_bound_and_a_folder_is_made_with_those_above(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    assert len(read_regular(tmp_path / "file", 10)) == 11
    assert len(read_regular(tmp_path / "file", 100)) == 100
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b" / "c")
    with pytest.raises(OSError, match=r"exists|directory"):
        make_folder(tmp_path / "file")
