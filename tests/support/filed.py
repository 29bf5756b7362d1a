"""Images and findings for tests of what is filed in the PACS."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID, JPEG2000Lossless

from imaging.dicom.filing import Filing, SourceImage, read_source
from imaging.dicom.reader import read_dicom
from imaging.dicom.writer import RadiographClass
from imaging.radiograph import Radiograph
from imaging.results import (
    BoxPx,
    FractureCall,
    FractureGeometry,
    ImageFindings,
    Measurement,
    PixelSpacing,
    SpacingOrigin,
)
from tests.support import cases
from tests.support import dicom as files

CREATED = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
FILING = Filing(created=CREATED, software_version="0.1.0", content_key="a" * 64)


def _frames(made: FileDataset) -> None:
    image = np.rint(files.limb_image() * 4095).astype(np.uint16)
    files.set_stored(made, np.stack([image, image[:, ::-1]]), 12)


def _capture_frames(made: FileDataset) -> None:
    _frames(made)
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7.3")
    made.Modality = "OT"


def _bare_8_bit(made: FileDataset) -> None:
    del made.WindowCenter, made.WindowWidth


def _bare_16_bit(made: FileDataset) -> None:
    files.set_stored(made, np.rint(files.limb_image() * 3000 + 100).astype(np.uint16), 16)


def _voi_lut(made: FileDataset) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 1000, 12])
    item.add_new("LUTData", "US", [round(4095 * (place / 255) ** 0.7) for place in range(256)])
    made.VOILUTSequence = [item]
    del made.WindowCenter, made.WindowWidth


def _colour(made: FileDataset) -> None:
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    made.Modality = "OT"
    made.ConversionType = "WSD"
    grey = np.rint(files.limb_image() * 255).astype(np.uint8)
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelData = np.stack([grey] * 3, axis=2).tobytes()


SOURCES: dict[str, Callable[[], bytes]] = {
    "cr": files.file,
    "cr-spacing": lambda: files.file(spacing=files.spacing(0.2)),
    "cr-monochrome1": lambda: files.file(inverted=True, bits_stored=10),
    "cr-jpeg2000": lambda: files.compressed(JPEG2000Lossless)[0],
    "cr-frames": lambda: files.file(_frames),
    "sc-frames": lambda: files.file(_capture_frames),
    "cr-8-bit": lambda: files.file(_bare_8_bit, bits_stored=8),
    "cr-no-window": lambda: files.file(_bare_16_bit),
    "cr-voi-lut": lambda: files.file(_voi_lut),
    "dx": lambda: files.file(storage=RadiographClass.DX, spacing=files.spacing(0.15, origin=SpacingOrigin.DETECTOR)),
    "dx-inverse": lambda: files.file(storage=RadiographClass.DX, spacing=files.spacing(0.15), inverted=True),
}
"""Grey radiographs as bytes, every one valid by itself."""


def colour_file() -> bytes:
    """A radiograph captured in colour."""
    return files.file(_colour)


@cache
def source_bytes(name: str) -> bytes:
    """One source; the same every time, though its UIDs are random."""
    return SOURCES[name]()


def image(name: str) -> tuple[SourceImage, Radiograph]:
    """The last frame of a source, as results refer to it and as the network saw it."""
    data = source_bytes(name)
    frame = 2 if name.endswith("frames") else 1
    return read_source(data, frame=frame), read_dicom(data, sha256="0" * 64, frame=frame)


def _measured() -> FractureGeometry:
    def value(middle: float) -> Measurement:
        return Measurement(value=middle, low=0.8 * middle, high=1.3 * middle)

    return FractureGeometry(
        line_length_px=value(38.0),
        line_length_mm=value(7.6),
        shaft_width_px=value(32.0),
        shaft_width_mm=value(6.4),
        displacement_px=value(6.4),
        displacement_mm=value(1.3),
        displacement_percent=value(20.0),
        angulation_deg=value(12.0),
        not_measured=(("shortening", "imaging.geometry.no_overlap"),),
    )


def finding_sets(radiograph: Radiograph) -> dict[str, ImageFindings]:
    """Findings with no, one and several places, and of a radiograph that cannot be judged, in the image's own size."""
    height, width = radiograph.pixels.shape
    spacing = radiograph.spacing
    full = replace(cases.findings(), width_px=width, height_px=height, spacing=spacing)
    places = [replace(one, box=_smaller(one.box, 0.3)) for one in full.detections]
    if spacing is None:
        places = [replace(one, box_width_mm=None, box_height_mm=None) for one in places]
    first = replace(places[0], geometry=_measured() if _calibrated(spacing) else places[0].geometry)
    edge = replace(places[1], box=BoxPx(x1=-2.0, y1=-3.0, x2=width + 1.0, y2=20.0))
    return {
        "none": replace(full, call=FractureCall.NOT_SEEN, max_score=0.01, detections=()),
        "one": replace(full, detections=(first,)),
        "several": replace(full, detections=(first, places[1], edge)),
        "cannot-judge": replace(
            full,
            call=FractureCall.CANNOT_JUDGE,
            max_score=None,
            fracture_probability=None,
            attributes=None,
            detections=(),
            warnings=("imaging.content.low_contrast",),
        ),
    }


def _smaller(box: BoxPx, factor: float) -> BoxPx:
    return BoxPx(x1=factor * box.x1, y1=factor * box.y1, x2=factor * box.x2, y2=factor * box.y2)


def _calibrated(spacing: PixelSpacing | None) -> bool:
    return spacing is not None and spacing.origin is SpacingOrigin.CALIBRATED
