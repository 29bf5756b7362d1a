"""A canvas and its mirror image, averaged."""

import torch
from torch import Tensor

from imaging.runtime import Prediction
from imaging.runtime.flip import FlipAveraged
from imaging.yolov7 import build
from imaging.yolov7.graphs import STRIDES


class Network:
    """The decoded predictions of a network with random weights."""

    name = "test"

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = build("yolov7-tiny", 1, width=0.125).eval()

    def predict(self, canvas: Tensor) -> Prediction:
        with torch.inference_mode():
            return Prediction(self.network.decode(self.network(canvas)), ())


def test_a_mirrored_canvas_gives_mirrored_predictions() -> None:
    averaged = FlipAveraged(Network(), strides=STRIDES, anchors=3)
    canvas = torch.rand(1, 3, 96, 64)
    straight, mirrored = averaged.predict(canvas).decoded, averaged.predict(canvas.flip(-1)).decoded
    torch.testing.assert_close(averaged._mirrored_back(mirrored, 96, 64), straight)


def test_a_network_that_sees_symmetrically_is_left_alone() -> None:
    plain = Network()
    canvas = torch.rand(1, 3, 64, 64)
    canvas = (canvas + canvas.flip(-1)) / 2
    one = plain.predict(canvas).decoded
    both = FlipAveraged(plain, strides=STRIDES, anchors=3).predict(canvas).decoded
    # Where the canvas is its own mirror image, scores are the mean of two mirrored cells.
    back = FlipAveraged(plain, strides=STRIDES, anchors=3)._mirrored_back(one, 64, 64)
    torch.testing.assert_close(both[..., 4], (one[..., 4] + back[..., 4]) / 2)
