"""Models as data: what they take and give, how features are coded, how they are stored, and what runs them."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.core.model.bundle import Bundle as Bundle
    from homeostat.core.model.bundle import Model as Model
    from homeostat.core.model.encoder import Code as Code
    from homeostat.core.model.encoder import Encoder as Encoder
    from homeostat.core.model.estimator import trusted_types as trusted_types
    from homeostat.core.model.features import Features as Features
    from homeostat.core.model.labelling import Labelling as Labelling
    from homeostat.core.model.labelling import Output as Output
    from homeostat.core.model.manifest import Golden as Golden
    from homeostat.core.model.manifest import Lineage as Lineage
    from homeostat.core.model.manifest import Manifest as Manifest
    from homeostat.core.model.needs import Needs as Needs
    from homeostat.core.model.signature import Predictions as Predictions
    from homeostat.core.model.signature import Signature as Signature

__getattr__ = loader(
    __name__,
    {
        "needs": ("Needs",),
        "bundle": ("Bundle", "Model"),
        "encoder": ("Code", "Encoder"),
        "estimator": ("trusted_types",),
        "features": ("Features",),
        "labelling": ("Labelling", "Output"),
        "manifest": ("Golden", "Lineage", "Manifest"),
        "signature": ("Predictions", "Signature"),
    },
)
