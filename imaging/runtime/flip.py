"""The mean of a canvas and its mirror image: twice the time, steadier scores.

The canvas is as wide as a whole number of cells on every level, so cell (row, column) of the canvas and cell
(row, last - column) of its mirror image look at the same place and their predictions can be averaged one by one, before
boxes suppress each other. Widths, heights and scores are averaged as they are; centres after mirroring them back.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from imaging.runtime import Prediction, Runtime


class FlipAveraged:
    """A runtime that shows its network every canvas twice.

    Args:
        runtime: what runs the network.
        strides: pixels per cell of each level.
        anchors: anchors per level.
    """

    def __init__(self, runtime: Runtime, *, strides: Sequence[int], anchors: int) -> None:
        self._runtime = runtime
        self._strides = tuple(strides)
        self._anchors = anchors
        self.name = f"{runtime.name}, flip-averaged"

    def predict(self, canvas: Tensor) -> Prediction:
        """Averaged predictions for a canvas [1, 3, S, S] in 0..1; the features are those of the canvas as it is."""
        straight = self._runtime.predict(canvas)
        mirrored = self._runtime.predict(canvas.flip(-1).contiguous()).decoded
        mean = (straight.decoded + self._mirrored_back(mirrored, canvas.shape[-2], canvas.shape[-1])) / 2
        return Prediction(mean, straight.features, straight.beside)

    def _mirrored_back(self, decoded: Tensor, height: int, width: int) -> Tensor:
        """Predictions [1, N, C] of a mirrored canvas, in the order and the coordinates of the canvas itself."""
        channels = decoded.shape[-1]
        counts = [self._anchors * (height // stride) * (width // stride) for stride in self._strides]
        levels = [
            part.reshape(1, self._anchors, height // stride, width // stride, channels).flip(3).reshape(1, -1, channels)
            for part, stride in zip(torch.split(decoded, counts, dim=1), self._strides, strict=True)
        ]
        back = torch.cat(levels, dim=1).clone()
        back[..., 0] = width - back[..., 0]
        return back
