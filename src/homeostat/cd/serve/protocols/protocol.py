"""What a way of asking for predictions is: one value, of which routes, counts, contract gate and document are made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from homeostat.cd.serve.http.replies import Reply
    from homeostat.cd.serve.rows import Rows
    from homeostat.cd.serve.scoring.dispatch import Answer
    from homeostat.core.model import Signature

    Headers = Mapping[bytes, bytes]
    Schema = dict[str, Any]


class CompiledProtocol(NamedTuple):
    """A protocol that was compiled for a model's signature.

    Attributes:
        decode: From a body, and the headers that matter, to rows; what it refuses is a `DataError`.
        encode: From the model's name, the answer and the rows' `wanted` to what is sent.
    """

    decode: Callable[[bytes, Headers], Rows]
    encode: Callable[[str, Answer, Any], Reply]


class GoldenRequest(NamedTuple):
    """How the contract gate asks a model's golden rows.

    Attributes:
        write: From rows as JSON holds them and the signature to a body and its headers.
        read: From the body and the headers of the answer and the signature to the value of each row, and its scores by
            class; None where the protocol tells no scores.
    """

    write: Callable[[Sequence[Mapping[str, Any]], Signature], tuple[bytes, Headers]]
    read: Callable[[bytes, Headers, Signature], tuple[Sequence[Any], Sequence[Sequence[float]] | None]]


@dataclass(frozen=True, eq=False, kw_only=True)
class Protocol:
    """A way of asking for predictions.

    Attributes:
        route: What its requests are counted as.
        paths: Where it is asked by `POST`. `{name}` stands for a model's name, without which the first model answers,
            and `{version}` for the number of one of its versions.
        compile: Makes the codec of a signature.
        golden: Its golden requests, by what the contract gate calls them.
        document: From a signature and the most rows of a request to the path item, and the schemas that this refers to.
    """

    route: str
    paths: tuple[str, ...]
    compile: Callable[[Signature], CompiledProtocol]
    golden: Mapping[str, GoldenRequest]
    document: Callable[[Signature, int], tuple[Schema, dict[str, Schema]]]

    def match(self, path: str) -> dict[str, str] | None:
        """What the placeholders of the first of its paths stand for that is this one; None if none is.

        Example:
            >>> from homeostat.cd.serve import PROTOCOLS
            >>> [one.match("/predict/flights") for one in PROTOCOLS][0]
            {'name': 'flights'}
        """
        found = (pattern.fullmatch(path) for pattern in self._patterns)
        return next((match.groupdict() for match in found if match), None)

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        parts = (re.split(r"\{(\w+)\}", path) for path in self.paths)
        return [
            re.compile(
                "".join(f"(?P<{part}>[^/]+)" if place % 2 else re.escape(part) for place, part in enumerate(one))
            )
            for one in parts
        ]


def route_of(protocols: Sequence[Protocol], path: str) -> str:
    """What a request to a path is counted as that no protocol answered, because it was refused before."""
    found = next((one.route for one in protocols if one.match(path) is not None), "other")
    return path if path == "/labels" else found
