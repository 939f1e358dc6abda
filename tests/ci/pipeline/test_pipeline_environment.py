"""What a run stands on is found without starting git where that is possible, and says when files were changed."""

from __future__ import annotations

import subprocess

import pytest

from homeostat.ci.pipeline import current_environment
from homeostat.ci.pipeline.environment import _commit


@pytest.fixture
def repository(tmp_path):
    run(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "loop.py").write_text("one")
    commit(tmp_path)
    return tmp_path


def run(folder, *arguments):
    command = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder):
    run(folder, "add", "loop.py")
    run(folder, "commit", "-q", "-m", "x")


def test_the_commit_of_a_clean_tree_is_its_hash(repository):
    assert _commit(repository) == run(repository, "rev-parse", "HEAD")


def test_a_folder_inside_a_repository_is_found(repository):
    (repository / "a" / "b").mkdir(parents=True)
    assert _commit(repository / "a" / "b") == run(repository, "rev-parse", "HEAD")


def test_a_changed_tree_is_dirty(repository):
    (repository / "loop.py").write_text("two")
    assert _commit(repository) == run(repository, "rev-parse", "HEAD") + "+dirty"


def test_files_that_git_does_not_know_do_not_make_it_dirty(repository):
    (repository / ".homeostat").mkdir()
    (repository / "note.txt").write_text("x")
    assert "+" not in _commit(repository)


def test_packed_and_detached_heads_are_read(repository):
    head = run(repository, "rev-parse", "HEAD")
    run(repository, "pack-refs", "--all")
    assert _commit(repository) == head
    run(repository, "checkout", "-q", "--detach")
    assert _commit(repository) == head


def test_a_worktree_is_read(repository):
    place = repository.parent / f"{repository.name}-tree"
    run(repository, "worktree", "add", "-q", str(place))
    assert _commit(place) == run(repository, "rev-parse", "HEAD")


def test_outside_a_repository_and_before_the_first_commit_there_is_none(tmp_path):
    run(tmp_path, "init", "-q")
    assert _commit(tmp_path) == "none"


def test_without_git_the_tree_is_said_to_be_unchecked(repository, monkeypatch):
    head = run(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", "")
    assert _commit(repository) == f"{head}+unchecked"


def test_the_environment_is_read_once():
    assert current_environment() is current_environment()
