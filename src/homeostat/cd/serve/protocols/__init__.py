"""The ways of asking for predictions, and what the server says of the models that it answers for."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.serve.protocols.protocol import PREDICTING as PREDICTING
    from homeostat.cd.serve.protocols.protocol import PROTOCOLS as PROTOCOLS
    from homeostat.cd.serve.protocols.protocol import route_of as route_of

__getattr__ = loader(
    __name__,
    {
        "protocol": ("PREDICTING", "PROTOCOLS", "route_of"),
    },
)
