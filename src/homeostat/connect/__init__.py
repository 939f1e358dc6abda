"""The adapters of the ports in `homeostat.core.ports`: one file per foreign system, and nothing of the loop."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.connect.files import FileSource as FileSource
    from homeostat.connect.frames import FrameSource as FrameSource
    from homeostat.connect.stream_files import FolderSource as FolderSource
    from homeostat.connect.stream_files import InputSource as InputSource
    from homeostat.connect.stream_files import TailSource as TailSource
    from homeostat.connect.stream_sinks import JsonLinesSink as JsonLinesSink
    from homeostat.connect.stream_sinks import OutputSink as OutputSink
    from homeostat.connect.stream_sinks import ParquetSink as ParquetSink

__getattr__ = loader(
    __name__,
    {
        "files": ("FileSource",),
        "frames": ("FrameSource",),
        "stream_files": ("FolderSource", "InputSource", "TailSource"),
        "stream_sinks": ("JsonLinesSink", "OutputSink", "ParquetSink"),
    },
)
