"""The page about the way of a prediction names what there is, and a request goes that way."""

from __future__ import annotations

import ast
import asyncio
import re
import sys

import pytest

from tests.cd.serve.test_serve_calls import answer, connected
from tests.cd.serving import bundle, promote, register, serving
from tests.docs.pages import ROOT

SOURCE = ROOT / "src" / "homeostat"
_, SERVER, ENGINE = (ROOT / "docs" / "way_of_a_prediction.md").read_text(encoding="utf-8").split("\n## ")


def steps(section: str) -> list[tuple[str, str]]:
    """File and function of each step."""
    return re.findall(r"^\| \w+ \| `([\w/]+\.py)` \| `([\w.]+)` \|", section, re.MULTILINE)


def defined(node: ast.AST, before: str = "") -> set[str]:
    """The qualified names of a module's functions."""
    found = set()
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found |= {before + child.name, *defined(child, f"{before}{child.name}.")}
    return found


def test_no_step_is_entered_twice():
    every = steps(SERVER) + steps(ENGINE)
    assert len(steps(SERVER)) == len(steps(ENGINE)) == 10
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(("file", "function"), steps(SERVER) + steps(ENGINE))
def test_every_step_is_there(file: str, function: str):
    assert function in defined(ast.parse((SOURCE / file).read_text(encoding="utf-8")))


def test_a_request_passes_each_step_once_and_in_this_order(store):
    named, passed = steps(SERVER), []

    def note(frame, event, _):
        code = frame.f_code
        step = code.co_filename.removeprefix(f"{SOURCE}/"), code.co_qualname
        if event == "call" and step in named:
            passed.append(step)

    async def asked(app):
        async with connected(app) as (reader, writer):
            sys.setprofile(note)
            try:
                await answer(reader, writer)
            finally:
                sys.setprofile(None)

    promote(store, register(store, bundle()))
    with serving(store) as app:
        asyncio.run(asked(app))
    assert passed == named
