"""From path lengths to a picture: attenuation, scatter, noise, and what the image processing of a console does.

Mass attenuation coefficients: NIST XAAMDI tables (Hubbell and Seltzer), ICRU-44 cortical bone, skeletal muscle and
adipose tissue at 40, 50 and 60 keV, times the densities 1.92, 1.05 and 0.95 g/cm3. The three energies stand for a
filtered 55-65 kV beam as the detector weighs it.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from imaging.phantom.spec import PhantomSpec, Processing

Image = NDArray[np.floating[Any]]
"""[H, W] float32."""

_ENERGY_WEIGHTS: Final = (0.35, 0.40, 0.25)
_BONE_PER_MM: Final = (0.12778, 0.08145, 0.06044)
_MUSCLE_PER_MM: Final = (0.02822, 0.02377, 0.02150)
_FAT_PER_MM: Final = (0.02276, 0.02017, 0.01875)

_QUANTA_PER_MM2: Final = {Processing.PLATE: 2.0e4, Processing.DETECTOR: 8.0e4}
"""Effective quanta per mm2 of the unattenuated beam at the usual dose, as it looks after the console's noise filter."""
_SCATTER: Final = 0.05
"""Scattered signal behind a wide thick object, as a fraction of the unattenuated beam (no grid, small field)."""
_SCATTER_SPREAD_MM: Final = 22.0
_DETECTOR_BLUR_MM: Final = 0.16


@dataclass(frozen=True, kw_only=True, eq=False)
class PathLengths:
    """What the beam meets in each pixel, mm."""

    bone: Image
    """Cortical bone, and cancellous bone as the cortical bone it contains."""
    muscle: Image
    fat: Image


def transmission(paths: PathLengths) -> Image:
    """Share of the detected energy that passes, 0..1 (Beer-Lambert, three energies)."""
    total = np.zeros_like(paths.bone)
    muscle = np.maximum(paths.muscle - paths.bone, 0.0)
    for weight, bone_mu, muscle_mu, fat_mu in zip(
        _ENERGY_WEIGHTS, _BONE_PER_MM, _MUSCLE_PER_MM, _FAT_PER_MM, strict=True
    ):
        exponent = np.float32(bone_mu) * paths.bone + np.float32(muscle_mu) * muscle + np.float32(fat_mu) * paths.fat
        total += np.float32(weight) * np.exp(-exponent)
    return total


def detect(passed: Image, spec: PhantomSpec, rng: np.random.Generator) -> Image:
    """Signal of the detector relative to the open beam: scatter, blur and quantum noise added."""
    # Scatter is smooth, so it is worked out on a small copy.
    small = cv2.resize(passed, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    sigma = max(_SCATTER_SPREAD_MM / spec.spacing_mm / 8.0, 0.5)
    scatter = cv2.GaussianBlur(np.float32(1.0) - small, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    scatter = cv2.resize(scatter, passed.shape[::-1], interpolation=cv2.INTER_CUBIC)
    signal = passed + np.float32(_SCATTER) * np.clip(scatter, 0.0, 1.0)
    blur = _DETECTOR_BLUR_MM / spec.spacing_mm
    if blur > 0.2:
        signal = _blurred(signal, blur)
    quanta = np.float32(_QUANTA_PER_MM2[spec.processing] * spec.exposure * spec.spacing_mm**2)
    noise = rng.standard_normal(signal.shape, dtype=np.float32) * np.sqrt(signal / quanta)
    # The detector's blur also correlates the noise of neighbouring pixels.
    noise = 0.6 * noise + 0.4 * _blurred(noise, 0.8)
    return np.maximum(signal + noise, np.float32(1e-4)).astype(np.float32)


def develop(signal: Image, spec: PhantomSpec, rng: np.random.Generator) -> Image:
    """Grey values 0..1: logarithm, edge enhancement as consoles do it, display curve."""
    density = -np.log(signal)
    plate = spec.processing is Processing.PLATE
    sigma = (7.0 if plate else 9.0) / spec.spacing_mm
    coarse = _wide_blur(density, sigma)
    detail = density - coarse
    # Compress what changes slowly, raise what changes fast: the dark halo beside the skin comes from here.
    fine = density - _blurred(density, 1.6 / spec.spacing_mm)
    shown = (0.8 if plate else 0.72) * coarse + (1.3 if plate else 1.4) * detail + (0.6 if plate else 0.8) * fine
    top = (3.3 if plate else 2.5) / spec.contrast
    curve = np.clip((shown + 0.16) / top, 0.0, None) ** (1.28 if plate else 1.15)
    floor = (0.075 if plate else 0.03) + spec.brightness
    grey = floor + (1.0 - floor) * curve / (1.0 + 0.12 * curve)
    if plate:
        grey += _plate_texture(grey.shape, rng)
    return np.asarray(np.clip(grey, 0.0, 1.0), dtype=np.float32)


def _plate_texture(shape: tuple[int, ...], rng: np.random.Generator) -> Image:
    """Faint bands along the reader's scan direction, a shading, and specks of dust."""
    rows, columns = shape
    bands = _blurred(rng.standard_normal((1, columns), dtype=np.float32), 6.0) * 0.014
    lines = rng.standard_normal((1, columns), dtype=np.float32) * 0.0012
    shade = np.interp(np.arange(rows), np.linspace(0, rows, 5), rng.normal(0.0, 0.006, size=5)).astype(np.float32)
    texture = np.repeat(bands + lines, rows, axis=0) + shade[:, None]
    for _ in range(int(rng.integers(0, 9))):
        row, column = int(rng.integers(0, rows)), int(rng.integers(0, columns))
        texture[row : row + 1, column : column + int(rng.integers(1, 3))] += np.float32(rng.uniform(0.1, 0.5))
    return texture.astype(np.float32)


def _blurred(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _wide_blur(image: Image, sigma: float) -> Image:
    """Gaussian blur with a large sigma, on a smaller copy."""
    factor = max(1, int(sigma / 3.0))
    if factor == 1:
        return _blurred(image, sigma)
    rows, columns = image.shape
    small = cv2.resize(image, (-(-columns // factor), -(-rows // factor)), interpolation=cv2.INTER_AREA)
    blurred = _blurred(np.asarray(small, dtype=np.float32), sigma / factor)
    wide = cv2.resize(blurred, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, dtype=np.float32)
