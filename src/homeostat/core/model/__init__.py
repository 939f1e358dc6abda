"""Models as data: what they take and give, how features are coded, how they are stored, and what runs them."""

from typing import TYPE_CHECKING

from homeostat.core.lazy import loader

if TYPE_CHECKING:
    from homeostat.core.model.bundle import Bundle as Bundle
    from homeostat.core.model.bundle import Model as Model
    from homeostat.core.model.bundle import check_features as check_features
    from homeostat.core.model.convert import Proof as Proof
    from homeostat.core.model.encoder import Code as Code
    from homeostat.core.model.encoder import Coder as Coder
    from homeostat.core.model.encoder import Encoder as Encoder
    from homeostat.core.model.encoder import fit_encoder as fit_encoder
    from homeostat.core.model.estimator import trusted_types as trusted_types
    from homeostat.core.model.features import Features as Features
    from homeostat.core.model.features import FeaturesCode as FeaturesCode
    from homeostat.core.model.features import apply_features as apply_features
    from homeostat.core.model.labelling import Labelling as Labelling
    from homeostat.core.model.labelling import Output as Output
    from homeostat.core.model.manifest import Blob as Blob
    from homeostat.core.model.manifest import EstimatorInfo as EstimatorInfo
    from homeostat.core.model.manifest import Golden as Golden
    from homeostat.core.model.manifest import Lineage as Lineage
    from homeostat.core.model.manifest import Manifest as Manifest
    from homeostat.core.model.manifest import TriedSettings as TriedSettings
    from homeostat.core.model.needs import Needs as Needs
    from homeostat.core.model.signature import Predictions as Predictions
    from homeostat.core.model.signature import Signature as Signature
    from homeostat.core.model.signature import signature_of as signature_of

__getattr__ = loader(
    __name__,
    {
        "needs": ("Needs",),
        "bundle": ("Bundle", "Model", "check_features"),
        "convert": ("Proof",),
        "encoder": ("Code", "Coder", "Encoder", "fit_encoder"),
        "estimator": ("trusted_types",),
        "features": ("Features", "FeaturesCode", "apply_features"),
        "labelling": ("Labelling", "Output"),
        "manifest": ("Blob", "EstimatorInfo", "Golden", "Lineage", "Manifest", "TriedSettings"),
        "signature": ("Predictions", "Signature", "signature_of"),
    },
)
