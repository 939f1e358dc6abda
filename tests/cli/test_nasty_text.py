"""Names, reasons and ids that came from outside are shown by every verb and page, and none of them is obeyed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from homeostat.ci.evaluate.report import CalibrationBin
from homeostat.core import events as ev
from homeostat.core.ledger import Ledger
from homeostat.engine.views.card.build import Card, Section
from homeostat.engine.views.card.page import to_html
from homeostat.engine.views.card.text import to_markdown
from tests.cli.conftest import Typed
from tests.engine.driver import Driver

OBEYED = "\x1b\x07\x08\r\x9b\x7f\u202e\u2066\u2028\u2029\ufeff"
NASTY = "x\x1b[31m\x1b]0;owned\x07\r\x08\x9b\x7f\u202e\u2066\u2028\u2029\ufeff[red]</b><script>|`\nhint: run this"
SHOWN = "\\x1b[31m"


@pytest.fixture
def nasty(tmp_path: Path) -> Driver:
    """A history in which everything that anybody may write is nasty."""
    folder = tmp_path / ".homeostat"
    folder.mkdir()
    driver = Driver(ledger=Ledger.open(folder / "ledger.sqlite"), loop="rides")
    driver.first_champion()
    driver.confirm()
    seen = ev.Signal(kind="value_drift", subject=NASTY, value=0.9, n=10, alarmed=True, detail=NASTY)
    skew = ev.Signal(kind="schema_skew", subject=NASTY, value=None, n=0, alarmed=True, detail=NASTY)
    driver.observe(signals=(seen, skew))
    gate = ev.GateResult(gate=NASTY, passed=False, reason=NASTY, numbers={NASTY: 1.0})
    driver.register(gates=(gate,), trigger=NASTY)
    driver.give(ev.RetrainRequested(loop="rides", user=NASTY, reason=NASTY, request="r"))
    trigger = ev.Trigger(key="t", kind=NASTY, reason=NASTY, user=NASTY)
    environment = ev.RunContext(homeostat=NASTY, python=NASTY, platform=NASTY, packages="p", commit=NASTY)
    told = {"trigger": trigger, "environment": environment, "settings": {NASTY: NASTY}}
    driver.give(ev.RunStarted(loop="rides", run="run-1", pipeline="p", steps=(NASTY,), **told))
    driver.give(ev.RunFinished(loop="rides", run="run-1", trigger="t", status="failed", outputs={}, error=NASTY))
    return driver


def harmless(answer: Typed) -> str:
    said = answer.out + answer.err
    assert not set(said) & set(OBEYED), ascii(said)
    assert not any(line.startswith("hint: run this") for line in said.splitlines())
    assert "Traceback" not in said
    said.encode()
    return said


VERBS = (
    *(
        ["status"],
        ["runs"],
        ["versions"],
        ["why"],
        ["why", "last"],
        ["why", "1"],
        ["why", "2"],
        ["why", "run-1"],
        ["anchor"],
    ),
    *(
        ["why", "@6"],
        ["why", "@7"],
        ["why", "@8"],
        ["why", NASTY],
        ["runs", "--loop", NASTY],
        ["card", "2"],
        ["doctor"],
    ),
    *(["status", "--store", NASTY], ["import", NASTY], ["labels", NASTY], ["init", NASTY, "--target", NASTY]),
    *(["explain", NASTY], ["verify", "--anchor", NASTY], ["run", "--loop", NASTY], ["serve", "--store", NASTY]),
)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: ascii(" ".join(verb))[:40])
def test_no_verb_obeys_what_it_shows(homeostat, nasty: Driver, verb: list[str]) -> None:
    harmless(homeostat(*verb))


@pytest.mark.parametrize("verb", [["status"], ["runs"], ["why"], ["why", "2"], ["why", "run-1"]], ids=" ".join)
def test_what_is_shown_is_still_there(homeostat, nasty: Driver, verb: list[str]) -> None:
    said = "".join(harmless(homeostat(*verb)).split())
    assert SHOWN in said
    assert "[red]" in said


@pytest.mark.parametrize("verb", [["status"], ["runs"], ["versions"], ["why", "2"]], ids=" ".join)
def test_json_says_the_same_as_it_was(homeostat, nasty: Driver, verb: list[str]) -> None:
    answer = homeostat(*verb, "--json")
    harmless(answer)
    assert NASTY in repr_of(answer.json)


def repr_of(value) -> str:
    """All text in a JSON value, one after the other."""
    if isinstance(value, dict):
        return " ".join(f"{name} {repr_of(item)}" for name, item in value.items())
    return " ".join(map(repr_of, value)) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("verb", [["status"], ["why", "run-1"], ["runs"]], ids=" ".join)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_terminal_of_any_encoding_is_written_to(
    nasty: Driver, tmp_path: Path, verb: list[str], encoding: str
) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C"}
    words = [sys.executable, "-m", "homeostat", *verb]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert b"Error" not in done.stderr
    assert b"\x1b" not in done.stdout


def test_words_that_are_no_text_are_refused(homeostat, nasty: Driver) -> None:
    for option in ("--reason", "--user"):
        told = {"--reason": "x", "--user": "ann"} | {option: "half \udcff of it"}
        answer = homeostat("retrain", *(word for pair in told.items() for word in pair))
        assert answer.code == 2
        assert "is no text" in harmless(answer)


def test_pages_obey_nothing_either() -> None:
    section = Section(title=NASTY, facts={NASTY: NASTY}, columns=(NASTY,), rows=((NASTY,),), notes=(NASTY,))
    card = Card(loop="rides", version=1, state=NASTY, summary=NASTY, sections=(section,))
    bins: tuple[CalibrationBin, ...] = ()
    for page in (to_markdown(msgspec.structs.replace(card, calibration=bins)), to_html(card)):
        assert not set(page) & set(OBEYED)
        assert SHOWN in page
        assert "<script" not in page
        assert not any(line.startswith("hint: run this") for line in page.splitlines())
