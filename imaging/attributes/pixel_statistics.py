"""A short description of a picture by its pixels alone: layout, grey levels, edges, symmetry.

The detector's pooled features know textures and forget where they were; this description knows the layout (a chest is
two dark fields on either side of a bright middle) and the kind of picture (a page has two grey levels, a photograph
has no black ground). Both go into the scope model.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SIDE = 96
"""The picture is averaged onto a square of this side; its aspect ratio is described by a figure of its own."""
LAYOUT = 10
GREY_BINS = 12
ORIENTATIONS = 8
LAGS = (1, 2, 4, 8, 16)

Plane = NDArray[np.float32]


def pixel_statistics(pixels: Plane) -> Tensor:
    """Describe a picture [H, W] in 0..1.

    Returns:
        float32 [LENGTH].
    """
    height, width = pixels.shape
    square = np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), dtype=np.float32)
    low, high = np.percentile(square, [1, 99])
    plane = np.clip((square - low) / max(float(high - low), 1e-3), 0, 1).astype(np.float32)
    parts = [
        cv2.resize(plane, (LAYOUT, LAYOUT), interpolation=cv2.INTER_AREA).ravel(),
        np.histogram(plane, GREY_BINS, (0, 1))[0] / plane.size,
        _orientations(plane),
        _spectrum(plane),
        _symmetry(plane),
        _border(plane),
        np.array([low, high, float(square.mean()), float((pixels <= 0.02).mean()), float((pixels >= 0.98).mean())]),
        np.array([np.log(width / height), np.log(1 + len(np.unique(np.round(square * 255)))) / 6]),
    ]
    return torch.from_numpy(np.concatenate(parts).astype(np.float32))


LENGTH = LAYOUT**2 + GREY_BINS + 2 * ORIENTATIONS + 2 * len(LAGS) + 4 + 8 + 5 + 2
"""Figures in a description."""


def _orientations(plane: Plane) -> NDArray[np.float64]:
    """Share of edge strength per direction, fine and coarse."""
    parts = []
    for blur in (0.0, 3.0):
        smooth = cv2.GaussianBlur(plane, (0, 0), blur) if blur else plane
        across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
        angle = np.mod(np.arctan2(down, across), np.pi)
        strength = np.hypot(across, down)
        counts = np.histogram(angle, ORIENTATIONS, (0, np.pi), weights=strength)[0]
        parts.append(counts / max(float(strength.sum()), 1e-6))
    return np.concatenate(parts)


def _spectrum(plane: Plane) -> NDArray[np.float64]:
    """Log of the mean difference between pixels at growing distances, across and down."""
    across = [np.abs(plane[:, lag:] - plane[:, :-lag]).mean() for lag in LAGS]
    down = [np.abs(plane[lag:] - plane[:-lag]).mean() for lag in LAGS]
    return np.log(np.array(across + down) + 1e-3)


def _symmetry(plane: Plane) -> NDArray[np.float64]:
    """Correlation with the mirror image left to right, upside down and turned by 180 degrees, and overall spread."""
    centred = plane - plane.mean()
    power = float((centred**2).mean())
    mirrors = (centred[:, ::-1], centred[::-1], centred[::-1, ::-1])
    return np.array([float((centred * other).mean()) / max(power, 1e-6) for other in mirrors] + [np.sqrt(power)])


def _border(plane: Plane) -> NDArray[np.float64]:
    """Mean and spread of a strip along each edge."""
    strip = SIDE // 12
    edges = (plane[:strip], plane[-strip:], plane[:, :strip], plane[:, -strip:])
    return np.array([value for edge in edges for value in (float(edge.mean()), float(edge.std()))])
