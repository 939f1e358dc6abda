"""The data plane: a bare ASGI server that answers from one immutable routing table and logs before it replies."""

from homeostat.cd.serve.app import Application, Settings
from homeostat.cd.serve.process import Endpoint, application, endpoint_file, listen, read_endpoint, serve
from homeostat.cd.serve.routing import RoutingStatus
from homeostat.cd.serve.served import contract_problems
from homeostat.cd.serve.visitors import is_loopback

__all__ = [
    "Application",
    "Endpoint",
    "RoutingStatus",
    "Settings",
    "application",
    "contract_problems",
    "endpoint_file",
    "is_loopback",
    "listen",
    "read_endpoint",
    "serve",
]
