"""The row the risk model reads. Absent means None: the model declares what it does with missing values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFeatures:
    """Clinical risk factors of one person at one time; every field but the age may be None (not known)."""

    age_years: float | None
    """Completed years, 0..130."""
    female: bool | None = None
    """Sex at birth as recorded; None for other or unknown."""
    bmi_kg_m2: float | None = None
    weight_kg: float | None = None
    height_cm: float | None = None
    prior_fragility_fracture: bool | None = None
    """A fracture in adult life before the present one (the present one does not count)."""
    recent_fracture_2y: bool | None = None
    """A major fracture within the last two years, before the present one."""
    parental_hip_fracture: bool | None = None
    current_smoker: bool | None = None
    former_smoker: bool | None = None
    glucocorticoids: bool | None = None
    """Systemic glucocorticoids now, or taken daily for three months or more."""
    rheumatoid_arthritis: bool | None = None
    alcohol_3_or_more_units_per_day: bool | None = None
    secondary_osteoporosis: bool | None = None
    """A disease strongly associated with osteoporosis (type 1 diabetes, malabsorption, chronic liver disease ...)."""
    diabetes_type_1: bool | None = None
    diabetes_type_2: bool | None = None
    osteoporosis_diagnosed: bool | None = None
    femoral_neck_t_score: float | None = None
    """Standard deviations from the young white female mean (NHANES III reference)."""
    vitamin_d_nmol_l: float | None = None
    """Serum 25-hydroxyvitamin D."""
    hba1c_percent: float | None = None
    falls_last_year: int | None = None
    dementia: bool | None = None
    parkinson: bool | None = None
    epilepsy_or_anticonvulsant: bool | None = None
    """Epilepsy ever, or an anticonvulsant now, whatever for."""
    cardiovascular_disease: bool | None = None
    """Coronary heart disease (angina, infarction) or stroke, ever."""
    antidepressant: bool | None = None
    """Taken now."""
    chronic_kidney_disease: bool | None = None
    chronic_liver_disease: bool | None = None
    asthma_or_copd: bool | None = None
    cancer: bool | None = None
    """Any, ever, but for non-melanoma skin cancer."""
    endocrine_disease: bool | None = None
    """Overactive thyroid or parathyroid glands, active."""
    hormone_replacement: bool | None = None
    """Oestrogen taken now."""
