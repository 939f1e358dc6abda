"""The monitor: blocks of answered rows, their labels and the server's counts, turned into typed signals."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.cd.monitor.monitor import MonitorConfig as MonitorConfig
    from homeostat.cd.monitor.monitor import ServiceCounts as ServiceCounts
    from homeostat.cd.monitor.monitor import observe as observe
    from homeostat.cd.monitor.performance import Champion as Champion
    from homeostat.cd.monitor.performance import Outcomes as Outcomes
    from homeostat.cd.monitor.performance import Window as Window

__getattr__ = loader(
    __name__,
    {"monitor": ("MonitorConfig", "ServiceCounts", "observe"), "performance": ("Champion", "Outcomes", "Window")},
)
