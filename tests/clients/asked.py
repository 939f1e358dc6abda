"""What every client script is told: where the server is, some rows, and what `/predict` says about them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

TOLD = json.loads(Path(sys.argv[1]).read_text())
URL, LOOP, ROWS = TOLD["url"], TOLD["loop"], TOLD["rows"]
VALUES, SCORES = TOLD["values"], TOLD["scores"]
ADDRESS = URL.removeprefix("http://")
DATATYPES = {"flight_id": "BYTES", "scheduled": "BYTES", "carrier": "BYTES", "distance": "INT64", "wind": "FP64"}
NUMPY = {"BYTES": object, "INT64": "int64", "FP64": "float64"}


def refusal(call, *arguments, **named):
    """The message that a call was refused with."""
    try:
        call(*arguments, **named)
    except Exception as error:  # noqa: BLE001 - every client has errors of its own
        return str(error)
    raise AssertionError(f"not refused: {arguments} {named}")
