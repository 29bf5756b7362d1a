"""What the reader of a report is told about reading from a server: one code, one sentence.

The detail after the colon names a resource type, a resource or a count, never patient data.
"""

from enum import StrEnum


class ClientWarning(StrEnum):
    """Every warning of this sub-package; the value is the code without its detail."""

    UNREAD_ESSENTIAL = "fhir.server.unread_essential"
    UNREAD = "fhir.server.unread"
    OUTCOME = "fhir.server.outcome_warning"
    FILTER_IGNORED = "fhir.server.filter_ignored"
    MEDICATION_MISSING = "fhir.server.medication_missing"
    EXPORT_ERRORS = "fhir.export.errors"
    EXPORT_ISSUES = "fhir.export.issues"
    EXPORT_TYPE_ABSENT = "fhir.export.type_absent"
    EXPORT_TYPE_UNKNOWN = "fhir.export.type_unknown"
    EXPORT_COUNT = "fhir.export.count"
    EXPORT_SINCE = "fhir.export.since"
    IMAGE_CHOSEN = "fhir.image.chosen"
    IMAGE_SITE_UNKNOWN = "fhir.image.site_unknown"
    IMAGE_UNDATED = "fhir.image.undated"
    IMAGE_SOURCE_UNREAD = "fhir.image.source_unread"


WARNINGS: dict[str, str] = {
    ClientWarning.UNREAD_ESSENTIAL: (
        "A part of the record that this assessment rests on could not be read from the server; that a disease or a drug"
        " is not mentioned here does not mean that the patient has none, and the risk may be underestimated."
    ),
    ClientWarning.UNREAD: "A lesser part of the record could not be read from the server; it counts as unknown.",
    ClientWarning.OUTCOME: "The server answered with a warning of its own; the record may be incomplete.",
    ClientWarning.FILTER_IGNORED: "The server also returned entries of other patients; they were left out unread.",
    ClientWarning.MEDICATION_MISSING: "Some drugs that prescriptions refer to could not be read from the server.",
    ClientWarning.EXPORT_ERRORS: (
        "The server reports that it could not export everything; records may be incomplete and risks underestimated."
    ),
    ClientWarning.EXPORT_ISSUES: "The server sent warnings or remarks of its own with the export.",
    ClientWarning.EXPORT_TYPE_ABSENT: (
        "The export holds nothing of a type that was asked for; nobody in it has any, or this program may not read it."
    ),
    ClientWarning.EXPORT_TYPE_UNKNOWN: "The server does not know a type of resource; it was not asked for.",
    ClientWarning.EXPORT_COUNT: "A file of the export holds another number of resources than the server stated.",
    ClientWarning.EXPORT_SINCE: (
        "Only entries changed since a date were exported; earlier diagnoses, drugs and measurements are missing, so"
        " that risks may be underestimated."
    ),
    ClientWarning.IMAGE_CHOSEN: "The radiograph was taken from the server: the newest one of a limb on record.",
    ClientWarning.IMAGE_SITE_UNKNOWN: "The server does not say which part of the body the radiograph shows.",
    ClientWarning.IMAGE_UNDATED: "The server does not say when the radiograph was taken; it may not be the newest.",
    ClientWarning.IMAGE_SOURCE_UNREAD: (
        "A place where the server may keep radiographs could not be searched; a newer one may exist."
    ),
}
"""Code without detail to one sentence for the reader of a report."""
