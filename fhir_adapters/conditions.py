"""Conditions to diseases, diabetes, fractures, long-term drugs and what they say of the parents.

Rules
-----
* Refuted and entered-in-error do not count; a differential diagnosis does not count either, with a warning; unconfirmed
  and provisional count, with a warning. A disease that one entry states and another refutes counts, with a warning.
* Onset: a date, else the start (or end) of a period, else the age at onset with the date of birth, else text that is
  nothing but a date. A date before birth counts as none.
* A fracture without onset that an encounter recorded as fresh (an encounter diagnosis, or an ICD-10-CM code of the
  initial encounter) began when it was recorded, with a warning; any other is only known to be no younger than that.
* Active: clinical status active, recurrence or relapse, or no status; not active: inactive, remission, resolved, an
  abatement that has passed, or a code that says so itself ("history of", "in remission"). An abatement after the time
  of the snapshot had not yet happened.
* A fracture is active (perhaps the present one) when it is recorded as active, or with no status, and began within
  `PRESENT_FRACTURE`; without onset the recorded date decides. An older one is a prior fracture even if nobody has
  closed the entry.
* A code that says that a drug is taken for long (ICD-10-CM Z79) is an entry of that drug.
* Osteoporosis, diabetes and rheumatoid arthritis are lifelong: an entry marked inactive counts, with a warning.
* A pregnancy without end is over after `PREGNANCY_LENGTH`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from fhir_adapters.bundle import Entry
from fhir_adapters.codes.diagnoses import diagnosis, is_sequela, is_staged
from fhir_adapters.codes.meanings import DiagnosisMeaning, FractureMeaning
from fhir_adapters.codes.snomed import BODY_STRUCTURES
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.dates import Moment, first_moment, moment_at_age
from fhir_adapters.patient import (
    ConditionEntry,
    ConditionKind,
    DiabetesType,
    FractureSiteGroup,
    MedicationEntry,
    PriorFracture,
    SmokingStatus,
    Sourced,
)
from fhir_adapters.reading import Reading
from fhir_adapters.shapes import JsonObject, as_list, as_object, codes, codings
from fhir_adapters.warnings import FhirWarning

PRESENT_FRACTURE = timedelta(days=90)
"""A fracture recorded as active and no older than this may be the one being treated now."""

PREGNANCY_LENGTH = timedelta(days=44 * 7)

_NOT_COUNTED = frozenset({"refuted", "entered-in-error"})
_ACTIVE = frozenset({"active", "recurrence", "relapse"})

_ONSET = ("onsetDateTime", "onsetPeriod.start", "onsetPeriod.end", "onsetString")
_INITIAL_ENCOUNTER = frozenset("ABC")
"""Seventh character of an ICD-10-CM injury code: active treatment of a fresh fracture."""
_EPOCH = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The part of a snapshot that comes from conditions."""

    conditions: tuple[ConditionEntry, ...]
    fractures: tuple[PriorFracture, ...]
    osteoporosis: Sourced[bool] | None
    rheumatoid_arthritis: Sourced[bool] | None
    diabetes: Sourced[DiabetesType] | None
    smoking: Sourced[SmokingStatus] | None
    parental_hip_fracture: Sourced[bool] | None
    medications: tuple[MedicationEntry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One Condition that counts, with what its codes mean together."""

    entry: Entry
    meanings: tuple[tuple[str, str, DiagnosisMeaning], ...]
    """System URI, code and meaning of each coding that means something."""
    onset: datetime | None
    recorded: datetime | None
    known_since: datetime | None
    """Onset, or the date it was recorded: orders entries and dates the present fracture."""
    active: bool
    stated: bool
    """The record has a clinical status."""


def read_history(conditions: Iterable[Entry], reading: Reading) -> History:
    """Everything the patient's Conditions say."""
    refuted: list[Entry] = []
    found = sorted(
        (
            item
            for entry in reading.own(_meaningful(conditions))
            if (item := _find(entry, refuted, reading)) is not None
        ),
        key=lambda item: (item.active, item.known_since or _EPOCH, item.entry.reference),
        reverse=True,
    )
    entries = tuple(entry for item in found for entry in _condition_entries(item, reading))
    fractures = [fracture for item in found if (fracture := _fracture(item, reading)) is not None]
    _note_refuted(refuted, found, reading)
    fractures.sort(key=lambda fracture: (fracture.onset or _EPOCH, fracture.resource), reverse=True)
    return History(
        conditions=entries,
        fractures=tuple(fractures),
        osteoporosis=_lifelong(entries, ConditionKind.OSTEOPOROSIS, reading),
        rheumatoid_arthritis=_lifelong(entries, ConditionKind.RHEUMATOID_ARTHRITIS, reading),
        diabetes=_diabetes(found, reading),
        smoking=_smoking(found),
        parental_hip_fracture=_parental_hip_fracture(found),
        medications=tuple(_medications(found)),
    )


def _meaningful(entries: Iterable[Entry]) -> Iterable[Entry]:
    """Conditions of which at least one code means something here."""
    for entry in entries:
        if any(diagnosis(system, code) is not None for system, code in codings(entry.resource.get("code"))):
            yield entry


def _find(entry: Entry, refuted: list[Entry], reading: Reading) -> _Found | None:
    """One Condition, or None when it does not count at the time of the snapshot; the refuted ones are gathered."""
    resource, notes = entry.resource, reading.notes
    verification = codes(resource.get("verificationStatus"))
    if verification & _NOT_COUNTED:
        if "refuted" in verification:
            refuted.append(entry)
        return None
    onset, unreadable = _onset(entry, reading)
    recorded, _ = first_moment(resource, "recordedDate")
    recorded = reading.credible(recorded, entry)
    if reading.is_future(onset or recorded, entry):
        return None
    if "differential" in verification:
        notes.add(FhirWarning.CONDITION_DIFFERENTIAL, entry.reference)
        return None
    if verification & {"unconfirmed", "provisional"}:
        notes.add(FhirWarning.CONDITION_UNCONFIRMED, entry.reference)
    if unreadable:
        notes.add(FhirWarning.DATE_UNREADABLE, entry.reference)
    known_since = onset or recorded
    clinical = codes(resource.get("clinicalStatus"))
    return _Found(
        entry=entry,
        meanings=tuple(
            (system, code, meaning)
            for system, code in codings(resource.get("code"))
            if (meaning := diagnosis(system, code)) is not None
        ),
        onset=onset.until(reading.as_of) if onset is not None else None,
        recorded=recorded.until(reading.as_of) if recorded is not None else None,
        known_since=known_since.until(reading.as_of) if known_since is not None else None,
        active=_is_active(resource, clinical, reading.as_of),
        stated=bool(clinical),
    )


def _onset(entry: Entry, reading: Reading) -> tuple[Moment | None, bool]:
    """When a condition began, and whether there is a date that cannot be read."""
    resource = entry.resource
    onset, unreadable = first_moment(resource, *_ONSET)
    if onset is None and "onsetAge" in resource:
        onset = moment_at_age(reading.born, resource["onsetAge"])
        unreadable = unreadable or onset is None
    if onset is None and "onsetRange" in resource:
        onset = moment_at_age(reading.born, as_object(resource["onsetRange"]).get("low"))
        unreadable = unreadable or onset is None
    return reading.credible(onset, entry), unreadable


def _note_refuted(refuted: list[Entry], found: list[_Found], reading: Reading) -> None:
    """Warn of every disease that counts although another entry refutes it."""
    if not refuted:
        return
    counted = {meaning for item in found for _, _, meaning in item.meanings}
    kinds = {kind for meaning in counted for kind in meaning.kinds}
    diabetic = any(meaning.diabetes is not None for meaning in counted)
    for entry in refuted:
        denied = [diagnosis(system, code) for system, code in codings(entry.resource.get("code"))]
        if any(
            meaning is not None and (kinds & set(meaning.kinds) or (diabetic and meaning.diabetes is not None))
            for meaning in denied
        ):
            reading.notes.add(FhirWarning.CONDITION_REFUTED_ELSEWHERE, entry.reference)


def _is_active(resource: JsonObject, clinical: set[str], as_of: datetime) -> bool:
    """Whether a condition was active at `as_of`, by abatement first, then by clinical status."""
    abatement, _ = first_moment(resource, "abatementDateTime", "abatementPeriod.end", "abatementPeriod.start")
    if abatement is not None:
        return abatement.is_after(as_of)
    if any(name.startswith("abatement") and resource[name] not in (False, None, "") for name in resource):
        return False
    return not clinical or bool(clinical & _ACTIVE)


def _condition_entries(item: _Found, reading: Reading) -> Iterable[ConditionEntry]:
    """One entry for each kind of disease the Condition names, by the first code that names it."""
    seen: set[ConditionKind] = set()
    for system, code, meaning in item.meanings:
        for kind in meaning.kinds:
            if kind in seen:
                continue
            seen.add(kind)
            active = item.active and not meaning.past
            if kind is ConditionKind.PREGNANCY and item.known_since is not None:
                active = active and reading.as_of - item.known_since <= PREGNANCY_LENGTH
            # The bone disease behind a fracture outlasts the fracture.
            if kind is ConditionKind.OSTEOPOROSIS and meaning.fracture is not None:
                active = True
            yield ConditionEntry(
                kind=kind,
                code=qualified(system, code),
                resource=item.entry.reference,
                onset=item.onset,
                active=active,
            )


def _fracture(item: _Found, reading: Reading) -> PriorFracture | None:
    """The fracture a Condition names, its site as precise as its codes and body site allow."""
    named = [
        (system, code, meaning.fracture) for system, code, meaning in item.meanings if meaning.fracture is not None
    ]
    if not named:
        return None
    system, code, meaning = next(
        (candidate for candidate in named if candidate[2].site is not FractureSiteGroup.OTHER), named[0]
    )
    site = meaning.site
    if site is FractureSiteGroup.OTHER:
        site = _body_site(item.entry.resource) or site
    past = any(fracture.past for _, _, fracture in named) or any(is_sequela(uri, plain) for uri, plain, _ in named)
    onset = item.onset
    if onset is None and not past and item.recorded is not None and _is_fresh(item, named):
        reading.notes.add(FhirWarning.FRACTURE_DATED_BY_RECORD, item.entry.reference)
        onset = item.recorded
    began = item.known_since
    recent = began is not None and reading.as_of - began <= PRESENT_FRACTURE
    # Recorded as active without any date may be the present one; unstated and undated may not.
    present = item.active and (recent or (began is None and item.stated))
    return PriorFracture(
        site=site,
        code=qualified(system, code),
        resource=item.entry.reference,
        onset=None if past else onset,
        active=present and not past,
        pathological=any(fracture.pathological for _, _, fracture in named),
        neoplastic=any(fracture.neoplastic for _, _, fracture in named),
        recorded=item.recorded if onset is None and not past else None,
    )


def _is_fresh(item: _Found, named: list[tuple[str, str, FractureMeaning]]) -> bool:
    """Whether the entry records a new fracture, so that its date is that of the fracture."""
    stages = {code[-1].upper() for uri, code, _ in named if is_staged(uri, code)}
    if stages:
        return bool(stages & _INITIAL_ENCOUNTER)
    categories = as_list(item.entry.resource.get("category"))
    return any("encounter-diagnosis" in codes(category) for category in categories)


def _body_site(resource: JsonObject) -> FractureSiteGroup | None:
    for concept in as_list(resource.get("bodySite")):
        for system, code in codings(concept):
            if system_of(system) is CodeSystem.SNOMED_CT and code in BODY_STRUCTURES:
                return BODY_STRUCTURES[code]
    return None


def _lifelong(entries: tuple[ConditionEntry, ...], kind: ConditionKind, reading: Reading) -> Sourced[bool] | None:
    """True with its source when the disease is recorded, active or not; None when it is not recorded."""
    entry = next((item for item in entries if item.kind is kind), None)
    if entry is None:
        return None
    if not entry.active:
        reading.notes.add(FhirWarning.CONDITION_LIFELONG_INACTIVE, entry.resource)
    return Sourced(value=True, resource=entry.resource, effective=entry.onset)


def _diabetes(found: list[_Found], reading: Reading) -> Sourced[DiabetesType] | None:
    """The recorded type; a typed entry outweighs an untyped one, of two types the most recent entry wins."""
    types = [
        (meaning.diabetes, item)
        for item in sorted(found, key=lambda item: (item.known_since or _EPOCH, item.entry.reference), reverse=True)
        for _, _, meaning in item.meanings
        if meaning.diabetes is not None
    ]
    if not types:
        return None
    typed = [pair for pair in types if pair[0] is not DiabetesType.UNSPECIFIED] or types
    if len({diabetes_type for diabetes_type, _ in typed}) > 1:
        reading.notes.add(FhirWarning.DIABETES_CONFLICT, typed[0][1].entry.reference)
    diabetes_type, item = typed[0]
    if not any(other.active for _, other in types):
        reading.notes.add(FhirWarning.CONDITION_LIFELONG_INACTIVE, item.entry.reference)
    return Sourced(value=diabetes_type, resource=item.entry.reference, effective=item.onset)


def _smoking(found: list[_Found]) -> Sourced[SmokingStatus] | None:
    """Smoking recorded as a condition: used when no observation tells. A resolved smoking habit is a former one."""
    for item in found:
        for _, _, meaning in item.meanings:
            status = meaning.smoking
            if status is not None:
                ended = status is SmokingStatus.CURRENT and not item.active
                value = SmokingStatus.FORMER if ended else status
                return Sourced(value=value, resource=item.entry.reference, effective=item.onset)
    return None


def _parental_hip_fracture(found: list[_Found]) -> Sourced[bool] | None:
    for item in found:
        if any(meaning.parent_broke_hip for _, _, meaning in item.meanings):
            return Sourced(value=True, resource=item.entry.reference, effective=item.known_since)
    return None


def _medications(found: list[_Found]) -> Iterable[MedicationEntry]:
    """Drugs that a code says are taken for long."""
    for item in found:
        for system, code, meaning in item.meanings:
            if meaning.takes is not None:
                yield MedicationEntry(
                    drug_class=meaning.takes,
                    code=qualified(system, code),
                    resource=item.entry.reference,
                    start=item.onset,
                    active=item.active,
                )


def qualified(system_uri: str, code: str) -> str:
    """``system|code`` with the canonical URI of the system."""
    system = system_of(system_uri)
    return f"{system.value if system is not None else system_uri}|{code}"
