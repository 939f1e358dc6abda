"""Every door gives the same kind of answer to every value, and goes on: the table of `core.values`, driven."""

from __future__ import annotations

from functools import partial

import pytest

from homeostat.ci.collect import collect
from homeostat.connect import FrameSource
from homeostat.core.clock import VirtualClock
from homeostat.core.values import RULES
from tests.cd.serving import LOOP, NOON, serving
from tests.doors.world import FRAMES, MISSING, PLAIN, Http, Tables, answering, logged, model, rows_for

ROUTES = ("one", "many", "records", "v2", "binary", "split", "dataframe_records", "instances", "inputs", "invoked_csv")
ENDINGS = ("csv", "jsonl", "json", "parquet")
WIDENED = ("integer", "a fraction")
"""A table's column of whole numbers becomes one of fractions; a model's does not."""
REFUSED = [rule for rule in RULES if not rule.taken]
DECLARED = {"an event or a label before 1678", "an event or a label after 2261"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    from homeostat.core.store import Store

    folder = tmp_path_factory.mktemp("doors")
    store = Store.open(folder / "store")
    made = model(store)
    table = store.table(LOOP, "rows", made.manifest.schema.spec)
    source = FrameSource(rows_for(), time="at", key="id", target="y")
    collect(source, table, store.ledger, LOOP, VirtualClock(NOON))
    with serving(store) as app:
        yield Http(app), Tables(store, made, folder), store


def doors(http, tables):
    """Name to what takes a row and says None, or why it is refused."""
    found = {route: getattr(http, route) for route in ROUTES}
    found |= {f"infer {ending}": partial(tables.infer, ending=ending) for ending in ENDINGS}
    found |= {f"program {kind}": partial(tables.program, kind=kind) for kind in FRAMES}
    found |= {"stream of lines": tables.tail}
    found |= {f"stream of {ending}": partial(tables.folder_of, ending=ending) for ending in ENDINGS}
    return found


def changed(rule, name="r"):
    column = "at" if rule.what in DECLARED else rule.kind
    return {**PLAIN, "id": name, column: rule.value}, column


def named(column, said):
    """Whether a refusal says where: by row and column, or by the line of a text that cannot be read at all."""
    unread = ("no JSON", "no CSV", "is not text", "rows.json")
    return f"'{column}'" in said or any(words in said for words in unread)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}: {rule.what}")
def test_every_door_answers_alike(world, rule):
    http, tables, store = world
    row, column = changed(rule)
    with answering(http):
        answers = {name: door(row) for name, door in doors(http, tables).items()}
    given = {name: said for name, said in answers.items() if said is not MISSING}
    assert len(given) >= 14
    wrong = {name: said for name, said in given.items() if (said is None) != rule.taken}
    assert not wrong
    assert not [(door, said) for door, said in given.items() if said is not None and not named(column, said)]
    assert logged(store)


@pytest.mark.parametrize(
    "rule", [one for one in REFUSED if one[:2] != WIDENED], ids=lambda rule: f"{rule.kind}: {rule.what}"
)
def test_what_is_refused_enters_no_table(world, rule):
    _, tables, _ = world
    row, column = changed(rule, "new")
    answers = {ending: tables.collect_file([row], ending) for ending in ENDINGS}
    answers |= {kind: tables.collect_frame([row], kind) for kind in FRAMES}
    given = {name: said for name, said in answers.items() if said is not MISSING}
    assert given
    assert not [name for name, said in given.items() if said is None]
    assert not [(door, said) for door, said in given.items() if not named(column, said)]


@pytest.mark.parametrize("kind", [*ENDINGS, *FRAMES])
def test_what_is_taken_is_stored_and_read_again(world, kind):
    _, tables, store = world
    rules = [rule for rule in RULES if rule.taken]
    rows = [changed(rule, f"{kind} {place}")[0] for place, rule in enumerate(rules)]
    # A column has one type, and CSV has neither empty texts nor numbers of 19 digits.
    rows = [{**row, "number": float(row["number"]), "integer": int(row["integer"])} for row in rows]
    if kind == "csv":
        rows = [row for row in rows if row["text"] and abs(row["integer"]) < 10**18]
    took = tables.collect_file if kind in ENDINGS else tables.collect_frame
    assert took(rows, kind) is None
    stored = store.table(LOOP, "rows", tables.model.manifest.schema.spec).read()
    kept = {row["id"]: row for row in stored.to_dicts()}
    for row in rows:
        found = kept[row["id"]]
        for name in ("number", "integer", "boolean", "category", "text"):
            assert found[name] == row[name], name
