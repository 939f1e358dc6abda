"""The stream that a fingerprint is the hash of: tags and payloads that cannot be mistaken for each other."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

from homeostat.core.errors import CodecError


class FingerprintError(CodecError):
    """A value or a function cannot be named for sure, so nothing that depends on it is cached."""

    where = ""
    """The way from the outer value to the part that cannot be named, such as `['model'][0]`."""
    parts: Mapping[str, str] = MappingProxyType({})
    """Of code: what it is made of beside that."""


class Sink(Protocol):
    """What takes the stream: every hash object of `hashlib` does."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take some bytes."""


class CodeNamer(Protocol):
    """What names the code that a value carries."""

    def token(self, thing: Any) -> str:
        """The name of a function, class or module, which is followed."""

    def instance_of(self, kind: type) -> str:
        """The name of a value's class, which may be followed."""


def frame(sink: Sink, tag: str, payload: bytes | memoryview = b"") -> None:
    """Write a tag and a payload so that neither can be mistaken for anything else."""
    size = payload.nbytes if isinstance(payload, memoryview) else len(payload)
    sink.update(f"{tag}:{size}:".encode())
    sink.update(payload)
