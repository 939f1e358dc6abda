from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from mutants import Mutant, UnfitError, files_of, mutated, read

SOURCE = """
class Tank:
    def fill(self):
        if self.level < 1:
            return self.level

    def empty(self):
        return self.level
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with one module, `core/water.py`, and two test files of one name."""
    for folder in ("src/homeostat/core", "tests/core", "tests/cd"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src/homeostat/core/water.py").write_text(SOURCE)
    for folder in ("core", "cd"):
        (tmp_path / "tests" / folder / "test_water.py").touch()
    return tmp_path


def slip(function="Tank.fill", find="< 1", put="<= 1", tests=("test_water",), **more) -> Mutant:
    return Mutant(room="core", slip="a drop more", function=function, find=find, put=put, tests=tests, **more)


def test_every_slip_fits_its_function_once_and_has_its_tests():
    mutants, changed, wrong = read(), [], []
    for mutant in mutants:
        try:
            changed.append(mutated(mutant))
            files_of(mutant)
        except UnfitError as error:
            wrong.append(str(error))
    assert len(mutants) >= 150
    assert not wrong, "\n".join(wrong)
    assert len(set(changed)) == len(mutants), "a slip is listed twice"


@pytest.mark.parametrize("function", ["Tank.fill", "Tank", ""])
def test_a_slip_is_set_where_it_says(root: Path, function: str):
    assert mutated(slip(function), root) == (Path("src/homeostat/core/water.py"), SOURCE.replace("< 1", "<= 1"))


@pytest.mark.parametrize(
    ("entry", "blamed"),
    [
        (slip(function="Tank.empty"), "there 0 times"),
        (slip(function="fill"), "there 0 times"),
        (slip(file="fire"), "there 0 times"),
        (slip(function="Tank", find="return self.level"), "there 2 times"),
        (slip(put="<"), "no Python"),
    ],
)
def test_a_slip_that_does_not_fit_is_refused(root: Path, entry: Mutant, blamed: str):
    with pytest.raises(UnfitError, match=blamed):
        mutated(entry, root)


@pytest.mark.parametrize(("stem", "number"), [("test_water", 2), ("test_fire", 0)])
def test_tests_are_found_by_one_name(root: Path, stem: str, number: int):
    with pytest.raises(UnfitError, match=f"{number} test files are called {stem}"):
        files_of(slip(tests=(stem,)), root)


@pytest.mark.parametrize("line", ['put = "a"', 'put = "a"\npart = "heart"', 'put = "a"\nwhy = "b"'])
def test_an_entry_with_fields_of_its_own_is_refused(tmp_path: Path, line: str):
    tests = "" if line == 'put = "a"' else 'tests = ["test_water"]\n'
    (tmp_path / "core.toml").write_text(f'[[mutant]]\nslip = "s"\nfunction = "f"\nfind = "b"\n{tests}{line}\n')
    with pytest.raises(UnfitError):
        read(tmp_path)
