"""What could not be screened, line by line: codes, never patient data."""

from dataclasses import dataclass

REJECTS: dict[str, str] = {
    "screen.line.incomplete": "The last line of the file breaks off: the export or its transfer was interrupted.",
    "screen.line.not_json": "The line is not one JSON object in UTF-8.",
    "screen.line.no_type": "The object has no resourceType.",
    "screen.patient.no_id": "The Patient has no id, so nothing can refer to it.",
    "screen.patient.repeated": "The patient occurs again; the newest version was used, and gives one row.",
    "screen.patient.absent": "Resources of a patient for whom the input holds no Patient; they were left out.",
    "screen.subject.missing": "The resource does not say whose it is; it was left out.",
    "screen.subject.unresolved": "The reference to the subject cannot be followed; the resource was left out.",
    "screen.medication.no_id": "The Medication has no id, so nothing can refer to it.",
    "screen.bundle.no_patient": "The Bundle holds no Patient.",
    "screen.row.no_id": "The row has no patient_id.",
    "screen.row.columns": "The row has more or fewer fields than the header.",
    "screen.row.value": "A field holds something that is not a value of its column.",
    "screen.record.unreadable": "The patient's record could not be read although every line of it is JSON.",
}
"""Code without detail to one sentence. Codes that begin with ``fhir.`` are those of `fhir_adapters.errors`."""

COLUMNS = ("source_file", "line", "resource", "error_code", "count", "explanation")
"""Header of the rejects file."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Reject:
    """One thing that did not become a row, or not wholly."""

    unit: int
    """Unit of the plan."""
    piece: int
    """Index of the piece in the unit, which tells the file."""
    line: int
    """Line of the piece, counted from 0; -1 for the file as a whole."""
    code: str
    """A code of `REJECTS` or of `fhir_adapters.errors`; a colon may add the name of a column."""
    resource: str = ""
    """``Observation/12`` where the resource has an id."""
    count: int = 1
    """How many lines the entry stands for; the line given is the first."""
    patients: int = 0
    """How many Patients of the input it stands for: they have no row of their own."""


def explanation(code: str) -> str:
    """The sentence for a code, with or without detail; for the reader's own errors a general one."""
    known = REJECTS.get(code.partition(":")[0])
    return known or "The file is not a FHIR R4 Bundle that can be read."
