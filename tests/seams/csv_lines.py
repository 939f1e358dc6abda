"""A protocol that Homeostat does not know: rows as lines of text in, and one line for each out."""

from __future__ import annotations

import csv
import io
import json
from functools import partial

from homeostat.cd.serve.http.replies import Reply
from homeostat.cd.serve.protocols import CompiledProtocol, GoldenRequest, Protocol
from homeostat.cd.serve.rows import row_decoder
from homeostat.core.errors import DataError

MEDIA = b"text/csv"


def codec_of(signature):
    return CompiledProtocol(partial(rows_of, row_decoder(signature)), lines_of)


def rows_of(decoder, body, _headers):
    """Cells are JSON, so that texts, numbers and null are told apart."""
    try:
        head, *lines = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
        records = [dict(zip(head, map(json.loads, line), strict=True)) for line in lines]
    except (ValueError, csv.Error, RecursionError) as error:
        raise DataError(f"the body is no lines: {type(error).__name__}", hint="send a line of names first") from error
    return decoder.gathered(decoder.rows(records, finite=False))


def lines_of(_model, answer, _wanted):
    scores = answer.scores.rows if answer.scores.whole.ndim == 2 else [[]] * len(answer.ids)
    rows = zip(answer.ids, answer.by_row(), answer.scores.values, scores, strict=True)
    return Reply(
        200,
        written([name, str(number), *map(json.dumps, (value, *more))] for name, number, value, more in rows),
        content_type=MEDIA,
    )


def written(lines):
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue().encode()


def golden_body(rows, signature):
    names = [column.name for column in signature.inputs]
    return written([names, *([json.dumps(row.get(name)) for name in names] for row in rows)]), {b"content-type": MEDIA}


def golden_answer(body, _headers, signature):
    lines = list(csv.reader(io.StringIO(body.decode(), newline="")))
    scores = None if signature.classes is None else [list(map(float, line[3:])) for line in lines]
    return [json.loads(line[2]) for line in lines], scores


def described(_signature, _most_rows):
    content = {"text/csv": {"schema": {"type": "string"}}}
    answer = {"200": {"description": "A line for each row.", "content": content}}
    return {"post": {"summary": "Predict lines", "requestBody": {"content": content}, "responses": answer}}, {}


CSV_LINES = Protocol(
    route="/lines",
    paths=("/lines", "/lines/{name}", "/lines/{name}/{version}"),
    compile=codec_of,
    golden={"lines": GoldenRequest(golden_body, golden_answer)},
    document=described,
)
