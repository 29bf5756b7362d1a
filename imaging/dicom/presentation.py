"""Findings drawn over the image by the viewer: a Grayscale Softcopy Presentation State in the study of the image.

The image stays as it is; the viewer shows it with the window and polarity it was assessed with, and draws the boxes:
a definite one as a solid outline, a suspected one as dashes. The dashes are separate short lines. The standard has a
line style for it, but many viewers ignore it and would then draw a suspected place as a definite one.

Coordinates are columns and rows from the outer corner of the first pixel (PS3.3 C.10.5), as `BoxPx` counts them.
Grey images only: a colour image has no place in this class, and gets none.
"""

import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID

from imaging.dicom.dataset import items, numbers, quiet, text
from imaging.dicom.display import is_inverted, shown_range, voi_lut_16_bit
from imaging.dicom.filing import (
    DISCLAIMER,
    MANUFACTURER,
    Filing,
    SourceImage,
    describe_instance,
    local_moment,
    place_uid,
    with_file_meta,
)
from imaging.dicom.pixels import PixelModule, pixel_module, stored_values
from imaging.limits import DEFAULT_LIMITS
from imaging.results import BoxPx, FractureCall, FractureDetection, ImageFindings

SOP_CLASS: Final = UID("1.2.840.10008.5.1.4.1.1.11.1")
"""Grayscale Softcopy Presentation State Storage."""
SERIES_DESCRIPTION: Final = "fracture-cds marks (not for diagnostic use)"
CALL_WORDS: Final[dict[FractureCall, str]] = {
    FractureCall.DEFINITE: "Fracture: definite",
    FractureCall.SUSPECTED: "Fracture: suspected",
    FractureCall.NOT_SEEN: "No fracture seen (does not exclude one)",
    FractureCall.CANNOT_JUDGE: "Cannot judge: radiograph not fit to be judged",
}
DASHES_PER_SIDE: Final = 6
_GAP_SHARE: Final = 0.8
"""Gap between two dashes as a share of a dash."""
_LAYERS: Final = (
    # Name, what it holds, CIELab colour: orange and sky blue, told apart by every kind of colour vision.
    ("DEFINITE", "Definite places, solid outline", (50767, 37572, 53618)),
    ("SUSPECTED", "Suspected places, dashed outline", (45761, 29808, 23959)),
    ("LABELS", "Numbers, call and disclaimer", (65535, 32897, 32893)),
)


def build_presentation(source: SourceImage, findings: ImageFindings, filing: Filing) -> Dataset | None:
    """Make the presentation state.

    Args:
        source: the image that was assessed.
        findings: what was found on it.
        filing: when and by what.

    Returns:
        A data set with file meta information; None for a colour image.

    Raises:
        ImagingError: the pixels cannot be decoded (they were, when the image was read).
    """
    with quiet():
        module = pixel_module(source.dataset, DEFAULT_LIMITS)
        if not module.monochrome:
            return None
        made = Dataset()
        made.SOPClassUID = SOP_CLASS
        describe_instance(made, source, findings, filing, modality="PR", description=SERIES_DESCRIPTION)
        _identify(made, source, filing)
        _display(made, source, module)
    made.GraphicLayerSequence = [_layer(order, *one) for order, one in enumerate(_LAYERS, start=1)]
    made.GraphicAnnotationSequence = list(_annotations(source, findings))
    if findings.detections:
        made.GraphicGroupSequence = [_group(number, one) for number, one in enumerate(findings.detections, start=1)]
    return with_file_meta(made)


def _identify(made: Dataset, source: SourceImage, filing: Filing) -> None:
    """Presentation state identification and relationship modules."""
    made.PresentationCreationDate, made.PresentationCreationTime = local_moment(source, filing.created)
    made.ContentLabel = "FRACTURE_CDS"
    made.ContentDescription = DISCLAIMER
    made.ContentCreatorName = None
    series = Dataset()
    series.SeriesInstanceUID = source.uids[2]
    series.ReferencedImageSequence = [source.reference()]
    made.ReferencedSeriesSequence = [series]


def _display(made: Dataset, source: SourceImage, module: PixelModule) -> None:
    """Displayed area, modality LUT, softcopy VOI LUT and presentation LUT: the image as it was assessed."""
    area = Dataset()
    # Displayed areas, unlike annotations, count pixels from 1 (PS3.3 C.10.4).
    area.DisplayedAreaTopLeftHandCorner = [1, 1]
    area.DisplayedAreaBottomRightHandCorner = [module.columns, module.rows]
    area.PresentationSizeMode = "SCALE TO FIT"
    area.PresentationPixelAspectRatio = ["1", "1"]
    made.DisplayedAreaSelectionSequence = [area]
    _modality(made, source.dataset)
    made.SoftcopyVOILUTSequence = [_window(source, module)]
    made.PresentationLUTShape = "INVERSE" if is_inverted(source.dataset, module) else "IDENTITY"


def _modality(made: Dataset, image: Dataset) -> None:
    if items(image, "ModalityLUTSequence"):
        made.ModalityLUTSequence = deepcopy(image.ModalityLUTSequence)
        return
    slope, intercept = numbers(image, "RescaleSlope"), numbers(image, "RescaleIntercept")
    if slope is not None or intercept is not None:
        made.RescaleIntercept = _decimal(intercept[0] if intercept else 0.0)
        made.RescaleSlope = _decimal(slope[0] if slope else 1.0)
        made.RescaleType = text(image, "RescaleType") or "US"


def _window(source: SourceImage, module: PixelModule) -> Dataset:
    """The window as displayed: the image's own first one, or the range that was derived for it."""
    image, item = source.dataset, Dataset()
    ends = shown_range(stored_values(image, module, source.frame), image, module)
    if ends is not None:
        low, high = ends
        # LINEAR as PS3.3 C.11.2.1.2 defines it, so that `low` is the last black value and `high` the first white one.
        item.WindowCenter, item.WindowWidth = _decimal((low + high + 1.0) / 2.0), _decimal(high - low + 1.0)
        item.WindowCenterWidthExplanation = "Derived from the image"
        return item
    lut = voi_lut_16_bit(image)
    if lut is not None:
        item.VOILUTSequence = [_lookup_table(*lut)]
        return item
    centres, widths = numbers(image, "WindowCenter") or (0.0,), numbers(image, "WindowWidth") or (1.0,)
    item.WindowCenter, item.WindowWidth = _decimal(centres[0]), _decimal(widths[0])
    function = text(image, "VOILUTFunction")
    if function is not None:
        item.VOILUTFunction = function.upper()
    return item


def _lookup_table(first: int, entries: NDArray[np.uint16]) -> Dataset:
    """A VOI LUT of 16 bits: a presentation state may hold 8 or 16 only, images hold anything between."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [entries.size % 65536, first, 16])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5, DS)."""
    return f"{value:.9g}"


def _layer(order: int, name: str, description: str, colour: tuple[int, int, int]) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer = name
    layer.GraphicLayerOrder = order
    layer.GraphicLayerRecommendedDisplayCIELabValue = list(colour)
    layer.GraphicLayerDescription = description
    return layer


def _group(number: int, detection: FractureDetection) -> Dataset:
    group = Dataset()
    group.GraphicGroupLabel = f"Place {number}"
    group.GraphicGroupID = number
    group.GraphicGroupDescription = CALL_WORDS[detection.call]
    return group


def _annotations(source: SourceImage, findings: ImageFindings) -> Iterator[Dataset]:
    """One item a layer that has anything to draw."""
    size = (findings.width_px, findings.height_px)
    numbered = list(enumerate(findings.detections, start=1))
    for layer, call in (("DEFINITE", FractureCall.DEFINITE), ("SUSPECTED", FractureCall.SUSPECTED)):
        lines = [
            _line(points, number, place_uid(source, findings, number))
            for number, detection in numbered
            if detection.call is call
            for points in outline(detection.box, size, dashed=call is FractureCall.SUSPECTED)
        ]
        if lines:
            item = _annotation(source, layer)
            item.GraphicObjectSequence = lines
            yield item
    item = _annotation(source, "LABELS")
    item.TextObjectSequence = [
        *_labels(source, findings),
        _caption(CALL_WORDS[findings.call], top=0.01),
        _caption(f"{MANUFACTURER}: {DISCLAIMER.lower()}", top=0.955),
    ]
    yield item


def _annotation(source: SourceImage, layer: str) -> Dataset:
    item = Dataset()
    item.ReferencedImageSequence = [source.reference()]
    item.GraphicLayer = layer
    return item


def outline(box: BoxPx, size: tuple[int, int], *, dashed: bool) -> tuple[tuple[tuple[float, float], ...], ...]:
    """The lines that draw a box.

    Args:
        box: the box, in pixels of the image.
        size: width and height of the image; the lines stay inside.
        dashed: whether to break it into `DASHES_PER_SIDE` dashes a side.

    Returns:
        One closed polyline of five points (column, row), or the dashes, two points each.
    """
    x1, x2 = (min(max(value, 0.0), float(size[0])) for value in (box.x1, box.x2))
    y1, y2 = (min(max(value, 0.0), float(size[1])) for value in (box.y1, box.y2))
    corners = ((x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1))
    if not dashed:
        return (corners,)
    return tuple(dash for start, end in pairwise(corners) for dash in _dashes(start, end))


def _dashes(start: tuple[float, float], end: tuple[float, float]) -> Iterator[tuple[tuple[float, float], ...]]:
    """Dashes along one side, with a dash at each end so that the corners can be seen."""
    step = 1.0 / (DASHES_PER_SIDE + _GAP_SHARE * (DASHES_PER_SIDE - 1))
    for place in range(DASHES_PER_SIDE):
        first = place * step * (1.0 + _GAP_SHARE)
        yield tuple(
            (start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1]))
            for part in (first, min(first + step, 1.0))
        )


def _line(points: Sequence[tuple[float, float]], number: int, uid: str) -> Dataset:
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [value for point in points for value in point]
    item.GraphicType = "POLYLINE"
    item.GraphicFilled = "N"
    item.GraphicGroupID = number
    item.TrackingID = f"Place {number}"
    item.TrackingUID = uid
    return item


def _labels(source: SourceImage, findings: ImageFindings) -> Iterator[Dataset]:
    """Number and call beside each box."""
    width, height = findings.width_px, findings.height_px
    tall, wide = max(math.ceil(0.03 * height), 1), max(math.ceil(0.22 * width), 1)
    places = label_places([one.box for one in findings.detections], (width, height), (wide, tall))
    for number, (detection, (left, top)) in enumerate(zip(findings.detections, places, strict=True), start=1):
        item = Dataset()
        item.BoundingBoxAnnotationUnits = "PIXEL"
        item.UnformattedTextValue = f"{number} {detection.call.value}"
        item.BoundingBoxTopLeftHandCorner = [left, top]
        item.BoundingBoxBottomRightHandCorner = [min(left + wide, float(width)), min(top + tall, float(height))]
        item.BoundingBoxTextHorizontalJustification = "LEFT"
        item.GraphicGroupID = number
        item.TrackingID = f"Place {number}"
        item.TrackingUID = place_uid(source, findings, number)
        yield item


def label_places(
    boxes: Sequence[BoxPx], size: tuple[float, float], label: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """Where the words beside each box go: at the first of its corners where they cover no other words.

    Args:
        boxes: the boxes, the most important first.
        size: width and height of the image.
        label: width and height of the words.

    Returns:
        Left and top of each label, inside the image.
    """
    wide, tall = label
    taken: list[tuple[float, float]] = []
    for box in boxes:
        corners = [(x, y) for y in (box.y1 - tall, box.y2) for x in (box.x1, box.x2, box.x1 - wide, box.x2 - wide)]
        inside = [(x, y) for x, y in corners if 0 <= x <= size[0] - wide and 0 <= y <= size[1] - tall]
        free = ((x, y) for x, y in inside if all(abs(x - left) >= wide or abs(y - top) >= tall for left, top in taken))
        x, y = next(free, inside[0] if inside else corners[0])
        taken.append((min(max(x, 0.0), max(size[0] - wide, 0.0)), min(max(y, 0.0), max(size[1] - tall, 0.0))))
    return tuple(taken)


def _caption(words: str, *, top: float) -> Dataset:
    """A line at the edge of the display, clear of the limb in most radiographs."""
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "DISPLAY"
    item.UnformattedTextValue = words
    item.BoundingBoxTopLeftHandCorner = [0.01, top]
    item.BoundingBoxBottomRightHandCorner = [0.99, top + 0.035]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item
