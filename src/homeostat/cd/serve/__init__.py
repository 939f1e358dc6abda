"""The data plane: a bare ASGI server that answers from one immutable routing table and logs before it replies."""

from homeostat.cd.serve.app import Application, Around, Settings
from homeostat.cd.serve.listen import Endpoint, endpoint_file, listen, read_endpoint
from homeostat.cd.serve.process import Hosting, Worker, application, serve
from homeostat.cd.serve.protocols import PREDICTING, PROTOCOLS
from homeostat.cd.serve.routing import RoutingStatus
from homeostat.cd.serve.served import contract_problems
from homeostat.cd.serve.visitors import is_loopback

__all__ = [
    "PREDICTING",
    "PROTOCOLS",
    "Application",
    "Around",
    "Endpoint",
    "Hosting",
    "RoutingStatus",
    "Settings",
    "Worker",
    "application",
    "contract_problems",
    "endpoint_file",
    "is_loopback",
    "listen",
    "read_endpoint",
    "serve",
]
