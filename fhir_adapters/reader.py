"""A FHIR R4 Bundle, or the resources of one patient, to that patient's snapshot.

The path of the data: ``bundle`` decodes and groups, ``references`` finds whose resources they are, ``demographics``,
``observations`` with ``findings``, ``conditions``, ``family``, ``medications`` and ``scans`` read each kind of
resource, and this module puts the snapshot together. ``relevance`` tells which lines of NDJSON need not be parsed,
``idle`` which diagnoses and prescriptions say nothing, ``superseded`` which Observations one of a later date replaces.
"""

from collections.abc import Iterable
from datetime import datetime

from fhir_adapters.bundle import READ_TYPES, Entry, Record, decode_bundle, group_entries, group_resources
from fhir_adapters.conditions import PREGNANCY_LENGTH, read_history
from fhir_adapters.demographics import read_demographics
from fhir_adapters.family import decide, parental_hip_fracture
from fhir_adapters.findings import measure
from fhir_adapters.medications import in_order, read_medications
from fhir_adapters.observations import collect
from fhir_adapters.patient import ConditionEntry, ConditionKind, PatientSnapshot, SmokingStatus, Sourced
from fhir_adapters.reading import Notes, Reading
from fhir_adapters.references import SubjectResolver, choose_patient
from fhir_adapters.relevance import is_relevant_line, relevant_codes, scan_codes
from fhir_adapters.scans import read_scans
from fhir_adapters.shapes import JsonObject
from fhir_adapters.warnings import FhirWarning

__all__ = [
    "READ_TYPES",
    "is_relevant_line",
    "read_bundle",
    "read_patient",
    "read_resources",
    "relevant_codes",
    "scan_codes",
]


def read_bundle(data: bytes, *, as_of: datetime, patient_id: str | None = None) -> PatientSnapshot:
    """Read one patient's record.

    Args:
        data: A FHIR R4 Bundle (transaction, batch, collection, searchset or document) as JSON, plain or gzip.
        as_of: The time the snapshot describes, timezone-aware; later entries are left out, with a warning.
        patient_id: Logical id of the Patient meant; needed when the Bundle holds several.

    Returns:
        What the record says, in the engine's units, each value with its source.

    Raises:
        FhirInputError: The bytes are no readable Bundle.
        PatientSelectionError: No Patient, several without choice, or not the chosen one.
        ValueError: `as_of` has no time zone.
    """
    _require_zone(as_of)
    record = group_entries(decode_bundle(data))
    return read_patient(record, choose_patient(record, patient_id), as_of=as_of)


def read_resources(
    resources: Iterable[JsonObject], *, as_of: datetime, patient_id: str | None = None
) -> PatientSnapshot:
    """Read one patient's record from resources that are already parsed, such as the lines of NDJSON.

    Args:
        resources: Parsed FHIR R4 resources in any order, the Patient among them; types outside `READ_TYPES` and other
            patients' resources are passed over. `is_relevant_line` tells which lines need not be parsed at all.
        as_of: As in `read_bundle`.
        patient_id: As in `read_bundle`.

    Returns:
        The snapshot that `read_bundle` gives for a collection of these resources.

    Raises:
        PatientSelectionError: No Patient, several without choice, or not the chosen one.
        ValueError: `as_of` has no time zone.
    """
    _require_zone(as_of)
    record = group_resources(resources)
    return read_patient(record, choose_patient(record, patient_id), as_of=as_of)


def _require_zone(as_of: datetime) -> None:
    if as_of.tzinfo is None:
        raise ValueError("as_of must be timezone-aware")


def read_patient(record: Record, patient: Entry, *, as_of: datetime) -> PatientSnapshot:
    """Read the record of one Patient of a grouped Bundle.

    Args:
        record: From `group_entries`; may hold other patients' resources too.
        patient: One of ``record.of_type("Patient")``.
        as_of: As in `read_bundle`.
    """
    notes = Notes()
    if record.paged:
        notes.add(FhirWarning.BUNDLE_PAGED)
    if record.unreadable:
        notes.add(FhirWarning.BUNDLE_ENTRY_UNREADABLE, str(record.unreadable))
    person = read_demographics(patient, as_of, notes)
    resolver = SubjectResolver(patient, record.of_type("Patient"))
    reading = Reading(as_of=as_of, resolver=resolver, notes=notes, born=person.birth_date)
    measured = measure(collect(record.of_type("Observation"), reading), reading, person.age_years)
    history = read_history(record.of_type("Condition"), reading)
    relatives = parental_hip_fracture(record.of_type("FamilyMemberHistory"), reading)
    return PatientSnapshot(
        patient_id=_logical_id(patient),
        as_of=as_of,
        birth_date=person.birth_date,
        age_years=person.age_years,
        sex=person.sex,
        weight_kg=measured.weight_kg,
        height_cm=measured.height_cm,
        bmi_kg_m2=measured.bmi_kg_m2,
        smoking=_better_smoking(measured.smoking, history.smoking),
        alcohol_units_per_week=measured.alcohol_units_per_week,
        osteoporosis=history.osteoporosis,
        diabetes=history.diabetes,
        rheumatoid_arthritis=history.rheumatoid_arthritis,
        parental_hip_fracture=decide(
            (relatives, history.parental_hip_fracture, measured.parental_hip_fracture), reading
        ),
        prior_fractures=history.fractures,
        conditions=(*_pregnancy(measured.pregnancy, as_of), *history.conditions),
        medications=in_order((*read_medications(record, reading), *history.medications)),
        t_score_femoral_neck=measured.t_score_femoral_neck,
        t_score_total_hip=measured.t_score_total_hip,
        t_score_spine=measured.t_score_spine,
        t_score_unspecified=measured.t_score_unspecified,
        bone_density_scans=read_scans(record, reading),
        vitamin_d_nmol_l=measured.vitamin_d_nmol_l,
        calcium_mmol_l=measured.calcium_mmol_l,
        egfr_ml_min_1_73m2=measured.egfr_ml_min_1_73m2,
        hba1c_percent=measured.hba1c_percent,
        falls_last_year=measured.falls_last_year,
        warnings=notes.lines(),
    )


def _logical_id(patient: Entry) -> str:
    """The Patient's id; in a transaction it may stand only in the fullUrl."""
    resource_id = patient.resource.get("id")
    if isinstance(resource_id, str):
        return resource_id
    return (patient.full_url or "").removeprefix("urn:uuid:").rpartition("/")[2]


def _better_smoking(
    observed: Sourced[SmokingStatus] | None, diagnosed: Sourced[SmokingStatus] | None
) -> Sourced[SmokingStatus] | None:
    """The observation, unless it is absent or 'unknown' and a diagnosis says more."""
    if observed is not None and observed.value is not SmokingStatus.UNKNOWN:
        return observed
    return diagnosed or observed


def _pregnancy(answer: tuple[Sourced[bool], str] | None, as_of: datetime) -> tuple[ConditionEntry, ...]:
    """A pregnancy recorded as an observation, as long as it can still last."""
    if answer is None:
        return ()
    source, code = answer
    active = source.effective is not None and as_of - source.effective <= PREGNANCY_LENGTH
    entry = ConditionEntry(
        kind=ConditionKind.PREGNANCY, code=code, resource=source.resource, onset=source.effective, active=active
    )
    return (entry,)
