"""Stores that cannot be used, typed at the command line: full, forbidden, damaged, or from a newer Homeostat."""

from __future__ import annotations

import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.cli.bad import Verb, csv, nothing_happened, refused, rides, works, write


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that nothing is wrong with."""
    write(tmp_path)
    return tmp_path


@pytest.fixture
def trained(homeostat: Verb, project: Path) -> Path:
    """A project with one version, and a table to predict."""
    write(project, data=csv(rides(800)))
    works(homeostat)
    (project / "ask.csv").write_text("ride,at,carrier,wind\nr900,2026-02-01T00:00:00Z,AA,12.5\n")
    return project


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Every file that grows beyond a size is refused, as a full disk refuses it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 1_000, *range(30_000, 100_000, 10_000)])
def test_a_full_disk_is_told_and_leaves_nothing_half_written(size: int, homeostat: Verb, project: Path) -> None:
    with files_of_at_most(size):
        answer = homeostat("run")
    refused(answer)
    nothing_happened(project)
    works(homeostat)
    assert homeostat("verify").code == 0


@pytest.mark.parametrize("place", ["rides.csv", "rides.csv/below", "/proc/store"])
def test_a_store_that_cannot_be_written_is_refused(place: str, homeostat: Verb, project: Path) -> None:
    for verb in ("run", "up"):
        refused(homeostat(verb, "--store", place), f"the store {place} cannot be written", "--store")
    assert (project / "rides.csv").is_file()


def test_an_output_that_cannot_be_written_is_refused(homeostat: Verb, trained: Path) -> None:
    refused(homeostat("infer", "ask.csv", "--output", "/proc/out.parquet"), "/proc/out.parquet", "nothing was written")
    refused(homeostat("infer", "ask.csv", "--output", "out.csv"), "out.csv", "--output out.parquet")
    (trained / "ask.parquet").write_bytes(b"")
    refused(homeostat("infer", "ask.parquet", "--output", "ask.parquet"), "is the table itself")


def in_the_ledger(project: Path, statement: str) -> None:
    with closing(sqlite3.connect(project / ".homeostat" / "ledger.sqlite")) as database, database:
        database.execute(statement)


@pytest.mark.parametrize(
    "verb", [["run"], ["status"], ["why"], ["up"], ["infer", "ask.csv"], ["promote", "1", "-r", "x"]]
)
def test_a_ledger_from_a_newer_version_is_left_alone(verb: list[str], homeostat: Verb, trained: Path) -> None:
    in_the_ledger(trained, "update meta set value = '99' where name = 'format'")
    before = (trained / ".homeostat" / "ledger.sqlite").read_bytes()
    refused(homeostat(*verb), "format 99", "up to 1", "upgrade")
    assert (trained / ".homeostat" / "ledger.sqlite").read_bytes() == before


def test_an_event_of_a_kind_from_the_future_is_named(homeostat: Verb, trained: Path) -> None:
    in_the_ledger(trained, """update events set data = replace(data, '"kind":"decided"', '"kind":"dreamed"')""")
    for verb in ("run", "why", "status"):
        refused(homeostat(verb), "does not understand", "'dreamed'", "upgrade")


def flip(file: Path) -> Callable[[], None]:
    """Change one bit in the middle of a file; gives what takes it back."""
    whole = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
    return lambda: file.write_bytes(whole) and None


def artifact(project: Path, name: str) -> Path:
    return project / ".homeostat" / "artifacts" / name[:2] / name[2:]


def test_a_flipped_bit_of_a_model_is_found_by_whoever_reads_it(homeostat: Verb, trained: Path) -> None:
    manifest = homeostat("versions", "--json").json[0]["manifest"]
    mend = flip(artifact(trained, manifest))
    for verb in (["infer", "ask.csv", "--output", "out.parquet"], ["retrain", "--reason", "x"], ["verify"]):
        refused(homeostat(*verb), manifest[:12], "backup", code=1)
    assert not (trained / "out.parquet").exists()
    assert len(homeostat("versions", "--json").json) == 1
    mend()
    assert homeostat("verify").code == 0
    assert homeostat("infer", "ask.csv", "--output", "out.parquet").code == 0


def test_a_model_that_is_gone_is_not_the_users_mistake(homeostat: Verb, trained: Path) -> None:
    manifest = homeostat("versions", "--json").json[0]["manifest"]
    artifact(trained, manifest).unlink()
    refused(homeostat("infer", "ask.csv"), manifest[:12], "is missing", "homeostat verify", code=1)
    assert not (trained / "predictions.parquet").exists()


def test_a_flipped_bit_of_a_table_is_found_by_verify(homeostat: Verb, trained: Path) -> None:
    (file,) = (trained / ".homeostat" / "tables").rglob("*.parquet")
    mend = flip(file)
    refused(homeostat("verify"), "table rides/rows", code=1)
    assert homeostat("doctor").code == 2
    mend()
    assert homeostat("verify").code == 0


def test_a_table_that_is_gone_or_garbage_is_one_line(homeostat: Verb, trained: Path) -> None:
    (file,) = (trained / ".homeostat" / "tables").rglob("*.parquet")
    file.unlink()
    refused(homeostat("run"), "tables/rides/rows", "backup", code=1)
    (log,) = (trained / ".homeostat" / "tables").rglob("*.json")
    log.write_text("garbage")
    answer = homeostat("run")
    refused(answer, "the table 'rows'")
    assert answer.err.count("\n") == 2
