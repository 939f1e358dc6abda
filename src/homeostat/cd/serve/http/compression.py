"""Compressed bodies, in and out: gzip and deflate, with a hard bound on what a body may grow to.

Source: RFC 9110 (`Content-Encoding`, `Accept-Encoding`), RFC 1950 to 1952. `deflate` is the zlib format; raw deflate,
which some clients send under that name, is taken as well.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import msgspec

from homeostat.cd.serve.errors import EncodingError, InflatedError
from homeostat.core.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from homeostat.cd.serve.http.replies import Reply

SMALLEST = 1_400
"""A shorter answer is sent plain: it fits into one packet either way."""

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_LEVEL = 1
_WBITS = {"gzip": _GZIP, "deflate": _ZLIB}


def content_encoding(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """How a request's body is encoded: `gzip`, `deflate`, or nothing when it is plain.

    Raises:
        EncodingError: In another way, or in several.
    """
    values = [value for name, value in headers if name == b"content-encoding"]
    if not values:
        return ""
    parts = [part.strip().lower() for value in values for part in value.decode("latin-1").split(",")]
    found = ["gzip" if part == "x-gzip" else part for part in parts if part not in {"", "identity"}]
    if not found:
        return ""
    if len(found) > 1 or found[0] not in _WBITS:
        raise EncodingError(f"the body is encoded as {', '.join(found)[:60]!r}", hint="send it plain, gzip or deflate")
    return found[0]


def inflate(encoding: str, body: bytes, most: int) -> bytes:
    """The plain body. Not one byte more than `most` is ever unpacked, whatever the body claims.

    Raises:
        InflatedError: The plain body would be longer.
        DataError: The body is damaged, torn, or followed by something else.

    Example:
        >>> inflate("deflate", deflate("deflate", b"wind"), most=4)
        b'wind'
    """
    stream = zlib.decompressobj(_WBITS[encoding] if encoding == "gzip" or _is_zlib(body) else _RAW)
    try:
        plain = stream.decompress(body, most + 1)
    except zlib.error as error:
        what = str(error).removeprefix("Error ")
        raise DataError(f"the body is no {encoding}: {what[:100]}", hint="or send it plain") from error
    if len(plain) > most:
        raise InflatedError(f"the body is longer than {most:,} bytes once it is unpacked")
    if not stream.eof:
        raise DataError(f"the {encoding} body ends too early", hint="it was torn on its way")
    if stream.unused_data:
        raise DataError(f"the {encoding} body is followed by {len(stream.unused_data):,} more bytes")
    return plain


def accepted(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The encoding that the caller wants the answer in: `gzip`, `deflate`, or nothing when it is plain.

    Example:
        >>> accepted([(b"accept-encoding", b"br, deflate;q=0.5, gzip;q=0.9")])
        'gzip'
    """
    best, weight = "", 0.0
    for name, value in headers:
        if name != b"accept-encoding":
            continue
        for part in value.decode("latin-1").lower().split(","):
            coding, _, parameter = part.partition(";")
            found = {"*": "gzip", "x-gzip": "gzip"}.get(coding.strip(), coding.strip())
            asked = _weight(parameter)
            if found in _WBITS and (asked > weight or (asked == weight > 0 and found == "gzip")):
                best, weight = found, asked
    return best


def deflate(encoding: str, body: bytes) -> bytes:
    """The body in `gzip` or `deflate`: quick rather than as small as can be."""
    return zlib.compress(body, _LEVEL, _WBITS[encoding])


def compressed(reply: Reply, headers: Iterable[tuple[bytes, bytes]]) -> Reply:
    """The reply in the encoding that the caller wants it in, if that can be made."""
    encoding = accepted(headers)
    if not encoding:
        return reply
    told = ((b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
    try:
        body = deflate(encoding, reply.body)
    except (MemoryError, zlib.error):
        return reply
    return msgspec.structs.replace(reply, body=body, headers=(*reply.headers, *told))


def _weight(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def _is_zlib(body: bytes) -> bool:
    """Whether the body begins with zlib's two bytes; raw deflate never begins like that in practice."""
    return len(body) >= 2 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0
