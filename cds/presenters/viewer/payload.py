"""What the viewer draws of a case, as plain JSON: pixels, places, heat maps. It concludes nothing.

Boxes, axes and edges are in pixels of the radiograph as read; the picture itself may be smaller. A DICOM radiograph
travels with 12 bits (the upper eight as red, the lower four as green), so that a narrow window still has steps.
"""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.html import image_alt
from cds.presenters.image_view import geometry_rows
from cds.presenters.places import METHODS, TARGETS
from imaging.labels import FracturePattern
from imaging.radiograph import Radiograph
from imaging.results import FractureCall, FractureDetection, FractureGeometry, ImageFindings, PointPx, SpacingOrigin

MAX_SIDE_PX = 1800
"""Longer side of the picture that is sent; larger ones are reduced."""
MAX_HEAT_PX = 320
"""Longer side of a heat map; it holds no finer detail."""
Json = dict[str, Any]
_WHERE = {SpacingOrigin.CALIBRATED: "in the patient", SpacingOrigin.DETECTOR: "at the detector"}
_READ_FIRST = "Radiograph. Read it yourself; the machine's read is not shown yet."


def view_of(result: CaseResult) -> Json | None:
    """All that the viewer shows; None without a radiograph."""
    radiograph, findings = result.radiograph, result.findings
    if radiograph is None:
        return None
    return {
        "image": picture(radiograph) | {"alt": image_alt(findings)},
        "spacing": _spacing(findings),
        "detections": []
        if findings is None
        else [_place(one, number, findings) for number, one in enumerate(findings.detections, start=1)],
        "heat": _heat(result),
    }


def blind(view: Mapping[str, Any]) -> Json:
    """The same without anything that the machine says: for a clinician who reads first."""
    return {
        "image": dict(view["image"]) | {"alt": _READ_FIRST},
        "spacing": view["spacing"],
        "detections": [],
        "heat": [],
    }


def picture(radiograph: Radiograph) -> Json:
    """The pixels with their size."""
    height, width = radiograph.pixels.shape
    deep = radiograph.source_format == "dicom"
    return {
        "width": width,
        "height": height,
        "bits": 12 if deep else 8,
        "synthetic": radiograph.synthetic,
        "source": _png(_reduced(radiograph.pixels, MAX_SIDE_PX), deep=deep),
    }


def _reduced(values: NDArray[np.float32], longest: int) -> NDArray[np.float32]:
    """[H, W] in 0..1, its longer side at most `longest`."""
    image = Image.fromarray(np.clip(np.nan_to_num(values), 0.0, 1.0).astype(np.float32))
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return np.clip(np.asarray(image, dtype=np.float32), 0.0, 1.0)


def _png(values: NDArray[np.float32], *, deep: bool) -> str:
    if deep:
        twelve = (values * 4095.0 + 0.5).astype(np.uint16)
        bytes_ = np.zeros((*values.shape, 3), dtype=np.uint8)
        bytes_[..., 0] = twelve >> 4
        bytes_[..., 1] = (twelve & 15) << 4
        image = Image.fromarray(bytes_)
    else:
        image = Image.fromarray((values * 255.0 + 0.5).astype(np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=4)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _spacing(findings: ImageFindings | None) -> Json | None:
    spacing = None if findings is None else findings.spacing
    if spacing is None or spacing.origin is SpacingOrigin.UNKNOWN:
        return None
    return {"row_mm": spacing.row_mm, "column_mm": spacing.column_mm, "where": _WHERE[spacing.origin]}


def _place(one: FractureDetection, number: int, findings: ImageFindings) -> Json:
    size = wording.box_size(one.box_width_mm, one.box_height_mm, findings.spacing)
    facts = f"score {wording.score(one.score)} (not a probability); box {size}"
    if one.pattern is not None:
        unsure = one.pattern.pattern is FracturePattern.UNDETERMINED
        facts += "; pattern undetermined" if unsure else f"; image suggests {wording.words(one.pattern.pattern)}"
    measures = [f"{row.label}: {'; '.join(row.values)}" for row in geometry_rows(one.geometry) if row.values]
    return {
        "number": number,
        "box": [one.box.x1, one.box.y1, one.box.x2, one.box.y2],
        "definite": one.call is FractureCall.DEFINITE,
        "call": wording.words(one.call),
        "facts": facts,
        "measures": measures,
        "spoken": f"Place {number}: {wording.words(one.call)}, {facts}.",
        **_traces(one.geometry),
    }


def _traces(geometry: FractureGeometry | None) -> Json:
    if geometry is None:
        return {"axes": [], "edges": [], "line": []}
    return {
        "axes": [_points(one) for one in geometry.axes],
        "edges": [_points(one) for one in geometry.edges],
        "line": _points(geometry.line),
    }


def _points(points: Iterable[PointPx]) -> list[Sequence[float]]:
    return [(round(one.x, 1), round(one.y, 1)) for one in points]


def _heat(result: CaseResult) -> list[Json]:
    """Every heat map as a small grey picture; the browser colours it."""
    return [
        {
            "title": f"Heat map: place {one.detection + 1}, {METHODS[found.method]}, {TARGETS[found.target]}",
            "source": _png(_reduced(found.heat, MAX_HEAT_PX), deep=False),
        }
        for one in result.explanations
        for found in one.maps
        if found.peak is not None
    ]
