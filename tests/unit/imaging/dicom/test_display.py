"""Stored values to display values, against pydicom's own functions where those are right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi, apply_windowing

from imaging.dicom.display import apply_window, display
from imaging.dicom.pixels import pixel_module
from imaging.errors import CorruptFileError
from imaging.limits import ReadLimits
from imaging.reader import read_radiograph
from tests.support.dicom import dataset, limb_image, set_stored, to_bytes

TWELVE_BITS = np.rint(limb_image() * 4095).astype(np.uint16)


def plain(values: NDArray[np.integer] = TWELVE_BITS, bits: int = 12) -> FileDataset:
    """A radiograph of these stored values without window or rescale."""
    made = dataset()
    set_stored(made, values, bits)
    return made


def shown(made: FileDataset, values: NDArray[np.integer] = TWELVE_BITS) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    image = display(values, made, pixel_module(made, ReadLimits()))
    return image.pixels, image.warnings


@settings(max_examples=60, deadline=None)
@given(
    center=st.floats(-2000, 6000),
    width=st.floats(20, 9000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    slope=st.sampled_from([None, 1.0, 0.5, 2.5, -1.0]),
    signed=st.booleans(),
)
def test_window_equals_pydicoms(center: float, width: float, function: str, slope: float | None, signed: bool) -> None:
    stored = np.arange(-2048, 2048, 7).astype(np.int16) if signed else np.arange(0, 4096, 7).astype(np.uint16)
    reference = Dataset()
    reference.PhotometricInterpretation = "MONOCHROME2"
    reference.BitsStored, reference.PixelRepresentation = 12, int(signed)
    reference.WindowCenter, reference.WindowWidth = f"{center:.8g}", f"{width:.8g}"
    reference.VOILUTFunction = function
    if slope is not None:
        reference.RescaleSlope, reference.RescaleIntercept = str(slope), "-100"
    modality = apply_modality_lut(stored, reference)
    with np.errstate(over="ignore"):
        wanted = apply_windowing(np.append(modality.astype(np.float64), [-1e9, 1e9]), reference)
    wanted = (wanted[:-2] - wanted[-2]) / (wanted[-1] - wanted[-2])
    got = apply_window(
        np.asarray(modality, dtype=np.float64), float(reference.WindowCenter), float(reference.WindowWidth), function
    )
    np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_first_of_several_windows_is_used() -> None:
    made = plain()
    made.WindowCenter, made.WindowWidth = ["2000", "100"], ["4000", "10"]
    pixels, warnings = shown(made)
    np.testing.assert_allclose(pixels, apply_window(TWELVE_BITS.astype(float), 2000, 4000, "LINEAR"), atol=1e-6)
    assert warnings == ()


@pytest.mark.parametrize(("center", "width"), [("2000", "0"), ("2000", "-5"), ("90000", "10"), ("2000", None)])
def test_unusable_window_falls_back_to_the_image_itself(center: str, width: str | None) -> None:
    made = plain()
    made.WindowCenter = center
    if width is not None:
        made.WindowWidth = width
    pixels, warnings = shown(made)
    assert warnings == ("imaging.window.invalid",)
    np.testing.assert_array_equal(pixels, shown(plain())[0])


def test_without_window_the_percentiles_set_the_range() -> None:
    spiked = TWELVE_BITS.copy()
    spiked[0, :3] = 4095
    spiked[1, :3] = 0
    pixels, warnings = shown(plain(spiked), spiked)
    low, high = np.percentile(spiked, (0.5, 99.5))
    np.testing.assert_allclose(pixels, np.clip((spiked - low) / (high - low), 0, 1), atol=0.01)
    assert warnings == ("imaging.window.derived",)


def test_eight_bits_without_window_are_taken_as_they_are() -> None:
    values = np.rint(limb_image() * 200 + 20).astype(np.uint8)
    pixels, warnings = shown(plain(values, 8), values)
    np.testing.assert_allclose(pixels, values / 255.0, atol=1e-6)
    assert warnings == ()


def test_monochrome1_is_inverted_once() -> None:
    for shape in (None, "INVERSE", "IDENTITY"):
        made = plain()
        made.PhotometricInterpretation = "MONOCHROME1"
        if shape:
            made.PresentationLUTShape = shape
        np.testing.assert_allclose(shown(made)[0], 1.0 - shown(plain())[0], atol=1e-6)
    made = plain()
    made.PresentationLUTShape = "INVERSE"
    np.testing.assert_allclose(shown(made)[0], 1.0 - shown(plain())[0], atol=1e-6)


def test_raw_detector_data_follow_the_sign_of_intensity() -> None:
    made = plain()
    made.PresentationIntentType, made.PixelIntensityRelationshipSign = "FOR PROCESSING", 1
    np.testing.assert_allclose(shown(made)[0], 1.0 - shown(plain())[0], atol=1e-6)
    made.PhotometricInterpretation, made.PixelIntensityRelationshipSign = "MONOCHROME1", -1
    np.testing.assert_allclose(shown(made)[0], shown(plain())[0], atol=1e-6)


def test_signed_values_and_rescale() -> None:
    values = np.rint(limb_image() * 4000 - 1000).astype(np.int16)
    made = plain(values, 16)
    made.RescaleSlope, made.RescaleIntercept = "2", "500"
    made.WindowCenter, made.WindowWidth = "2500", "8000"
    expected = apply_window(values.astype(np.float64) * 2.0 + 500.0, 2500, 8000, "LINEAR")
    np.testing.assert_allclose(shown(made, values)[0], expected, atol=1e-6)
    np.testing.assert_allclose(read_radiograph(to_bytes(made)).pixels, expected, atol=1e-6)


def test_bits_above_high_bit_are_dropped() -> None:
    with_overlay = TWELVE_BITS | np.uint16(0x4000)
    made = plain(with_overlay)
    np.testing.assert_array_equal(read_radiograph(to_bytes(made)).pixels, shown(plain())[0])


def test_left_justified_bits_are_shifted_down() -> None:
    made = plain(TWELVE_BITS << 4)
    made.BitsStored, made.HighBit = 12, 15
    np.testing.assert_array_equal(read_radiograph(to_bytes(made)).pixels, shown(plain())[0])


def lut_item(entries: NDArray[np.integer], first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [entries.size % 65536, first, bits]
    item["LUTDescriptor"].VR = "US" if first >= 0 else "SS"
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def test_voi_lut_equals_pydicoms_and_is_preferred() -> None:
    made = plain()
    entries = np.rint(1023 * (np.arange(3000) / 2999.0) ** 0.5).astype(np.uint16)
    made.VOILUTSequence = [lut_item(entries, 500, 10)]
    made.WindowCenter, made.WindowWidth = "10", "20"
    wanted = apply_voi(TWELVE_BITS, made) / 1023.0
    np.testing.assert_allclose(shown(made)[0], wanted, atol=1e-6)
    made["VOILUTSequence"][0].add_new("LUTData", "US", entries.tolist())
    np.testing.assert_allclose(shown(made)[0], wanted, atol=1e-6)


def test_eight_bit_voi_lut_with_many_entries_does_not_wrap() -> None:
    made = plain()
    entries = np.rint(255 * np.arange(4096) / 4095.0).astype(np.uint16)
    made.VOILUTSequence = [lut_item(entries, 0, 8)]
    np.testing.assert_allclose(shown(made)[0], TWELVE_BITS / 4095.0, atol=0.003)


def test_damaged_voi_lut_falls_back() -> None:
    made = plain()
    item = lut_item(np.arange(100, dtype=np.uint16), 0, 10)
    item.LUTDescriptor = [4000, 0, 10]
    made.VOILUTSequence = [item]
    assert shown(made)[1] == ("imaging.window.invalid",)


def test_modality_lut_comes_first() -> None:
    made = plain()
    entries = (65535 - 16 * np.arange(4096)).astype(np.uint16)
    made.ModalityLUTSequence = [lut_item(entries, 0, 16)]
    made.WindowCenter, made.WindowWidth = "32768", "65536"
    expected = apply_window(entries[TWELVE_BITS].astype(float), 32768, 65536, "LINEAR")
    np.testing.assert_allclose(shown(made)[0], expected, atol=1e-6)
    made.ModalityLUTSequence[0].LUTDescriptor = [60000, 0, 16]
    with pytest.raises(CorruptFileError):
        shown(made)


def test_padding_is_black_and_does_not_count() -> None:
    padded = TWELVE_BITS.copy()
    padded[:, :20] = 4095
    made = plain(padded)
    made.PixelPaddingValue = 4095
    made["PixelPaddingValue"].VR = "US"
    pixels, _ = shown(made, padded)
    assert (pixels[:, :20] == 0).all()
    low, high = np.percentile(padded[:, 20:], (0.5, 99.5))
    np.testing.assert_allclose(pixels[:, 20:], np.clip((padded[:, 20:] - low) / (high - low), 0, 1), atol=0.01)


@pytest.mark.parametrize("slope", ["0", "nan"])
def test_impossible_rescale_is_refused(slope: str) -> None:
    made = plain()
    made.RescaleIntercept = "0"
    made.add_new("RescaleSlope", "DS", slope) if slope == "0" else made.add_new("RescaleSlope", "LO", slope)
    with pytest.raises(CorruptFileError):
        shown(made)
