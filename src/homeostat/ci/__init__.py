"""CI: collect, validate, preprocess, analyze, train, evaluate, gate."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.ci import backtest as backtest
    from homeostat.ci import collect as collect
    from homeostat.ci import preprocess as preprocess
    from homeostat.ci import validate as validate

__getattr__ = loader(__name__, {"backtest": (".",), "collect": (".",), "preprocess": (".",), "validate": (".",)})
