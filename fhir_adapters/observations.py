"""Observations to the newest value that counts, for each thing measured.

Rules
-----
* Status final, amended, corrected and preliminary (with a warning) count; registered, cancelled, entered-in-error and
  unknown do not.
* The newest counts, by effective[x] (the end of a period), else by ``issued``. Of several at one moment the later
  issued wins, then the greater reference, so that the result does not depend on the order of entries. Undated values
  are used only if nothing else is.
* A value that cannot be used (no value, no or wrong unit, impossible) is refused with a warning and the next older one
  is tried. So is one that also gives a reason why it is absent, or whose coded and printed units disagree.
* Two values of one moment that contradict each other raise a warning.
* A value dated before the patient's birth counts as undated. A value written as text counts if it is one number.
* A bound (``> 60``) is used, with the comparator kept beside it, where it cannot hide a danger; otherwise the value
  stays unknown, because falling back on an older exact value would contradict the newer result.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Generic, TypeVar

from fhir_adapters.bundle import Entry
from fhir_adapters.codes.observations import OBSERVABLES, OFF_SCALE, Observable
from fhir_adapters.codes.systems import system_of
from fhir_adapters.dates import Moment, first_moment, parse_moment
from fhir_adapters.demographics import completed_years
from fhir_adapters.patient import Sourced
from fhir_adapters.reading import Notes, Reading
from fhir_adapters.shapes import JsonObject, as_list, as_number, as_object, as_text, codes
from fhir_adapters.units import Converted, Measure, UnitNote, convert, is_plausible, parse_quantity, unit_texts
from fhir_adapters.warnings import FhirWarning

T = TypeVar("T")

ADULT_YEARS = 18

_COUNTING_STATUS = frozenset({"final", "amended", "corrected", "preliminary"})
_COMPARATORS = frozenset({"<", "<=", ">", ">="})
_SAME_VALUE = 0.1
"""Two values of one moment contradict each other when they differ by more than a tenth."""
_SAME_UNIT = 0.02
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

    def age_key(self) -> tuple[bool, datetime, bool]:
        """Sorts from old to new by the time of the observation."""
        moment = self.moment
        return (False, _LONG_AGO, False) if moment is None else (True, moment.start, moment.complete)

    def tie_key(self) -> tuple[datetime, str]:
        """Sorts those of one time, independently of the order in the Bundle."""
        issued, _ = first_moment(self.entry.resource, "issued")
        return (issued.start if issued is not None else _LONG_AGO), self.reference


def sort_newest_first(candidates: list[Candidate]) -> None:
    """Sort in place; what only decides between observations of one time is read for those alone."""
    candidates.sort(key=Candidate.age_key, reverse=True)
    start = 0
    for end in range(1, len(candidates) + 1):
        if end < len(candidates) and candidates[end].age_key() == candidates[start].age_key():
            continue
        if end - start > 1:
            candidates[start:end] = sorted(candidates[start:end], key=Candidate.tie_key, reverse=True)
        start = end


def collect(entries: Sequence[Entry], reading: Reading) -> dict[Observable, list[Candidate]]:
    """The patient's observations of wanted things, newest first; those after the time of the snapshot are left out."""
    found: dict[Observable, list[Candidate]] = {}
    for entry in entries:
        # Codes are checked before the subject: nine observations in ten are of no interest here.
        wanted = _wanted(entry.resource)
        if not wanted or not reading.is_own(entry):
            continue
        status = as_text(entry.resource.get("status"))
        if status is None:
            reading.notes.add(FhirWarning.STATUS_MISSING, entry.reference)
        if status not in _COUNTING_STATUS:
            continue
        moment, unreadable = effective_moment(entry.resource, reading.as_of)
        if reading.is_future(moment, entry):
            continue
        moment = reading.credible(moment, entry)
        for observable, code, holder in wanted:
            if holder is not entry.resource and "modifierExtension" in holder:
                reading.notes.add(FhirWarning.MODIFIER_UNKNOWN, entry.reference)
                continue
            candidate = Candidate(observable, code, holder, entry, moment, unreadable)
            found.setdefault(observable, []).append(candidate)
    for candidates in found.values():
        sort_newest_first(candidates)
    return found


def contradict(value: object, other: object) -> bool:
    """Whether two values of one moment cannot both be right."""
    if isinstance(value, (int, float)) and isinstance(other, (int, float)):
        return abs(value - other) > _SAME_VALUE * max(abs(value), abs(other))
    return value != other


def newest(
    candidates: Sequence[Candidate],
    reading: Reading,
    judge: Callable[[Candidate, Reading], Verdict[T]],
    differ: Callable[[T, T], bool] = contradict,
) -> Sourced[T] | None:
    """The newest value that counts, with its source; None when no candidate yields one."""
    for index, candidate in enumerate(candidates):
        if "dataAbsentReason" in candidate.holder and any(name.startswith("value") for name in candidate.holder):
            reading.notes.add(FhirWarning.VALUE_CONTRADICTION, candidate.reference)
            continue
        verdict = judge(candidate, reading)
        if isinstance(verdict, Unknown):
            return None
        if isinstance(verdict, NextOlder):
            continue
        notes, reference = reading.notes, candidate.reference
        conflicting = _contradicting(verdict.value, candidates[index:], reading, judge, differ)
        if conflicting:
            notes.add(FhirWarning.VALUE_CONFLICT, reference)
        if candidate.moment is None:
            unreadable = candidate.unreadable_date
            notes.add(FhirWarning.DATE_UNREADABLE if unreadable else FhirWarning.DATE_MISSING, reference)
        if candidate.entry.resource.get("status") == "preliminary":
            notes.add(FhirWarning.VALUE_PRELIMINARY, reference)
        effective = candidate.moment.until(reading.as_of) if candidate.moment is not None else None
        return Sourced(
            value=verdict.value,
            resource=reference,
            effective=effective,
            comparator=verdict.comparator,
            conflicting=conflicting,
        )
    return None


@cache
def judge_quantity(measure: Measure) -> Callable[[Candidate, Reading], Verdict[float]]:
    """A judge that reads a quantity of one kind in the engine's unit."""

    def judge(candidate: Candidate, reading: Reading) -> Verdict[float]:
        notes, reference = reading.notes, candidate.reference
        quantity = quantity_of(candidate, reading)
        value = as_number(quantity.get("value"))
        if value is None:
            notes.add(FhirWarning.VALUE_MISSING, reference)
            return NextOlder()
        return judge_number(value, quantity, measure, candidate, reading)

    return judge


def quantity_of(candidate: Candidate, reading: Reading) -> JsonObject:
    """The Quantity an observation holds, be it an integer or text; an empty one if it holds none."""
    holder = candidate.holder
    quantity = holder.get("valueQuantity")
    if isinstance(quantity, dict):
        return quantity
    if "valueInteger" in holder:
        return {"value": holder["valueInteger"]}
    parsed = parse_quantity(as_text(holder.get("valueString")) or "")
    if parsed is None:
        return {}
    reading.notes.add(FhirWarning.VALUE_FROM_TEXT, candidate.reference)
    return parsed


def is_adult(candidate: Candidate, reading: Reading) -> bool:
    """Whether the patient was surely of age when this was observed."""
    when = candidate.moment.start.date() if candidate.moment is not None else None
    return reading.born is not None and when is not None and completed_years(reading.born, when) >= ADULT_YEARS


def _contradicting(
    value: T,
    candidates: Sequence[Candidate],
    reading: Reading,
    judge: Callable[[Candidate, Reading], Verdict[T]],
    differ: Callable[[T, T], bool],
) -> tuple[tuple[T, str], ...]:
    """What later candidates of the same moment as the first say instead, each with its resource."""
    moment = candidates[0].moment
    if moment is None:
        return ()
    quiet = None
    found: list[tuple[T, str]] = []
    for other in candidates[1:]:
        if other.moment != moment:
            break
        quiet = quiet or replace(reading, notes=Notes())
        verdict = judge(other, quiet)
        if isinstance(verdict, Usable) and differ(value, verdict.value):
            found.append((verdict.value, other.reference))
    return tuple(found)


def judge_number(
    value: float, quantity: JsonObject, measure: Measure, candidate: Candidate, reading: Reading
) -> Verdict[float]:
    """Convert one number, then check that it is possible and, if it is a bound, that the bound is safe."""
    notes, reference = reading.notes, candidate.reference
    texts = unit_texts(quantity)
    found = _convert(value, texts, measure)
    if not found:
        notes.add(FhirWarning.UNIT_UNKNOWN if texts else FhirWarning.UNIT_MISSING, reference)
        return NextOlder()
    converted = found[0]
    if len(found) > 1 and not math.isclose(converted.value, found[1].value, rel_tol=_SAME_UNIT):
        notes.add(FhirWarning.UNIT_CONFLICT, reference)
        return NextOlder()
    if not is_plausible(converted.value, measure, adult=is_adult(candidate, reading)):
        notes.add(FhirWarning.VALUE_IMPLAUSIBLE, reference)
        return NextOlder()
    comparator = quantity.get("comparator") or _off_scale(candidate.holder)
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
    usual = parse_moment(resource.get("effectiveDateTime"))
    if usual is not None and "effectivePeriod" not in resource:
        return usual, False
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


def _wanted(resource: JsonObject) -> list[tuple[Observable, str, JsonObject]]:
    """What of interest an Observation measures: by its own code, or by those of its components."""
    hit = _observable(resource.get("code"))
    found = [] if hit is None else [(*hit, resource)]
    if "component" in resource:
        for component in as_list(resource["component"]):
            if isinstance(component, dict):
                hit = _observable(component.get("code"))
                if hit is not None:
                    found.append((*hit, component))
    return found


def _observable(concept: object) -> tuple[Observable, str] | None:
    for coding in as_list(as_object(concept).get("coding")):
        if isinstance(coding, dict):
            system, code = coding.get("system"), coding.get("code")
            known = OBSERVABLES.get(code) if isinstance(code, str) else None
            if known is not None and isinstance(system, str) and system_of(system) is known[0]:
                return known[1], str(code)
    return None


def _convert(value: float, texts: list[str], measure: Measure) -> list[Converted]:
    """The value by each text that is a unit of this quantity, the coded unit first."""
    if len(texts) == 2 and texts[0] == texts[1]:
        texts = texts[:1]
    found = (convert(value, text, measure) for text in texts or [""])
    return [converted for converted in found if converted is not None]


def _off_scale(holder: JsonObject) -> str | None:
    """The bound that an interpretation 'off scale low' or 'off scale high' makes of a value."""
    if "interpretation" not in holder:
        return None
    return next((code for concept in as_list(holder["interpretation"]) for code in codes(concept) & OFF_SCALE), None)
