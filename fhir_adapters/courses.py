"""When a drug is taken: from the dates of a request, statement, dispense or administration to a course.

Rules
-----
* MedicationAdministration and MedicationDispense are single events: one counts as current for as long as it lasts
  (days' supply, else the dosing interval of a depot drug, else a month for a dispense and a week for a dose).
* A course has ended when the effective period has, or when every dosage of it has, by its bounds (a period, or
  a duration from the start): of a taper in several steps the last one counts.
* A course of which every dosage begins later has not begun.
* The validity of a prescription is no end: people go on taking what they were given.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from fhir_adapters.bundle import Entry
from fhir_adapters.dates import first_moment
from fhir_adapters.patient import DrugClass
from fhir_adapters.reading import Reading
from fhir_adapters.shapes import JsonObject, as_list, as_number, as_object, as_text
from fhir_adapters.warnings import FhirWarning

DOSE_LASTS = timedelta(days=7)
DISPENSE_LASTS = timedelta(days=31)
DEPOT_LASTS: dict[DrugClass, timedelta] = {
    DrugClass.INTRAVENOUS_BISPHOSPHONATE: timedelta(days=365),
    DrugClass.DENOSUMAB: timedelta(days=183),
    DrugClass.ANDROGEN_DEPRIVATION: timedelta(days=183),
}
"""Labelled dosing intervals: zoledronic acid 5 mg yearly, denosumab 60 mg and the longest GnRH depots half-yearly."""

LONGEST_SUPPLY_DAYS = 3660.0
"""Ten years: a longer supply or duration is a typing error."""

_RUNNING = frozenset({"active", "in-progress"})
_EVENTS = {"MedicationAdministration": DOSE_LASTS, "MedicationDispense": DISPENSE_LASTS}
_START = {
    "MedicationRequest": ("authoredOn",),
    "MedicationStatement": ("effectiveDateTime", "effectivePeriod.start", "dateAsserted"),
    "MedicationAdministration": ("effectiveDateTime", "effectivePeriod.start"),
    "MedicationDispense": ("whenHandedOver", "whenPrepared"),
}
_DAYS = {"h": 1 / 24, "d": 1.0, "wk": 7.0, "mo": 30.4375, "a": 365.25, "day": 1.0, "days": 1.0, "": 1.0}
"""UCUM units of a duration in days; a supply without unit is in days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """When a drug is or was taken."""

    start: datetime | None
    end: datetime | None
    active: bool
    event: bool
    """A single dose or dispense; `active` then means: not stopped, and how long it lasts decides."""
    lasts: timedelta
    supplied: bool
    """`lasts` is recorded, not supposed."""

    def lasting(self, drug_class: DrugClass | None, as_of: datetime) -> bool:
        """Whether the drug is being taken at `as_of`; a single dose or dispense for as long as it lasts."""
        if not self.event or not self.active:
            return self.active
        last = self.end or self.start
        if last is None:
            return False
        lasts = max(self.lasts, DEPOT_LASTS[drug_class]) if drug_class in DEPOT_LASTS else self.lasts
        return as_of - last <= lasts

    def over(self, as_of: datetime) -> datetime | None:
        """When the course ended: as stated, or when the recorded supply of a dispense ran out."""
        if self.end is not None or not (self.supplied and self.start is not None):
            return self.end
        out = self.start + self.lasts
        return out if out <= as_of else None


def read_course(entry: Entry, resource_type: str, status: str, reading: Reading) -> Course | None:
    """When the drug is taken; None when it begins after the time of the snapshot."""
    resource = entry.resource
    start, unreadable = first_moment(resource, *_START[resource_type])
    if reading.is_future(start, entry):
        return None
    if unreadable:
        reading.notes.add(FhirWarning.DATE_UNREADABLE, entry.reference)
    start = reading.credible(start, entry)
    begun = start.until(reading.as_of) if start is not None else None
    bounds = [_bounds(dosage, begun) for dosage in dosages(resource)]
    if bounds and all(begins is not None and begins > reading.as_of for begins, _ in bounds):
        reading.notes.count(FhirWarning.DATE_AFTER_AS_OF, resource_type)
        return None
    end = _end(resource, [ends for _, ends in bounds])
    past_end = end if end is not None and end <= reading.as_of else None
    event = resource_type in _EVENTS and status == "completed"
    supply = _days(resource.get("daysSupply"))
    return Course(
        start=begun,
        end=past_end,
        active=event or (status in _RUNNING and past_end is None),
        event=event,
        lasts=supply if supply is not None else _EVENTS.get(resource_type, timedelta()),
        supplied=supply is not None,
    )


def dosages(resource: JsonObject) -> Iterator[JsonObject]:
    """The dosages of any of the four resources, which name them differently."""
    for dosage in (
        *as_list(resource.get("dosageInstruction")),
        *as_list(resource.get("dosage")),
        resource.get("dosage"),
    ):
        if isinstance(dosage, dict):
            yield dosage


def _end(resource: JsonObject, ends: list[datetime | None]) -> datetime | None:
    """The end of the effective period, or of the last dosage if each has one; may lie in the future."""
    stated = _period_end(as_object(resource.get("effectivePeriod")))
    known = [end for end in ends if end is not None]
    last = max(known) if known and len(known) == len(ends) else None
    if stated is None or last is None:
        return stated or last
    return min(stated, last)


def _bounds(dosage: JsonObject, begun: datetime | None) -> tuple[datetime | None, datetime | None]:
    """When a dosage begins and ends, as far as its timing says."""
    repeat = as_object(as_object(dosage.get("timing")).get("repeat"))
    period = as_object(repeat.get("boundsPeriod"))
    begins, _ = first_moment(period, "start")
    ends = _period_end(period)
    lasts = _days(repeat.get("boundsDuration")) or _days(as_object(repeat.get("boundsRange")).get("high"))
    first = begins.start if begins is not None else begun
    if ends is None and lasts is not None and first is not None:
        ends = first + lasts
    return (begins.start if begins is not None and begins.complete else None), ends


def _period_end(period: JsonObject) -> datetime | None:
    moment, _ = first_moment(period, "end")
    if moment is None:
        return None
    # A course that ends on a bare day is taken until that day is over.
    return moment.start if moment.complete else moment.start + timedelta(days=1)


def _days(duration: object) -> timedelta | None:
    """A Duration or a supply; None when it is absent, of an unknown unit, a bound, or impossible."""
    quantity = as_object(duration)
    value = as_number(quantity.get("value"))
    factor = _DAYS.get(as_text(quantity.get("code")) or as_text(quantity.get("unit")) or "")
    if value is None or factor is None or "comparator" in quantity or not 0 < value * factor <= LONGEST_SUPPLY_DAYS:
        return None
    return timedelta(days=value * factor)
