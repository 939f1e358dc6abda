"""Whoever writes a file that others read writes it whole, or not at all: there is one way, and it holds this."""

from __future__ import annotations

import ast
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import homeostat
from homeostat.core.files import write_whole

SOURCE = Path(homeostat.__file__).parent
RENAMES = {
    "core/files.py": "the one way",
    "cd/infer/checkpoint.py": "a chunk that was written so becomes the whole output",
    "cd/log/tail.py": "a segment is restored frame by frame, and what took its place is moved away",
    "connect/stream_sinks.py": "a part that was written so is shown once its position is kept",
    "engine/registry/transfer.py": "a folder of several files",
}


@pytest.fixture
def limited():
    """The disk takes no more than some bytes of a file."""
    allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, allowed[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, allowed)


def renames(file: Path) -> bool:
    """Whether a module gives a file another name: `replace` of a path takes one argument, of a text two."""
    calls = [node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.Call)]
    named = [(node.func.attr, node) for node in calls if isinstance(node.func, ast.Attribute)]
    return any(
        (name == "replace" and len(node.args) == 1 and not node.keywords)
        or (name in {"replace", "rename", "link"} and ast.unparse(node.func).startswith("os."))
        for name, node in named
    )


def test_nobody_writes_and_renames_in_a_way_of_his_own() -> None:
    found = {str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*.py") if renames(file)}
    assert found == set(RENAMES)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_file_is_for_its_owner_alone_unless_it_is_meant_for_others(tmp_path: Path, umask: int, durable: bool) -> None:
    before = os.umask(umask)
    try:
        write_whole(tmp_path / "own", b"x", durable=durable)
        write_whole(tmp_path / "shared", b"x", durable=durable, private=False)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"own": 0o600, "shared": 0o666 & ~umask}


def wrong(_file: object) -> None:
    raise ValueError("the writer failed")


@pytest.mark.parametrize("there", [None, b"old"])
@pytest.mark.parametrize(("content", "error"), [(b"x" * 5000, OSError), (wrong, ValueError)])
def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(
    tmp_path: Path, limited, there: bytes | None, content, error
) -> None:
    file = tmp_path / "file"
    if there is not None:
        file.write_bytes(there)
    limited(1000)
    with pytest.raises(error):
        write_whole(file, content)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == ({"file": there} if there else {})


def test_a_link_in_its_place_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"of somebody else")
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    write_whole(tmp_path / "file", b"ours")
    assert (tmp_path / "elsewhere").read_bytes() == b"of somebody else"
    assert not (tmp_path / "file").is_symlink()


def test_a_folder_in_its_place_stays_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_whole(tmp_path / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_many_who_write_at_once_one_is_read_whole(tmp_path: Path) -> None:
    contents = [bytes([number]) * 10_000 for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: write_whole(tmp_path / "file", one), contents))
    assert (tmp_path / "file").read_bytes() in contents
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("durable", "wanted"), [(True, ["new file", "folder with the name"]), (False, [])])
def test_a_durable_file_is_on_the_disk_before_it_has_its_name_and_its_name_is_afterwards(
    tmp_path: Path, monkeypatch, durable: bool, wanted: list[str]
) -> None:
    synced = []

    def fsync(descriptor: int) -> None:
        named = (tmp_path / "file").exists()
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        whole = not is_folder and os.fstat(descriptor).st_size == 3
        synced.append("folder with the name" if is_folder and named else "new file" if whole and not named else "odd")

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "file", b"new", durable=durable)
    assert synced == wanted
