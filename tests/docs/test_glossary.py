from __future__ import annotations

import ast
import re

import pytest

from tests.docs.pages import PAGES, ROOT
from tests.structure.house import modules

ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
NEEDED = {
    *(
        "Loop",
        "Source",
        "Table",
        "Step",
        "Pipeline",
        "Run",
        "Artifact",
        "Version",
        "Candidate",
        "Gate",
        "Arm",
        "Cohort",
    ),
    *("Block", "Anchor", "Signal", "Policy", "Learner", "Place", "Executor", "Protocol", "Decision", "Environment"),
    *("Package", "Role", "Ledger", "Access", "Dispatcher", "Setting"),
}


def rows(title: str) -> list[list[str]]:
    section = ARCHITECTURE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    found = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in found[2:]]


def names_in(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found


def words_of(name: str) -> set[str]:
    return {word.lower() for part in name.split("_") for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", part)}


def test_every_word_of_the_house_is_explained():
    assert {word for row in rows("Words") for word in row[0].split(", ")} == NEEDED


BANNED = {word for row in rows("Words") for word in row[2].split(", ") if word}


def test_what_is_not_to_be_said_is_no_word_of_the_table():
    assert len(BANNED) > 8
    assert not BANNED & {word.lower() for word in NEEDED}


@pytest.mark.parametrize("name", sorted(modules()))
def test_no_name_in_the_code_is_a_banned_synonym(name: str):
    used = {word for each in names_in(modules()[name]) | set(name.split(".")) for word in words_of(each)}
    assert used & BANNED == set()


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_no_page_says_a_banned_synonym(page):
    text = re.sub(r"## Words\n.*?\n## ", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert {word.lower() for word in re.findall(r"[A-Za-z]+", text)} & BANNED == set()


@pytest.mark.parametrize("row", rows("Where to change what"), ids=lambda row: row[0])
def test_where_to_change_what_names_at_most_two_files_that_are_there(row: list[str]):
    files = re.findall(r"`([\w/.]+)`", row[1])
    assert 1 <= len({file for file in files if "/" in file}) <= 2
    for file in files:
        if "/" in file:
            assert any((root / file).exists() for root in (ROOT, ROOT / "src" / "homeostat")), file
    assert (ROOT / row[2].strip("`")).exists()
