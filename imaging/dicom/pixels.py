"""One frame of stored pixel values from any transfer syntax that has a decoder here.

The size a compressed frame announces is compared with Rows and Columns before a decoder allocates for it, and a code
stream without its end marker is refused: decoders would fill the missing part with grey.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from imaging.codestream import CodestreamError, ends_properly, jpeg_2000_header, jpeg_header
from imaging.dicom.dataset import integer, text, transfer_syntax
from imaging.dicom.rle import decode_rle
from imaging.errors import CorruptFileError, FrameNotFoundError, TruncatedFileError, UnsupportedEncodingError
from imaging.limits import ReadLimits

_NATIVE: Final = frozenset(
    {ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian}
)
_JPEG: Final = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, *JPEGLSTransferSyntaxes})
_JPEG_2000: Final = frozenset(JPEG2000TransferSyntaxes)
_GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_COLOUR: Final = (
    "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_420", "PALETTE COLOR",
)  # fmt: skip
_PREFERRED_DECODER: Final = {
    # Fastest first where there is a choice, measured on 1760 x 1760 pixels (JPEG 2000: 0.29 s against Pillow's 0.65 s).
    **dict.fromkeys(JPEG2000TransferSyntaxes, "pylibjpeg"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelModule:
    """The image pixel module, checked."""

    rows: int
    columns: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    frames: int

    @property
    def monochrome(self) -> bool:
        """Whether one grey value is stored per pixel."""
        return self.photometric in _GREY


def pixel_module(dataset: FileDataset, limits: ReadLimits) -> PixelModule:
    """Read and check the attributes that describe the pixel data, before any of it is touched.

    Raises:
        CorruptFileError: A needed attribute is missing or contradictory.
        UnfitContentError: The size is outside `limits`.
        UnsupportedEncodingError: The pixel format is not read here.
    """
    rows, columns = integer(dataset, "Rows"), integer(dataset, "Columns")
    limits.check_size(rows, columns)
    samples = integer(dataset, "SamplesPerPixel", default=1)
    photometric = (text(dataset, "PhotometricInterpretation") or "").upper()
    if photometric not in _GREY + _COLOUR:
        raise UnsupportedEncodingError("The photometric interpretation of the DICOM image is missing or unknown.")
    if samples != (1 if photometric in (*_GREY, "PALETTE COLOR") else 3):
        raise CorruptFileError("Samples per Pixel and Photometric Interpretation of the DICOM image do not agree.")
    allocated = integer(dataset, "BitsAllocated")
    stored = integer(dataset, "BitsStored", default=allocated)
    high_bit = integer(dataset, "HighBit", default=stored - 1)
    if allocated not in (8, 16) or (samples == 3 and allocated != 8):
        raise UnsupportedEncodingError(f"Pixels of {allocated} bits allocated ({samples} samples) are not read.")
    if not (1 <= stored <= allocated and stored - 1 <= high_bit < allocated):
        raise CorruptFileError("Bits Allocated, Bits Stored and High Bit of the DICOM image contradict each other.")
    frames = integer(dataset, "NumberOfFrames", default=1)
    if frames < 1:
        raise CorruptFileError("The DICOM image announces no frames.")
    return PixelModule(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        signed=integer(dataset, "PixelRepresentation", default=0) == 1,
        frames=frames,
    )


def stored_values(dataset: FileDataset, module: PixelModule, frame: int) -> NDArray[Any]:
    """Decode frame number `frame` (from 1).

    Returns:
        [H, W] of uint8, int8, uint16 or int16 for grey images, [H, W, 3] uint8 RGB for colour.

    Raises:
        FrameNotFoundError: There is no such frame.
        TruncatedFileError: Its data are incomplete.
        CorruptFileError: Its data are damaged.
        UnsupportedEncodingError: No decoder for the transfer syntax.
    """
    if not 1 <= frame <= module.frames:
        raise FrameNotFoundError(f"There is no frame {frame}: the file holds {module.frames}.")
    if "PixelData" not in dataset:
        raise UnsupportedEncodingError("The DICOM image holds floating-point pixels, which radiographs never are.")
    syntax = transfer_syntax(dataset)
    if syntax in _NATIVE and module.monochrome:
        return _align(_native_grey(dataset, module, frame, syntax), module)
    decoded = _decompressed(dataset, module, frame, syntax)
    if module.photometric == "PALETTE COLOR":
        return _from_palette(decoded, dataset)
    return decoded if module.samples == 3 else _align(decoded, module)


def _decompressed(dataset: FileDataset, module: PixelModule, frame: int, syntax: UID) -> NDArray[Any]:
    """Decode the frame, its code stream checked beforehand."""
    if syntax in _NATIVE:
        return _decode(dataset, module, frame, syntax)
    if syntax != RLELossless and syntax not in _JPEG and syntax not in _JPEG_2000:
        raise UnsupportedEncodingError("The transfer syntax of the DICOM image has no decoder here.")
    stream = _frame_stream(dataset, module, frame)
    if syntax == RLELossless:
        return _run_length(stream, module)
    _check_codestream(stream, module, syntax)
    return _decode(dataset, module, frame, syntax)


def _run_length(stream: bytes, module: PixelModule) -> NDArray[Any]:
    values = decode_rle(
        stream,
        rows=module.rows,
        columns=module.columns,
        samples=module.samples,
        bytes_per_sample=module.bits_allocated // 8,
    )
    if module.samples == 3 and module.photometric != "RGB":
        return np.asarray(convert_color_space(values, "YBR_FULL", "RGB"))
    return values.view(f"i{values.dtype.itemsize}") if module.signed else values


def _native_grey(dataset: FileDataset, module: PixelModule, frame: int, syntax: UID) -> NDArray[Any]:
    """Cut the frame out of uncompressed data."""
    data = dataset.PixelData
    width = module.bits_allocated // 8
    count = module.rows * module.columns
    start = (frame - 1) * count * width
    end = start + count * width
    if len(data) < end:
        raise TruncatedFileError("The DICOM file holds less pixel data than its header announces.")
    kind = "i" if module.signed else "u"
    swapped = syntax == ExplicitVRBigEndian
    if swapped and width == 1 and dataset.get_item("PixelData").VR == "OW":
        raise UnsupportedEncodingError("Big-endian 8-bit pixels in 16-bit words are not read.")
    values = np.frombuffer(data, dtype=f"{'>' if swapped else '<'}{kind}{width}", count=count, offset=start)
    return values.astype(f"{kind}{width}").reshape(module.rows, module.columns)


def _align(values: NDArray[Any], module: PixelModule) -> NDArray[Any]:
    """Drop bits above High Bit (old files keep overlays there) and below the stored bits, keeping the sign."""
    width = 8 * values.dtype.itemsize
    if width < module.bits_stored or module.bits_stored == width:
        return values
    left = width - 1 - module.high_bit if width == module.bits_allocated else width - module.bits_stored
    aligned: NDArray[Any] = np.right_shift(np.left_shift(values, left), width - module.bits_stored)
    return aligned


def _frame_stream(dataset: FileDataset, module: PixelModule, frame: int) -> bytes:
    try:
        return get_frame(
            dataset.PixelData,
            frame - 1,
            number_of_frames=module.frames,
            extended_offsets=_extended_offsets(dataset),
        )
    except Exception:  # pydicom meets a damaged fragment table with many exceptions
        raise CorruptFileError("The fragments of the compressed DICOM image cannot be put together.") from None


def _check_codestream(stream: bytes, module: PixelModule, syntax: UID) -> None:
    """Judge a JPEG, JPEG-LS or JPEG 2000 code stream by its header and its end."""
    try:
        header = jpeg_2000_header(stream) if syntax in _JPEG_2000 else jpeg_header(stream)
    except CodestreamError as error:
        raise (TruncatedFileError if error.truncated else CorruptFileError)(
            f"The compressed DICOM image is damaged: {error}."
        ) from None
    if (header.rows, header.columns, header.components) != (module.rows, module.columns, module.samples):
        raise CorruptFileError("The compressed DICOM image has another size than its header states.")
    if header.precision > module.bits_allocated:
        raise CorruptFileError("The compressed DICOM image has another bit depth than its header states.")
    if not ends_properly(stream):
        raise TruncatedFileError("The compressed DICOM image ends without its end marker.")


def _extended_offsets(dataset: FileDataset) -> tuple[bytes, bytes] | None:
    offsets, lengths = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
    if isinstance(offsets, bytes) and isinstance(lengths, bytes) and len(offsets) == len(lengths) > 0:
        return offsets, lengths
    return None


def _decode(dataset: FileDataset, module: PixelModule, frame: int, syntax: UID) -> NDArray[Any]:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise UnsupportedEncodingError("The transfer syntax of the DICOM image has no decoder here.") from None
    if not decoder.is_available:
        raise UnsupportedEncodingError("The decoder for the transfer syntax of the DICOM image is not installed.")
    dataset.file_meta.TransferSyntaxUID = syntax
    try:
        values, _ = decoder.as_array(
            dataset,
            index=frame - 1,
            raw=module.samples == 1,
            decoding_plugin=_PREFERRED_DECODER.get(syntax, ""),
            allow_excess_frames=False,  # type: ignore[arg-type]
        )
    except MemoryError:
        raise CorruptFileError("The compressed DICOM image unpacks to more than can be read.") from None
    except Exception:  # every decoder has its own exceptions; their texts may quote the file
        raise CorruptFileError("The pixel data of the DICOM image cannot be decoded.") from None
    expected = (module.rows, module.columns) if module.samples == 1 else (module.rows, module.columns, 3)
    if values.shape != expected or values.dtype.itemsize > 2:
        raise CorruptFileError("The DICOM image decodes to another shape than its header states.")
    return values


def _from_palette(indices: NDArray[Any], dataset: FileDataset) -> NDArray[np.uint8]:
    try:
        colours = apply_color_lut(indices, dataset)
    except Exception:  # a damaged palette raises many types
        raise CorruptFileError("The colour palette of the DICOM image is damaged.") from None
    if colours.dtype.itemsize == 2:
        colours = (colours >> 8).astype(np.uint8)
    return np.ascontiguousarray(colours[..., :3], dtype=np.uint8)
