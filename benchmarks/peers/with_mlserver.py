"""MLServer with ONNX Runtime as a custom runtime; `mlserver start` finds it by the settings that `write` leaves."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Model(MLModel):
    """One tensor in, labels and scores out."""

    async def load(self) -> bool:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(os.environ["BENCH_MODEL"], options)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        labels, scores = self.session.run(None, {"x": NumpyCodec.decode_input(payload.inputs[0])})
        outputs = [
            NumpyCodec.encode_output("label", labels.astype(np.int64)),
            NumpyCodec.encode_output("score", scores[:, 1]),
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def write(folder: Path, name: str, port: int) -> None:
    """The settings: no debugging (and so no access log), and the model in the server's own process."""
    (folder / "model-settings.json").write_text(json.dumps({"name": name, "implementation": "with_mlserver.Model"}))
    settings = {"debug": False, "parallel_workers": 0, "host": "127.0.0.1", "http_port": port}
    settings |= {"grpc_port": port + 1, "metrics_port": port + 2, "metrics_endpoint": None, "gzip_enabled": False}
    (folder / "settings.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
