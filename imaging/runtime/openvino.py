"""The network in OpenVINO, compiled for the CPU at hand."""

import warnings

import numpy as np
import openvino
import torch
from openvino import properties
from torch import Tensor, nn

from imaging.runtime import Prediction


class OpenVinoModule:
    """Runs a network in float32, so that results do not depend on whether the CPU has bfloat16.

    Args:
        module: from canvas to several tensors.
        image_size: side of the canvas, in pixels.
        threads: of one prediction; None lets OpenVINO decide.
        bfloat16: calculate in bfloat16 where the CPU can; elsewhere float32.
    """

    def __init__(
        self, module: nn.Module, image_size: int, *, threads: int | None = None, bfloat16: bool = False
    ) -> None:
        self.name = "openvino-bf16" if bfloat16 else "openvino"
        example = torch.zeros(1, 3, image_size, image_size)
        with torch.no_grad(), warnings.catch_warnings():
            # OpenVINO traces the module; that torch means to replace tracing is no news for a clinician's terminal.
            warnings.simplefilter("ignore")
            model = openvino.convert_model(module.eval(), example_input=example, input=[1, 3, image_size, image_size])
        config: dict[str, object] = {
            properties.hint.inference_precision(): openvino.Type.bf16 if bfloat16 else openvino.Type.f32,
            properties.hint.performance_mode(): properties.hint.PerformanceMode.LATENCY,
        }
        if threads is not None:
            config[properties.inference_num_threads()] = threads
        self._request = openvino.Core().compile_model(model, "CPU", config).create_infer_request()
        self._outputs = len(model.outputs)
        # Kept, because new memory for each canvas costs three times what filling it does.
        self._canvas = np.empty((1, 3, image_size, image_size), dtype=np.float32)

    def run(self, canvas: Tensor) -> list[Tensor]:
        """What the module gives for one canvas; not to be entered by two threads at once."""
        np.copyto(self._canvas, canvas.numpy())
        self._request.infer([self._canvas], share_inputs=True)
        return [
            torch.from_numpy(self._request.get_output_tensor(number).data.copy()) for number in range(self._outputs)
        ]


class OpenVinoRuntime(OpenVinoModule):
    """The same with the fused detector and its decoding as module."""

    def predict(self, canvas: Tensor) -> Prediction:
        """Predictions for one canvas; not to be entered by two threads at once."""
        return Prediction.of(self.run(canvas))
