from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from capabilities import PAGE, render


def test_the_page_is_what_the_tests_say():
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make capabilities`"


def test_a_row_without_a_test_does_not_work_yet(tmp_path: Path):
    assert "works:" not in render(tests=tmp_path)


def test_a_row_works_by_its_test(tmp_path: Path):
    (tmp_path / "test_c9_twice.py").write_text("def test_the_same_rows_twice(): pass\n")
    assert "| C9 | Idempotent multi-source collection (batch and stream) | works: [test_c9_twice]" in render(
        tests=tmp_path
    )


def test_a_file_without_a_test_is_refused(tmp_path: Path):
    (tmp_path / "test_c9_twice.py").write_text("rows = 1\n")
    with pytest.raises(ValueError, match="holds no test"):
        render(tests=tmp_path)


def test_a_test_for_an_unknown_row_is_refused(tmp_path: Path):
    (tmp_path / "test_z1_nothing.py").write_text("def test_it(): pass\n")
    with pytest.raises(ValueError, match="Z1"):
        render(tests=tmp_path)
