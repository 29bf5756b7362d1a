"""Bytes to a DICOM data set: bounded, silent, and with a missing end noticed."""

import logging
import math
import re
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from imaging.errors import CorruptFileError, OversizedFileError, TruncatedFileError

_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_PIXEL_KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_QUIET_LOGGERS: Final = (
    "pydicom",
    "pydicom.pixels.decoders.base",
    "pydicom.pixels.utils",
    "pylibjpeg",
    "pylibjpeg.utils",
    "libjpeg.utils",
    "openjpeg.utils",
)
_DECIMAL: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_quiet_lock = threading.RLock()
_quiet_now = threading.local()


def _not_while_quiet(_: logging.LogRecord) -> bool:
    return not getattr(_quiet_now, "active", False)


for _name in _QUIET_LOGGERS:
    logging.getLogger(_name).addFilter(_not_while_quiet)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom and its decoders from logging or warning: their messages quote values of the file.

    The lock is there because Python's warning filters belong to the process: two readers that saved and restored them
    in turn could leave the filters of the other behind.
    """
    with _quiet_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _quiet_now.active = True
        try:
            yield
        finally:
            _quiet_now.active = False


def parse(data: bytes, *, max_bytes: int) -> FileDataset:
    """Parse a DICOM file, with or without preamble.

    Args:
        data: The whole file.
        max_bytes: Bound on what a deflated data set may unpack to.

    Raises:
        TruncatedFileError: The last element is shorter than it says, or the file ends within its headers.
        OversizedFileError: A deflated data set unpacks to more than `max_bytes`.
    """
    inflated = _inflate(data, max_bytes) if _is_deflated(data) else None
    dataset = inflated if inflated is not None else dcmread(BytesIO(data), force=True)
    for tag in dataset.keys():  # noqa: SIM118  (iterating a Dataset would convert every element)
        element: Any = dataset.get_item(tag)
        if not isinstance(element, RawDataElement) or element.length in (0, _UNDEFINED_LENGTH):
            continue
        if element.value is None or len(element.value) < element.length:
            raise TruncatedFileError("The DICOM file ends inside one of its elements.")
    return dataset


def _meta(data: bytes) -> tuple[FileMetaDataset, int]:
    """File meta information (group 0002) and the position after it."""

    def beyond_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
        return tag >> 16 != 2

    stream = DicomBytesIO(data)
    read_preamble(stream, force=True)  # type: ignore[arg-type]
    meta = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=beyond_meta)  # type: ignore[arg-type]
    return FileMetaDataset(meta), stream.tell()


def _is_deflated(data: bytes) -> bool:
    # Looking for the characters first spares other files a second parse of their header.
    if DeflatedExplicitVRLittleEndian.encode() not in data[:4096]:
        return False
    return bool(_meta(data)[0].get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)


def _inflate(data: bytes, max_bytes: int) -> FileDataset:
    """Unpack a deflated data set within `max_bytes` (pydicom itself sets no bound) and parse the result."""
    meta, start = _meta(data)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = unpacker.decompress(data[start:], max_bytes)
    except zlib.error:
        raise CorruptFileError("The deflated DICOM data set cannot be unpacked.") from None
    if unpacker.unconsumed_tail:
        raise OversizedFileError(f"The deflated DICOM data set unpacks to more than {max_bytes:,} bytes.")
    if not unpacker.eof:
        raise TruncatedFileError("The deflated DICOM data set ends too early.")
    stream = DicomBytesIO(plain)
    body = read_dataset(stream, is_implicit_VR=False, is_little_endian=True)  # type: ignore[arg-type]
    dataset = FileDataset(BytesIO(plain), body, None, meta, is_implicit_VR=False, is_little_endian=True)
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def transfer_syntax(dataset: FileDataset) -> UID:
    """Transfer syntax; the one the data set was found to be in when the file does not state it."""
    stated = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if stated:
        return UID(str(stated))
    implicit, little = dataset.original_encoding
    if little is False:
        return UID("1.2.840.10008.1.2.2")
    return UID("1.2.840.10008.1.2") if implicit else ExplicitVRLittleEndian


def has_pixels(dataset: Dataset) -> bool:
    """Whether the data set has any pixel data element with a value."""
    return any(_raw_length(dataset, keyword) for keyword in _PIXEL_KEYWORDS)


def _raw_length(dataset: Dataset, keyword: str) -> int:
    if keyword not in dataset:
        return 0
    value = dataset.get_item(keyword).value
    return len(value) if isinstance(value, bytes | bytearray) else 0


def text(dataset: Dataset, keyword: str) -> str | None:
    """First value of an attribute as text without padding; None when absent, empty or unreadable."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a damaged optional attribute is as good as none; pydicom raises almost any type for it
        return None
    if value is None or isinstance(value, bytes):
        return None
    first = str(value) if isinstance(value, str) else _first(value)
    cleaned = first.strip(" \x00\r\n\t")
    return cleaned or None


def _first(value: Any) -> str:
    try:
        return str(value[0]) if len(value) else ""
    except TypeError:
        return str(value)


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...] | None:
    """All values of a numeric attribute; None when absent or empty.

    Raises:
        ValueError: A value is present that is not a finite number.
    """
    if keyword not in dataset:
        return None
    try:
        value = dataset[keyword].value
    except Exception:  # see `text`; here the difference between damaged and absent matters
        raise ValueError("not a number") from None
    if value is None or value == "" or value == b"":
        return None
    several = hasattr(value, "__iter__") and not isinstance(value, str)
    found = tuple(_number(item) for item in (value if several else [value]))
    return found or None


def _number(item: Any) -> float:
    if isinstance(item, str) and not _DECIMAL.fullmatch(item.strip()):
        raise ValueError("not a number")
    try:
        result = float(item)
    except (TypeError, OverflowError):
        raise ValueError("not a number") from None
    if not math.isfinite(result):
        raise ValueError("not a finite number")
    return result


def number(dataset: Dataset, keyword: str) -> float | None:
    """First value of a numeric attribute; None when absent. Raises ValueError like `numbers`."""
    found = numbers(dataset, keyword)
    return found[0] if found else None


def integer(dataset: Dataset, keyword: str, *, default: int | None = None) -> int:
    """A whole number that the image cannot do without.

    Raises:
        CorruptFileError: It is missing without a default, or no whole number.
    """
    try:
        value = number(dataset, keyword)
    except ValueError:
        raise CorruptFileError(f"The DICOM attribute {keyword} is not a number.") from None
    if value is None:
        if default is None:
            raise CorruptFileError(f"The DICOM attribute {keyword} is missing.")
        return default
    if value != int(value):
        raise CorruptFileError(f"The DICOM attribute {keyword} is not a whole number.")
    return int(value)


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; empty when absent or damaged."""
    try:
        value = dataset.get(keyword)
        return list(value) if value else []
    except Exception:  # see `text`
        return []
