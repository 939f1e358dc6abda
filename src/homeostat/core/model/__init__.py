"""Models as data: what they take and give, how features are coded, how they are stored, and what runs them."""

from homeostat.core.model.bundle import Bundle, Model, check_features
from homeostat.core.model.convert import Proof
from homeostat.core.model.encoder import Code, Coder, Encoder, fit_encoder
from homeostat.core.model.estimator import trusted_types
from homeostat.core.model.features import Features, FeaturesCode, apply_features
from homeostat.core.model.labelling import Labelling, Output
from homeostat.core.model.manifest import Blob, EstimatorInfo, Golden, Lineage, Manifest, Trial
from homeostat.core.model.signature import Predictions, Signature, signature_of

__all__ = [
    "Blob",
    "Bundle",
    "Code",
    "Coder",
    "Encoder",
    "EstimatorInfo",
    "Features",
    "FeaturesCode",
    "Golden",
    "Labelling",
    "Lineage",
    "Manifest",
    "Model",
    "Output",
    "Predictions",
    "Proof",
    "Signature",
    "Trial",
    "apply_features",
    "check_features",
    "fit_encoder",
    "signature_of",
    "trusted_types",
]
