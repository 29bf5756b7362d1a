"""Enums, numbers and units in the words of the report. Wording only: nothing here concludes anything."""

import math
from datetime import datetime
from enum import StrEnum
from typing import get_type_hints

from fusion.results import AdviceAction, Certainty, Severity, Urgency
from imaging.results import FractureCall, PixelSpacing, SpacingOrigin
from tabular.features import RiskFeatures

NOTICE = "Investigational, not for diagnostic use. Supports a decision, never takes one."

TIMES = "\N{MULTIPLICATION SIGN}"

INTENDED_USE = (
    "Intended use: decision support for a qualified clinician who has seen the patient and read the radiograph."
    " It does not replace the radiologist's report, the examination or the clinician's judgement."
)

CALLS: dict[FractureCall, str] = {
    FractureCall.DEFINITE: "Fracture: definite",
    FractureCall.SUSPECTED: "Fracture: suspected",
    FractureCall.NOT_SEEN: "Fracture: not seen (does not exclude one)",
    FractureCall.CANNOT_JUDGE: "Fracture: cannot judge",
}
CALL_EXPLANATIONS: dict[FractureCall, str] = {
    FractureCall.DEFINITE: "The score passes the high-specificity operating point.",
    FractureCall.SUSPECTED: "The score lies between the two operating points.",
    FractureCall.NOT_SEEN: "The score is below the high-sensitivity operating point. This does not exclude a fracture.",
    FractureCall.CANNOT_JUDGE: "The radiograph is not fit to be judged by the detector.",
}
SEVERITIES: dict[Severity, str] = {
    Severity.MILD: "Mild",
    Severity.MODERATE: "Moderate",
    Severity.SEVERE: "Severe",
    Severity.UNDETERMINED: "Undetermined",
    Severity.NOT_APPLICABLE: "Not applicable: no fracture seen or stated",
}
URGENCIES: dict[Urgency, str] = {
    Urgency.IMMEDIATE: "Immediate",
    Urgency.WITHIN_HOURS: "Within hours",
    Urgency.CLINIC: "Clinic",
    Urgency.ROUTINE: "Routine",
}
CERTAINTIES: dict[Certainty, str] = {
    Certainty.VERIFIED: "verified",
    Certainty.WEAK: "weak source",
    Certainty.COMPUTED: "computed",
    Certainty.UNVERIFIED: "unverified",
    Certainty.RECORDED: "recorded",
}
CERTAINTY_EXPLANATIONS: dict[Certainty, str] = {
    Certainty.VERIFIED: "read in the cited source",
    Certainty.WEAK: "read, but in a weak or secondary source",
    Certainty.COMPUTED: "computed by this engine from its inputs",
    Certainty.UNVERIFIED: "not verified against the source; never drives a recommendation alone",
    Certainty.RECORDED: "taken from the patient record or the clinician's input",
}
ACTIONS: dict[AdviceAction, str] = {
    AdviceAction.AVOID: "Avoid",
    AdviceAction.CORRECT_FIRST: "Correct first",
    AdviceAction.SPECIALIST_ONLY: "Specialist only",
    AdviceAction.CAUTION: "Caution",
    AdviceAction.SEPARATE: "Separate in time",
    AdviceAction.CONSIDER: "Consider",
    AdviceAction.INFORM: "Inform",
}
"""In the order a report lists them: what may harm comes first."""
OUTCOMES: dict[str, str] = {
    "major_osteoporotic": "Major osteoporotic fracture (hip, clinical spine, forearm or proximal humerus)",
    "hip": "Hip fracture",
}
SHORT_OUTCOMES: dict[str, str] = {"major_osteoporotic": "major osteoporotic fracture", "hip": "hip fracture"}
OPERATING_POINTS: dict[str, str] = {
    "high_sensitivity": "High sensitivity (suspected from here)",
    "high_specificity": "High specificity (definite from here)",
}
FEATURES: dict[str, str] = {
    "age_years": "age",
    "female": "sex",
    "bmi_kg_m2": "body mass index",
    "weight_kg": "weight",
    "height_cm": "height",
    "prior_fragility_fracture": "earlier fragility fracture",
    "recent_fracture_2y": "major fracture within the last two years",
    "parental_hip_fracture": "hip fracture of a parent",
    "current_smoker": "current smoking",
    "former_smoker": "former smoking",
    "glucocorticoids": "systemic glucocorticoids",
    "rheumatoid_arthritis": "rheumatoid arthritis",
    "alcohol_3_or_more_units_per_day": "three or more units of alcohol a day",
    "secondary_osteoporosis": "cause of secondary osteoporosis",
    "diabetes_type_1": "type 1 diabetes",
    "diabetes_type_2": "type 2 diabetes",
    "osteoporosis_diagnosed": "diagnosed osteoporosis",
    "femoral_neck_t_score": "femoral neck T-score",
    "vitamin_d_nmol_l": "25-hydroxyvitamin D",
    "hba1c_percent": "HbA1c",
    "falls_last_year": "falls in the last year",
    "dementia": "dementia",
    "parkinson": "Parkinson's disease",
    "epilepsy_or_anticonvulsant": "epilepsy or an anticonvulsant",
    "cardiovascular_disease": "coronary heart disease or stroke",
    "antidepressant": "an antidepressant",
    "chronic_kidney_disease": "chronic kidney disease",
    "chronic_liver_disease": "chronic liver disease",
    "asthma_or_copd": "asthma or COPD",
    "cancer": "cancer",
    "endocrine_disease": "overactive thyroid or parathyroid",
    "hormone_replacement": "hormone replacement",
}
UNITS: dict[str, str] = {
    "age_years": "years",
    "weight_kg": "kg",
    "height_cm": "cm",
    "bmi_kg_m2": "kg/m²",
    "alcohol_units_per_week": "UK units per week",
    "vitamin_d_nmol_l": "nmol/L",
    "calcium_mmol_l": "mmol/L",
    "egfr_ml_min_1_73m2": "mL/min/1.73 m²",
    "hba1c_percent": "%",
    "calcium_diet_mg_per_day": "mg per day",
}
"""Field name to printed unit, for the fields of `RiskFeatures`, `PatientSnapshot` and `ClinicalContext`."""
_DOSE_UNITS: dict[str, str] = {
    "mg/d": "mg per day",
    "g/d": "g per day",
    "ug/d": "µg per day",
    "[iU]/d": "IU per day",
    "g/kg/d": "g per kg per day",
}
_SPELLINGS: dict[str, str] = {
    "nsaid": "NSAID",
    "cox2_inhibitor": "COX-2 inhibitor",
    "vitamin_c": "vitamin C",
    "parkinson": "Parkinson's disease",
    "hand_arm": "hand or arm",
    "leg_foot": "leg or foot",
    "hip_pelvis": "hip or pelvis",
}
REGION_SOURCES: dict[str, str] = {"dicom": "from the DICOM header", "model": "judged by the model"}
LATERALITIES: dict[str, str] = {"L": "left", "R": "right", "B": "both sides", "U": "unpaired"}
"""DICOM Laterality to words."""
_YES_NO = frozenset(name for name, hint in get_type_hints(RiskFeatures).items() if hint == bool | None)


def words(value: StrEnum | str) -> str:
    """A coded value in plain words, for instance ``lower_leg`` as "lower leg"."""
    text = str(value)
    return _SPELLINGS.get(text, text.replace("_", " ").replace("vitamin d", "vitamin D"))


def capitalised(text: str) -> str:
    """The text with its first letter as a capital; "eGFR" and its like stay as they are."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def number(value: float) -> str:
    """A number without needless zeros, four significant digits at most below 1000, with a true minus sign."""
    return (f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}").replace("-", "\N{MINUS SIGN}")


def ratio(value: float) -> str:
    """A ratio to two decimals, for instance "1.25"."""
    return f"{value:.2f}"


def signed(value: float) -> str:
    """A number to three decimals with its sign, for instance "+0.412"."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def percent(probability: float) -> str:
    """A probability, 0..1, as a percentage with one decimal; never rounded to 0% or 100% unless it is."""
    if 0 < probability < 0.001:
        return "<0.1%"
    if 0.999 < probability < 1:
        return ">99.9%"
    return f"{100 * probability:.1f}%"


def score(value: float) -> str:
    """A detector's score, 0..1, with two decimals; below .01 with two significant digits, so that it is never 0.00."""
    if value <= 0 or value >= 0.01:
        return f"{value:.2f}"
    exponent = int(f"{value:.1e}".partition("e")[2])
    return f"{value:.{1 - exponent}f}"


def weeks(value: float) -> str:
    """A number of weeks to half a week, without needless zeros."""
    return f"{round(2 * value) / 2:g}"


def span(low: float | None, high: float | None, unit: str) -> str:
    """A range with its unit, for instance "800 to 1000 IU per day"; empty when both ends are missing."""
    if low is None and high is None:
        return ""
    if low is None:
        return f"up to {number(high or 0.0)} {unit}"
    if high is None:
        return f"from {number(low)} {unit}"
    return f"{number(low)} {unit}" if math.isclose(low, high) else f"{number(low)} to {number(high)} {unit}"


def when_weeks(earliest: float | None, latest: float | None) -> str:
    """When an appointment is due, in weeks after the injury."""
    if earliest is None and latest is None:
        return "time not stated"
    if earliest is None or (earliest == 0 and latest):
        return f"by week {weeks(latest or 0.0)}"
    if earliest == 0 and latest == 0:
        return "now"
    if latest is None:
        return f"from week {weeks(earliest)}" if earliest else "from now"
    return (
        f"week {weeks(earliest)}" if weeks(earliest) == weeks(latest) else f"weeks {weeks(earliest)} to {weeks(latest)}"
    )


def dose(low: float | None, high: float | None, unit: str | None) -> str:
    """A dose range with its unit in words; empty when no dose is given."""
    return span(low, high, _DOSE_UNITS.get(unit or "", unit or "")).strip()


def feature_value(field: str, value: float | None) -> str:
    """A value the risk model saw, in words: yes and no for flags, a unit where the field's name has one."""
    if value is None:
        return "not known"
    if field == "female":
        return "female" if value else "male"
    if field in _YES_NO:
        return "yes" if value else "no"
    return with_unit(field, value)


def feature_name(field: str) -> str:
    """A field of `RiskFeatures` in words."""
    return FEATURES.get(field, words(field))


def with_unit(field: str, value: object) -> str:
    """A value of a border type with the unit its field's name states."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{number(value)} {UNITS.get(field, '')}".strip()
    return words(str(value))


def moment(value: datetime) -> str:
    """A time as "4 March 2026, 09:30 UTC"."""
    return f"{value.day} {value:%B %Y, %H:%M} {value.tzname() or ''}".strip()


def day(value: datetime) -> str:
    """A day as "2026-03-04"."""
    return value.date().isoformat()


def odds(log_odds: float) -> str:
    """What a contribution did to the odds, in words."""
    factor = math.exp(log_odds)
    if math.isclose(factor, 1.0, abs_tol=0.005):
        return "hardly any"
    return f"{'raises' if log_odds > 0 else 'lowers'} {TIMES} {ratio(factor)}"


def box_size(width_mm: float | None, height_mm: float | None, spacing: PixelSpacing | None) -> str:
    """The size of a box in mm, or why there is none."""
    if spacing is None or spacing.origin is SpacingOrigin.UNKNOWN or width_mm is None or height_mm is None:
        return "no pixel spacing"
    where = " at the detector" if spacing.origin is SpacingOrigin.DETECTOR else ""
    return f"{width_mm:.0f} {TIMES} {height_mm:.0f} mm{where}"
