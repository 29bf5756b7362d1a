"""Observations to the newest value that counts, for each thing measured.

Rules
-----
* Status final, amended, corrected and preliminary (with a warning) count; registered, cancelled, entered-in-error and
  unknown do not.
* The newest counts, by effective[x] (the end of a period), else by ``issued``. Of several at one moment the later
  issued wins, then the greater reference, so that the result does not depend on the order of entries. Undated values
  are used only if nothing else is.
* A value that cannot be used (no value, no or wrong unit, impossible) is refused with a warning and the next older one
  is tried.
* A bound (``> 60``) is used, with the comparator kept beside it, where it cannot hide a danger; otherwise the value
  stays unknown, because falling back on an older exact value would contradict the newer result.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar

from fhir_adapters.bundle import Entry
from fhir_adapters.codes.observations import OBSERVABLES, Observable
from fhir_adapters.codes.systems import system_of
from fhir_adapters.dates import Moment, first_moment
from fhir_adapters.patient import Sourced
from fhir_adapters.reading import Reading
from fhir_adapters.shapes import JsonObject, as_list, as_number, as_object, as_text, codings
from fhir_adapters.units import Converted, Measure, UnitNote, convert, is_plausible, unit_texts
from fhir_adapters.warnings import FhirWarning

T = TypeVar("T")

_COUNTING_STATUS = frozenset({"final", "amended", "corrected", "preliminary"})
_COMPARATORS = frozenset({"<", "<=", ">", ">="})
_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)

_UNIT_WARNINGS = {UnitNote.COMPLETED: FhirWarning.UNIT_FROM_CODE, UnitNote.DRINKS: FhirWarning.ALCOHOL_DRINK_SIZE}

_SAFE_BOUND: dict[Measure, Callable[[str, float], bool]] = {
    # "Above 60" can only be better. An upper bound is safe when it is already severe impairment (stage 4).
    Measure.EGFR: lambda comparator, bound: comparator in {">", ">="} or bound <= 30.0,
    # The limit of detection lies in deficiency; a lower bound is at least that high.
    Measure.VITAMIN_D: lambda comparator, bound: comparator in {">", ">="} or bound <= 30.0,
    # "Above 14" is diabetes whatever follows; "below 4" is not diabetes.
    Measure.HBA1C: lambda comparator, bound: comparator in {">", ">="} or bound <= 5.7,
    Measure.FALLS: lambda comparator, bound: comparator in {">", ">="},
    Measure.ALCOHOL: lambda comparator, bound: comparator in {">", ">="},
}
"""When a bound may stand for the value; a measure that is not listed takes exact values only."""


@dataclass(frozen=True, slots=True)
class Usable(Generic[T]):
    """A value that counts."""

    value: T
    comparator: str | None = None


class NextOlder:
    """This one says nothing usable; try the next older."""


class Unknown:
    """This one makes the value unknown; do not fall back on older ones."""


Verdict = Usable[T] | NextOlder | Unknown


@dataclass(frozen=True, slots=True)
class Candidate:
    """One Observation, or one component of it, that measures a wanted thing."""

    observable: Observable
    code: str
    holder: JsonObject
    """The resource or the component: what carries the value."""
    entry: Entry
    moment: Moment | None
    unreadable_date: bool

    @property
    def reference(self) -> str:
        """Reference of the resource."""
        return self.entry.reference

    def age_key(self) -> tuple[bool, datetime, bool, datetime, str]:
        """Sorts from old to new, independently of the order in the Bundle."""
        issued, _ = first_moment(self.entry.resource, "issued")
        return (
            self.moment is not None,
            self.moment.start if self.moment is not None else _LONG_AGO,
            self.moment is not None and self.moment.complete,
            issued.start if issued is not None else _LONG_AGO,
            self.reference,
        )


def collect(entries: Sequence[Entry], reading: Reading) -> dict[Observable, list[Candidate]]:
    """The patient's observations of wanted things, newest first; those after the time of the snapshot are left out."""
    found: dict[Observable, list[Candidate]] = {}
    # Codes are checked before the subject: nine observations in ten are of no interest here.
    wanted = {id(entry.resource): hits for entry in entries if (hits := list(_wanted(entry.resource)))}
    for entry in reading.own(entry for entry in entries if id(entry.resource) in wanted):
        status = as_text(entry.resource.get("status"))
        if status is None:
            reading.notes.add(FhirWarning.STATUS_MISSING, entry.reference)
        if status not in _COUNTING_STATUS:
            continue
        moment, unreadable = effective_moment(entry.resource, reading.as_of)
        if reading.is_future(moment, entry):
            continue
        for observable, code, holder in wanted[id(entry.resource)]:
            candidate = Candidate(observable, code, holder, entry, moment, unreadable)
            found.setdefault(observable, []).append(candidate)
    for candidates in found.values():
        candidates.sort(key=Candidate.age_key, reverse=True)
    return found


def newest(
    candidates: Iterable[Candidate], reading: Reading, judge: Callable[[Candidate, Reading], Verdict[T]]
) -> Sourced[T] | None:
    """The newest value that counts, with its source; None when no candidate yields one."""
    for candidate in candidates:
        verdict = judge(candidate, reading)
        if isinstance(verdict, Unknown):
            return None
        if isinstance(verdict, NextOlder):
            continue
        notes, reference = reading.notes, candidate.reference
        if candidate.moment is None:
            unreadable = candidate.unreadable_date
            notes.add(FhirWarning.DATE_UNREADABLE if unreadable else FhirWarning.DATE_MISSING, reference)
        if candidate.entry.resource.get("status") == "preliminary":
            notes.add(FhirWarning.VALUE_PRELIMINARY, reference)
        effective = candidate.moment.until(reading.as_of) if candidate.moment is not None else None
        return Sourced(value=verdict.value, resource=reference, effective=effective, comparator=verdict.comparator)
    return None


def judge_quantity(measure: Measure) -> Callable[[Candidate, Reading], Verdict[float]]:
    """A judge that reads a quantity of one kind in the engine's unit."""

    def judge(candidate: Candidate, reading: Reading) -> Verdict[float]:
        notes, reference = reading.notes, candidate.reference
        quantity = as_object(candidate.holder.get("valueQuantity"))
        value = as_number(quantity.get("value"))
        if value is None:
            notes.add(FhirWarning.VALUE_MISSING, reference)
            return NextOlder()
        return judge_number(value, quantity, measure, candidate, reading)

    return judge


def judge_number(
    value: float, quantity: JsonObject, measure: Measure, candidate: Candidate, reading: Reading
) -> Verdict[float]:
    """Convert one number, then check that it is possible and, if it is a bound, that the bound is safe."""
    notes, reference = reading.notes, candidate.reference
    texts = unit_texts(quantity)
    converted = _convert(value, texts, measure)
    if converted is None:
        notes.add(FhirWarning.UNIT_UNKNOWN if texts else FhirWarning.UNIT_MISSING, reference)
        return NextOlder()
    if not is_plausible(converted.value, measure):
        notes.add(FhirWarning.VALUE_IMPLAUSIBLE, reference)
        return NextOlder()
    comparator = quantity.get("comparator")
    if comparator is not None:
        safe = _SAFE_BOUND.get(measure)
        known = as_text(comparator)
        if safe is None or known not in _COMPARATORS or not safe(known or "", converted.value):
            notes.add(FhirWarning.VALUE_BOUND_UNUSABLE, reference)
            return Unknown()
        notes.add(FhirWarning.VALUE_BOUND, reference)
        comparator = known
    if converted.note is not None:
        notes.add(_UNIT_WARNINGS[converted.note], reference)
    return Usable(converted.value, comparator)


def effective_moment(resource: JsonObject, as_of: datetime) -> tuple[Moment | None, bool]:
    """When an observation was true: effective[x] (a period's end, its start while it still runs), else ``issued``."""
    moment, unreadable = first_moment(
        resource,
        "effectiveDateTime",
        "effectiveInstant",
        "effectivePeriod.end",
        "effectivePeriod.start",
        "effectiveTiming",
        "issued",
    )
    if moment is not None and moment.is_after(as_of) and "effectivePeriod" in resource:
        begun, _ = first_moment(resource, "effectivePeriod.start")
        moment = begun if begun is not None else moment
    return moment, unreadable


def _wanted(resource: JsonObject) -> Iterator[tuple[Observable, str, JsonObject]]:
    """What of interest an Observation measures: by its own code, or by those of its components."""
    hit = _observable(resource.get("code"))
    if hit is not None:
        yield (*hit, resource)
    if "component" in resource:
        for component in as_list(resource["component"]):
            if isinstance(component, dict):
                hit = _observable(component.get("code"))
                if hit is not None:
                    yield (*hit, component)


def _observable(concept: object) -> tuple[Observable, str] | None:
    for system, code in codings(concept):
        known = OBSERVABLES.get(code)
        if known is not None and system_of(system) is known[0]:
            return known[1], code
    return None


def _convert(value: float, texts: list[str], measure: Measure) -> Converted | None:
    """Convert by the first text that is a unit of this quantity."""
    for text in texts or [""]:
        converted = convert(value, text, measure)
        if converted is not None:
            return converted
    return None
