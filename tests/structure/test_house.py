from __future__ import annotations

import pytest

from tests.structure.house import circles, classes, imports, is_package, lazily_exported, modules

PACKAGES = [name for name in modules() if is_package(name)]


def test_no_two_files_import_each_other_also_not_lazily():
    graph = {name: imports(name) for name in modules()}
    assert sum(map(len, graph.values())) > 1_000
    assert circles(graph) == []


def test_the_search_finds_circles_of_any_length():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_a_class_is_called_like_no_other():
    found = classes()
    assert len(found) > 300
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_exports_nothing_under_the_name_of_one_of_its_files(name: str):
    """Whoever imports the file first would find the file where others find what is exported."""
    beneath = {other.removeprefix(f"{name}.") for other in modules() if other.startswith(f"{name}.")}
    assert lazily_exported(name) & beneath == set()
