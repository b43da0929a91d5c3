"""An ONNX file with LSTM or GRU operators, run by OpenVINO."""

from typing import Any

import numpy as np
import openvino

from benchmarks.frameworks.job import Array, Contender, Job


class OpenVINOContender(Contender):
    """A compiled model. Weights: the bytes of the file that ``conversion.to_onnx`` writes."""

    def __init__(self, job: Job) -> None:
        core = openvino.Core()
        model = core.read_model(job.weights)
        self.inputs = dict(zip(("input", "h_0", "c_0"), (job.x, *job.state), strict=False))
        model.reshape({name: array.shape for name, array in self.inputs.items()})
        settings = {
            "INFERENCE_NUM_THREADS": job.threads,
            "INFERENCE_PRECISION_HINT": "f32",  # the default may be bfloat16
            "PERFORMANCE_HINT": "LATENCY",
        }
        self.request = core.compile_model(model, "CPU", settings).create_infer_request()

    def inference(self) -> Any:
        return self.request.infer(self.inputs, share_inputs=True, share_outputs=True)

    def train(self) -> Any:
        raise NotImplementedError("OpenVINO is measured in inference only")

    def arrays(self, phase: str, result: Any) -> dict[str, Array]:
        return {port.get_any_name(): np.array(result[port]) for port in result}


CONTENDER = OpenVINOContender
VERSION = f"openvino {openvino.__version__.partition('-')[0]}"
