"""Compressed bodies: bounded whatever they claim to be, and refused when they are not what they say."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest

from homeostat.cd.serve.http.compression import (
    EncodingError,
    InflatedError,
    accepted,
    content_encoding,
    deflate,
    inflate,
)
from homeostat.core.errors import DataError

PLAIN = b'{"wind": 12.5}' * 100


def raw_deflate(data):
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip", gzip.compress(PLAIN)), ("deflate", zlib.compress(PLAIN)), ("deflate", raw_deflate(PLAIN))],
    ids=["gzip", "zlib", "raw deflate"],
)
def test_what_others_pack_is_unpacked(encoding, packed):
    assert inflate(encoding, packed, len(PLAIN)) == PLAIN


def test_what_is_packed_others_unpack():
    assert gzip.decompress(deflate("gzip", PLAIN)) == PLAIN
    assert zlib.decompress(deflate("deflate", PLAIN)) == PLAIN


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_costs_no_more_than_the_bound(encoding):
    bomb = deflate(encoding, b"\0" * 20_000_000)
    tracemalloc.start()
    with pytest.raises(InflatedError, match="1,000,000 bytes"):
        inflate(encoding, bomb, 1_000_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


BROKEN = {
    "not packed at all": (PLAIN, "is no"),
    "torn": (gzip.compress(PLAIN)[:-9], "too early"),
    "no body": (b"", "too early"),
    "garbage behind": (gzip.compress(PLAIN) + b"x", "followed by 1 more"),
    "two streams": (gzip.compress(PLAIN) * 2, "followed by"),
    "a wrong checksum": (gzip.compress(PLAIN)[:-8] + b"\0" * 8, "is no gzip"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_body_is_refused(case):
    body, words = BROKEN[case]
    with pytest.raises(DataError, match=words):
        inflate("gzip", body, 1_000_000)


@pytest.mark.parametrize(
    ("values", "found"),
    [([], ""), ([b""], ""), ([b"identity"], ""), ([b"GZip"], "gzip"), ([b"x-gzip"], "gzip"), ([b"deflate"], "deflate")],
)
def test_encodings_that_are_taken(values, found):
    assert content_encoding([(b"content-encoding", value) for value in values]) == found


@pytest.mark.parametrize("values", [[b"br"], [b"gzip, gzip"], [b"gzip", b"deflate"], [b"\xff" * 100]])
def test_encodings_that_are_not_taken(values):
    with pytest.raises(EncodingError, match="encoded as"):
        content_encoding([(b"content-encoding", value) for value in values])


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, ""),
        (b"gzip, deflate", "gzip"),
        (b"deflate, gzip", "gzip"),
        (b"deflate;q=1, gzip;q=0.1", "deflate"),
        (b"gzip;q=0", ""),
        (b"*", "gzip"),
        (b"br;q=1.0, zstd", ""),
        (b"gzip;q=x", ""),
        (b"\xff\xfe;;;,,q=", ""),
    ],
)
def test_the_encoding_of_the_answer(asked, found):
    assert accepted([] if asked is None else [(b"accept-encoding", asked)]) == found
