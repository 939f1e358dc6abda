"""Labels on their way: from a request or a file, into the log, joined with what was predicted, to training rows."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.labels.files import read_labels as read_labels
    from homeostat.cd.labels.join import Traffic as Traffic

__getattr__ = loader(__name__, {"files": ("read_labels",), "join": ("Traffic",)})
