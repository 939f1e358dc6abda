"""The ways of asking for predictions, and what the server says of the models that it answers for."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.serve.protocols.protocol import CompiledProtocol as CompiledProtocol
    from homeostat.cd.serve.protocols.protocol import GoldenRequest as GoldenRequest
    from homeostat.cd.serve.protocols.protocol import Protocol as Protocol
    from homeostat.cd.serve.protocols.protocol import route_of as route_of
    from homeostat.cd.serve.protocols.table import PROTOCOLS as PROTOCOLS

__getattr__ = loader(
    __name__, {"protocol": ("CompiledProtocol", "GoldenRequest", "Protocol", "route_of"), "table": ("PROTOCOLS",)}
)
