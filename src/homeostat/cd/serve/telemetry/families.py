"""What the server counts: the name, kind, labels and meaning of every metric, in one table.

Names follow the conventions of Prometheus and OpenMetrics: base units, `_total` on counters, `_info` on facts. The page
docs/operations.md lists the same names; a test compares.
"""

from __future__ import annotations

from typing import Literal

import msgspec

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds of the latency histogram in seconds."""

Snapshot = dict[str, list[tuple[tuple[str, ...], list[float]]]]
"""By metric: values of its labels, and its number; for a histogram its buckets, not summed up, and then the sum."""


class Family(msgspec.Struct, frozen=True):
    """One metric.

    Attributes:
        name: Without the suffixes that its kind adds (`_total`, `_bucket`, `_info`).
        kind: As in the exposition formats.
        text: What it means, as scrapers show it.
        merge: How the values of several worker processes make one: their sum, the least, or the greatest. What all of
            them read in the same place, as the counts of a shadow beside them all, is not added up.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    text: str
    labels: tuple[str, ...] = ()
    merge: Literal["sum", "least", "most"] = "sum"

    @property
    def shown(self) -> str:
        """The name that people query."""
        suffix = {"counter": "_total", "info": "_info"}.get(self.kind, "")
        return self.name + suffix


_MODEL = ("model",)
_VERSION = ("model", "version")

FAMILIES = (
    Family("homeostat_requests", "counter", "Requests answered", ("model", "route", "status")),
    Family("homeostat_request_seconds", "histogram", "Seconds from request to answer", ("model", "route")),
    Family("homeostat_predictions", "counter", "Rows answered, by the version that answered", _VERSION),
    Family("homeostat_fallbacks", "counter", "Rows that the champion answered because their arm raised", _VERSION),
    Family("homeostat_invalid_predictions", "counter", "Rows for which a version had no answer", _VERSION),
    Family("homeostat_answer_seconds", "histogram", "Seconds of requests that one of several arms answered", _VERSION),
    Family("homeostat_labels", "counter", "Labels received", _MODEL),
    Family("homeostat_log_records", "counter", "Records written to the prediction log", _MODEL),
    Family("homeostat_log_bytes", "counter", "Bytes written to the prediction log", _MODEL),
    Family("homeostat_log_faults", "counter", "Writes and syncs that the disk refused", _MODEL),
    Family("homeostat_log_dropped", "counter", "Records that a full log did not take, by policy", _MODEL),
    Family("homeostat_log_damages", "counter", "Segments deleted, cut or replaced while they were written", _MODEL),
    Family("homeostat_log_segments", "counter", "Segments of the prediction log begun", _MODEL),
    Family("homeostat_log_pending", "gauge", "Records that are not on the disk yet", _MODEL),
    Family("homeostat_log_held_bytes", "gauge", "Bytes of the whole log", _MODEL, "most"),
    Family("homeostat_routing_swaps", "counter", "Routing tables put in effect", _MODEL),
    Family("homeostat_routing_refusals", "counter", "Routing tables refused", _MODEL),
    Family("homeostat_routing_epoch", "gauge", "Epoch of the champion that is in effect", _MODEL, "least"),
    Family("homeostat_routing_seq", "gauge", "Ledger number of the division in effect", _MODEL, "least"),
    Family("homeostat_routing_error", "gauge", "1 when the wanted division was refused", _MODEL, "most"),
    Family("homeostat_arm_share", "gauge", "Share of units, by arm", ("model", "version", "role"), "least"),
    Family("homeostat_shadow_scored", "counter", "Rows scored by versions that did not answer", _VERSION, "most"),
    Family("homeostat_shadow_dropped", "counter", "Rows that such a version had no room for", _VERSION, "most"),
    Family("homeostat_shadow_failed", "counter", "Rows on which such a version raised", _VERSION, "most"),
    Family("homeostat_shadow_restarts", "counter", "Times that the process of such a version died", _VERSION, "most"),
    Family("homeostat_shadow_waiting", "gauge", "Rows that wait for such a version", _VERSION, "most"),
    Family("homeostat_live", "gauge", "1 while the model path answers", (), "least"),
    Family("homeostat_ready", "gauge", "1 while predictions are answered", (), "least"),
    Family("homeostat_workers", "gauge", "Server processes that are alive"),
    Family("homeostat_uptime_seconds", "gauge", "Seconds since the start", (), "most"),
    Family("homeostat_build", "info", "The installed Homeostat", ("version",), "most"),
    Family("python", "info", "The interpreter", ("implementation", "major", "minor", "patchlevel", "version"), "most"),
    Family("process_cpu_seconds", "counter", "Processor time in user and system mode"),
    Family("process_resident_memory_bytes", "gauge", "Resident memory"),
    Family("process_virtual_memory_bytes", "gauge", "Virtual memory"),
    Family("process_open_fds", "gauge", "Open file descriptors"),
    Family("process_max_fds", "gauge", "The limit of open file descriptors", (), "least"),
    Family("process_start_time_seconds", "gauge", "Start, in seconds since 1970", (), "least"),
)
"""Every metric of `/metrics`, in the order in which it is shown."""

BY_NAME = {family.name: family for family in FAMILIES}
