"""What is accepted, what is refused, and what is carried over."""

import dataclasses
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    MPEG2MPML,
    UID,
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

from imaging.errors import (
    BlankImageError,
    CorruptFileError,
    FrameNotFoundError,
    ImageTooLargeError,
    ImageTooSmallError,
    ImagingError,
    NoPixelDataError,
    OutsideIntendedUseError,
    OversizedFileError,
    TruncatedFileError,
    UnsupportedEncodingError,
    UnsupportedModalityError,
)
from imaging.labels import BodyRegion
from imaging.limits import ReadLimits
from imaging.reader import read_radiograph
from tests.support.dicom import (
    PATIENT_ID,
    PATIENT_NAME,
    compressed,
    dataset,
    encapsulated,
    file,
    jpeg,
    limb_image,
    set_stored,
    to_bytes,
)
from tests.support.shared import requires_shared, shared_dir

CT = "1.2.840.10008.5.1.4.1.1.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def test_plain_radiograph() -> None:
    made = dataset()
    radiograph = read_radiograph(to_bytes(made))
    np.testing.assert_allclose(radiograph.pixels, limb_image(), atol=1e-3)
    assert radiograph.source_format == "dicom"
    assert (radiograph.region, radiograph.laterality) == (BodyRegion.WRIST, "L")
    assert radiograph.warnings == ("imaging.spacing.missing",)
    assert radiograph.dicom is not None
    assert radiograph.dicom.sop_instance_uid == made.SOPInstanceUID
    assert radiograph.dicom.frame == 1


@pytest.mark.parametrize(
    ("syntax", "bits"),
    [
        (ImplicitVRLittleEndian, 12),
        (ExplicitVRLittleEndian, 12),
        (ExplicitVRLittleEndian, 8),
        (ExplicitVRLittleEndian, 16),
        (ExplicitVRBigEndian, 12),
        (DeflatedExplicitVRLittleEndian, 12),
        (RLELossless, 8),
        (RLELossless, 12),
        (JPEGLosslessSV1, 8),
        (JPEGLosslessSV1, 12),
        (JPEGLSLossless, 8),
        (JPEGLSLossless, 12),
        (JPEG2000Lossless, 8),
        (JPEG2000Lossless, 12),
    ],
)
def test_lossless_transfer_syntaxes_read_alike(syntax: UID, bits: int) -> None:
    data, stored = compressed(syntax, bits)
    radiograph = read_radiograph(data)
    if bits == 8:
        expected = stored[0] / 255.0
    else:
        low, high = np.percentile(stored[0], (0.5, 99.5))
        expected = np.clip((stored[0] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(radiograph.pixels, expected, atol=0.01)


def test_jpeg_baseline() -> None:
    data, stored = compressed(JPEGBaseline8Bit, 8)
    assert np.abs(read_radiograph(data).pixels * 255 - stored[0]).mean() < 1.5


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless, JPEGLosslessSV1])
def test_frames_are_counted_from_one(syntax: UID) -> None:
    data, stored = compressed(syntax, 8, frames=3)
    for number in (1, 2, 3):
        radiograph = read_radiograph(data, frame=number)
        np.testing.assert_allclose(radiograph.pixels * 255, stored[number - 1], atol=0.01)
        assert radiograph.dicom is not None and radiograph.dicom.frame == number
        assert "imaging.frames.several:3" in radiograph.warnings
    for number in (0, -1, 4):
        with pytest.raises(FrameNotFoundError):
            read_radiograph(data, frame=number)


def test_without_preamble_and_meta_information() -> None:
    data = file()
    assert read_radiograph(data[132:]).source_format == "dicom"
    buffer = BytesIO()
    made = dataset()
    pydicom.filewriter.write_dataset(pydicom.filebase.DicomIO(buffer), _as(made, implicit=True))
    radiograph = read_radiograph(buffer.getvalue())
    np.testing.assert_allclose(radiograph.pixels, limb_image(), atol=1e-3)


def _as(made: FileDataset, *, implicit: bool) -> Dataset:
    bare = Dataset(made)
    bare.set_original_encoding(implicit, True)
    return bare


def test_patient_is_not_carried_over() -> None:
    data = file()
    assert PATIENT_NAME.encode() in data and PATIENT_ID.encode() in data
    radiograph = read_radiograph(data)
    described = repr(dataclasses.replace(radiograph, pixels=np.zeros(0, dtype=np.float32)))
    for secret in (PATIENT_NAME, PATIENT_ID, "Rosalind", "Unmistakable"):
        assert secret not in described


@pytest.mark.parametrize("modality", ["CT", "MR", "US", "MG", "XA", "NM", "PX", "ZZ"])
def test_other_modalities_are_refused_by_name(modality: str) -> None:
    with pytest.raises(UnsupportedModalityError):
        read_radiograph(file(lambda made: setattr(made, "Modality", modality)))


def test_class_must_agree_with_modality() -> None:
    def bend(made: FileDataset) -> None:
        made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID(CT)

    with pytest.raises(UnsupportedModalityError):
        read_radiograph(file(bend))


@pytest.mark.parametrize("modality", ["OT", "CR"])
def test_secondary_capture_is_read_with_a_warning(modality: str) -> None:
    def bend(made: FileDataset) -> None:
        made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
        made.Modality = modality

    assert "imaging.modality.unspecific" in read_radiograph(file(bend)).warnings


def test_report_has_no_image() -> None:
    def bend(made: FileDataset) -> None:
        made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.88.33")
        made.Modality = "SR"
        for keyword in ("PixelData", "Rows", "Columns"):
            delattr(made, keyword)

    with pytest.raises(NoPixelDataError):
        read_radiograph(file(bend))


def test_missing_pixels_of_a_radiograph_are_a_cut_file() -> None:
    with pytest.raises(TruncatedFileError):
        read_radiograph(file(lambda made: delattr(made, "PixelData")))
    data = file()
    with pytest.raises(TruncatedFileError):
        read_radiograph(data[:-500])


def test_compressed_frame_without_its_end_is_refused() -> None:
    for syntax, bits in ((JPEG2000Lossless, 12), (JPEGLSLossless, 12), (JPEGBaseline8Bit, 8)):
        made = pydicom.dcmread(BytesIO(compressed(syntax, bits)[0]))
        (frame,) = pydicom.encaps.generate_frames(made.PixelData, number_of_frames=1)
        with pytest.raises(TruncatedFileError):
            read_radiograph(to_bytes(encapsulated(made, [frame[: len(frame) // 2]], syntax)))


def test_header_of_30000_by_30000_is_refused_before_decoding() -> None:
    def bend(made: FileDataset) -> None:
        made.Rows = made.Columns = 30_000

    with pytest.raises(ImageTooLargeError):
        read_radiograph(file(bend))


def test_code_stream_may_not_be_larger_than_the_header_says() -> None:
    made = dataset(bits_stored=8)
    bomb = bytearray(jpeg(np.rint(limb_image() * 255).astype(np.uint8)))
    frame = bomb.index(b"\xff\xc0")
    bomb[frame + 5 : frame + 9] = (65_000).to_bytes(2, "big") * 2
    with pytest.raises(CorruptFileError):
        read_radiograph(to_bytes(encapsulated(made, [bytes(bomb)], JPEGBaseline8Bit)))


def test_deflate_bomb_is_bounded() -> None:
    made = dataset(pixels=np.tile(limb_image(), (4, 4)) * 0.0 + 0.5)
    made.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    with pytest.raises(OversizedFileError):
        read_radiograph(to_bytes(made), limits=ReadLimits(max_file_bytes=100_000))


def test_run_length_bomb_is_bounded() -> None:
    made = dataset(bits_stored=8)
    stream = (1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + b"\x81\x00" * 500_000
    data = to_bytes(encapsulated(made, [stream], RLELossless))
    tracemalloc.start()
    with pytest.raises(ImagingError):
        read_radiograph(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Unpacked in full, the runs would fill 64 MB.
    assert peak < 10 * len(data)


def test_too_small_and_blank() -> None:
    with pytest.raises(ImageTooSmallError):
        read_radiograph(to_bytes(dataset(pixels=limb_image(40, 400))))
    with pytest.raises(BlankImageError):
        read_radiograph(to_bytes(dataset(pixels=np.full((80, 80), 0.5))))


def test_unknown_transfer_syntax() -> None:
    made = dataset()
    made.PixelData = encapsulate([b"\x00" * 100])
    made["PixelData"].is_undefined_length = True
    made["PixelData"].VR = "OB"
    made.file_meta.TransferSyntaxUID = MPEG2MPML
    with pytest.raises(UnsupportedEncodingError):
        read_radiograph(to_bytes(made))


@pytest.mark.parametrize(
    ("keyword", "value", "error"),
    [
        ("BitsAllocated", 32, UnsupportedEncodingError),
        ("BitsStored", 17, CorruptFileError),
        ("SamplesPerPixel", 3, CorruptFileError),
        ("PhotometricInterpretation", "HSV", UnsupportedEncodingError),
        ("NumberOfFrames", 0, CorruptFileError),
        ("Rows", 0, CorruptFileError),
    ],
)
def test_contradictory_headers(keyword: str, value: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_radiograph(file(lambda made: setattr(made, keyword, value)))


def test_colour_is_converted() -> None:
    def bend(made: FileDataset) -> None:
        grey = np.rint(limb_image() * 255).astype(np.uint8)
        rgb = np.stack([grey, grey, np.roll(grey, 30, axis=1)], axis=-1)
        set_stored(made, grey, 8)
        made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
        made.PixelData = rgb.tobytes()

    radiograph = read_radiograph(file(bend, bits_stored=8))
    assert radiograph.pixels.shape == limb_image().shape
    assert "imaging.colour.converted" in radiograph.warnings


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, RLELossless, JPEG2000Lossless])
def test_compressed_grey_in_colour_reads_as_grey(syntax: UID) -> None:
    grey = np.rint(limb_image() * 255).astype(np.uint8)
    rgb = np.stack([grey] * 3, axis=-1)
    made = dataset(bits_stored=8)
    set_stored(made, grey, 8)
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PlanarConfiguration = 3, "RGB", 0
    made.PixelData = rgb.tobytes()
    if syntax == JPEGBaseline8Bit:
        made.PhotometricInterpretation = "YBR_FULL_422"
        encapsulated(made, [jpeg(rgb, quality=98)], syntax)
    else:
        made.compress(syntax, generate_instance_uid=False)
    radiograph = read_radiograph(to_bytes(made))
    assert np.abs(radiograph.pixels * 255 - grey).mean() < 1.5
    assert "imaging.colour.converted" not in radiograph.warnings


def test_palette_colour() -> None:
    def bend(made: FileDataset) -> None:
        set_stored(made, np.rint(limb_image() * 255).astype(np.uint8), 8)
        made.PhotometricInterpretation = "PALETTE COLOR"
        ramp = (np.arange(256) * 257).astype("<u2")
        for colour in ("Red", "Green", "Blue"):
            setattr(made, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
            setattr(made, f"{colour}PaletteColorLookupTableData", ramp.tobytes())

    radiograph = read_radiograph(file(bend, bits_stored=8))
    np.testing.assert_allclose(radiograph.pixels, limb_image(), atol=0.005)


def test_marks_of_the_file_become_warnings() -> None:
    def bend(made: FileDataset) -> None:
        made.PresentationIntentType = "FOR PROCESSING"
        made.BurnedInAnnotation = "YES"
        del made.StudyInstanceUID

    radiograph = read_radiograph(file(bend))
    assert {
        "imaging.presentation.for_processing",
        "imaging.annotation.burned_in",
        "imaging.identifiers.missing",
    } <= set(radiograph.warnings)
    assert radiograph.dicom is None


def test_encrypted_attributes_do_not_hinder() -> None:
    def bend(made: FileDataset) -> None:
        item = Dataset()
        item.EncryptedContentTransferSyntaxUID = ExplicitVRLittleEndian
        item.EncryptedContent = b"\x01" * 64
        made.EncryptedAttributesSequence = [item]

    assert read_radiograph(file(bend)).region is BodyRegion.WRIST


def test_synthetic_marks() -> None:
    assert read_radiograph(file(synthetic=True)).synthetic
    assert read_radiograph(file(lambda made: setattr(made, "SyntheticData", "YES"))).synthetic
    assert not read_radiograph(file()).synthetic


def test_threads_read_alike() -> None:
    data = [compressed(syntax, 12)[0] for syntax in (RLELossless, JPEG2000Lossless, ExplicitVRLittleEndian)] * 4
    with ThreadPoolExecutor(4) as pool:
        shapes = [radiograph.pixels.shape for radiograph in pool.map(read_radiograph, data)]
    assert set(shapes) == {limb_image().shape}


@requires_shared
def test_real_ankle_reads_with_bone_bright() -> None:
    folder = shared_dir()
    assert folder is not None
    radiograph = read_radiograph(folder / "data" / "dicom" / "RG3_J2KR.dcm")
    assert radiograph.pixels.shape == (1760, 1760)
    assert radiograph.region is BodyRegion.LOWER_LEG and radiograph.laterality == "R"
    assert radiograph.spacing is None
    # Places read off the picture: air beside the calf, flesh, the tibia's cortex, the talus.
    air, flesh, cortex, talus = (radiograph.pixels[y - 5 : y + 6, x - 5 : x + 6].mean() for y, x in
                                 ((1150, 530), (600, 740), (700, 905), (1560, 790)))  # fmt: skip
    assert air < 0.15 < flesh < cortex < talus
    assert radiograph.warnings == ("imaging.region.from_description", "imaging.spacing.missing")


@requires_shared
def test_real_chest_is_outside_the_intended_use() -> None:
    folder = shared_dir()
    assert folder is not None
    data = (folder / "data" / "dicom" / "RG1_J2KI.dcm").read_bytes()
    with pytest.raises(OutsideIntendedUseError):
        read_radiograph(data)
    # Without the field that is meant for it, the study's description still says THORAX.
    unstated = data.replace(b"\x18\x00\x15\x00CS\x06\x00CHEST ", b"\x18\x00\x15\x00CS\x06\x00      ")
    assert unstated != data
    with pytest.raises(OutsideIntendedUseError):
        read_radiograph(unstated)
