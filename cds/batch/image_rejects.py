"""What of a work list could not be assessed: codes and sentences, never patient data."""

from dataclasses import dataclass
from enum import StrEnum

IMAGE_REJECTS: dict[str, str] = {
    "screen.row.columns": "The row has more or fewer fields than the header.",
    "screen.row.no_image": "The row names no radiograph.",
    "screen.row.value": "A field holds something that is not a value of its column.",
    "screen.image.missing": "The file of the radiograph cannot be opened.",
    "screen.case.crashed": "The program reading this radiograph ended abruptly, twice, the second time alone.",
    "screen.case.failed": "The radiograph met a fault of this program; the log holds where.",
    "screen.patient.no_input": "The patient is named by an id, and no --input with Bundles was given.",
    "screen.patient.not_found": "No Bundle of that path or of that Patient id was found.",
    "screen.patient.ambiguous": "Several Bundles hold that Patient id.",
    "screen.patient.missing": "The file of the patient's record cannot be opened.",
}
"""Code without detail to one sentence; for errors of the readers their own words are given."""

COLUMNS = ("row", "case_id", "image", "part", "in_list", "error_code", "explanation")
"""Header of the rejects file."""


class Part(StrEnum):
    """What could not be used."""

    ROW = "row"
    IMAGE = "image"
    PATIENT = "patient"
    """The case is in the list, assessed without the patient."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ImageReject:
    """One row, or one patient of a row, that could not be used."""

    row: int
    case_id: str
    image: str
    part: Part
    code: str
    explanation: str = ""

    @property
    def in_list(self) -> bool:
        """Whether the case has a row in the list all the same."""
        return self.part is Part.PATIENT

    def fields(self) -> tuple[object, ...]:
        """Values of `COLUMNS`."""
        words = self.explanation or IMAGE_REJECTS[self.code.partition(":")[0]]
        in_list = "yes" if self.in_list else "no"
        return (self.row, self.case_id, self.image, self.part.value, in_list, self.code, words)
