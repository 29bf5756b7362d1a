"""The network in eager torch, on CUDA where there is one."""

import torch
from torch import Tensor, nn

from imaging.runtime import Prediction


class TorchRuntime:
    """Runs the fused network in channels-last float32."""

    name = "torch"

    def __init__(self, module: nn.Module, *, threads: int | None = None) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if threads is not None:
            torch.set_num_threads(threads)
        self._module = module.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def predict(self, canvas: Tensor) -> Prediction:
        """Predictions for one canvas."""
        with torch.inference_mode():
            outputs = self._module(canvas.to(self._device).contiguous(memory_format=torch.channels_last))
            return Prediction.of([output.cpu() for output in outputs])
