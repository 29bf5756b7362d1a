"""Errors of the FHIR side.

    FhirError                        fhir.error
    +-- FhirInputError               fhir.input.*      the bytes are no readable Bundle
    |   +-- EmptyInputError          fhir.input.empty
    |   +-- InputTooLargeError       fhir.input.too_large
    |   +-- CompressionError         fhir.input.gzip
    |   +-- NotJsonError             fhir.input.not_json
    |   +-- NotABundleError          fhir.input.not_a_bundle
    |   +-- BundleTypeError          fhir.bundle.type
    +-- PatientSelectionError        fhir.patient.*    the Bundle is readable, but whose record is it?
        +-- NoPatientError           fhir.patient.none
        +-- SeveralPatientsError     fhir.patient.several
        +-- PatientNotFoundError     fhir.patient.not_found

A message never repeats what the record says: no names, identifiers, dates or values.
"""

from typing import ClassVar


class FhirError(Exception):
    """Base of every error of this package.

    Attributes:
        code: Stable dotted name.
        remedy: How to mend it, in one sentence.
    """

    code: ClassVar[str] = "fhir.error"
    default_remedy: ClassVar[str] = "Check the FHIR input."

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        """Keep the message and, if given, a remedy closer to the cause than the usual one."""
        super().__init__(message)
        self.remedy = remedy or self.default_remedy


class FhirInputError(FhirError):
    """The bytes are not a readable FHIR R4 Bundle."""

    code = "fhir.input"
    default_remedy = "Supply one FHIR R4 Bundle as JSON, plain or compressed with gzip."


class EmptyInputError(FhirInputError):
    """There are no bytes, or only white space."""

    code = "fhir.input.empty"


class InputTooLargeError(FhirInputError):
    """The input, or what it decompresses to, is beyond the limit."""

    code = "fhir.input.too_large"
    default_remedy = "Supply the record of one patient, or split the Bundle."


class CompressionError(FhirInputError):
    """The input starts like gzip but cannot be decompressed."""

    code = "fhir.input.gzip"
    default_remedy = "Transfer the file again in binary mode; it is damaged or cut short."


class NotJsonError(FhirInputError):
    """The input is not one JSON value."""

    code = "fhir.input.not_json"


class NotABundleError(FhirInputError):
    """The JSON is valid but holds something other than a Bundle."""

    code = "fhir.input.not_a_bundle"
    default_remedy = "Put the resources into a Bundle of type collection, with the Patient among its entries."


class BundleTypeError(FhirInputError):
    """A Bundle of a type whose entries are not the present state of a record."""

    code = "fhir.bundle.type"
    default_remedy = "Supply a Bundle of type transaction, batch, collection, searchset or document."


class PatientSelectionError(FhirError):
    """The Bundle does not say, or not uniquely, whose record is meant."""

    code = "fhir.patient"


class NoPatientError(PatientSelectionError):
    """The Bundle holds no Patient resource."""

    code = "fhir.patient.none"
    default_remedy = "Include the Patient resource in the Bundle."


class SeveralPatientsError(PatientSelectionError):
    """The Bundle holds several Patients and none was chosen.

    Attributes:
        count: How many Patient resources the Bundle holds.
    """

    code = "fhir.patient.several"
    default_remedy = "Name the Patient by its logical id."

    def __init__(self, count: int) -> None:
        """Tell how many there are."""
        super().__init__(f"The Bundle holds {count} Patient resources and none was chosen.")
        self.count = count


class PatientNotFoundError(PatientSelectionError):
    """The chosen Patient is not in the Bundle."""

    code = "fhir.patient.not_found"
    default_remedy = "Check the logical id, or supply the Bundle that holds this Patient."
