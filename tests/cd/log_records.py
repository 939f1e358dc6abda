"""Records of a prediction log, as short as tests can write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from homeostat.cd.log import LabelItem, LabelRecord, PredictionRecord, RowRecord, ShadowRecord

NOON = datetime(2013, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=2)


def asked(name, request=None, time=NOON):
    row = RowRecord(name, 1, 0.5, {"wind": 3.5, "carrier": "UA"}, {1: [True, 0.25, 0.75]})
    return PredictionRecord(request or f"r-{name}", time, [row], (2,))


def told(name, label=True, moment=LATER, received=LATER):
    return LabelRecord(received, [LabelItem(name, label, moment)])


def beside(name, error=None, request=None, time=NOON):
    return ShadowRecord(time, 2, [request or f"r-{name}"], [name], [] if error else [[False, 0.6, 0.4]], error)
