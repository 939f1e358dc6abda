"""From what a person writes for a place, a path or a URL, to what is there: stores, sources and sinks of streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from homeostat.core.errors import DataError, NotFoundError, UserError
from homeostat.core.store import Store

if TYPE_CHECKING:
    from homeostat.core.ports import StreamSink, StreamSource
    from homeostat.core.schema import Schema
    from homeostat.core.table.form import Form

_LINES = frozenset({".jsonl", ".ndjson"})


def open_store(place: Path | str, *, create: bool = True) -> Store:
    """The store at a folder or a `file://` URL.

    Raises:
        UserError: The URL has another scheme, or names another machine.
        StoreError: As `Store.open`.
    """
    return Store.open(store_folder(place), create=create)


def store_folder(place: Path | str) -> Path:
    """The folder that a path or a `file://` URL names.

    Raises:
        UserError: The URL has another scheme, or names another machine.
    """
    if "://" not in str(place):
        return Path(place)
    url = urlsplit(str(place))
    if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path:
        what = f"{str(place)[:200]} is no store that can be opened"
        raise UserError(what, hint="give a folder, or its URL: file:///srv/store")
    return Path(unquote(url.path))


def open_stream_source(place: str, schema: Schema, form: Form) -> StreamSource:
    """Where a stream's rows come from: `-` is standard input; otherwise a file of JSON lines, or a folder.

    Raises:
        DataError: It is no stream.
        NotFoundError: The folder is not there.
    """
    from homeostat.connect import FolderSource, InputSource, TailSource

    if place == "-":
        return InputSource()
    path = Path(place)
    if path.is_dir():
        return FolderSource(path, schema, form)
    if path.suffix.lower() not in _LINES | {".json", ".log"}:
        raise DataError(f"{place} is no stream", hint="give lines of JSON (.jsonl), a folder, or - for standard input")
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent}", hint="check the path")
    return TailSource(path)


def open_stream_sink(place: str, dead: Path | None, source: str) -> StreamSink:
    """Where the answers to a source go: `-` is standard output; otherwise a file of JSON lines, or a folder.

    Raises:
        DataError: It is no place for a stream, or would be read as a part of the source.
    """
    from homeostat.connect import JsonLinesSink, OutputSink, ParquetSink

    if place == "-":
        if dead is not None:
            raise DataError("--dead goes with a file or folder as --output", hint="dead letters go to standard error")
        return OutputSink()
    path, came = Path(place), Path(source)
    for one in (path, dead or path):
        if source != "-" and (one.resolve().parent == came.resolve() or one.name.startswith(came.name)):
            raise DataError(f"{one} would be read as a part of {source}", hint="choose another output")
    if path.suffix.lower() in _LINES:
        return JsonLinesSink(path, dead=dead)
    if path.suffix:
        hint = "give a .jsonl file, a folder for Parquet files, or -"
        raise DataError(f"{place} is no place for a stream", hint=hint)
    return ParquetSink(path, dead=dead)
