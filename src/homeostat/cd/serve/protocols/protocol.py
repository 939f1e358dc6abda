"""Every way of asking for predictions, in one table: what routes, counts, gates and documents go through."""

from __future__ import annotations

import msgspec

from homeostat.cd.serve.model import InferLane, Lane
from homeostat.cd.serve.protocols.mlflow import InvocationsLane


class Protocol(msgspec.Struct, frozen=True):
    """A way of asking.

    Attributes:
        lane: What decodes its requests and encodes its answers; its `route` is what they are counted as.
        alone: The path that asks the first model; None where a model is always named.
        named: The path that asks a model by name; None where it cannot be named.
    """

    lane: type[Lane]
    alone: str | None = None
    named: str | None = None

    @property
    def route(self) -> str:
        """What its requests are counted as."""
        return self.lane.route


PROTOCOLS = (
    Protocol(Lane, "/predict", "/predict/{name}"),
    Protocol(InferLane, named="/v2/models/{name}/infer"),
    Protocol(InvocationsLane, "/invocations"),
)

PREDICTING = frozenset(one.route for one in PROTOCOLS)
"""The routes of `homeostat_requests_total` that are predictions."""


def route_of(path: str) -> str:
    """What a request to a path is counted as that was answered by no lane, because it was refused before."""
    if path.startswith("/v2/models/") and path.endswith("/infer"):
        return InferLane.route
    found = [one.route for one in PROTOCOLS if one.alone is not None and f"{path}/".startswith(f"{one.alone}/")]
    return found[0] if found else path if path == "/labels" else "other"
