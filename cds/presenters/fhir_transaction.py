"""The FHIR transaction in the making: addresses, identifiers and the engine's own codes."""

from collections.abc import Iterable
from uuid import NAMESPACE_URL, UUID, uuid5

from cds.case import CaseResult
from fhir_adapters.r4_types import (
    Code,
    Concept,
    JsonObject,
    identifier,
    imaging_study_reference,
    logical_reference,
    reference,
)
from fusion.results import Statement

CODE_SYSTEM = "urn:fracture-cds:codes"
CASE_SYSTEM = "urn:fracture-cds:case"
_UNIDENTIFIED = "Unidentified patient: no patient record was given"


def own(code: str, text: str) -> Concept:
    """A concept of the engine's own code system."""
    return Concept(text=text, codes=(Code(system=CODE_SYSTEM, code=code, display=text),))


def texts(statements: Iterable[Statement]) -> tuple[str, ...]:
    """The sentences of some statements."""
    return tuple(statement.text for statement in statements)


class Transaction:
    """Resources by address; addresses and identifiers depend on the case alone, so the same case gives the same bundle.

    Attributes:
        result: The case.
        created: The time every resource states.
        entries: ``urn:uuid:`` address to resource, in the order of the bundle.
        subject: Reference to the patient, or words where no record was given.
        device: Reference to the engine.
    """

    def __init__(self, result: CaseResult) -> None:
        """Starts an empty transaction for a case."""
        self.result = result
        self.created = result.assessment.created
        self.entries: dict[str, JsonObject] = {}
        patient = result.patient
        self.subject = (
            reference(f"Patient/{patient.patient_id}")
            if patient is not None
            else logical_reference("Patient", display=_UNIDENTIFIED)
        )
        self.device = self.address("device", "Device")

    def address(self, name: str, resource_type: str) -> JsonObject:
        """The reference to an entry of this bundle; the same case gives the same address."""
        return reference(f"urn:uuid:{uuid5(_namespace(self.result.case_id), name)}", resource_type)

    def business_id(self, name: str) -> JsonObject:
        """The identifier of a resource that this case alone makes."""
        return identifier(CASE_SYSTEM, f"{self.result.case_id}/{name}")

    def add(self, name: str, resource: JsonObject) -> JsonObject:
        """Adds a resource and returns the reference to it."""
        target = self.address(name, str(resource["resourceType"]))
        self.entries[str(target["reference"])] = resource
        return target


def _namespace(case_id: str) -> UUID:
    try:
        return UUID(case_id)
    except ValueError:
        return uuid5(NAMESPACE_URL, f"{CASE_SYSTEM}:{case_id}")


def studies(result: CaseResult) -> tuple[JsonObject, ...]:
    """A reference to the study the radiograph belongs to; empty when it came as PNG or JPEG."""
    dicom = result.radiograph.dicom if result.radiograph is not None else None
    return (imaging_study_reference(dicom.study_instance_uid),) if dicom is not None else ()
