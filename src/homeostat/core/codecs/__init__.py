"""Values to bytes and back, without ever running code that came with the bytes."""

from homeostat.core.codecs.built_in import add_built_in
from homeostat.core.codecs.registry import codec_name, decode, encode, find, register

__all__ = ["codec_name", "decode", "encode", "find", "register"]

add_built_in()
