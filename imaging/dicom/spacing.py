"""Millimetres per pixel, and the plane in which they hold (PS3.3 section 10.7, C.8.4.7, C.8.11.4).

An X-ray beam spreads, so a bone looks larger at the detector than it is. Only these give patient millimetres
(`SpacingOrigin.CALIBRATED`):

* Pixel Spacing with Pixel Spacing Calibration Type GEOMETRY or FIDUCIAL, unless it equals Imager Pixel Spacing (then
  nothing was corrected, whatever the type says);
* Imager Pixel Spacing divided by Estimated Radiographic Magnification Factor.

Everything else holds at the detector (`SpacingOrigin.DETECTOR`): Imager Pixel Spacing, Pixel Spacing without
calibration type, and Nominal Scanned Pixel Spacing (a digitised film). Without any, there are no millimetres.
"""

from typing import Final

from pydicom.dataset import Dataset

from imaging.dicom.dataset import number, numbers, text
from imaging.results import PixelSpacing, SpacingOrigin

MIN_SPACING_MM: Final = 0.01
"""Finer than any radiography detector."""
MAX_SPACING_MM: Final = 2.0
"""Coarser than any radiograph that could show a fracture line."""
MAX_ANISOTROPY: Final = 0.02
"""Relative difference of row and column spacing that rounding may explain; detectors have square pixels."""
MAGNIFICATION_RANGE: Final = (1.0, 3.0)

_CALIBRATED_TYPES: Final = ("GEOMETRY", "FIDUCIAL")


def pixel_spacing(dataset: Dataset) -> tuple[PixelSpacing | None, tuple[str, ...]]:
    """Read the spacing and its provenance.

    Returns:
        The spacing, or None when there is none that may be used, and warning codes.
    """
    warnings: list[str] = []
    candidates = (_calibrated_pixel_spacing, _magnified_imager_spacing, _detector_spacing)
    for candidate in candidates:
        spacing = candidate(dataset, warnings)
        if spacing is not None:
            if not _aspect_is_square(dataset):
                return None, ("imaging.spacing.anisotropic",)
            if spacing.origin is SpacingOrigin.DETECTOR:
                warnings.append("imaging.spacing.detector_plane")
            return spacing, tuple(dict.fromkeys(warnings))
    if not warnings:
        warnings.append("imaging.spacing.missing")
    return None, tuple(dict.fromkeys(warnings))


def _pair(dataset: Dataset, keyword: str, warnings: list[str]) -> tuple[float, float] | None:
    """Row and column spacing in mm; None, with a warning, when present but not usable."""
    try:
        values = numbers(dataset, keyword)
    except ValueError:
        warnings.append("imaging.spacing.implausible")
        return None
    if values is None:
        return None
    if len(values) != 2 or not all(MIN_SPACING_MM <= value <= MAX_SPACING_MM for value in values):
        warnings.append("imaging.spacing.implausible")
        return None
    row, column = values
    if abs(row - column) > MAX_ANISOTROPY * max(row, column):
        warnings.append("imaging.spacing.anisotropic")
        return None
    return row, column


def _spacing(pair: tuple[float, float], origin: SpacingOrigin, factor: float = 1.0) -> PixelSpacing:
    return PixelSpacing(row_mm=pair[0] / factor, column_mm=pair[1] / factor, origin=origin)


def _calibrated_pixel_spacing(dataset: Dataset, warnings: list[str]) -> PixelSpacing | None:
    if (text(dataset, "PixelSpacingCalibrationType") or "").upper() not in _CALIBRATED_TYPES:
        return None
    pair = _pair(dataset, "PixelSpacing", warnings)
    if pair is None or pair == _pair(dataset, "ImagerPixelSpacing", []):
        return None
    return _spacing(pair, SpacingOrigin.CALIBRATED)


def _magnified_imager_spacing(dataset: Dataset, warnings: list[str]) -> PixelSpacing | None:
    try:
        factor = number(dataset, "EstimatedRadiographicMagnificationFactor")
    except ValueError:
        factor = None
    if factor is None or not MAGNIFICATION_RANGE[0] <= factor <= MAGNIFICATION_RANGE[1]:
        return None
    pair = _pair(dataset, "ImagerPixelSpacing", warnings)
    return _spacing(pair, SpacingOrigin.CALIBRATED, factor) if pair else None


def _detector_spacing(dataset: Dataset, warnings: list[str]) -> PixelSpacing | None:
    for keyword in ("ImagerPixelSpacing", "PixelSpacing", "NominalScannedPixelSpacing"):
        pair = _pair(dataset, keyword, warnings)
        if pair:
            return _spacing(pair, SpacingOrigin.DETECTOR)
    return None


def _aspect_is_square(dataset: Dataset) -> bool:
    try:
        ratio = numbers(dataset, "PixelAspectRatio")
    except ValueError:
        return False
    return ratio is None or (len(ratio) == 2 and ratio[0] == ratio[1])
