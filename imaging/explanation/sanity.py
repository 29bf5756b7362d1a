"""The randomisation check for heat maps (Adebayo et al. 2018, arXiv 1810.03292).

A map that looks alike for trained and for random weights shows the image, not what the network learnt.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from imaging.explanation.explainer import Explainer, TracedRadiograph, surest
from imaging.explanation.results import MapMethod
from imaging.results import FractureDetection
from imaging.yolov7 import build

STRIDE_PX = 4
"""Every so many pixels of each axis enter the correlation: maps are smooth, neighbours say the same."""


def sanity_check(
    explainer: Explainer,
    pixels: NDArray[np.float32],
    detection: FractureDetection,
    *,
    method: MapMethod = MapMethod.GRAD_CAM,
    seed: int = 0,
) -> float:
    """How much of a heat map survives when every weight is replaced by a random one.

    Args:
        explainer: of the trained weights.
        pixels: [H, W] in 0..1, bone bright.
        detection: whose map is compared; the random network is asked about the same prediction.
        method: which map.
        seed: of the random weights.

    Returns:
        Spearman's rank correlation over the radiograph, -1..1: near 0 the map depends on what was learnt, near 1 it
        does not. 0 when the random network gives an empty map.
    """
    trained = surest(explainer.trace(pixels), detection)
    prediction = trained.prediction_of(detection)
    network = trained.network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(network.graph, network.num_classes, anchors=network.anchors).eval().requires_grad_(False)
    random = TracedRadiograph(Explainer(explainer.manifest, fresh, steps=explainer.steps), pixels)
    maps = []
    for traced in (trained, random):
        heat = traced.cam(prediction) if method is MapMethod.GRAD_CAM else traced.saliency(prediction)
        maps.append(traced.on_radiograph(heat)[::STRIDE_PX, ::STRIDE_PX])
    return rank_correlation(*maps)


def rank_correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Spearman's rank correlation of two arrays of one shape; equal values share their mean rank, a constant, 0."""
    one, two = _centred_ranks(first), _centred_ranks(second)
    length = float(np.sqrt((one @ one) * (two @ two)))
    return float(one @ two) / length if length > 0.0 else 0.0


def _centred_ranks(values: NDArray[np.float32]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[places]
    return np.asarray(ranks - ranks.mean(), dtype=np.float64)
