"""A protocol that is wrong in one thing breaks the law about it, so the laws are worth keeping."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from homeostat.cd.serve.protocols import PROTOCOLS, GoldenRequest
from tests.laws import protocol_laws as laws
from tests.seams.csv_lines import CSV_LINES, codec_of, described, golden_answer, golden_body


def codec(**changes):
    """The toy's codec with its functions wrapped."""

    def compiled(signature):
        right = codec_of(signature)
        return right._replace(**{name: wrap(getattr(right, name)) for name, wrap in changes.items()})

    return compiled


def reversing(decode):
    def reversed_rows(body, headers):
        rows = decode(body, headers)
        return msgspec.structs.replace(rows, rows=rows.rows and rows.rows[::-1])

    return reversed_rows


def careless(decode):
    def raising(body, headers):
        return decode(body, headers) if body[:9] == b"flight_id" else {}[body]

    return raising


def other_scores(encode):
    def encoded(name, answer, wanted):
        return encode(name, msgspec.structs.replace(answer, scores=shifted(answer.scores)), wanted)

    return encoded


def shifted(scores):
    return msgspec.structs.replace(scores, whole=scores.whole[:, ::-1], lists=None)


def undocumented(signature, most_rows):
    item, schemas = described(signature, most_rows)
    return {"post": {**item["post"], "responses": {}}}, schemas


def deaf(body, headers, signature):
    values, scores = golden_answer(body, headers, signature)
    return [not value for value in values], scores


WRONG = {
    "rows in another order": (codec(decode=reversing), laws.decoding_a_golden_request_gives_its_rows),
    "an error of its own": (codec(decode=careless), laws.a_body_that_is_no_request_is_refused_in_one_line),
    "odd bytes": (codec(decode=careless), laws.odd_bytes_are_refused_as_data),
    "scores of the other class": (codec(encode=other_scores), laws.what_is_encoded_is_read_as_it_was),
}


@pytest.mark.parametrize(("compiled", "law"), WRONG.values(), ids=WRONG)
def test_a_codec_that_is_wrong_breaks_the_law(compiled, law, store):
    breaks(law, replace(CSV_LINES, compile=compiled), store)


@pytest.mark.parametrize(
    ("changes", "law"),
    [
        ({"route": PROTOCOLS[0].route}, laws.it_is_counted_under_its_own_route),
        ({"document": undocumented}, laws.it_is_in_the_document),
        ({"golden": {}}, laws.the_contract_gate_asks_it),
        ({"golden": {"lines": GoldenRequest(golden_body, deaf)}}, laws.the_contract_gate_asks_it),
        ({"paths": ("/lines", "/lines/no/such")}, laws.no_other_method_and_no_path_below_it_is_answered),
    ],
    ids=["a route that is taken", "no answer in the document", "no golden request", "a deaf reader", "a path below"],
)
def test_a_value_that_is_wrong_breaks_the_law(changes, law, store):
    breaks(law, replace(CSV_LINES, **changes), store)


def breaks(law, protocol, store):
    with (
        laws.spoken(store, protocol, (*PROTOCOLS, protocol), "two classes") as one,
        pytest.raises(KeyError if law is laws.odd_bytes_are_refused_as_data else AssertionError),
    ):
        law(one, store)
