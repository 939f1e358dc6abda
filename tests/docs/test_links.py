from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, links, name

PROMISES = 17


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_relative_links_lead_somewhere(page: Path):
    lost = [f"line {number}: {target}" for number, target in links(page) if not (page.parent / target).exists()]
    assert not lost


def promises() -> dict[int, str]:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", (ROOT / "PROMISES.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {int(number): rest for number, rest in rows}


def test_every_promise_is_on_the_page():
    assert sorted(promises()) == list(range(1, PROMISES + 1))


@pytest.mark.parametrize("number", range(1, PROMISES + 1))
def test_a_promise_names_tests_that_exist_or_says_not_yet(number: int):
    proof = promises()[number].rpartition(" | ")[2]
    named = re.findall(r"\[`(\w+)`\]\(([^)#]+\.py)\)", proof)
    if not named:
        assert proof.strip().startswith("not yet")
    for function, path in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        assert function in {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}, (
            f"{path} has no {function}"
        )


def test_every_dependency_has_its_line():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {re.match(r"[a-z0-9-]+", line)[0] for line in project["dependencies"]}
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([a-z0-9-]+) \|", page, re.MULTILINE)) - {"library"} >= wanted


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    wanted = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    assert [d for d in wanted if re.match(r"[a-zA-Z0-9-]+", d)[0] not in pinned] == []
