"""Rows that keep coming: from a source, through the champion, to a sink, so that no row is lost and none is said twice.

Where they come from and go to are ports of `homeostat.core.ports`, `StreamSource` and `StreamSink`; what adapters there
are is in `homeostat.connect`.
"""

from homeostat.cd.stream.champion import Champions
from homeostat.cd.stream.run import Streamed, stream

__all__ = ["Champions", "Streamed", "stream"]
