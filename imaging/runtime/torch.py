"""The network in eager torch, on CUDA where there is one."""

import torch
from torch import Tensor, nn

from imaging.runtime import Prediction


class TorchModule:
    """Runs a network, from canvas to several tensors, in channels-last float32."""

    name = "torch"

    def __init__(self, module: nn.Module, *, threads: int | None = None) -> None:
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if threads is not None:
            torch.set_num_threads(threads)
        self._module = module.to(self._device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def run(self, canvas: Tensor) -> list[Tensor]:
        """What the module gives for one canvas, on the CPU."""
        with torch.inference_mode():
            outputs = self._module(canvas.to(self._device).contiguous(memory_format=torch.channels_last))
            return [output.cpu() for output in outputs]


class TorchRuntime(TorchModule):
    """The same with the fused detector and its decoding as module."""

    def predict(self, canvas: Tensor) -> Prediction:
        """Predictions for one canvas."""
        return Prediction.of(self.run(canvas))
