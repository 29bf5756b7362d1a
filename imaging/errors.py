"""Why a radiograph cannot be used, or a model not run.

::

    ImagingError                          imaging.error
    +-- RadiographFileError               imaging.file.unusable        the bytes are at fault
    |   +-- UnreadableFileError           imaging.file.unreadable      the path cannot be opened
    |   +-- EmptyFileError                imaging.file.empty           no bytes
    |   +-- OversizedFileError            imaging.file.too_large       more bytes than the limit
    |   +-- NotAnImageError               imaging.file.not_an_image    neither DICOM, PNG nor JPEG
    |   +-- EncryptedFileError            imaging.file.encrypted       sealed in a CMS envelope
    |   +-- TruncatedFileError            imaging.file.truncated       the end is missing
    |   +-- CorruptFileError              imaging.file.corrupt         contradictory or damaged
    +-- UnsupportedImageError             imaging.image.unsupported    sound, but not what is read here
    |   +-- UnsupportedModalityError      imaging.dicom.modality       CT, MR, US ...
    |   +-- NoPixelDataError              imaging.dicom.no_pixel_data  a report, a presentation state ...
    |   +-- UnsupportedEncodingError      imaging.dicom.encoding       no decoder for this pixel encoding
    |   +-- FrameNotFoundError            imaging.frame.not_found      a frame number that does not exist
    +-- OutsideIntendedUseError           imaging.intended_use         a chest, a skull, a spine ...
    +-- UnfitContentError                 imaging.content.unfit        readable, but nothing to judge
    |   +-- ImageTooLargeError            imaging.content.too_large    more pixels than the limit
    |   +-- ImageTooSmallError            imaging.content.too_small    fewer pixels than any radiograph
    |   +-- BlankImageError               imaging.content.blank        every pixel alike
    +-- ModelFilesError                   imaging.model.files          weights or manifest missing or damaged
    +-- ExplanationError                  imaging.explanation.target   no prediction behind the box to explain
    +-- ResidueError                      imaging.deidentify.residue   what was to be removed is still there

No message quotes a value of the file that could name or describe a patient.
"""

from typing import ClassVar


class ImagingError(Exception):
    """Base of every error of the image branch: what is wrong, and how to mend it.

    Attributes:
        code: Dotted, stable name of the kind of error.
        remedy: One sentence that tells the reader what to do next.
    """

    code: ClassVar[str] = "imaging.error"
    default_remedy: ClassVar[str] = "Send the radiograph again, exported afresh from the PACS."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        """Store what is wrong; without `remedy` the class's own advice is given."""
        super().__init__(message)
        self.remedy = remedy if remedy is not None else self.default_remedy


class RadiographFileError(ImagingError):
    """The bytes of the file are at fault."""

    code = "imaging.file.unusable"


class UnreadableFileError(RadiographFileError):
    """The path does not exist, is no file or may not be read."""

    code = "imaging.file.unreadable"
    default_remedy = "Check that the path names an existing file that this program may read."


class EmptyFileError(RadiographFileError):
    """The file holds no bytes."""

    code = "imaging.file.empty"


class OversizedFileError(RadiographFileError):
    """The file holds more bytes than the limit."""

    code = "imaging.file.too_large"
    default_remedy = "Send one radiograph per file, or raise the file-size limit."


class NotAnImageError(RadiographFileError):
    """The content is neither DICOM, PNG nor JPEG, whatever the file is called."""

    code = "imaging.file.not_an_image"
    default_remedy = "Send a DICOM, PNG or JPEG file; the format is told from the content, not from the name."


class EncryptedFileError(RadiographFileError):
    """The file is sealed in a cryptographic envelope."""

    code = "imaging.file.encrypted"
    default_remedy = "Decrypt the file with the recipient's key first; no keys are handled here."


class TruncatedFileError(RadiographFileError):
    """The end of the file is missing."""

    code = "imaging.file.truncated"
    default_remedy = "The transfer was probably cut short: send the file again and compare its size with the original."


class CorruptFileError(RadiographFileError):
    """The file contradicts itself or is damaged."""

    code = "imaging.file.corrupt"


class UnsupportedImageError(ImagingError):
    """The file is sound, but not of a kind that is read here."""

    code = "imaging.image.unsupported"


class UnsupportedModalityError(UnsupportedImageError):
    """The DICOM object is not a projection radiograph."""

    code = "imaging.dicom.modality"
    default_remedy = "Send a projection radiograph (modality CR, DX or RG)."


class NoPixelDataError(UnsupportedImageError):
    """The DICOM object holds no image."""

    code = "imaging.dicom.no_pixel_data"
    default_remedy = "Send the radiograph itself, not the report, presentation state or directory that refers to it."


class UnsupportedEncodingError(UnsupportedImageError):
    """There is no decoder for this transfer syntax or pixel format."""

    code = "imaging.dicom.encoding"
    default_remedy = "Have the PACS send the image as Explicit VR Little Endian or JPEG 2000 Lossless."


class FrameNotFoundError(UnsupportedImageError):
    """The frame asked for does not exist."""

    code = "imaging.frame.not_found"
    default_remedy = "Ask for a frame between 1 and the number of frames."


class OutsideIntendedUseError(ImagingError):
    """The radiograph shows a part of the body that the engine was not made for."""

    code = "imaging.intended_use"
    default_remedy = (
        "Only limbs, shoulder girdle, pelvis and hips are judged; if the stated body part is wrong, correct it at the "
        "modality and send the image again."
    )


class UnfitContentError(ImagingError):
    """The image can be read, but there is nothing in it to judge."""

    code = "imaging.content.unfit"


class ImageTooLargeError(UnfitContentError):
    """The image has more pixels than the limit; it was refused before decoding."""

    code = "imaging.content.too_large"
    default_remedy = "Send the radiograph at its acquired size; no detector makes larger images than the limit."


class ImageTooSmallError(UnfitContentError):
    """The image has too few pixels to show a fracture."""

    code = "imaging.content.too_small"
    default_remedy = "Send the radiograph at full size, not its thumbnail."


class BlankImageError(UnfitContentError):
    """Every pixel has the same value."""

    code = "imaging.content.blank"
    default_remedy = "Check the exposure and the window, then export the radiograph again."


class ModelFilesError(ImagingError):
    """The detector's weights or their manifest are missing, damaged or made for another version."""

    code = "imaging.model.files"
    default_remedy = "Install the package again, or name a folder with a manifest and the weight file it describes."


class ExplanationError(ImagingError):
    """The detection to be explained was not made by these weights on this radiograph."""

    code = "imaging.explanation.target"
    default_remedy = "Explain a detection with the weights that made it, on the radiograph it was made from."


class ResidueError(ImagingError):
    """A value that was to be removed is still in the result; nothing is handed out."""

    code = "imaging.deidentify.residue"
    default_remedy = "Leave this file out of the export, and report the attribute to the maintainers."
