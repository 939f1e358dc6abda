"""Text for people: control characters are written out wherever something from outside is shown."""

from __future__ import annotations

import io
import json
import logging
import pickle
import unicodedata

import pytest

from homeostat.cd.serve.telemetry.request_log import set_up_logging, tell
from homeostat.core.errors import DataError
from homeostat.core.text.plain import plain, plain_html, plain_json

USUAL = ("", "late", "Zürich, 東京", "a|b <c> [red] {x}", "🙂", "été", "a b", "नमस्ते", "👩‍🚀", "e\u0301")
TURNING = [chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x061C, 0x200E, 0x200F)]
CONTROL = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
HALVES = ["\ud800", "\udbff", "\udc00", "\udfff", "\ud83d"]
NASTY = [*CONTROL, *TURNING, *HALVES, "\u2028", "\u2029", "\ufeff"]


@pytest.mark.parametrize("text", USUAL)
def test_usual_text_stays_as_it_is(text):
    assert plain(text) == text
    assert plain(text, lines=True) == text


@pytest.mark.parametrize("letter", NASTY, ids=ascii)
def test_each_that_a_terminal_obeys_is_written_out(letter):
    for shown in (plain(f"a{letter}b"), plain(f"a\nb{letter}", lines=True).replace("\n  ", " ").replace("\n", " ")):
        assert letter not in shown or letter == "\n"
        shown.encode()
        assert all(unicodedata.category(one)[0] != "C" for one in shown)
    assert letter not in plain_html(letter)
    assert plain(f"a{letter}b") == f"a{json.loads(json.dumps(letter))!r}b".replace("'", "")


def test_what_is_brought_along_begins_no_line():
    forged = plain("no such column x\nhint: rm -rf /\r\nerror: y", lines=True)
    assert not any(line.startswith(("hint", "error")) for line in forged.split("\n"))
    assert plain("problems:\n  - one\n  - two", lines=True) == "problems:\n  - one\n  - two"


def test_an_error_is_plain_and_can_be_encoded_and_pickled():
    error = DataError("column 'a\x1b[31m\ud83d' is odd\nhint: run this", hint="\u202etry\x07")
    assert str(error) == "column 'a\\x1b[31m\\ud83d' is odd\n  hint: run this\n  hint: \\u202etry\\x07"
    str(error).encode()
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("letter", [one for one in NASTY if one not in HALVES], ids=ascii)
def test_json_for_programs_says_the_same_and_obeys_nobody(letter):
    document = json.dumps({letter: f"a{letter}"}, ensure_ascii=False)
    shown = plain_json(document)
    assert json.loads(shown) == json.loads(document)
    assert letter not in shown


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_of_the_log_is_one_line_whatever_is_in_it(monkeypatch, form):
    monkeypatch.setenv("HOMEOSTAT_LOG", form)
    stream = io.StringIO()
    before = {name: list(logging.getLogger(name).handlers) for name in ("homeostat", "uvicorn")}
    try:
        set_up_logging(stream)
        for letter in NASTY:
            tell(f"said {letter}", request=f"id{letter}")
    finally:
        for name, handlers in before.items():
            logging.getLogger(name).handlers = handlers
            logging.getLogger(name).propagate = True
    lines = stream.getvalue().split("\n")[:-1]
    assert len(lines) == len(NASTY)
    assert not set("".join(lines)) & set(NASTY)
    if form == "json":
        assert [json.loads(line)["message"] for line in lines][0x1B] == "said \x1b"
