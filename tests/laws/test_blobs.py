"""The law of whatever keeps blobs: held by a store's folder, and by one of a test's own, over which a loop runs."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.core import codecs
from homeostat.core.artifacts import ArtifactStore
from homeostat.core.blobs import FolderBlobs
from homeostat.core.errors import IntegrityError, NotFoundError
from homeostat.core.ledger import Ledger
from homeostat.core.model import Bundle
from homeostat.core.store import Store
from tests.ci.small_loop import features, small_loop
from tests.laws.trained import first_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from homeostat.core.ports import Blobs


class MemoryBlobs:
    """Blobs of this process."""

    name = "memory"

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.held[key] = data

    def settle(self) -> None:
        pass

    def get(self, key: str) -> bytes:
        if key not in self.held:
            raise NotFoundError(f"memory has no {key[:12]}")
        return self.held[key]

    def size(self, key: str) -> int | None:
        return len(self.held[key]) if key in self.held else None

    def keys(self) -> Iterator[str]:
        yield from sorted(self.held)


KEYS = [hashlib.sha256(bytes([number])).hexdigest() for number in range(8)]


@pytest.fixture(params=["folder", "memory"])
def blobs(request, tmp_path: Path) -> Blobs:
    return FolderBlobs(tmp_path / "blobs") if request.param == "folder" else MemoryBlobs()


def test_what_was_put_is_there_and_nothing_else_is(blobs: Blobs) -> None:
    assert list(blobs.keys()) == []
    for key in KEYS[:4]:
        blobs.put(key, key.encode())
    blobs.settle()
    assert list(blobs.keys()) == sorted(KEYS[:4])
    assert [blobs.get(key) for key in KEYS[:4]] == [key.encode() for key in KEYS[:4]]
    assert [blobs.size(key) for key in KEYS] == [64] * 4 + [None] * 4
    with pytest.raises(NotFoundError):
        blobs.get(KEYS[5])


@pytest.mark.parametrize("data", [b"", b"x", b"\n" * 100_000], ids=["nothing", "a byte", "many"])
def test_other_bytes_take_the_place_of_what_was_there(blobs: Blobs, data: bytes) -> None:
    for one in (b"first", data, data):
        blobs.put(KEYS[0], one)
    blobs.settle()
    assert (blobs.get(KEYS[0]), blobs.size(KEYS[0]), list(blobs.keys())) == (data, len(data), [KEYS[0]])


def test_settling_is_free_when_nothing_was_put_and_may_be_done_again(blobs: Blobs) -> None:
    blobs.settle()
    blobs.put(KEYS[0], b"x")
    blobs.settle()
    blobs.settle()
    assert blobs.get(KEYS[0]) == b"x"


def test_of_many_who_put_at_once_every_one_is_heard(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: blobs.put(KEYS[number % 8], bytes([number % 8]) * 5_000), range(64)))
        list(pool.map(lambda _: blobs.settle(), range(8)))
    assert [blobs.get(key) for key in KEYS] == [bytes([number]) * 5_000 for number in range(8)]


def test_artifacts_over_them_are_verified_and_mended(blobs: Blobs) -> None:
    artifacts = ArtifactStore(blobs)
    name = artifacts.put(b"a model")
    blobs.put(name, b"a madel")
    with pytest.raises(IntegrityError, match=name[:12]):
        artifacts.get(name)
    assert (artifacts.put(b"a model"), artifacts.get(name)) == (name, b"a model")
    with pytest.raises(NotFoundError, match=KEYS[0][:12]) as refused:
        artifacts.get(KEYS[0])
    assert "homeostat verify" in (refused.value.hint or "")


@given(st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_values_come_back_from_either_as_they_were(value: object) -> None:
    artifacts = ArtifactStore(MemoryBlobs())
    name = artifacts.put(codecs.encode(value, artifacts))
    assert codecs.decode(artifacts.get(name), artifacts) == value


def test_a_loop_trains_over_blobs_of_ones_own(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    store = Store(tmp_path, Ledger.open(":memory:"), blobs)
    assert first_version(store, small_loop()) == 1
    manifest = store.ledger.version("flights", 1).manifest
    assert manifest in blobs.held
    Bundle.load(store.artifacts, manifest, features).check_golden()
    assert not (tmp_path / "artifacts").exists()
