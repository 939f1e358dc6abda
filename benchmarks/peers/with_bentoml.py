"""BentoML with ONNX Runtime: adaptive batching, no access log, no tracing, no metrics."""

import os

import bentoml
import numpy as np
import onnxruntime


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Model:
    """Rows of numbers in; label and score of each out."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)

    @bentoml.api(batchable=True, max_batch_size=2048, max_latency_ms=1000)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        labels, scores = self.session.run(None, {"x": rows.astype(np.float32)})
        return np.column_stack([labels, scores[:, 1]])
