"""The bytes of a stored model, looked at before any library reads them: what they are, and that they hold nothing else.

A bundle may have been copied, cut off or forged. Whatever is wrong with it is one clear error here, and not a file that
is read, a library that is called or memory that is taken on the way to finding out.
"""

from __future__ import annotations

import io
import math
import re
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from typing import IO, Any

from homeostat.core.errors import ModelError
from homeostat.core.model.boosters import LIBRARIES, check_booster
from homeostat.core.model.skops_form import check_form
from homeostat.core.text.read_json import read_json

MOST_BYTES = 4 << 30
"""Largest stored model."""

MOST_MANIFEST_BYTES = 64 << 20
"""Largest manifest."""

_SPREAD, _ROOM = 100, 256 << 20
"""An archive may unpack to this many times its size, and a quarter of a gigabyte more."""

_MOST_OF_A_MATRIX = 8
_DEEPEST = 32
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_AGAIN = "restore the artifact from a copy, or train the version again"

# Trees hold their thresholds as millions of single floats (field 7), integers (8) and short words (9): passed over at
# the speed of a regular expression.
_PLAIN = re.compile(
    rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}+[\x00-\x7f]|\x4a(?:\x04.{4}|\x09.{9}|\x0a.{10}|\x0b.{11}))*+", re.DOTALL
)


def check_blob(runtime: str, data: bytes, trusted: Collection[str] = ()) -> None:
    r"""Refuse bytes that are not what their runtime reads, or that hold more than a model.

    Raises:
        ModelError: They are something else, such as a pickle; an ONNX graph has data in other files or operators of
            unknown makers; an archive has missing, extra, pickled or absurdly large parts; an estimator names what is
            neither on the fixed list nor trusted.

    Example:
        >>> check_blob("onnx", b"\x80\x04K\x01.")
        Traceback (most recent call last):
        homeostat.core.errors.ModelError: these bytes are no onnx model: they are a pickle, which is never loaded
          hint: restore the artifact from a copy, or train the version again
    """
    if runtime == "skops":
        check_skops(data, trusted)
        return
    _check_kind(runtime, data)
    looks: dict[str, Callable[[bytes], None]] = {"onnx": _check_graph, "numpy": _check_numpy}
    if runtime in looks:
        looks[runtime](data)
    elif runtime in LIBRARIES:
        check_booster(runtime, data)


def check_skops(data: bytes, trusted: Collection[str] = ()) -> list[str]:
    """The exact names of everything that a skops model builds or refers to, all of which may be."""
    _check_kind("skops", data)
    with _opened(data, "skops") as archive:
        files, named = check_form(_head(archive, "schema.json", "skops"), trusted)
        _check_parts(archive, data, files, "schema.json", "skops")
    return named


def _check_kind(runtime: str, data: bytes) -> None:
    strange = _known_as(data)
    if strange is not None and not (strange == _ARCHIVE and runtime in ("skops", "numpy")):
        raise ModelError(f"these bytes are no {runtime} model: they are {strange}", hint=_AGAIN)


_ARCHIVE = "a zip archive"


def _known_as(data: bytes) -> str | None:
    """What bytes are that are surely no graph and no tree."""
    if not data:
        return "nothing at all"
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle, which is never loaded"
    heads = {b"PK\x03\x04": _ARCHIVE, b"PK\x05\x06": _ARCHIVE, b"\x1f\x8b": "compressed", b"BZh": "compressed"}
    heads |= {b"\xfd7zXZ": "compressed", b"\x93NUMPY": "an array", b"\x89HDF": "an HDF5 file"}
    return next((name for head, name in heads.items() if data.startswith(head)), None)


# ---------------------------------------------------------------------------------------------------------- archives


def _check_numpy(data: bytes) -> None:
    with _opened(data, "numpy") as archive:
        _head(archive, "state.json", "numpy")
        named = {name for name in archive.namelist() if name.endswith(".npy")}
        _check_parts(archive, data, named, "state.json", "numpy")


def _opened(data: bytes, runtime: str) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except _BROKEN as error:
        raise ModelError(f"these bytes are no {runtime} model: {error}", hint=_AGAIN) from error
    for part in archive.infolist():
        if part.flag_bits & 1 or part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelError(f"these bytes are no {runtime} model: {part.filename!r:.80} is packed oddly", hint=_AGAIN)
    return archive


_BROKEN = (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, NotImplementedError, RuntimeError)
_NO_HEADER = (tokenize.TokenError, SyntaxError, TypeError, MemoryError)


def _head(archive: zipfile.ZipFile, name: str, runtime: str) -> Any:
    try:
        if archive.getinfo(name).file_size > MOST_MANIFEST_BYTES:
            raise ModelError(f"{name} of this {runtime} model is absurdly large", hint=_AGAIN)
        return read_json(archive.read(name))
    except (KeyError, *_BROKEN) as error:
        raise ModelError(f"this {runtime} model has no {name} that can be read: {error}", hint=_AGAIN) from error


def _check_parts(archive: zipfile.ZipFile, data: bytes, named: set[str], head: str, runtime: str) -> None:
    names = archive.namelist()
    present = set(names) - {head}
    problems = [f"{name} is missing" for name in sorted(named - present)]
    problems += [f"{name} is no part of it" for name in sorted(present - named)]
    problems += [f"{name} is there twice" for name in sorted(set(names)) if names.count(name) > 1]
    total, most = sum(part.file_size for part in archive.infolist()), _ROOM + _SPREAD * len(data)
    if total > most:
        problems.append(f"{len(data):,} bytes would unpack to {total:,}, and may to {most:,}")
    else:
        problems += [said for name in sorted(present & named) if (said := _array_problem(archive, name))]
    if problems:
        what = f"this {runtime} model is not whole: {'; '.join(problems[:10])}"
        raise ModelError(what + (f" and {len(problems) - 10} more" if len(problems) > 10 else ""), hint=_AGAIN)


def _array_problem(archive: zipfile.ZipFile, name: str) -> str | None:
    """What is wrong with an array, or with a sparse matrix, by its first bytes; None also for other parts."""
    try:
        if name.endswith(".npz"):
            with zipfile.ZipFile(io.BytesIO(archive.read(name))) as inner:
                return _matrix_problem(inner, name)
        if not name.endswith(".npy"):
            archive.read(name)  # its checksum
            return None
        with archive.open(name) as part:
            return _header_problem(part, archive.getinfo(name).file_size, name)
    except (*_BROKEN, *_NO_HEADER) as error:
        return f"{name} is no array: {' '.join(str(error).split())[:200]}"


def _matrix_problem(inner: zipfile.ZipFile, name: str) -> str | None:
    """What is wrong with the arrays of a sparse matrix."""
    parts = inner.infolist()
    if len(parts) > _MOST_OF_A_MATRIX or sum(part.file_size for part in parts) > _ROOM:
        return f"{name} is absurdly large"
    for part in parts:
        with inner.open(part) as file:
            problem = _header_problem(file, part.file_size, f"{part.filename} in {name}")
        if problem is not None:
            return problem
    return None


def _header_problem(part: IO[bytes], size: int, name: str) -> str | None:
    from numpy.lib import format as npy

    version = npy.read_magic(part)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(part)
    if dtype.hasobject:
        return f"{name} holds pickled objects, which are never loaded"
    said, left = math.prod(shape) * dtype.itemsize, size - part.tell()
    return None if said == left else f"{name} says {said:,} bytes and has {left:,}"


# -------------------------------------------------------------------------------------------------------------- ONNX


class _BrokenGraphError(Exception):
    """The bytes do not follow the protocol buffers encoding."""


def _check_graph(data: bytes) -> None:
    """Walk an ONNX model without the library, which would cost the server a third of a second and 30 MB."""
    try:
        found = _Graph(data)
    except _BrokenGraphError as error:
        raise ModelError(f"these bytes are no onnx model: {error}", hint=_AGAIN) from None
    if found.outside:
        names = ", ".join(sorted(found.outside)[:5])
        what = f"this onnx model keeps data in files of its own: {names}"
        raise ModelError(what, hint="save it with its data inside, as one file")
    strange = sorted(one for one in found.operators if one[0] not in _DOMAINS and one not in found.functions)
    if strange:
        names = ", ".join(f"{domain}:{name}" for domain, name in strange[:5])
        what = f"this onnx model needs operators that only their maker's library runs: {names}"
        raise ModelError(what, hint="export it with the operators of onnx and ai.onnx.ml alone")


class _Graph:
    """What a walk over an ONNX model met (onnx.proto, messages ModelProto, GraphProto, NodeProto, TensorProto)."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.outside: set[str] = set()
        self.operators: set[tuple[str, str]] = set()
        self.functions: set[tuple[str, str]] = set()
        graphs = 0
        for field, start, end in self._fields(0, len(data)):
            if field == 7:
                graphs += 1
                self._graph(start, end, 0)
            elif field == 25:
                self._function(start, end)
            elif field == 20:
                raise _BrokenGraphError("it holds a training graph")
        if graphs != 1:
            raise _BrokenGraphError(f"it holds {graphs} graphs")

    def _graph(self, at: int, end: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise _BrokenGraphError(f"graphs within graphs, more than {_DEEPEST} deep")
        for field, start, stop in self._fields(at, end):
            if field == 1:
                self._node(start, stop, depth)
            elif field == 5:
                self._tensor(start, stop)
            elif field == 15:
                self._sparse(start, stop)

    def _function(self, at: int, end: int) -> None:
        name = domain = ""
        for field, start, stop in self._fields(at, end):
            if field == 1:
                name = self._text(start, stop)
            elif field == 10:
                domain = self._text(start, stop)
            elif field == 7:
                self._node(start, stop, 1)
        self.functions.add((domain, name))

    def _node(self, at: int, end: int, depth: int) -> None:
        name = domain = ""
        for field, start, stop in self._fields(at, end):
            if field == 4:
                name = self._text(start, stop)
            elif field == 7:
                domain = self._text(start, stop)
            elif field == 5:
                self._attribute(start, stop, depth)
        self.operators.add((domain, name))

    def _attribute(self, at: int, end: int, depth: int) -> None:
        for field, start, stop in self._fields(at, end, plain=True):
            if field in (5, 10):
                self._tensor(start, stop)
            elif field in (6, 11):
                self._graph(start, stop, depth + 1)
            elif field in (22, 23):
                self._sparse(start, stop)

    def _sparse(self, at: int, end: int) -> None:
        for field, start, stop in self._fields(at, end):
            if field in (1, 2):
                self._tensor(start, stop)

    def _tensor(self, at: int, end: int) -> None:
        outside, name = False, "a tensor without a name"
        for field, start, stop in self._fields(at, end):
            if field == 8:
                name = self._text(start, stop)
            outside = outside or field == 13 or (field == 14 and start == 1)
        if outside:
            self.outside.add(name)

    def _text(self, start: int, end: int) -> str:
        return self.data[start:end].decode(errors="replace")[:200]

    def _fields(self, at: int, end: int, *, plain: bool = False) -> Iterator[tuple[int, int, int]]:
        """Number, start and end of each field; of a number that is no length, its value in place of its start."""
        data = self.data
        while at < end:
            if plain:
                found = _PLAIN.match(data, at, end)
                at = found.end() if found else at
                if at >= end:
                    return
            key, at = self._varint(at, end)
            field, wire = key >> 3, key & 7
            if key >> 32:
                raise _BrokenGraphError(f"its encoding breaks off at byte {at:,}")
            if wire == 0:
                value, at = self._varint(at, end)
                yield field, value, at
            elif wire == 2:
                size, at = self._varint(at, end)
                if at + size > end:
                    raise _BrokenGraphError(f"it is cut off: a part of {size:,} bytes has {end - at:,}")
                yield field, at, at + size
                at += size
            elif wire in (1, 5):
                at += 8 if wire == 1 else 4
                if at > end:
                    raise _BrokenGraphError("it is cut off within a number")
            else:
                raise _BrokenGraphError(f"its encoding breaks off at byte {at:,}")

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self.data[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value, at
            shift += 7
        raise _BrokenGraphError(f"its encoding breaks off at byte {at:,}")
