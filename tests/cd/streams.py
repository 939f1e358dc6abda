"""A stream over a store with a champion, and the rows, answers and dead letters that tests look at."""

from __future__ import annotations

import json

from homeostat.cd.log import PredictionRecord
from homeostat.cd.stream import Champions, stream
from homeostat.core.clock import VirtualClock
from tests.cd.serving import LOOP, NOON, log_of, raw


def lines(frame):
    """Rows as lines of JSON."""
    return [json.dumps(row) + "\n" for row in raw(frame)]


def run(store, source, sink, features=None, **settings):
    """Stream what is there now; `settings` as `stream` takes them."""
    champions = Champions(store, LOOP, features)
    return stream(champions, source, sink, **{"clock": VirtualClock(NOON), "once": True, **settings})


def written(path):
    """The objects in a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def logged(store):
    """Ids in the prediction log, in order."""
    return [row.id for record in log_of(store) if isinstance(record, PredictionRecord) for row in record.rows]
