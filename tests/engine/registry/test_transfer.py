"""Versions that travel: an export that is not whole is refused before anything is registered."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat import FrameSource, Loop
from homeostat.cd.deploy import Immediately
from homeostat.core import events as ev
from homeostat.core.errors import HomeostatError, IntegrityError, ModelError, NotFoundError, RefusedError, UserError
from homeostat.core.model.needs import Target
from homeostat.core.store import Store
from homeostat.ct.when import never
from homeostat.engine.decide.feed import Feed
from homeostat.engine.decide.state import Rules
from homeostat.engine.registry.transfer import Vouched, export, read_exported, take_in
from tests.cd.serving import LOOP, NOON, bundle, flights, register

ANN = Vouched("ann", "our own registry")


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
    first = take_in(elsewhere, exported, now=NOON, vouched=ANN)
    assert take_in(elsewhere, exported, now=NOON, vouched=ANN).version == first.version
    assert [row.state for row in elsewhere.ledger.versions(LOOP)] == ["champion"]
    assert {gate.gate for gate in first.gates} >= {"compatible", "contract"}
    assert first.trigger.kind == "import"
    assert first.trigger.user == "ann"
    assert first.run.startswith("import-")
    assert "our own registry" in first.trigger.reason


def test_another_place_is_asked_anew(exported, elsewhere) -> None:
    event = take_in(elsewhere, exported, now=NOON, target=Target(packages={}), vouched=ANN)
    assert [gate.gate for gate in event.gates if not gate.passed] == ["compatible"]
    assert [row.state for row in elsewhere.ledger.versions(LOOP)] == ["refused"]
    assert elsewhere.ledger.champion(LOOP) is None


def test_the_features_that_it_needs_have_to_be_given(store, tmp_path, elsewhere) -> None:
    folder = tmp_path / "with-features"
    export(store, LOOP, register(store, bundle(features=features)), folder)
    refused = take_in(elsewhere, folder, now=NOON, vouched=ANN)
    (said,) = [gate.reason for gate in refused.gates if not gate.passed]
    assert "features() is not the one" in said
    other = Store.open(tmp_path / "other")
    assert take_in(other, folder, features, now=NOON, vouched=ANN).version == other.ledger.champion(LOOP).version  # type: ignore[union-attr]


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


# ------------------------------------------------------------------------------------------------- what a sender claims


def edited(folder: Path, **changes: object) -> None:
    """The registration in an exported folder with other claims."""
    file = folder / "version.json"
    said = json.loads(file.read_bytes())
    file.write_text(json.dumps({**said, "registered": {**said["registered"], **changes}}))


CLAIM = {"gate": "not_tied", "passed": True, "reason": "trust me", "numbers": {}, "binding": True}


def test_gates_that_a_sender_claims_make_nobody_a_champion(exported, elsewhere) -> None:
    edited(exported, gates=[CLAIM], test_metrics={"roc_auc": 1.0}, trainable=1 << 60)
    event = take_in(elsewhere, exported, now=NOON)
    assert [row.state for row in elsewhere.ledger.versions(LOOP)] == ["candidate"]
    assert elsewhere.ledger.champion(LOOP) is None
    assert [gate.gate for gate in event.told] == ["not_tied"]
    assert "not_tied" not in {gate.gate for gate in event.gates}
    assert event.trainable == 0
    with pytest.raises(RefusedError, match=r"ran nowhere but where it comes from[\s\S]*--vouch REASON"):
        elsewhere.ledger.promote(LOOP, 1, expected_epoch=0, who="ann", reason="now", time=NOON)
    feed = Feed(elsewhere.ledger, Rules(loop=LOOP, when=never(), deploy=Immediately()))
    asked = ev.PromotionRequested(loop=LOOP, version=1, user="ann", reason="now", direct=True)
    _, (decision,) = feed.give(asked, time=NOON)
    assert decision.decided.outcome == "refused"
    assert decision.decided.reason.startswith("version 1 was imported")
    assert "--vouch REASON" in decision.decided.reason


def test_what_is_asked_here_is_not_told_by_the_sender_too(exported, elsewhere) -> None:
    edited(exported, gates=[CLAIM, CLAIM | {"gate": "contract", "passed": False}])
    event = take_in(elsewhere, exported, now=NOON, vouched=ANN)
    assert [gate.gate for gate in event.gates] == ["compatible", "contract", "not_tied"]
    assert [gate.gate for gate in event.told] == ["not_tied"]


def test_a_version_that_its_own_gates_refused_stays_refused_whoever_vouches(exported, elsewhere) -> None:
    edited(exported, gates=[CLAIM | {"passed": False}])
    take_in(elsewhere, exported, now=NOON, vouched=ANN)
    assert [row.state for row in elsewhere.ledger.versions(LOOP)] == ["refused"]


def test_binding_gates_run_here_where_there_are_rows(exported, elsewhere) -> None:
    source = FrameSource(flights(600), time="scheduled", key="flight_id", target="late", label_time="landed")
    loop = Loop(name=LOOP, source=source, gates=[])
    assert take_in(elsewhere, exported, now=NOON, declared=loop).told == ()
    assert [row.state for row in elsewhere.ledger.versions(LOOP)] == ["candidate"]  # there are none yet
    elsewhere.table(LOOP, "rows", loop.source.spec).append(flights(600))
    later = NOON + timedelta(days=30)
    event = take_in(elsewhere, exported, now=later, declared=loop)
    assert {"complete", "enough_rows", "not_trivial", "not_tied", "same_schema"} <= {gate.gate for gate in event.gates}
    edited(exported, gates=[CLAIM | {"gate": "complete"}])
    again = take_in(elsewhere, exported, now=later, declared=loop)
    assert again.version == event.version
    assert [gate.gate for gate in event.gates].count("complete") == 1


NAMES = (
    "../../../escaped",
    "",
    ".",
    "..",
    "a/b",
    "a\\b",
    "<script>",
    "a\x1b[31m",
    "a\nb",
    "a" * 64,
    "con",
    "a.",
    "a ",
    "Ä",
)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_of_a_sender_leads_out_of_the_store(exported, elsewhere, tmp_path, name) -> None:
    before = set(tmp_path.rglob("*"))
    edited(exported, loop=name)
    with pytest.raises(UserError, match="no name of a loop"):
        take_in(elsewhere, exported, now=NOON, vouched=ANN)
    edited(exported, loop=LOOP, run=f"../{name}")
    with pytest.raises(UserError, match="no name of a run"):
        take_in(elsewhere, exported, now=NOON, vouched=ANN)
    assert set(tmp_path.rglob("*")) == before
    assert elsewhere.ledger.newest() == 0


def test_both_parts_speak_of_one_loop(exported, elsewhere) -> None:
    edited(exported, loop="another")
    with pytest.raises(IntegrityError, match=r"of loop 'another' and manifest\.json of 'flights'"):
        take_in(elsewhere, exported, now=NOON)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "socket"])
def test_what_is_no_file_is_refused_and_never_waited_for(exported, elsewhere, kind) -> None:
    part = exported / "version.json"
    part.unlink()
    if kind == "pipe":
        os.mkfifo(part)
    elif kind == "device":
        part.symlink_to("/dev/zero")
    elif kind == "folder":
        part.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(exported):
            made.bind("version.json")
    with pytest.raises(IntegrityError, match=r"version\.json is no file"):
        take_in(elsewhere, exported, now=NOON)


@pytest.mark.parametrize("part", ["version.json", "manifest.json"])
def test_json_that_is_nested_without_end_or_says_a_thing_twice_is_refused(exported, elsewhere, part) -> None:
    whole = (exported / part).read_bytes()
    for more in (
        b'"numbers":' + b"[" * 100_000 + b"]" * 100_000,
        b'"loop":"x","loop":"y"',
        b'"format":' + b"9" * 5_000,
    ):
        data = b"{" + more + b"," + whole[1:]
        (exported / part).write_bytes(data)
        if part == "manifest.json":
            edited(exported, manifest=hashlib.sha256(data).hexdigest())
        with pytest.raises((ModelError, IntegrityError)):
            take_in(elsewhere, exported, now=NOON)
    assert elsewhere.ledger.newest() == 0
