"""The pipeline engine: steps by parameter names, a content-addressed cache with explainable keys, resume, records."""

from homeostat.ci.pipeline.contract import check_run
from homeostat.ci.pipeline.environment import current_environment
from homeostat.ci.pipeline.graph import Step, step
from homeostat.ci.pipeline.pipeline import Pipeline, Run
from homeostat.ci.pipeline.record import mark_interrupted, start_of

__all__ = ["Pipeline", "Run", "Step", "check_run", "current_environment", "mark_interrupted", "start_of", "step"]
