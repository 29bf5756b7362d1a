"""What an explanation says: one heat map for each method and target."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from imaging.results import PointPx


class MapMethod(StrEnum):
    """How a heat map was computed."""

    GRAD_CAM = "grad_cam"
    """Channel activations of the backbone, weighted by their mean gradients (Selvaraju et al. 2017)."""
    INTEGRATED_GRADIENTS = "integrated_gradients"
    """Contribution of every pixel's detail, along the way from a blurred copy (Sundararajan et al. 2017)."""


class MapTarget(StrEnum):
    """Which answer of the network was traced back."""

    DETECTION = "detection"
    """The score of the prediction that made the box."""
    PATTERN = "pattern"
    """The pattern that the pattern head names."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatMap:
    """How much each place of the radiograph spoke for one answer, relative to the place that spoke most."""

    method: MapMethod
    target: MapTarget
    heat: NDArray[np.float32]
    """[H, W] in pixels of the radiograph, 0..1; the maximum is 1 unless nothing spoke for the answer."""
    peak: PointPx | None
    """Centre of the hottest pixel; None when nothing spoke for the answer."""
    share_in_box: float | None
    """Share of all heat that lies in the detection's box, 0..1; None when there is no heat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The heat maps of one detection."""

    detection: int
    """Place of the detection in `ImageFindings.detections`, counted from 0."""
    maps: tuple[HeatMap, ...]
    """The first is the one to show first."""
