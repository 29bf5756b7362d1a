"""Why an export was not made.

::

    ImagingError
    +-- ExportError             imaging.export.refused   the combination asked for makes no sense
        +-- MissingExtraError   imaging.export.extra     a library of the format is not installed
        +-- ConversionError     imaging.export.convert   the converter gave up
        +-- CheckFailedError    imaging.export.check     the file does not find what the network finds
"""

from imaging.errors import ImagingError


class ExportError(ImagingError):
    """The export was not made and no file was left."""

    code = "imaging.export.refused"
    default_remedy = "See 'cds export detector --help' for what can be combined."


class MissingExtraError(ExportError):
    """A library that the format needs is not installed."""

    code = "imaging.export.extra"

    def __init__(self, library: str) -> None:
        """Name the library and how to get it."""
        super().__init__(
            f"This format needs {library}, which is not installed.",
            remedy="Run 'make edge', or install the extra: pip install 'fracture-cds[edge]'.",
        )


class ConversionError(ExportError):
    """The converter of the format could not turn the network into its form."""

    code = "imaging.export.convert"
    default_remedy = "Export to another format, or use the versions pinned in requirements-edge.txt."


class CheckFailedError(ExportError):
    """The written file does not find what the network finds, or finds it too inaccurately."""

    code = "imaging.export.check"
    default_remedy = "Export without --int8, or calibrate on more radiographs like those the detector will meet."
