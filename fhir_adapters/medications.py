"""Requests, statements, administrations and dispenses to drug classes.

Rules
-----
* MedicationRequest: intent proposal, plan and option, ``doNotPerform``, and status entered-in-error, draft, cancelled
  and unknown do not count; active is active; on-hold, stopped and completed are entries that are not active. A plan
  that is reported counts: US Core records so what patients buy and take themselves.
* MedicationStatement: intended, not-taken, entered-in-error and unknown do not count; active is active, the rest is
  not.
* When it is taken is told by ``courses``.
* A drug is known by its codes, never by its name: one named in text only raises a warning.
* A drug given locally (skin, eye, nose, airway, vagina) does not count for classes meant systemically.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from fhir_adapters.bundle import Entry, Record
from fhir_adapters.codes.drugs import (
    INTRAVENOUS_ROUTE,
    LOCAL_DOES_NOT_COUNT,
    LOCAL_ROUTES,
    ORAL_ROUTE,
    SYSTEMIC_ROUTES,
    DrugMeaning,
    drug,
)
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.conditions import qualified
from fhir_adapters.courses import dosages, read_course
from fhir_adapters.patient import DrugClass, MedicationEntry
from fhir_adapters.reading import Reading
from fhir_adapters.references import MedicationIndex
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text, codings
from fhir_adapters.warnings import FhirWarning

_NO_INTENT = frozenset({"proposal", "option"})
_NOT_COUNTED = frozenset(
    {
        "entered-in-error",
        "draft",
        "cancelled",
        "unknown",
        "intended",
        "not-taken",
        "not-done",
        "declined",
        "preparation",
    }
)
_TYPES = ("MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense")
_EPOCH = datetime(1, 1, 2, tzinfo=UTC)

_Codes = list[tuple[str, str]] | None


def read_medications(record: Record, reading: Reading) -> tuple[MedicationEntry, ...]:
    """The patient's drugs of the classes that matter here, current ones first, then by start, newest first."""
    index = MedicationIndex(record)
    found = [
        medication
        for resource_type in _TYPES
        for entry in reading.own(record.of_type(resource_type))
        for medication in _read(entry, resource_type, index, reading)
    ]
    return in_order(found)


def in_order(found: Iterable[MedicationEntry]) -> tuple[MedicationEntry, ...]:
    """Current drugs first, then by start, newest first."""
    return tuple(
        sorted(
            found, key=lambda item: (item.active, item.start or _EPOCH, item.resource, item.drug_class), reverse=True
        )
    )


def _read(entry: Entry, resource_type: str, index: MedicationIndex, reading: Reading) -> Iterator[MedicationEntry]:
    """One entry for each drug class of one resource."""
    resource = entry.resource
    status = as_text(resource.get("status"))
    if status in _NOT_COUNTED or resource.get("doNotPerform") is True or not _is_meant(resource):
        return
    drug_codes = _codes(entry, index, reading)
    meanings = [(qualified(*found), meaning) for found in drug_codes or () if (meaning := drug(*found)) is not None]
    if meanings and not any(meaning.classes or meaning.oral_or_intravenous for _, meaning in meanings):
        return
    if status is None:
        reading.notes.add(FhirWarning.STATUS_MISSING, entry.reference)
        return
    course = read_course(entry, resource_type, status, reading)
    if course is None:
        return
    if not meanings:
        # Only a drug taken now can harm by being overlooked.
        if drug_codes is not None and course.lasting(None, reading.as_of):
            warning = FhirWarning.MEDICATION_UNCLASSIFIED if drug_codes else FhirWarning.MEDICATION_UNCODED
            reading.notes.count(warning, resource_type)
        return
    routes = set(_routes(resource))
    seen: set[DrugClass] = set()
    for code, meaning in meanings:
        for drug_class in _classes(meaning, routes, entry, reading):
            if drug_class in seen:
                continue
            seen.add(drug_class)
            yield MedicationEntry(
                drug_class=drug_class,
                code=code,
                resource=entry.reference,
                start=course.start,
                end=course.over(reading.as_of),
                active=course.lasting(drug_class, reading.as_of),
                single_dose=course.event and resource_type == "MedicationAdministration",
            )


def _is_meant(resource: JsonObject) -> bool:
    """Whether a request is more than a proposal; a plan counts only as what the patient reports to be taking."""
    intent = as_text(resource.get("intent"))
    if intent == "plan":
        return resource.get("reportedBoolean") is True or isinstance(resource.get("reportedReference"), dict)
    return intent not in _NO_INTENT


def _codes(entry: Entry, index: MedicationIndex, reading: Reading) -> _Codes:
    """The codes of the drug: on the resource, on the Medication it refers to, and on its active ingredients.

    Returns:
        System and code of each; empty when the drug is named in text only; None, with a warning, when the record
        refers to a Medication that it does not hold.
    """
    resource = entry.resource
    concepts: list[object] = [resource.get("medicationCodeableConcept")]
    reference = resource.get("medicationReference")
    if reference is not None:
        medication = index.resolve(resource, reference)
        if medication is None:
            reading.notes.add(FhirWarning.MEDICATION_UNRESOLVED, entry.reference)
            if concepts == [None]:
                return None
        else:
            concepts.extend(_concepts(medication, index))
    return [found for concept in concepts for found in codings(concept)]


def _concepts(medication: JsonObject, index: MedicationIndex) -> Iterator[object]:
    """The code of a Medication and those of its active ingredients, one level deep."""
    yield medication.get("code")
    for ingredient in map(as_object, as_list(medication.get("ingredient"))):
        if ingredient.get("isActive") is False:
            continue
        yield ingredient.get("itemCodeableConcept")
        part = index.resolve(medication, ingredient.get("itemReference"))
        if part is not None:
            yield part.get("code")


def _routes(resource: JsonObject) -> Iterable[str]:
    """SNOMED CT routes of administration."""
    for dosage in dosages(resource):
        for system, code in codings(dosage.get("route")):
            if system_of(system) is CodeSystem.SNOMED_CT:
                yield code


def _classes(meaning: DrugMeaning, routes: set[str], entry: Entry, reading: Reading) -> Iterator[DrugClass]:
    """The classes of a drug, given how it is taken."""
    if meaning.oral_or_intravenous:
        if INTRAVENOUS_ROUTE in routes:
            yield DrugClass.INTRAVENOUS_BISPHOSPHONATE
        elif ORAL_ROUTE in routes:
            yield DrugClass.ORAL_BISPHOSPHONATE
        else:
            reading.notes.add(FhirWarning.MEDICATION_ROUTE_UNKNOWN, entry.reference)
        return
    local = bool(routes & LOCAL_ROUTES) and not routes & SYSTEMIC_ROUTES
    if meaning.needs_systemic_route and not routes & SYSTEMIC_ROUTES:
        if not local:
            reading.notes.add(FhirWarning.MEDICATION_ROUTE_UNKNOWN, entry.reference)
        return
    for drug_class in meaning.classes:
        if not (local and drug_class in LOCAL_DOES_NOT_COUNT):
            yield drug_class
