"""Each place the detector marked, with its pictures: traced geometry and heat maps as PNG."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cds.case import CaseResult
from cds.presenters.figures import encoded_png
from cds.presenters.image_view import MeasuredRow, geometry_rows, pattern_lines
from imaging.explanation.render import draw
from imaging.explanation.results import Explanation, HeatMap, MapMethod, MapTarget
from imaging.results import FractureDetection

HEAT_WARNING = (
    "A heat map shows where the network's number came from. It does not prove that a fracture is there, nor that none"
    " is elsewhere."
)
METHODS: dict[MapMethod, str] = {
    MapMethod.GRAD_CAM: "Grad-CAM",
    MapMethod.INTEGRATED_GRADIENTS: "Integrated gradients",
}
_METHOD_NOTES: dict[MapMethod, str] = {
    MapMethod.GRAD_CAM: "coarse: features of the network that raise the answer",
    MapMethod.INTEGRATED_GRADIENTS: "fine: detail of the image that raises the answer",
}
TARGETS: dict[MapTarget, str] = {MapTarget.DETECTION: "fracture score", MapTarget.PATTERN: "pattern"}


SAME_PATTERN = "Pattern as at place 1: it is read from the radiograph as a whole."


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One figure of a place."""

    address: str
    """PNG as a data address."""
    title: str
    caption: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What the report shows of one detection."""

    number: int
    """Place in the findings, counted from 1."""
    detection: FractureDetection
    pattern: tuple[str, ...]
    """Sentences; one that points to the first place where the estimate is the same."""
    geometry: tuple[MeasuredRow, ...]
    unmeasured: str | None
    """The one reason for which nothing was measured; None when something was, or the reasons differ."""
    drawing: Picture | None
    """The traced edges, axes and line; None without pixels or geometry."""
    heat: tuple[Picture, ...]


def places(result: CaseResult) -> tuple[Place, ...]:
    """Places of which more is known than their box and score, in the order of the findings."""
    if result.findings is None:
        return ()
    explained = {one.detection: one for one in result.explanations}
    found = tuple(
        _place(result, position, detection, explained.get(position))
        for position, detection in enumerate(result.findings.detections)
    )
    return tuple(one for one in found if one.pattern or one.geometry or one.heat)


def _place(result: CaseResult, position: int, detection: FractureDetection, explanation: Explanation | None) -> Place:
    pixels = result.radiograph.pixels if result.radiograph is not None else None
    heat = () if explanation is None or pixels is None else explanation.maps
    rows = geometry_rows(detection.geometry)
    reasons = {row.reason for row in rows}
    nothing = len(reasons) == 1 and not any(row.values for row in rows)
    first = result.findings.detections[0].pattern if result.findings is not None else None
    again = position > 0 and detection.pattern is not None and detection.pattern == first
    return Place(
        number=position + 1,
        detection=detection,
        pattern=(SAME_PATTERN,) if again else pattern_lines(detection.pattern),
        geometry=rows,
        unmeasured=reasons.pop() if nothing else None,
        drawing=None if pixels is None else _drawing(pixels, detection, position + 1),
        heat=tuple(_heat(pixels, detection, one, position + 1) for one in heat if pixels is not None),
    )


def _heat(pixels: NDArray[np.float32], detection: FractureDetection, one: HeatMap, number: int) -> Picture:
    share = "no heat at all" if one.share_in_box is None else f"{100 * one.share_in_box:.0f}% of the heat in the box"
    return Picture(
        address=encoded_png(draw(pixels, one.heat, detection.box)),
        title=f"{METHODS[one.method]}, {TARGETS[one.target]}",
        caption=f"{_METHOD_NOTES[one.method]}; {share}",
        alt=f"Heat map over the radiograph for place {number}: {METHODS[one.method]} of the {TARGETS[one.target]}.",
    )


def _drawing(pixels: NDArray[np.float32], detection: FractureDetection, number: int) -> Picture | None:
    geometry = detection.geometry
    if geometry is None or not (geometry.axes or geometry.edges or geometry.line):
        return None
    from imaging.geometry import overlay

    return Picture(
        address=encoded_png(overlay.draw(pixels, detection.box, geometry)),
        title="Traced geometry",
        caption=(
            "the edges, axes and line that the numbers were measured from"
            if geometry.axes
            else "the edges that could be traced; no numbers came from them"
        ),
        alt=f"Radiograph around place {number} with the traced edges, axes and fracture line.",
    )
