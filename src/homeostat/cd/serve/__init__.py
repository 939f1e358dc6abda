"""The data plane: a bare ASGI server that answers from one immutable routing table and logs before it replies."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.serve.app import Application as Application
    from homeostat.cd.serve.app import Around as Around
    from homeostat.cd.serve.http.visitors import is_loopback as is_loopback
    from homeostat.cd.serve.listen import Endpoint as Endpoint
    from homeostat.cd.serve.listen import endpoint_file as endpoint_file
    from homeostat.cd.serve.listen import read_endpoint as read_endpoint
    from homeostat.cd.serve.process import Hosting as Hosting
    from homeostat.cd.serve.process import Worker as Worker
    from homeostat.cd.serve.process import application as application
    from homeostat.cd.serve.process import serve as serve
    from homeostat.cd.serve.protocols import PROTOCOLS as PROTOCOLS
    from homeostat.cd.serve.routing import RoutingStatus as RoutingStatus
    from homeostat.cd.serve.scoring.version import contract_problems as contract_problems
    from homeostat.cd.serve.settings import Settings as Settings

__getattr__ = loader(
    __name__,
    {
        "app": ("Application", "Around"),
        "http.visitors": ("is_loopback",),
        "listen": ("Endpoint", "endpoint_file", "read_endpoint"),
        "process": ("Hosting", "Worker", "application", "serve"),
        "protocols": ("PROTOCOLS",),
        "routing": ("RoutingStatus",),
        "scoring.version": ("contract_problems",),
        "settings": ("Settings",),
    },
)
