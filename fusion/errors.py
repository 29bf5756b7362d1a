"""What can go wrong here.

    FusionError                 fusion.error
    +-- EvidenceError           fusion.evidence.invalid    a file of the evidence base breaks its schema
    |   +-- UnknownEvidenceError fusion.evidence.unknown   an identifier that the evidence base does not hold
    +-- InputError              fusion.input.invalid       an argument that no assessment can start from

Messages carry file names and evidence identifiers, never patient data.
"""


class FusionError(Exception):
    """Base of all errors of this package."""

    code: str = "fusion.error"

    def __init__(self, message: str, *, remedy: str) -> None:
        """Keeps what is wrong (`message`) and how to mend it (`remedy`)."""
        super().__init__(message)
        self.remedy = remedy


class EvidenceError(FusionError):
    """A file of the evidence base is missing or breaks its schema; the message names file and entry."""

    code = "fusion.evidence.invalid"


class UnknownEvidenceError(EvidenceError):
    """An evidence identifier that the evidence base does not hold."""

    code = "fusion.evidence.unknown"


class InputError(FusionError):
    """An argument of `FusionEngine.assess` that no assessment can start from."""

    code = "fusion.input.invalid"
