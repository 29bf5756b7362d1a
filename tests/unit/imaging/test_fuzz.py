"""Whatever the bytes, the outcome is a radiograph or an `ImagingError`."""

import logging
import warnings
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from imaging.errors import ImagingError
from imaging.reader import read_radiograph
from tests.support.dicom import compressed, file, jpeg, limb_image, png

SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg": JPEGBaseline8Bit,
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
}
RASTERS = ("png", "png16", "jpeg-file")


@cache
def whole(name: str) -> bytes:
    """A valid file to damage."""
    if name in SYNTAXES:
        return compressed(SYNTAXES[name], bits=8 if name == "jpeg" else 12)[0]
    grey = limb_image(72, 70)
    if name == "png16":
        return png(Image.fromarray(np.rint(grey * 65535).astype(np.uint16)))
    eight = np.rint(grey * 255).astype(np.uint8)
    return png(Image.fromarray(eight)) if name == "png" else jpeg(eight)


def read_or_refuse(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            radiograph = read_radiograph(data)
        except ImagingError as error:
            assert error.remedy and str(error)
            return
    assert radiograph.pixels.ndim == 2 and radiograph.pixels.dtype == np.float32
    assert np.isfinite(radiograph.pixels).all()
    assert radiograph.pixels.min() >= 0.0 and radiograph.pixels.max() <= 1.0


damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8)


@pytest.mark.parametrize("name", [*SYNTAXES, *RASTERS])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(changes=damage, header_only=st.booleans(), keep=st.floats(0.05, 1.0))
def test_damaged_files(name: str, changes: list[tuple[float, int]], header_only: bool, keep: float) -> None:
    data = bytearray(whole(name))
    reach = min(len(data), 2000) if header_only else len(data)
    for place, value in changes:
        data[min(int(place * reach), len(data) - 1)] = value
    read_or_refuse(bytes(data[: int(keep * len(data))] if keep < 0.5 else data))


@pytest.mark.parametrize("name", [*SYNTAXES, *RASTERS])
def test_no_cut_of_a_file_is_read_as_whole(name: str) -> None:
    data = whole(name)
    for end in range(140, len(data) - 70, max(1, len(data) // 60)):
        with pytest.raises(ImagingError):
            read_radiograph(data[:end])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=600))
@example(b"\x00" * 128 + b"DICM")
@example(b"\x89PNG\r\n\x1a\n")
@example(b"\xff\xd8\xff")
def test_arbitrary_bytes(data: bytes) -> None:
    read_or_refuse(data)
    read_or_refuse(b"\x00" * 128 + b"DICM" + data)
    read_or_refuse(b"\x89PNG\r\n\x1a\n" + data)
    read_or_refuse(b"\xff\xd8\xff" + data)


def test_deeply_nested_sequences_end_in_an_error() -> None:
    item = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    start = file()
    cut = start.index(b"\x08\x00\x05\x00CS")
    read_or_refuse(start[:cut] + item * 5000)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_nothing_of_the_file_reaches_the_logs(
    records: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "Unmistakable^Rosalind"
    for name in ("explicit", "jpeg-2000"):
        data = whole(name).replace(b"WRIST ", b"\xff\x00WR^ ")
        for end in range(400, len(data), len(data) // 25):
            try:
                read_radiograph(data[:end])
            except ImagingError as error:
                assert "Unmistakable" not in f"{error} {error.remedy}" and error.__cause__ is None
    printed = capfd.readouterr()
    for text in (records.text, printed.out, printed.err):
        assert secret.split("^")[0] not in text and "ID-49281734" not in text
    assert not records.records
