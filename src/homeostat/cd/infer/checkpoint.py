"""The finished chunks of a batch inference, kept beside its output until it is whole, so that none is done twice."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from homeostat.core.errors import ConflictError
from homeostat.core.files import lock, rename_whole, write_whole
from homeostat.core.table.chunks import Place

if TYPE_CHECKING:
    import polars as pl


class ChunkNote(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a finished chunk.

    Attributes:
        problems, signals: What the check said.
        absent: Columns that it lacked, and that may be absent where other rows of the file have them.
    """

    rows: int
    after: Place
    problems: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


class Unfinished:
    """A folder beside the output, named after it and a fingerprint of what it is made from.

    A chunk counts once its note is there; both are on the disk before the next one is begun. Chunks of another
    fingerprint are deleted.

    Raises:
        ConflictError: Another process makes the same output now.
    """

    def __init__(self, target: Path, fingerprint: str) -> None:
        self._target = target
        self._folder = target.with_name(f".{target.name}.{fingerprint[:16]}")
        target.parent.mkdir(parents=True, exist_ok=True)
        for other in target.parent.glob(f".{_escaped(target.name)}.{'[0-9a-f]' * 16}"):
            if other != self._folder:
                held = _opened(other)
                if lock(held):
                    shutil.rmtree(other, ignore_errors=True)
                os.close(held)
        self._folder.mkdir(exist_ok=True)
        self._held = _opened(self._folder)
        if not lock(self._held):
            raise ConflictError(f"another process is making {target} now", hint="wait for it, or choose another output")
        self.notes: list[ChunkNote] = []
        while (note := self._file("json")).is_file():
            self.notes.append(msgspec.json.decode(note.read_bytes(), type=ChunkNote))

    def add(self, note: ChunkNote, predictions: pl.DataFrame | None) -> None:
        """Keep the next chunk; None for one that gets no predictions."""
        if predictions is not None:
            write_whole(self._file("parquet"), predictions.write_parquet, private=False)  # it may become the output
        write_whole(self._file("json"), msgspec.json.encode(note))
        self.notes.append(note)

    def publish(self) -> None:
        """Make the output of the chunks, whole and in one step, and delete them."""
        import polars as pl

        whole = self._folder / "whole"
        files = [self._folder / f"{number:08d}.parquet" for number in range(len(self.notes))]
        if len(files) == 1:
            files[0].replace(whole)
        else:
            pl.scan_parquet(files, glob=False).sink_parquet(whole)
        rename_whole(whole, self._target)
        self.drop()

    def drop(self) -> None:
        """Delete the chunks."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Let go; the chunks stay for the next attempt."""
        os.close(self._held)

    def _file(self, ending: str) -> Path:
        return self._folder / f"{len(self.notes):08d}.{ending}"


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
