"""What the record and the clinician gave, as rows: value, source, date; and what neither gave."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import cast

from cds.presenters.wording import capitalised, day, with_unit, words
from fhir_adapters.patient import FractureSiteGroup, PatientSnapshot, PriorFracture, Sourced
from fusion.context import ClinicalContext

_VALUES: dict[str, str] = {
    "weight_kg": "weight",
    "height_cm": "height",
    "bmi_kg_m2": "body mass index",
    "smoking": "smoking",
    "alcohol_units_per_week": "alcohol",
    "osteoporosis": "osteoporosis",
    "diabetes": "diabetes",
    "rheumatoid_arthritis": "rheumatoid arthritis",
    "parental_hip_fracture": "hip fracture of a parent",
    "t_score_femoral_neck": "T-score, femoral neck",
    "t_score_total_hip": "T-score, total hip",
    "t_score_spine": "T-score, spine",
    "t_score_unspecified": "T-score, site not recorded",
    "vitamin_d_nmol_l": "25-hydroxyvitamin D",
    "calcium_mmol_l": "total serum calcium",
    "egfr_ml_min_1_73m2": "eGFR",
    "hba1c_percent": "HbA1c",
    "falls_last_year": "falls in the last year",
}
_CONTEXT: dict[str, str] = {
    "site": "fracture site",
    "fracture_type": "fracture type",
    "mechanism": "mechanism",
    "displaced": "displaced",
    "intra_articular": "intra-articular",
    "open_wound": "open wound",
    "gustilo": "Gustilo grade",
    "vascular_deficit": "vascular deficit",
    "neurological_deficit": "neurological deficit",
    "compartment_signs": "signs of compartment syndrome",
    "skin_threatened": "threatened skin",
    "dislocation": "dislocation",
    "clinical_suspicion_high": "high clinical suspicion",
    "non_ambulant_infant": "infant who does not walk yet",
    "operated": "operated on",
    "growth_plate": "growth plate involved",
    "calcium_diet_mg_per_day": "calcium from food",
}


_SIGNS: dict[str, str] = {"<=": "\N{LESS-THAN OR EQUAL TO}", ">=": "\N{GREATER-THAN OR EQUAL TO}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One value as the report lists it."""

    label: str
    value: str
    sources: tuple[str, ...] = ()
    """FHIR references, several for a computed value; none for the clinician's input."""
    date: str = ""
    """ISO day; empty when the resource gives none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordView:
    """Rows of one section, and the labels of what is missing from it."""

    rows: tuple[Row, ...]
    missing: tuple[str, ...]


def _dated(moment: datetime | None) -> str:
    return day(moment) if moment is not None else ""


def _bounded(value: str, sourced: Sourced[object]) -> str:
    """The value with its sign where the record gives a bound, and with "computed" where it gives none at all."""
    sign = _SIGNS.get(sourced.comparator or "", sourced.comparator or "")
    return f"{sign} {value}".strip() + (" (computed)" if sourced.derived_from else "")


def _state(active: bool, past: str) -> str:
    return "active" if active else past


def _site(fracture: PriorFracture) -> str:
    return "other site" if fracture.site is FractureSiteGroup.OTHER else words(fracture.site)


def _entries(patient: PatientSnapshot) -> list[Row]:
    """Earlier fractures, conditions and drugs."""
    rows = [
        Row(
            label="Recorded fracture",
            value=_site(one)
            + (", pathological" if one.pathological else "")
            + (", recorded as active" if one.active else ""),
            sources=(one.resource,),
            date=_dated(one.onset),
        )
        for one in patient.prior_fractures
    ]
    unread = patient.scan_without_result
    rows += [
        Row(
            label="Bone density scan",
            value="done, result not recorded" if one is unread else "done",
            sources=(one.resource,),
            date=_dated(one.performed),
        )
        for one in patient.bone_density_scans
    ]
    rows += [
        Row(
            label="Condition",
            value=f"{words(one.kind)} ({_state(one.active, 'not active')})",
            sources=(one.resource,),
            date=_dated(one.onset),
        )
        for one in patient.conditions
    ]
    rows += [
        Row(
            label="Drug",
            value=f"{words(one.drug_class)} ({_state(one.active, 'no longer taken')})",
            sources=(one.resource,),
            date=_dated(one.start),
        )
        for one in patient.medications
    ]
    return rows


def patient_view(patient: PatientSnapshot) -> RecordView:
    """Rows of the patient section; age, sex and identifier stand above them, the birth date nowhere."""
    rows: list[Row] = []
    missing: list[str] = []
    for name, label in _VALUES.items():
        sourced = cast(Sourced[object] | None, getattr(patient, name))
        if sourced is None:
            missing.append(label)
            continue
        rows.append(
            Row(
                label=capitalised(label),
                value=_bounded(with_unit(name, sourced.value), sourced),
                sources=sourced.derived_from or (sourced.resource,),
                date=_dated(sourced.effective),
            )
        )
    return RecordView(rows=tuple(rows + _entries(patient)), missing=tuple(missing))


def reference_labels(patient: PatientSnapshot) -> dict[str, str]:
    """FHIR reference to what it says, so that a statement can name its trigger in words."""
    labels = {one.resource: words(one.kind) for one in patient.conditions}
    labels |= {one.resource: words(one.drug_class) for one in patient.medications}
    labels |= {one.resource: "bone density scan" for one in patient.bone_density_scans}
    for fracture in patient.prior_fractures:
        labels.setdefault(fracture.resource, f"recorded fracture, {_site(fracture)}")
    for name, label in _VALUES.items():
        sourced = cast(Sourced[object] | None, getattr(patient, name))
        if sourced is not None and not sourced.derived_from:
            labels.setdefault(sourced.resource, label)
    return labels


def context_view(context: ClinicalContext) -> RecordView:
    """What the clinician stated, and what was left unstated."""
    rows: list[Row] = []
    missing: list[str] = []
    for field in fields(context):
        label = _CONTEXT.get(field.name, words(field.name))
        value = getattr(context, field.name)
        if value is None:
            missing.append(label)
        else:
            rows.append(Row(label=capitalised(label), value=with_unit(field.name, value)))
    return RecordView(rows=tuple(rows), missing=tuple(missing))
