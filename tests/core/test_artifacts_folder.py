"""Artifacts are named by what they hold, whole or not there, and verified when they are read."""

from __future__ import annotations

import hashlib
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest

from homeostat.core.artifacts import ArtifactStore
from homeostat.core.errors import IntegrityError, NotFoundError, StoreError

DATA = b"rows" * 1000
NAME = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def artifacts(tmp_path):
    return ArtifactStore(tmp_path / "artifacts")


def test_bytes_are_named_by_their_digest_and_come_back(artifacts):
    assert artifacts.put(DATA) == NAME
    assert artifacts.has(NAME)
    assert artifacts.get(NAME) == DATA


def test_empty_bytes_are_an_artifact(artifacts):
    assert artifacts.get(artifacts.put(b"")) == b""


def test_the_same_bytes_are_kept_once(artifacts):
    first = artifacts.put(DATA)
    before = (artifacts.blobs.folder / NAME[:2] / NAME[2:]).stat().st_mtime_ns
    assert artifacts.put(DATA) == first
    assert (artifacts.blobs.folder / NAME[:2] / NAME[2:]).stat().st_mtime_ns == before
    assert list(artifacts.blobs.keys()) == [NAME]


def test_what_is_not_there_is_said_to_be_missing(artifacts):
    assert not artifacts.has(NAME)
    with pytest.raises(NotFoundError, match=NAME[:12]):
        artifacts.get(NAME)


@pytest.mark.parametrize("damage", [b"", DATA[:-1], b"x" + DATA[1:]], ids=["emptied", "cut", "flipped"])
def test_damaged_bytes_are_never_returned_and_are_mended_by_storing_again(artifacts, damage):
    artifacts.put(DATA)
    (artifacts.blobs.folder / NAME[:2] / NAME[2:]).write_bytes(damage)
    with pytest.raises(IntegrityError, match=NAME[:12]):
        artifacts.get(NAME)
    artifacts.put(DATA)
    assert artifacts.get(NAME) == DATA


HOSTILE = ["../../etc/passwd", "", "AB" * 32, NAME[:-1], NAME + "0", "/" + NAME[1:], NAME[:-1] + "\n"]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leaves_the_folder(artifacts, name):
    for ask in (artifacts.get, artifacts.has):
        with pytest.raises(NotFoundError):
            ask(name)


def test_files_being_written_are_no_artifacts(artifacts):
    artifacts.put(DATA)
    aside = artifacts.blobs.folder / "incoming"
    (aside / "half").write_bytes(DATA[:10])
    assert list(artifacts.blobs.keys()) == [NAME]


def test_writers_of_the_same_bytes_do_not_disturb_each_other(artifacts):
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: artifacts.put(DATA), range(64)))
    assert names == {NAME}
    assert artifacts.get(NAME) == DATA
    assert not list((artifacts.blobs.folder / "incoming").iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="could not be stored"):
        ArtifactStore(tmp_path / "file" / "artifacts").put(DATA)


def test_a_write_that_fails_half_way_leaves_nothing(artifacts):
    artifacts.put(b"")
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, allowed[1]))
    try:
        with pytest.raises(StoreError, match="nothing was half-written"):
            artifacts.put(DATA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
    assert not artifacts.has(NAME)
    assert not list((artifacts.blobs.folder / "incoming").iterdir())
