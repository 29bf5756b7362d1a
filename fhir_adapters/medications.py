"""Requests, statements, administrations and dispenses to drug classes.

Rules
-----
* MedicationRequest: intent proposal, plan and option, ``doNotPerform``, and status entered-in-error, draft, cancelled
  and unknown do not count; active is active; on-hold, stopped and completed are entries that are not active.
* MedicationStatement: intended, not-taken, entered-in-error and unknown do not count; active is active, the rest is
  not.
* MedicationAdministration and MedicationDispense are single events: one counts as current for as long as it lasts
  (days' supply, else the dosing interval of a depot drug, else a month for a dispense and a week for a dose).
* An end that has passed (bounds of the dosage, effective period) makes an entry not active, whatever its status. The
  validity of a prescription is no end: people go on taking what they were given.
* A drug given locally (skin, eye, nose, airway, vagina) does not count for classes meant systemically.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
from fhir_adapters.dates import first_moment
from fhir_adapters.patient import DrugClass, MedicationEntry
from fhir_adapters.reading import Reading
from fhir_adapters.references import MedicationIndex
from fhir_adapters.shapes import JsonObject, as_list, as_number, as_object, as_text, codings
from fhir_adapters.warnings import FhirWarning

DOSE_LASTS = timedelta(days=7)
DISPENSE_LASTS = timedelta(days=31)
DEPOT_LASTS: dict[DrugClass, timedelta] = {
    DrugClass.INTRAVENOUS_BISPHOSPHONATE: timedelta(days=365),
    DrugClass.DENOSUMAB: timedelta(days=183),
    DrugClass.ANDROGEN_DEPRIVATION: timedelta(days=183),
}
"""Labelled dosing intervals: zoledronic acid 5 mg yearly, denosumab 60 mg and the longest GnRH depots half-yearly."""

_NO_INTENT = frozenset({"proposal", "plan", "option"})
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
_RUNNING = frozenset({"active", "in-progress"})
_EVENTS = {"MedicationAdministration": DOSE_LASTS, "MedicationDispense": DISPENSE_LASTS}
_TYPES = ("MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense")
_START = {
    "MedicationRequest": ("authoredOn",),
    "MedicationStatement": ("effectiveDateTime", "effectivePeriod.start", "dateAsserted"),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod.start"),
    "MedicationDispense": ("whenHandedOver", "whenPrepared"),
}
_EPOCH = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """When a drug was or is taken."""

    start: datetime | None
    end: datetime | None
    active: bool
    event: bool
    """A single dose or dispense; `active` then means: not stopped, and how long it lasts decides."""
    lasts: timedelta


def read_medications(record: Record, reading: Reading) -> tuple[MedicationEntry, ...]:
    """The patient's drugs of the classes that matter here, current ones first, then by start, newest first."""
    index = MedicationIndex(record)
    found = [
        medication
        for resource_type in _TYPES
        for entry in reading.own(record.of_type(resource_type))
        for medication in _read(entry, resource_type, index, reading)
    ]
    found.sort(key=lambda item: (item.active, item.start or _EPOCH, item.resource, item.drug_class), reverse=True)
    return tuple(found)


def _read(entry: Entry, resource_type: str, index: MedicationIndex, reading: Reading) -> Iterator[MedicationEntry]:
    """One entry for each drug class of one resource."""
    resource = entry.resource
    status = as_text(resource.get("status"))
    if status in _NOT_COUNTED or resource.get("doNotPerform") is True or as_text(resource.get("intent")) in _NO_INTENT:
        return
    meanings = list(_meanings(entry, index, reading))
    if meanings and not any(meaning.classes or meaning.oral_or_intravenous for _, meaning in meanings):
        return
    if status is None:
        reading.notes.add(FhirWarning.STATUS_MISSING, entry.reference)
        return
    course = _course(entry, resource_type, status, reading)
    if course is None:
        return
    if not meanings:
        # Only a drug taken now can harm by being overlooked.
        if course.active and (not course.event or _lasting(course, None, reading.as_of)):
            reading.notes.count(FhirWarning.MEDICATION_UNCLASSIFIED, resource_type)
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
                end=course.end,
                active=_lasting(course, drug_class, reading.as_of) if course.event else course.active,
            )


def _meanings(entry: Entry, index: MedicationIndex, reading: Reading) -> Iterator[tuple[str, DrugMeaning]]:
    """What the codes of the drug mean: on the resource, on the Medication it refers to, and on its ingredients."""
    resource = entry.resource
    concepts: list[object] = [resource.get("medicationCodeableConcept")]
    reference = resource.get("medicationReference")
    if reference is not None:
        medication = index.resolve(resource, reference)
        if medication is None:
            reading.notes.add(FhirWarning.MEDICATION_UNRESOLVED, entry.reference)
        else:
            concepts.append(medication.get("code"))
            concepts.extend(
                as_object(ingredient).get("itemCodeableConcept") for ingredient in as_list(medication.get("ingredient"))
            )
    for concept in concepts:
        for system, code in codings(concept):
            meaning = drug(system, code)
            if meaning is not None:
                yield qualified(system, code), meaning


def _course(entry: Entry, resource_type: str, status: str, reading: Reading) -> _Course | None:
    """When the drug is taken; None when it begins after the time of the snapshot."""
    resource = entry.resource
    start, unreadable = first_moment(resource, *_START[resource_type])
    if reading.is_future(start, entry):
        return None
    if unreadable:
        reading.notes.add(FhirWarning.DATE_UNREADABLE, entry.reference)
    begun = start.until(reading.as_of) if start is not None else None
    ends = [moment for moment in _ends(resource) if moment <= reading.as_of]
    event = resource_type in _EVENTS and status == "completed"
    lasts = _EVENTS.get(resource_type, timedelta())
    days = as_number(as_object(resource.get("daysSupply")).get("value"))
    if days is not None and 0 < days <= 3660:
        lasts = timedelta(days=days)
    return _Course(
        start=begun,
        end=max(ends) if ends else None,
        active=event or (status in _RUNNING and not ends),
        event=event,
        lasts=lasts,
    )


def _lasting(course: _Course, drug_class: DrugClass | None, as_of: datetime) -> bool:
    """Whether a single dose or dispense still counts as being taken."""
    last = course.end or course.start
    if not course.active or last is None:
        return False
    lasts = max(course.lasts, DEPOT_LASTS[drug_class]) if drug_class in DEPOT_LASTS else course.lasts
    return as_of - last <= lasts


def _ends(resource: JsonObject) -> Iterator[datetime]:
    """Every stated end of a course."""
    stated: list[object] = [resource.get("effectivePeriod")]
    for dosage in _dosages(resource):
        repeat = as_object(as_object(dosage.get("timing")).get("repeat"))
        stated.append(repeat.get("boundsPeriod"))
    for period in stated:
        moment, _ = first_moment(as_object(period), "end")
        if moment is not None:
            # A course that ends on a bare day is taken until that day is over.
            yield moment.start if moment.complete else moment.start + timedelta(days=1)


def _dosages(resource: JsonObject) -> Iterator[JsonObject]:
    for dosage in (
        *as_list(resource.get("dosageInstruction")),
        *as_list(resource.get("dosage")),
        resource.get("dosage"),
    ):
        if isinstance(dosage, dict):
            yield dosage


def _routes(resource: JsonObject) -> Iterable[str]:
    """SNOMED CT routes of administration."""
    for dosage in _dosages(resource):
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
