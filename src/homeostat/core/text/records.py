"""Records of our own as canonical JSON: read again as they were, and refused when they are newer, or something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from homeostat.core.errors import HomeostatError

_Record = TypeVar("_Record", bound=msgspec.Struct)


class _Versioned(msgspec.Struct):
    format: int


def to_json(record: msgspec.Struct) -> bytes:
    """Canonical JSON: sorted keys, no spaces."""
    return msgspec.json.encode(record, order="sorted")


def from_json(
    data: bytes | str,
    kind: type[_Record],
    error: type[HomeostatError],
    wrong: str,
    *,
    hint: str | None = None,
    newest: tuple[str, int] | None = None,
) -> _Record:
    """The inverse of `to_json`; of what has a `format`, `newest` says what it is called and which one is read.

    Raises:
        HomeostatError: `error`: it is something else, as `wrong` says, or a newer Homeostat wrote it.
    """
    try:
        if newest is not None and (written := msgspec.json.decode(data, type=_Versioned).format) > newest[1]:
            what = f"this {newest[0]} has format {written} and this Homeostat reads up to {newest[1]}"
            raise error(what, hint="upgrade it where that is read: pip install --upgrade homeostat")
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError) as cause:
        raise error(f"{wrong}: {cause}", hint=hint) from cause
