"""De-identification of PNG and JPEG files: only grey values are taken over, into a PNG that holds nothing else.

EXIF, XMP and colour profiles, comments and text chunks, thumbnails, further frames, a transparency that hides
something and bytes after the end of the picture are not copied, so nothing of them is left to think about. Burned-in
text near the borders is masked as in DICOM (`imaging.dicom.burned_in` says what that cannot see). Afterwards the result
is taken apart again: it may consist of a header, pixels and an end, and no text of the source may occur in it.

A picture names no patient: each one gets a pseudonym of its own, made from its grey values.
"""

import hashlib
import re
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imaging.dicom.burned_in import find_text, mask
from imaging.dicom.deidentify import Deidentified, DeidentifyOptions, new_uid, pseudonym
from imaging.errors import ResidueError, UnsupportedEncodingError
from imaging.limits import DEFAULT_LIMITS, ReadLimits
from imaging.raster import PNG_SIGNATURE, PNG_SYNTHETIC, read_jpeg, read_png, stored_grey

_KEPT_CHUNKS: Final = frozenset({b"IHDR", b"IDAT", b"IEND"})
_PACKED_CHUNKS: Final = frozenset({b"zTXt", b"iTXt", b"iCCP"})
_SYNTHETIC: Final = b"\x00".join(PNG_SYNTHETIC)
_LEAST: Final = 4
"""Characters of a text that are worth a search; shorter ones occur by chance."""
_LONGEST_TEXT: Final = 1 << 20
_WORDS: Final = (re.compile(rb"[\x20-\x7e\x80-\xff]{4,}"), re.compile(rb"(?:[\x20-\x7e]\x00){4,}"))


def deidentify_picture(data: bytes, options: DeidentifyOptions, *, limits: ReadLimits = DEFAULT_LIMITS) -> Deidentified:
    """De-identify one PNG or JPEG file.

    Args:
        data: the whole file.
        options: key, and whether text is masked; a picture has neither dates nor characteristics.
        limits: bounds on size.

    Returns:
        A PNG with as many bits as the source, upright; `Deidentified.patient` stands for this picture alone.

    Raises:
        ImagingError: the file cannot be read, shows colours, or a text of it is left in the result.
        ValueError: the key is too short.
    """
    if len(options.key) < 16:
        raise ValueError("The key needs at least 16 random bytes.")
    seen = (read_png if data.startswith(PNG_SIGNATURE) else read_jpeg)(data, limits=limits)
    if seen.coloured:
        raise UnsupportedEncodingError(
            "Colour images are not de-identified here.", remedy="Export the grey radiograph itself."
        )
    grey = stored_grey(data)
    found = find_text(grey.astype(np.float64)) if options.mask_text else ()
    written = _png(mask(grey, found), synthetic=seen.synthetic)
    left = picture_residue(data, written)
    if left:
        raise ResidueError(f"{left} texts of the picture are still in the result.")
    digest = hashlib.sha256(repr(grey.shape).encode() + np.ascontiguousarray(grey).tobytes()).hexdigest()
    return Deidentified(
        data=written,
        instance_uid=str(new_uid(options.key, digest)),
        patient=pseudonym(options.key, digest),
        masked=found,
        residue=0,
        needs_review=False,
        suffix=".png",
    )


def picture_residue(source: bytes, written: bytes) -> int:
    """How much of what was to be removed is in a result.

    Independent of how the result was made: it is taken apart chunk by chunk, and every text of the source's bytes
    outside its pixels, packed or not, is searched for in it.

    Args:
        source: the PNG or JPEG file as it was.
        written: the PNG that was made of it.

    Returns:
        Number of texts found, and of chunks that hold anything but a header, pixels, an end and the mark of a phantom.
    """
    chunks = list(_chunks(written))
    strange = [kind for kind, body in chunks if kind not in _KEPT_CHUNKS and (kind, body) != (b"tEXt", _SYNTHETIC)]
    end = len(PNG_SIGNATURE) + sum(12 + len(body) for _, body in chunks)
    hay = b" ".join(body for kind, body in chunks if kind not in {b"IDAT", b"tEXt"}) + written[end:]
    needles = {word for text in _texts(source) for form in _WORDS for word in form.findall(text)}
    return len(strange) + sum(word in hay for word in needles if len(word) >= _LEAST) + bool(written[end:])


def _png(grey: NDArray[Any], *, synthetic: bool) -> bytes:
    stream, mark = BytesIO(), PngInfo()
    if synthetic:
        keyword, text = (one.decode() for one in PNG_SYNTHETIC)
        mark.add_text(keyword, text)
    Image.fromarray(grey).save(stream, "PNG", pnginfo=mark)
    return stream.getvalue()


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk, up to the end of the picture."""
    position = len(PNG_SIGNATURE)
    while position + 12 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        yield kind, png[position + 8 : position + 8 + length]
        position += 12 + length
        if kind == b"IEND":
            return


def _texts(source: bytes) -> Iterator[bytes]:
    """What a source says beside its pixels, unpacked where a PNG packs it."""
    if not source.startswith(PNG_SIGNATURE):
        yield source
        return
    end = len(PNG_SIGNATURE)
    for kind, body in _chunks(source):
        end += 12 + len(body)
        if kind in _KEPT_CHUNKS or (kind, body) == (b"tEXt", _SYNTHETIC):
            continue
        yield body
        if kind not in _PACKED_CHUNKS:
            continue
        for start in range(max(0, body.find(b"\x00")), min(len(body), 200)):
            try:
                yield zlib.decompressobj().decompress(body[start:], _LONGEST_TEXT)
            except zlib.error:
                continue
    yield source[end:]
