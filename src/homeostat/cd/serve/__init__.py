"""The data plane: a bare ASGI server that answers from one immutable routing table and logs before it replies."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.serve.app import Application as Application
    from homeostat.cd.serve.listen import Endpoint as Endpoint
    from homeostat.cd.serve.listen import endpoint_file as endpoint_file
    from homeostat.cd.serve.listen import read_endpoint as read_endpoint
    from homeostat.cd.serve.process import Hosting as Hosting
    from homeostat.cd.serve.process import Worker as Worker
    from homeostat.cd.serve.process import application as application
    from homeostat.cd.serve.process import serve as serve
    from homeostat.cd.serve.routing import RoutingStatus as RoutingStatus
    from homeostat.cd.serve.scoring.version import contract_problems as contract_problems
    from homeostat.cd.serve.settings import Settings as Settings

__getattr__ = loader(
    __name__,
    {
        "app": ("Application",),
        "listen": ("Endpoint", "endpoint_file", "read_endpoint"),
        "process": ("Hosting", "Worker", "application", "serve"),
        "routing": ("RoutingStatus",),
        "scoring.version": ("contract_problems",),
        "settings": ("Settings",),
    },
)
