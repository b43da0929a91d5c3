"""An ONNX file with LSTM or GRU operators, run by ONNX Runtime."""

from typing import Any

import onnxruntime

from benchmarks.frameworks.job import Array, Contender, Job


class ONNXRuntimeContender(Contender):
    """An inference session. Weights: the bytes of the file that ``conversion.to_onnx`` writes."""

    def __init__(self, job: Job) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
        self.session = onnxruntime.InferenceSession(
            job.weights, options, providers=["CPUExecutionProvider"]
        )
        self.inputs = dict(zip(("input", "h_0", "c_0"), (job.x, *job.state), strict=False))

    def inference(self) -> Any:
        return self.session.run(None, self.inputs)

    def train(self) -> Any:
        raise NotImplementedError("ONNX Runtime is measured in inference only")

    def arrays(self, phase: str, result: Any) -> dict[str, Array]:
        return dict(
            zip((output.name for output in self.session.get_outputs()), result, strict=True)
        )


CONTENDER = ONNXRuntimeContender
VERSION = f"onnxruntime {onnxruntime.__version__}"
