"""A file in, a `Radiograph` out.

The format is told from the content, never from the name. DICOM code is loaded only when a DICOM file comes, so PNG and
JPEG stay quick to read. Whatever the bytes, the outcome is a `Radiograph` or an `ImagingError`.
"""

import hashlib
from pathlib import Path
from typing import Final

from imaging.errors import (
    EmptyFileError,
    EncryptedFileError,
    FrameNotFoundError,
    NotAnImageError,
    OversizedFileError,
    TruncatedFileError,
    UnreadableFileError,
)
from imaging.grey import content_warnings
from imaging.limits import DEFAULT_LIMITS, ReadLimits
from imaging.radiograph import Radiograph

_DICOM_PREFIX: Final = b"DICM"
_DICOM_PREFIX_AT: Final = 128
_CMS_OBJECT_IDENTIFIERS: Final = (
    bytes.fromhex("06092a864886f70d010703"),  # enveloped data
    bytes.fromhex("06092a864886f70d010706"),  # encrypted data
    bytes.fromhex("060b2a864886f70d0109100117"),  # authenticated-enveloped data
    bytes.fromhex("06092a864886f70d010702"),  # signed data
)
_OTHER_FORMATS: Final = (
    (b"%PDF", "a PDF document"),
    (b"GIF8", "a GIF image"),
    (b"BM", "a Windows bitmap"),
    (b"II*\x00", "a TIFF image"),
    (b"MM\x00*", "a TIFF image"),
    (b"RIFF", "a WebP image or another RIFF file"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file outside DICOM"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 code stream outside DICOM"),
    (b"{", "JSON text"),
    (b"<", "XML or HTML text"),
)


def read_radiograph(
    source: Path | bytes,
    *,
    frame: int = 1,
    limits: ReadLimits = DEFAULT_LIMITS,
) -> Radiograph:
    """Read one projection radiograph from a DICOM, PNG or JPEG file.

    Args:
        source: Path of the file, or its bytes.
        frame: Which image of a file with several, counted from 1.
        limits: Bounds on size.

    Returns:
        The radiograph, float32 [H, W], 0..1, bone bright as far as the file states it, with what the file says of
        spacing, region and side, and warning codes from `imaging.warnings.WARNINGS`.

    Raises:
        ImagingError: The file cannot be used; the subclass says why (see `imaging.errors`).
    """
    data = _load(source, limits)
    kind = detect_format(data)
    if kind == "dicom":
        # Loaded here: pydicom takes most of a second to import, which PNG and JPEG need not pay.
        from imaging.dicom.reader import read_dicom

        return read_dicom(data, sha256=_digest(data), frame=frame, limits=limits)
    if frame != 1:
        raise FrameNotFoundError(f"A {kind.upper()} file is read as one image; there is no frame {frame}.")
    return _read_raster(data, kind, limits)


def detect_format(data: bytes) -> str:
    """``dicom``, ``png`` or ``jpeg``, told from the content.

    Raises:
        NotAnImageError: The content is none of these.
        EncryptedFileError: It is a cryptographic message.
        TruncatedFileError: It is too short to tell, though it begins like one of these.
    """
    # A preamble may hold anything, even another format's signature, so the DICOM prefix is asked for first.
    if data[_DICOM_PREFIX_AT : _DICOM_PREFIX_AT + 4] == _DICOM_PREFIX:
        return "dicom"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if _is_cryptographic_message(data):
        raise EncryptedFileError("The file is a cryptographic message (CMS, PKCS #7), not a plain image.")
    if _looks_like_bare_dataset(data):
        return "dicom"
    for signature, name in _OTHER_FORMATS:
        if data.lstrip(b" \r\n\t\xef\xbb\xbf")[: len(signature)] == signature or data.startswith(signature):
            raise NotAnImageError(f"The file is {name}, not a DICOM, PNG or JPEG image.")
    if len(data) < 16 and (b"\x89PNG\r\n\x1a\n".startswith(data) or b"\xff\xd8\xff".startswith(data)):
        raise TruncatedFileError("The file ends within its first few bytes.")
    raise NotAnImageError("The content of the file is neither DICOM nor PNG nor JPEG.")


def _load(source: Path | bytes, limits: ReadLimits) -> bytes:
    """The bytes of `source`, with the size checked before they are read."""
    if isinstance(source, Path):
        try:
            _check_length(source.stat().st_size, limits)
            data = source.read_bytes()
        except OSError as error:
            raise UnreadableFileError(f"The file cannot be opened ({type(error).__name__}).") from None
    else:
        data = bytes(source)
    _check_length(len(data), limits)
    if not data:
        raise EmptyFileError("The file is empty.")
    return data


def _check_length(length: int, limits: ReadLimits) -> None:
    if length > limits.max_file_bytes:
        raise OversizedFileError(f"The file has {length:,} bytes; at most {limits.max_file_bytes:,} are read.")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _read_raster(data: bytes, kind: str, limits: ReadLimits) -> Radiograph:
    from imaging.raster import read_jpeg, read_png

    decode = read_png if kind == "png" else read_jpeg
    image = decode(data, limits=limits)
    warnings = ["imaging.spacing.missing", "imaging.region.missing"]
    if image.frames > 1:
        warnings.append(f"imaging.frames.several:{image.frames}")
    if image.coloured:
        warnings.append("imaging.colour.converted")
    if image.stretched:
        warnings.append("imaging.window.derived")
    warnings.extend(content_warnings(image.pixels))
    return Radiograph(
        pixels=image.pixels,
        sha256=_digest(data),
        source_format=kind,
        synthetic=image.synthetic,
        warnings=tuple(warnings),
    )


def _is_cryptographic_message(data: bytes) -> bool:
    """Whether the bytes are a CMS message: ASN.1 SEQUENCE followed by a CMS content type, or its PEM armour."""
    if data.startswith((b"-----BEGIN PKCS7", b"-----BEGIN CMS")):
        return True
    return data[:1] == b"\x30" and any(identifier in data[:32] for identifier in _CMS_OBJECT_IDENTIFIERS)


def _looks_like_bare_dataset(data: bytes) -> bool:
    """Whether the bytes begin like a DICOM data set that was stored without preamble and prefix.

    The first element must lie in group 0002 or 0008 and carry either a two-letter value representation or a small
    implicit length, and so must the second.
    """
    position = 0
    for expected_groups in ((b"\x02\x00", b"\x08\x00"), (b"\x02\x00", b"\x08\x00", b"\x09\x00", b"\x10\x00")):
        header = data[position : position + 12]
        if len(header) < 12 or header[:2] not in expected_groups:
            return False
        value_representation = header[4:6]
        if value_representation.isalpha() and value_representation.isupper():
            if value_representation in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR"):
                length, start = int.from_bytes(header[8:12], "little"), 12
            else:
                length, start = int.from_bytes(header[6:8], "little"), 8
        else:
            length, start = int.from_bytes(header[4:8], "little"), 8
        if length == 0xFFFFFFFF:
            return True
        if length > 1 << 16:
            return False
        position += start + length
    return True
