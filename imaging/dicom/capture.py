"""Pictures as DICOM: the overlay for viewers that show no report, and the wrapper of a radiograph that came without.

The overlay is a colour Secondary Capture in the study of the image: the radiograph as it was assessed, the boxes (solid
for a definite place, dashed for a suspected one) and, in bands above and below so that no anatomy is covered, what was
found and that it is not for diagnostic use. No name, number or date of a patient is written into the pixels. Whether
the source carries such text in its own pixels is only known where it says so: Burned In Annotation is copied from it,
and left out where the source is silent.

`wrap_radiograph` makes a grey Secondary Capture of a PNG or JPEG, in a study of its own with an empty patient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import UID

from imaging.dicom.dataset import text
from imaging.dicom.filing import (
    DISCLAIMER,
    MANUFACTURER,
    Filing,
    SourceImage,
    derived_uid,
    describe_creation,
    describe_instance,
    local_moment,
    with_file_meta,
)
from imaging.dicom.presentation import CALL_WORDS, label_places, outline
from imaging.radiograph import Radiograph
from imaging.results import BoxPx, FractureCall, ImageFindings

SOP_CLASS: Final = UID("1.2.840.10008.5.1.4.1.1.7")
"""Secondary Capture Image Storage."""
SERIES_DESCRIPTION: Final = "fracture-cds overlay (not for diagnostic use)"
MAX_SIDE_PX: Final = 1600
"""Larger radiographs are reduced: the overlay says where to look, the original is what is read."""
MIN_SIDE_PX: Final = 640
"""Smaller ones are enlarged, so that the words can be read."""
COLOURS: Final[dict[FractureCall, tuple[int, int, int]]] = {
    FractureCall.DEFINITE: (255, 176, 0),
    FractureCall.SUSPECTED: (86, 180, 233),
}
"""Orange and sky blue: told apart by every kind of colour vision, and by their outline anyway."""
_WHITE: Final = (255, 255, 255)
_BLACK: Final = (0, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """From pixels of the radiograph to those of the overlay."""

    factor: float
    size: tuple[int, int]
    """Width and height of the reduced or enlarged radiograph."""
    font_px: int
    line_px: int


def build_capture(source: SourceImage, radiograph: Radiograph, findings: ImageFindings, filing: Filing) -> Dataset:
    """Make the overlay.

    Args:
        source: the image that was assessed.
        radiograph: the same image as it was displayed to the network.
        findings: what was found on it.
        filing: when and by what.

    Returns:
        A data set with file meta information, 8-bit RGB, uncompressed.
    """
    made = Dataset()
    made.SOPClassUID = SOP_CLASS
    describe_instance(made, source, findings, filing, modality="OT", description=SERIES_DESCRIPTION)
    day, time = local_moment(source, filing.created)
    made.ContentDate, made.ContentTime = day, time
    made.DateOfSecondaryCapture, made.TimeOfSecondaryCapture = day, time
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    orientation = source.dataset.get("PatientOrientation")
    made.PatientOrientation = list(orientation) if orientation and len(orientation) == 2 else None
    made.DerivationDescription = (
        f"Boxes and words of {findings.model_id} drawn over a rescaled and windowed copy; not for diagnostic use"
        + ("; synthetic phantom" if findings.synthetic else "")
    )
    made.SourceImageSequence = [_derived_from(source)]
    burned_in = (text(source.dataset, "BurnedInAnnotation") or "").upper()
    if burned_in in ("YES", "NO"):
        made.BurnedInAnnotation = burned_in
    _set_pixels(made, draw_overlay(radiograph.pixels, findings))
    return with_file_meta(made)


def _derived_from(source: SourceImage) -> Dataset:
    item = source.reference()
    purpose = Dataset()
    purpose.CodeValue = "121322"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def wrap_radiograph(radiograph: Radiograph, filing: Filing) -> Dataset:
    """A radiograph that came as PNG or JPEG, as a Secondary Capture in a study of its own.

    The patient is left empty. The UIDs depend on the picture alone, so that the same file gives the same study.

    Args:
        radiograph: the picture.
        filing: when and by what.

    Returns:
        A data set with file meta information, 8-bit MONOCHROME2, uncompressed.
    """
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = SOP_CLASS
    made.SOPInstanceUID = derived_uid("wrapped", radiograph.sha256)
    made.SeriesInstanceUID = derived_uid("wrapped series", radiograph.sha256)
    made.StudyInstanceUID = derived_uid("wrapped study", radiograph.sha256)
    for keyword in (
        "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
        "AccessionNumber", "ReferringPhysicianName", "PatientOrientation", "Laterality",
    ):  # fmt: skip
        setattr(made, keyword, None)
    made.SeriesNumber = made.InstanceNumber = 1
    made.SeriesDescription = f"Radiograph received as {radiograph.source_format.upper()}"
    made.StudyDescription = "Radiograph without DICOM identity"
    made.Modality = "OT"
    made.ConversionType = "WSD"
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.DerivationDescription = f"Grey values of a {radiograph.source_format.upper()} file, 8 bits"
    describe_creation(made, None, filing)
    grey = (np.clip(np.nan_to_num(radiograph.pixels), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    _set_pixels(made, grey)
    return with_file_meta(made)


def _set_pixels(made: Dataset, values: NDArray[np.uint8]) -> None:
    """Image pixel module for [H, W] or [H, W, 3]."""
    coloured = values.ndim == 3
    made.SamplesPerPixel = 3 if coloured else 1
    made.PhotometricInterpretation = "RGB" if coloured else "MONOCHROME2"
    if coloured:
        made.PlanarConfiguration = 0
    made.Rows, made.Columns = values.shape[:2]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelRepresentation = 0
    data = values.tobytes()
    made.PixelData = data + b"\x00" * (len(data) % 2)
    made["PixelData"].VR = "OB"


def draw_overlay(pixels: NDArray[np.float32], findings: ImageFindings) -> NDArray[np.uint8]:
    """Draw the boxes over a radiograph, between two bands of words.

    Args:
        pixels: [H, W], 0..1, bone bright.
        findings: what was found on it.

    Returns:
        [H', W', 3] uint8, RGB.
    """
    scale = _scale(pixels.shape[1], pixels.shape[0])
    grey = (np.clip(np.nan_to_num(pixels), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    picture = Image.fromarray(grey).resize(scale.size, Image.Resampling.LANCZOS).convert("RGB")
    _draw_boxes(picture, findings, scale)
    above = _band(_heading(findings), scale)
    below = _band(_legend(findings), scale)
    whole = Image.new("RGB", (scale.size[0], above.height + picture.height + below.height), _BLACK)
    whole.paste(above, (0, 0))
    whole.paste(picture, (0, above.height))
    whole.paste(below, (0, above.height + picture.height))
    return np.asarray(whole, dtype=np.uint8)


def _scale(width: int, height: int) -> _Scale:
    factor = min(MAX_SIDE_PX / max(width, height), max(1.0, MIN_SIDE_PX / min(width, height)))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    font = max(14, round(max(size) / 60))
    return _Scale(factor=factor, size=size, font_px=font, line_px=max(2, round(font / 8)))


def _heading(findings: ImageFindings) -> list[tuple[str, tuple[int, int, int]]]:
    lines = [(f"{DISCLAIMER.upper()} - {MANUFACTURER}", _WHITE)]
    if findings.synthetic:
        lines.append(("SYNTHETIC PHANTOM - NO PATIENT", _WHITE))
    return lines


def _legend(findings: ImageFindings) -> list[tuple[str, tuple[int, int, int]]]:
    probability = findings.fracture_probability
    chance = (
        ""
        if probability is None
        else f", probability {100 * probability.value:.0f} %"
        f" (90 % interval {100 * probability.low:.0f} to {100 * probability.high:.0f} %)"
    )
    lines = [(f"{CALL_WORDS[findings.call]}{chance}", _WHITE)]
    lines += [
        (f"{number}  {one.call.value}, score {one.score:.2f}", COLOURS[one.call])
        for number, one in enumerate(findings.detections, start=1)
    ]
    if findings.detections:
        lines.append(("Solid: definite. Dashed: suspected. A box is not the outline of the fracture.", _WHITE))
    lines.append(("Rescaled copy: read the original image.", _WHITE))
    lines.append((findings.model_id, _WHITE))
    return lines


def _band(lines: Sequence[tuple[str, tuple[int, int, int]]], scale: _Scale) -> Image.Image:
    """Lines of text on black, broken where they are too long for the picture."""
    font = _font(scale.font_px)
    margin, step = scale.font_px // 2, round(scale.font_px * 1.4)
    rows = [(row, colour) for words, colour in lines for row in _wrapped(words, font, scale.size[0] - 2 * margin)]
    band = Image.new("RGB", (scale.size[0], step * len(rows) + margin), _BLACK)
    pen = ImageDraw.Draw(band)
    for place, (row, colour) in enumerate(rows):
        pen.text((margin, margin // 2 + place * step), row, fill=colour, font=font)
    return band


def _wrapped(words: str, font: Any, width: int) -> list[str]:
    rows = [""]
    for word in words.split():
        longer = f"{rows[-1]} {word}".strip()
        if rows[-1] and font.getlength(longer) > width:
            rows.append(word)
        else:
            rows[-1] = longer
    return rows


def _draw_boxes(picture: Image.Image, findings: ImageFindings, scale: _Scale) -> None:
    """Boxes with their numbers; the legend says the rest, so that few words cover the picture."""
    pen, font = ImageDraw.Draw(picture), _font(round(1.3 * scale.font_px))
    drawn = [(_scaled(one.box, scale.factor), one.call) for one in findings.detections]
    # The best places last, so that they lie on top; numbers over all lines.
    for box, call in reversed(drawn):
        lines = outline(box, scale.size, dashed=call is FractureCall.SUSPECTED)
        for line in lines:
            pen.line(line, fill=_BLACK, width=scale.line_px + 2)
        for line in lines:
            pen.line(line, fill=COLOURS[call], width=scale.line_px)
    label = (font.getlength("00") + 2 * scale.line_px, 1.3 * scale.font_px + 2 * scale.line_px)
    places = label_places([box for box, _ in drawn], scale.size, label)
    for number, ((left, top), (_, call)) in enumerate(zip(places, drawn, strict=True), start=1):
        pen.text(
            (left + scale.line_px, top),
            str(number),
            fill=COLOURS[call],
            font=font,
            stroke_width=max(1, scale.line_px // 2),
            stroke_fill=_BLACK,
        )


def _scaled(box: BoxPx, factor: float) -> BoxPx:
    return BoxPx(x1=box.x1 * factor, y1=box.y1 * factor, x2=box.x2 * factor, y2=box.y2 * factor)


def _font(size: int) -> Any:
    return ImageFont.load_default(size)
