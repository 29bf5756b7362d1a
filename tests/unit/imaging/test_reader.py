"""Format detection, limits, PNG and JPEG."""

import hashlib
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.errors import (
    BlankImageError,
    CorruptFileError,
    EmptyFileError,
    EncryptedFileError,
    FrameNotFoundError,
    ImageTooLargeError,
    ImageTooSmallError,
    NotAnImageError,
    OversizedFileError,
    TruncatedFileError,
    UnreadableFileError,
)
from imaging.limits import ReadLimits
from imaging.reader import detect_format, read_radiograph
from tests.support.dicom import file, jpeg, limb_image, png
from tests.support.shared import requires_shared, shared_dir

GREY = np.rint(limb_image(120, 100) * 255).astype(np.uint8)


def test_png_keeps_every_grey_level() -> None:
    radiograph = read_radiograph(png(Image.fromarray(GREY)))
    assert radiograph.pixels.dtype == np.float32
    assert radiograph.source_format == "png"
    np.testing.assert_array_equal(np.rint(radiograph.pixels * 255), GREY)
    assert radiograph.warnings == ("imaging.spacing.missing", "imaging.region.missing")
    assert radiograph.spacing is None and radiograph.dicom is None and not radiograph.synthetic


def test_jpeg_is_close_to_its_source() -> None:
    data = jpeg(GREY, quality=95)
    radiograph = read_radiograph(data)
    assert radiograph.source_format == "jpeg"
    assert radiograph.sha256 == hashlib.sha256(data).hexdigest()
    assert np.abs(radiograph.pixels * 255 - GREY).mean() < 2.0


def test_path_and_bytes_give_the_same(tmp_path: Path) -> None:
    data = png(Image.fromarray(GREY))
    path = tmp_path / "named.dcm"
    path.write_bytes(data)
    by_path, by_bytes = read_radiograph(path), read_radiograph(data)
    np.testing.assert_array_equal(by_path.pixels, by_bytes.pixels)
    assert by_path.sha256 == by_bytes.sha256 and by_path.source_format == "png"


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_png_in_any_mode_reads_alike(mode: str) -> None:
    radiograph = read_radiograph(png(Image.fromarray(GREY).convert(mode)))
    np.testing.assert_allclose(radiograph.pixels * 255, GREY, atol=1.01)
    assert "imaging.colour.converted" not in radiograph.warnings


def test_sixteen_bit_png_is_stretched_between_percentiles() -> None:
    twelve_bits = np.rint(limb_image(120, 100) * 4095).astype(np.uint16)
    radiograph = read_radiograph(png(Image.fromarray(twelve_bits)))
    low, high = np.percentile(twelve_bits, (0.5, 99.5))
    expected = np.clip((twelve_bits - low) / (high - low), 0, 1)
    np.testing.assert_allclose(radiograph.pixels, expected, atol=0.01)
    assert "imaging.window.derived" in radiograph.warnings


def test_one_bit_png_is_read_with_a_warning() -> None:
    radiograph = read_radiograph(png(Image.fromarray(GREY > 90)))
    assert set(np.unique(radiograph.pixels)) == {0.0, 1.0}
    assert "imaging.content.few_grey_levels" in radiograph.warnings


def test_colour_is_reported() -> None:
    rgb = np.stack([GREY, GREY, GREY], axis=-1)
    rgb[10:40, 10:40] = (255, 0, 0)
    assert "imaging.colour.converted" in read_radiograph(png(Image.fromarray(rgb))).warnings


def test_transparency_shows_black() -> None:
    rgba = np.dstack([np.full_like(GREY, 255)] * 3 + [GREY])
    np.testing.assert_allclose(read_radiograph(png(Image.fromarray(rgba))).pixels * 255, GREY, atol=1.01)


@pytest.mark.parametrize(
    ("orientation", "turns", "mirrored"), [(1, 0, False), (3, 2, False), (6, 3, False), (2, 0, True)]
)
def test_exif_orientation_is_applied(orientation: int, turns: int, mirrored: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.rot90(GREY, turns)
    upright = upright[:, ::-1] if mirrored else upright
    radiograph = read_radiograph(jpeg(GREY, quality=98, exif=exif))
    assert radiograph.pixels.shape == upright.shape
    assert np.abs(radiograph.pixels * 255 - upright).mean() < 2.0


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
@pytest.mark.parametrize(
    "make", [lambda: jpeg(GREY), lambda: jpeg(GREY, progressive=True), lambda: png(Image.fromarray(GREY))]
)
def test_truncated_raster_is_never_completed(make: object, cut: float) -> None:
    data = make()  # type: ignore[operator]
    with pytest.raises((TruncatedFileError, CorruptFileError)):
        read_radiograph(data[: int(cut * len(data))])


def test_truncated_raster_padded_to_full_size_is_refused() -> None:
    data = jpeg(np.tile(GREY, (4, 4)))
    half = data[: len(data) // 2]
    with pytest.raises(TruncatedFileError):
        read_radiograph(half + b"\x00" * (len(data) - len(half) + 5000))


def test_data_appended_by_a_camera_do_no_harm() -> None:
    assert read_radiograph(jpeg(GREY) + b"\x00" * 10_000).pixels.shape == GREY.shape


def test_flipped_bit_in_png_data_is_noticed() -> None:
    data = bytearray(png(Image.fromarray(GREY)))
    data[len(data) // 2] ^= 0x10
    with pytest.raises(CorruptFileError):
        read_radiograph(bytes(data))


def test_empty_file() -> None:
    with pytest.raises(EmptyFileError):
        read_radiograph(b"")


def test_missing_path_does_not_leak_it(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError) as caught:
        read_radiograph(tmp_path / "Unmistakable.dcm")
    assert "Unmistakable" not in str(caught.value)
    with pytest.raises(UnreadableFileError):
        read_radiograph(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"this is a text file named wrist.dcm\n" * 20, b"%PDF-1.7 ...", b"PK\x03\x04zip", b'{"json": 1}', b"<html></html>",
     b"GIF89a....", b"II*\x00tiff", bytes(range(256)) * 8, b"\x00" * 4096],
)  # fmt: skip
def test_other_content_is_not_an_image(data: bytes) -> None:
    with pytest.raises(NotAnImageError):
        read_radiograph(data)


def test_cryptographic_message_is_named() -> None:
    enveloped = bytes.fromhex("30820100 06092a864886f70d010703 a0820100") + b"\x01" * 300
    with pytest.raises(EncryptedFileError):
        read_radiograph(enveloped)
    with pytest.raises(EncryptedFileError):
        read_radiograph(b"-----BEGIN PKCS7-----\nMIIB\n-----END PKCS7-----\n")


def test_file_size_is_checked_before_reading(tmp_path: Path) -> None:
    limits = ReadLimits(max_file_bytes=1000)
    path = tmp_path / "big.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00" * 2000)
    for source in (path, path.read_bytes()):
        with pytest.raises(OversizedFileError):
            read_radiograph(source, limits=limits)


def test_huge_dimensions_are_refused_before_decoding() -> None:
    huge = bytearray(png(Image.fromarray(GREY)))
    huge[16:24] = (30_000).to_bytes(4, "big") * 2
    huge[29:33] = zlib.crc32(huge[12:29]).to_bytes(4, "big")
    with pytest.raises(ImageTooLargeError):
        read_radiograph(bytes(huge))
    big = bytearray(jpeg(GREY))
    frame = big.index(b"\xff\xc0")
    big[frame + 5 : frame + 9] = (60_000).to_bytes(2, "big") * 2
    with pytest.raises(ImageTooLargeError):
        read_radiograph(bytes(big))


@pytest.mark.parametrize("shape", [(1, 1), (63, 500), (500, 63)])
def test_too_small(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageTooSmallError):
        read_radiograph(png(Image.fromarray(np.resize(GREY, shape))))


def test_blank_image() -> None:
    with pytest.raises(BlankImageError):
        read_radiograph(png(Image.fromarray(np.full((100, 100), 77, dtype=np.uint8))))


def test_low_contrast_is_reported() -> None:
    faint = (100 + GREY // 64).astype(np.uint8)
    assert "imaging.content.low_contrast" in read_radiograph(png(Image.fromarray(faint))).warnings


def test_negative_is_reported_and_not_flipped() -> None:
    negative = 255 - GREY
    radiograph = read_radiograph(png(Image.fromarray(negative)))
    assert "imaging.polarity.suspect" in radiograph.warnings
    np.testing.assert_array_equal(np.rint(radiograph.pixels * 255), negative)
    assert "imaging.polarity.suspect" not in read_radiograph(png(Image.fromarray(GREY))).warnings


def test_raster_has_one_frame() -> None:
    with pytest.raises(FrameNotFoundError):
        read_radiograph(png(Image.fromarray(GREY)), frame=2)


def test_animated_png_warns() -> None:
    first, second = Image.fromarray(GREY), Image.fromarray(255 - GREY)
    radiograph = read_radiograph(png(first, save_all=True, append_images=[second]))
    assert "imaging.frames.several:2" in radiograph.warnings
    np.testing.assert_array_equal(np.rint(radiograph.pixels * 255), GREY)


def test_a_preamble_that_looks_like_another_format_is_still_dicom() -> None:
    data = bytearray(file())
    data[:8] = b"\x89PNG\r\n\x1a\n"
    assert detect_format(bytes(data)) == "dicom"
    data[:4] = b"II*\x00"
    assert read_radiograph(bytes(data)).source_format == "dicom"


def test_reading_a_png_loads_no_dicom_code() -> None:
    code = (
        "import sys\nfrom imaging.reader import read_radiograph\n"
        "read_radiograph(sys.stdin.buffer.read())\n"
        "heavy = {'pydicom', 'torch', 'cv2', 'scipy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], input=png(Image.fromarray(GREY)), check=True, timeout=60)


@requires_shared
def test_real_radiographs_read_quickly_and_without_complaint() -> None:
    folder = shared_dir()
    assert folder is not None
    paths = sorted((folder / "data" / "fracatlas" / "images" / "Fractured").glob("*.jpg"))[:40]
    assert paths
    for path in paths:
        radiograph = read_radiograph(path)
        assert radiograph.warnings == ("imaging.spacing.missing", "imaging.region.missing")
        assert 0.0 <= radiograph.pixels.min() < radiograph.pixels.max() <= 1.0
