"""Stored values to display values, 0..1, bone bright (PS3.3 C.7.6.3, C.11.1, C.11.2, C.11.6; PS3.4 annex N).

The chain modality LUT or rescale -> VOI LUT or window -> presentation is worked out once for every value a pixel can
take (at most 65,536), then looked up, which costs little for any image size. It is written out here rather than taken
from pydicom's processing functions because those wrap around on 8-bit VOI LUTs with more than 256 entries; tests
compare the two where both are right.

Polarity. MONOCHROME1 (lowest value white) and Presentation LUT Shape INVERSE each say that the values are to be
inverted; they are the same statement (the DX object demands both together), so either inverts once. For raw detector
data Pixel Intensity Relationship Sign decides, since it alone says which end is bone.

Padding pixels (Pixel Padding Value, with its range limit) become black and do not count for the percentiles.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset

from imaging.dicom.dataset import items, number, numbers, text
from imaging.dicom.pixels import PixelModule
from imaging.errors import CorruptFileError
from imaging.grey import grey_from_rgb, histogram_of_codes, percentile_range, stretch

_Table = NDArray[np.float64]
_WINDOW_FUNCTIONS: Final = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DisplayedImage:
    """Pixels ready for the network."""

    pixels: NDArray[np.float32]
    """[H, W], 0..1, bone bright."""
    warnings: tuple[str, ...]


def display(stored: NDArray[Any], dataset: FileDataset, module: PixelModule) -> DisplayedImage:
    """Turn stored values ([H, W] integers, or [H, W, 3] uint8 RGB) into display values.

    Raises:
        CorruptFileError: Rescale or modality LUT cannot be applied.
    """
    if stored.ndim == 3:
        grey, coloured = grey_from_rgb(stored)
        return DisplayedImage(pixels=grey, warnings=("imaging.colour.converted",) if coloured else ())
    codes = stored.view(f"u{stored.dtype.itemsize}")
    code_range = np.arange(1 << (8 * codes.dtype.itemsize), dtype=codes.dtype)
    stored_table = code_range.view(stored.dtype).astype(np.float64)
    padding = _padding(dataset, stored_table)
    counts = histogram_of_codes(codes)
    counts[padding] = 0
    modality = _modality_values(stored_table, dataset)
    shown, warnings = _voi_values(modality, counts, dataset, module)
    if is_inverted(dataset, module):
        shown = 1.0 - shown
    shown[padding] = 0.0
    return DisplayedImage(pixels=shown.astype(np.float32)[codes], warnings=warnings)


def _padding(dataset: Dataset, stored_table: _Table) -> NDArray[np.bool_]:
    """Which stored values are padding."""
    try:
        value, limit = number(dataset, "PixelPaddingValue"), number(dataset, "PixelPaddingRangeLimit")
    except ValueError:
        value = limit = None
    if value is None:
        return np.zeros(stored_table.shape, dtype=np.bool_)
    other = value if limit is None else limit
    return (stored_table >= min(value, other)) & (stored_table <= max(value, other))


def _modality_values(stored_table: _Table, dataset: Dataset) -> _Table:
    """Modality LUT, or slope and intercept, or the stored values themselves."""
    sequence = items(dataset, "ModalityLUTSequence")
    if sequence:
        table = _lookup_table(sequence[0], dataset)
        if table is None:
            raise CorruptFileError("The modality LUT of the DICOM image is damaged.")
        return table.apply(stored_table)
    try:
        slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    except ValueError:
        raise CorruptFileError("Rescale Slope or Rescale Intercept of the DICOM image is not a number.") from None
    if slope is None and intercept is None:
        return stored_table
    if slope == 0:
        raise CorruptFileError("Rescale Slope of the DICOM image is zero.")
    return stored_table * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)


def _voi_values(
    modality: _Table, counts: NDArray[np.int64], dataset: Dataset, module: PixelModule
) -> tuple[_Table, tuple[str, ...]]:
    """VOI LUT, else window, else the full range (8 bits) or the robust percentiles; 0..1."""
    shown, asked = _own_voi(modality, counts, dataset)
    if shown is not None:
        return shown, ()
    low, high, percentiles = _range(modality, counts, module, asked)
    if not percentiles:
        return stretch(modality, low, high), ()
    return stretch(modality, low, high), ("imaging.window.invalid",) if asked else ("imaging.window.derived",)


def _own_voi(modality: _Table, counts: NDArray[np.int64], dataset: Dataset) -> tuple[_Table | None, bool]:
    """What the file's own VOI LUT or window shows, None without a usable one; and whether the file has one at all."""
    present = counts > 0
    asked = False
    for attempt in (_voi_lut, _window):
        try:
            shown = attempt(modality, dataset)
        except ValueError:
            asked = True
            continue
        if shown is None:
            continue
        asked = True
        # A window that leaves nothing to see (the wrong units, another image's window) is no window.
        if present.any() and np.ptp(shown[present]) > 0:
            return shown, True
    return None, asked


def _range(modality: _Table, counts: NDArray[np.int64], module: PixelModule, asked: bool) -> tuple[float, float, bool]:
    """The values shown black and white where the file has no usable window, and whether they are percentiles."""
    if module.bits_stored <= 8 and not asked and not module.signed:
        ends = modality[[0, (1 << module.bits_stored) - 1]]
        return float(ends.min()), float(ends.max()), False
    low, high = percentile_range(modality, counts)
    return low, high, True


def shown_range(stored: NDArray[Any], dataset: FileDataset, module: PixelModule) -> tuple[float, float] | None:
    """The modality values that `display` showed black and white, before any inversion.

    Args:
        stored: [H, W] integers of a grey image.
        dataset: the image.
        module: its pixel module.

    Returns:
        Low and high where the range was derived here; None where the file's own VOI LUT or window was used.
    """
    codes = stored.view(f"u{stored.dtype.itemsize}")
    stored_table = np.arange(1 << (8 * codes.dtype.itemsize), dtype=codes.dtype).view(stored.dtype).astype(np.float64)
    counts = histogram_of_codes(codes)
    counts[_padding(dataset, stored_table)] = 0
    modality = _modality_values(stored_table, dataset)
    shown, asked = _own_voi(modality, counts, dataset)
    return None if shown is not None else _range(modality, counts, module, asked)[:2]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _LookupTable:
    first: int
    entries: NDArray[np.float64]
    bits: int

    @property
    def top(self) -> float:
        """The entry that means white."""
        return max(float((1 << self.bits) - 1), float(self.entries.max()))

    def apply(self, values: _Table) -> _Table:
        """Look up; inputs below the first and above the last mapped value take the end entries (C.11.1.1)."""
        index = np.clip(np.rint(values) - self.first, 0, self.entries.size - 1).astype(np.int64)
        looked_up: NDArray[np.float64] = self.entries[index]
        return looked_up


def _lookup_table(item: Dataset, dataset: Dataset) -> _LookupTable | None:
    """A LUT item's table; None when it is damaged."""
    try:
        descriptor = numbers(item, "LUTDescriptor")
        data = item.get("LUTData")
    except Exception:  # a damaged element raises almost any type in pydicom
        return None
    if descriptor is None or len(descriptor) != 3 or data is None:
        return None
    size, first, bits = (int(v) for v in descriptor)
    size = size & 0xFFFF or 1 << 16
    # The first mapped value is signed when the pixels are (C.11.1.1.1), but writers differ in the VR.
    if text(dataset, "PixelRepresentation") == "1" and first > 0x7FFF:
        first -= 1 << 16
    entries = _entries(data, size, dataset)
    if entries is None or not 8 <= bits <= 16:
        return None
    return _LookupTable(first=first, entries=entries, bits=bits)


def _entries(data: Any, size: int, dataset: Dataset) -> NDArray[np.float64] | None:
    if isinstance(data, bytes | bytearray):
        order = ">" if getattr(dataset, "original_encoding", (None, True))[1] is False else "<"
        if len(data) >= 2 * size:
            return np.frombuffer(data, dtype=f"{order}u2", count=size).astype(np.float64)
        # 8-bit entries packed two to a word.
        return np.frombuffer(data, dtype=np.uint8, count=size).astype(np.float64) if len(data) >= size else None
    try:
        values = np.asarray(data, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        return None
    return values[:size] if values.size >= size and bool(np.isfinite(values).all()) else None


def _voi_lut(modality: _Table, dataset: Dataset) -> _Table | None:
    sequence = items(dataset, "VOILUTSequence")
    if not sequence:
        return None
    table = _lookup_table(sequence[0], dataset)
    if table is None:
        raise ValueError("damaged VOI LUT")
    return table.apply(modality) / table.top


def voi_lut_16_bit(dataset: Dataset) -> tuple[int, NDArray[np.uint16]] | None:
    """The file's first VOI LUT with its entries stretched to 16 bits, which every viewer reads.

    Returns:
        First mapped value and entries; None when there is no VOI LUT or it is damaged.
    """
    sequence = items(dataset, "VOILUTSequence")
    table = _lookup_table(sequence[0], dataset) if sequence else None
    if table is None:
        return None
    return table.first, np.rint(table.entries * (65535.0 / table.top)).astype(np.uint16)


def _window(modality: _Table, dataset: Dataset) -> _Table | None:
    """Window center and width: the first pair, as the standard lets the writer put its preferred view first."""
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if centers is None and widths is None:
        return None
    if centers is None or widths is None:
        raise ValueError("half a window")
    return apply_window(modality, centers[0], widths[0], (text(dataset, "VOILUTFunction") or "LINEAR").upper())


def apply_window(values: _Table, center: float, width: float, function: str) -> _Table:
    """Map values to 0..1 with a window (PS3.3 C.11.2.1.2 and C.11.2.1.3).

    Raises:
        ValueError: The width is too small for the function, or the function is unknown.
    """
    if function not in _WINDOW_FUNCTIONS:
        raise ValueError("unknown VOI LUT function")
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise ValueError("window too narrow")
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width == 1:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def is_inverted(dataset: Dataset, module: PixelModule) -> bool:
    """Whether high display values are dark bone (see the module docstring)."""
    if (text(dataset, "PresentationIntentType") or "").upper() == "FOR PROCESSING":
        sign = text(dataset, "PixelIntensityRelationshipSign")
        if sign in ("1", "-1"):
            # +1: lower values are less beam, that is bone.
            return sign == "1"
    shape = (text(dataset, "PresentationLUTShape") or "").upper()
    return module.photometric == "MONOCHROME1" or shape == "INVERSE"
