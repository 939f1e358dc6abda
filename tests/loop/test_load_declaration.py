"""From a file to the Loop in it: exactly one, with its folder's modules, and every mistake with its line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from homeostat.core.errors import LoopError, NotFoundError
from homeostat.loop import load_loop

ONE = """
from homeostat import FileSource, Loop

loop = Loop(name="{name}", source=FileSource("*.csv", time="at", target="y"), gates=[])
"""


def written(folder: Path, text: str, name: str = "loop.py") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(text)
    return file


def test_a_folder_stands_for_its_loop_and_patterns_are_seen_from_it(tmp_path: Path) -> None:
    file = written(tmp_path / "project", ONE.format(name="rides"))
    (file.parent / "a.csv").write_text("at,y\n2026-01-01,1\n")
    loop = load_loop(file.parent)
    assert (loop.name, loop.file) == ("rides", file.resolve())
    assert [part.name for part in loop.source.parts()] == ["a.csv"]
    assert load_loop(str(file)).name == "rides"


def test_a_loop_under_two_names_is_one(tmp_path: Path) -> None:
    assert load_loop(written(tmp_path, ONE.format(name="rides") + "again = loop\n")).name == "rides"


def test_none_and_several_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(LoopError, match="declares no Loop"):
        load_loop(written(tmp_path, "x = 1\n"))
    two = ONE.format(name="rides") + ONE.format(name="trips").replace("loop =", "other =")
    with pytest.raises(LoopError, match=r"declares 2 loops \(rides, trips\)"):
        load_loop(written(tmp_path, two))
    with pytest.raises(NotFoundError, match="there is no"):
        load_loop(tmp_path / "nothing.py")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = 1\nraise ValueError('odd')\n", "loop.py, line 2.*ValueError: odd"),
        ("x = 1\ny = (\n", "loop.py, line 2.*SyntaxError"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("\nimport no_such_module_here\n", "loop.py, line 2.*ModuleNotFoundError"),
        (ONE.format(name="Rides!"), "loop.py, line 4.*name has other characters"),
    ],
)
def test_a_declaration_that_does_not_run_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(LoopError, match=told):
        load_loop(written(tmp_path, text))
    assert not [one for one in sys.modules.values() if str(getattr(one, "__file__", "")).startswith(str(tmp_path))]


def test_a_missing_module_is_named_in_the_hint(tmp_path: Path) -> None:
    with pytest.raises(LoopError) as told:
        load_loop(written(tmp_path, "import no_such_module_here.inner\n"))
    assert told.value.hint == "install 'no_such_module_here' into this environment, or mend its name"


def test_a_file_that_changed_is_run_anew_with_what_it_imports_from_beside(tmp_path: Path) -> None:
    text = "from .names import NAME\n" + ONE.format(name="{}").replace('"{}"', "NAME")
    file = written(tmp_path, text)
    written(tmp_path, 'NAME = "rides"\n', "names.py")
    assert load_loop(file).name == "rides"
    written(tmp_path, 'NAME = "a-longer-name"\n', "names.py")
    assert load_loop(file).name == "a-longer-name"


def test_another_module_of_the_same_name_is_not_taken_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    written(tmp_path / "elsewhere", "X = 1\n", "helper_of_a_test.py")
    __import__("helper_of_a_test")
    file = written(tmp_path / "project", "import helper_of_a_test\n" + ONE.format(name="rides"))
    assert load_loop(file).name == "rides", "nothing of that name lies beside the file"
    written(tmp_path / "project", "X = 2\n", "helper_of_a_test.py")
    for text in ("import helper_of_a_test\n", "from helper_of_a_test import X\n", "import sys, helper_of_a_test\n"):
        with pytest.raises(LoopError, match="has imported another helper_of_a_test"):
            load_loop(written(tmp_path / "project", text + ONE.format(name="rides")))
    for text in ("from . import helper_of_a_test\n", "from .helper_of_a_test import X\n"):
        assert load_loop(written(tmp_path / "project", text + ONE.format(name="rides"))).name == "rides"
    del sys.modules["helper_of_a_test"]
