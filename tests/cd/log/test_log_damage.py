"""Somebody deletes, cuts or replaces the segment that is written: what was appended is in the log all the same."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from homeostat.cd.log import LogReader, LogWriter, segments, tail, writer
from homeostat.cd.log.segments import is_sealed
from homeostat.core.errors import StoreError
from tests.cd.faulty import Faults
from tests.cd.log_records import asked
from tests.cd.serving import until


def newest(folder):
    return segments.segments(folder)[-1]


def replace(path, data):
    other = path.with_name("other")
    other.write_bytes(data)
    other.replace(path)


def cut_in_half(path):
    os.truncate(path, path.stat().st_size // 2)


def add(path):
    with path.open("ab") as file:
        file.write(b"somebody else was here")


HURTS = {
    "deleted": lambda path: path.unlink(),
    "deleted with its folder": lambda path: shutil.rmtree(path.parent),
    "moved away": lambda path: path.rename(path.parent / "elsewhere"),
    "cut to nothing": lambda path: os.truncate(path, 0),
    "cut in the middle of a record": lambda path: os.truncate(path, path.stat().st_size - 3),
    "cut in half": cut_in_half,
    "replaced by nothing": lambda path: replace(path, b""),
    "replaced by its own copy": lambda path: replace(path, path.read_bytes()),
    "replaced by a folder": lambda path: (path.unlink(), path.mkdir()),
    "replaced by a link to nothing": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "replaced by a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "written to by somebody else": add,
}


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(writer, "HURT_SECONDS", 0.2)


def names(batch):
    return [record.rows[0].id for record in batch.records]


@pytest.mark.parametrize("looked", [True, False], ids=["after a look", "before any look"])
@pytest.mark.parametrize("hurt", HURTS)
def test_every_record_is_in_the_log_once_and_whoever_reads_reads_on(tmp_path, brief, hurt, looked):
    folder = tmp_path / "log"
    reader = LogReader(folder)
    with LogWriter(folder) as log:
        for number in range(5):
            log.append(asked(f"a{number}"))
        if looked:
            until(lambda: log.stats().pending == 0)
        before = reader.read()
        HURTS[hurt](newest(folder))
        while_away = reader.read(before.position)
        for number in range(5):
            log.append(asked(f"b{number}"))
        until(lambda: log.stats().damages == 1)
        assert log.stats().refuses is False
        until(lambda: log.stats().good)
        log.append(asked("c"))
        found = reader.read(while_away.position)
        assert len(segments.segments(folder)) == 2
        assert log.stats().records == 11
    assert names(before) == [f"a{number}" for number in range(5)]
    assert (while_away.records, found.damaged) == ([], 0)
    assert names(found) == [*(f"b{number}" for number in range(5)), "c"]
    every = reader.read()
    assert (names(every), every.damaged) == ([*names(before), *names(found)], 0)
    assert all(is_sealed(path) for path in segments.segments(folder))


def test_it_says_what_happened_and_is_not_good_meanwhile(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(writer, "HURT_SECONDS", 0.3)
    with LogWriter(tmp_path) as log:
        log.append(asked("a"))
        newest(tmp_path).unlink()
        until(lambda: log.stats().damage)
        assert "-".join(("00000001", str(os.getpid()))) + ".seg of the prediction log was deleted" in log.stats().damage
        assert not log.stats().good
        until(lambda: log.stats().good)
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "a segment of the prediction log was deleted",
        "a segment of the prediction log is back where it was",
    ]


def test_what_stands_in_the_place_of_a_segment_is_kept_beside_it(tmp_path, brief):
    with LogWriter(tmp_path) as log:
        log.append(asked("a"))
        replace(newest(tmp_path), b"precious")
        until(lambda: log.stats().damages and log.stats().good)
    (aside,) = tmp_path.glob("*.replaced*")
    assert aside.read_bytes() == b"precious"


def test_of_a_long_segment_only_what_was_cut_off_is_gone(tmp_path, brief, monkeypatch):
    monkeypatch.setattr(tail, "KEPT_BYTES", 200)
    with LogWriter(tmp_path) as log:
        for number in range(50):
            log.append(asked(f"a{number}"))
        until(lambda: log.stats().pending == 0 and log._tail._kept_bytes <= 200)
        position = LogReader(tmp_path).read().position
        os.truncate(newest(tmp_path), 1_000)
        for number in range(5):
            log.append(asked(f"b{number}"))
        until(lambda: log.stats().damages and log.stats().good)
        found = LogReader(tmp_path).read()
        assert names(LogReader(tmp_path).read(position)) == [f"b{number}" for number in range(5)]
    there = names(found)
    assert there[-5:] == [f"b{number}" for number in range(5)]
    assert there[:5] == [f"a{number}" for number in range(5)]
    assert found.damaged > 0


def test_it_is_hurt_again_and_again(tmp_path, brief):
    said = []
    with LogWriter(tmp_path) as log:
        for turn, hurt in enumerate(("deleted", "moved away", "cut to nothing", "cut in half", "replaced by nothing")):
            for number in range(4):
                log.append(asked(f"{turn}-{number}"))
                said.append(f"{turn}-{number}")
            HURTS[hurt](log._tail.path)
            until(lambda due=turn + 1: log.stats().damages == due)
        log.append(asked("end"))
    assert names(LogReader(tmp_path).read()) == [*said, "end"]


def test_a_segment_that_is_hurt_as_the_log_is_closed_is_put_back(tmp_path):
    log = LogWriter(tmp_path)
    log.append(asked("a"))
    newest(tmp_path).unlink()
    log.close()
    assert names(LogReader(tmp_path).read()) == ["a"]


def test_nothing_is_taken_while_there_is_no_place_for_a_new_segment(tmp_path, brief, monkeypatch):
    folder = tmp_path / "log"
    with LogWriter(folder) as log:
        log.append(asked("a"))
        with monkeypatch.context() as patch:
            patch.setattr(segments, "open_new", refusing)
            newest(folder).unlink()
            until(lambda: log.stats().refuses)
            with pytest.raises(StoreError, match="cannot be written"):
                log.append(asked("lost"))
        until(lambda: log.stats().good)
        log.append(asked("b"))
    assert names(LogReader(folder).read()) == ["a", "b"]


def refusing(*_):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS))


STEPS = ("write", "lseek", "ftruncate", "fsync", "fstat", "pread")
OPENING = ("open", "scandir")


class System:
    """The calls of `os` that a log makes, as attributes that can be made to fail."""

    def __getattr__(self, name):
        return getattr(os, name)


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("hurt", [None, "deleted", "cut in half"])
def test_an_exception_at_any_step_of_the_writer_loses_and_invents_nothing(tmp_path, monkeypatch, brief, hurt):
    system, faults, taken = System(), Faults(monkeypatch), []
    for name in (*STEPS, *OPENING):
        setattr(system, name, getattr(os, name))
    for module in (tail, segments, writer):
        monkeypatch.setattr(module, "os", system)
    monkeypatch.setattr(writer, "_BACK_SECONDS", 0.0)
    faults.at(system, *STEPS)
    faults.at(system, *OPENING, after=False)
    with LogWriter(tmp_path, segment_bytes=300) as log:
        faults.at(log, "_encode")
        held = descriptors()
        for number, (place, passage, kind) in enumerate(faults.everywhere()):
            raised = kind if place.endswith("_encode") else OSError
            with faults.armed(place, passage, raised):
                for turn in range(3):
                    with suppress(StoreError, raised):
                        log.append(asked(f"{number}-{turn}"))
                        taken.append(f"{number}-{turn}")
                    if turn == 0 and hurt is not None and number % 4 == 0:
                        HURTS[hurt](log._tail.path)
                until(lambda: log.stats().pending == 0 or log.stats().fault, seconds=5)
            until(lambda: log.stats().fault is None and not log._hurt, seconds=5)
            log.append(asked(f"{number}-after"))
            taken.append(f"{number}-after")
        until(lambda: log.stats().pending == 0 and not log._waiting, seconds=5)
        assert descriptors() <= held
    assert names(LogReader(tmp_path).read()) == taken
