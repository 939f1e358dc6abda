"""Versions that travel: an export that is not whole is refused before anything is registered."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from homeostat.core.errors import HomeostatError, IntegrityError, ModelError, NotFoundError, RefusedError
from homeostat.core.needs import Target
from homeostat.core.store import Store
from homeostat.engine.transfer import export, read_exported, take_in
from tests.cd.serving import LOOP, NOON, bundle, register


def features(rows):
    return rows.select("wind", "carrier")


@pytest.fixture
def exported(store: Store, tmp_path: Path) -> Path:
    """An exported version without gates of its own."""
    folder = tmp_path / "exported"
    export(store, LOOP, register(store, bundle()), folder)
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "elsewhere")


def test_it_is_registered_once_and_the_first_becomes_the_champion(exported, elsewhere) -> None:
    first = take_in(elsewhere, exported, now=NOON)
    assert take_in(elsewhere, exported, now=NOON).version == first.version
    assert [row.state for row in elsewhere.ledger.versions(LOOP)] == ["champion"]
    assert {gate.gate for gate in first.gates} == {"compatible", "contract"}
    assert first.trigger.kind == "import"


def test_another_place_is_asked_anew(exported, elsewhere) -> None:
    event = take_in(elsewhere, exported, now=NOON, target=Target(packages={}))
    assert [gate.gate for gate in event.gates if not gate.passed] == ["compatible"]
    assert [row.state for row in elsewhere.ledger.versions(LOOP)] == ["refused"]
    assert elsewhere.ledger.champion(LOOP) is None


def test_the_features_that_it_needs_have_to_be_given(store, tmp_path, elsewhere) -> None:
    folder = tmp_path / "with-features"
    export(store, LOOP, register(store, bundle(features=features)), folder)
    refused = take_in(elsewhere, folder, now=NOON)
    (said,) = [gate.reason for gate in refused.gates if not gate.passed]
    assert "features() is not the one" in said
    other = Store.open(tmp_path / "other")
    assert take_in(other, folder, features, now=NOON).version == other.ledger.champion(LOOP).version  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["manifest.json", "model.bin", "version.json"])
def test_a_flipped_byte_a_lost_part_and_an_absurd_size_are_refused_by_name(exported, elsewhere, name) -> None:
    part = exported / name
    whole = part.read_bytes()
    for at in range(0, len(whole), max(1, len(whole) // 20)):
        part.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        if name == "version.json":
            continue  # its own numbers are not sealed; what it names is, see below
        with pytest.raises(IntegrityError):
            take_in(elsewhere, exported, now=NOON)
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((IntegrityError, ModelError)):
        take_in(elsewhere, exported, now=NOON)
    os.truncate(part, 1 << 40)
    with pytest.raises(IntegrityError, match=f"{name} has 1,099,511,627,776 bytes"):
        take_in(elsewhere, exported, now=NOON)
    part.unlink()
    with pytest.raises(IntegrityError, match=f"{name} is missing"):
        take_in(elsewhere, exported, now=NOON)
    assert elsewhere.ledger.versions(LOOP) == []


def test_what_is_no_part_of_it_is_refused(exported) -> None:
    (exported / "payload.pkl").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(IntegrityError, match=r"payload\.pkl is no part of it"):
        read_exported(exported)


def test_a_link_to_another_file_is_refused(exported, tmp_path) -> None:
    (exported / "model.bin").rename(tmp_path / "model.bin")
    (exported / "model.bin").symlink_to(tmp_path / "model.bin")
    with pytest.raises(IntegrityError, match=r"model\.bin is no file"):
        read_exported(exported)


def test_a_newer_format_and_another_manifest_are_refused(exported) -> None:
    file = exported / "version.json"
    said = json.loads(file.read_bytes())
    file.write_text(json.dumps(said | {"format": 9}))
    with pytest.raises(ModelError, match="format 9"):
        read_exported(exported)
    said["registered"]["manifest"] = "0" * 64
    file.write_text(json.dumps(said))
    with pytest.raises(IntegrityError, match="is not the one of version 1"):
        read_exported(exported)


def test_nothing_is_written_over_and_nothing_half_written(store, exported, tmp_path) -> None:
    with pytest.raises(RefusedError, match="is there already"):
        export(store, LOOP, 1, exported)
    with pytest.raises(NotFoundError, match="no version 7"):
        export(store, LOOP, 7, tmp_path / "seven")
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeostatError):
        export(store, LOOP, 1, tmp_path / "file" / "below")
    assert not (tmp_path / "seven").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_is_not_there_says_how_to_get_one(elsewhere, tmp_path) -> None:
    with pytest.raises(NotFoundError, match="there is no folder"):
        take_in(elsewhere, tmp_path / "nothing", now=NOON)
