"""Train a candidate: from labelled rows to a bundle that is proved, seeded and complete."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.ci.train.online import train_online as train_online
    from homeostat.ci.train.torch import TorchClassifier as TorchClassifier
    from homeostat.ci.train.torch import TorchRegressor as TorchRegressor
    from homeostat.ci.train.train import describe as describe
    from homeostat.ci.train.train import spanning as spanning
    from homeostat.ci.train.train import train as train
    from homeostat.ci.train.train import with_reference as with_reference

__getattr__ = loader(
    __name__,
    {
        "online": ("train_online",),
        "torch": ("TorchClassifier", "TorchRegressor"),
        "train": ("describe", "spanning", "train", "with_reference"),
    },
)
