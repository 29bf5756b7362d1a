"""NHANES rows to training rows: which survey column teaches which field of `RiskFeatures`, and what is unknown.

The layout is the one of ``nhanes_osteo.csv.gz``: public-use variables of the US National Health and Nutrition
Examination Survey under their own names, plus a few harmonised ones in lower case.

====================================  =================================================================================
RiskFeatures                          survey variables
====================================  =================================================================================
age_years                             RIDAGEYR, held at 80: later cycles record every age of 80 or more as 80
female                                RIAGENDR (2)
bmi_kg_m2, weight_kg, height_cm       BMXBMI, BMXWT, BMXHT
prior_fragility_fracture              DXXPRVFX where the survey made it; otherwise OSQ080 (other fracture after 20) or a
                                      first hip, wrist or spine fracture (age_fx_*) at 20 or later
parental_hip_fracture                 OSQ170 (mother) or OSQ200 (father)
current_smoker, former_smoker         SMQ020 (100 cigarettes ever) and SMQ040 (now)
glucocorticoids                       OSQ130, prednisone or cortisone nearly every day for a month or longer
rheumatoid_arthritis                  ra (harmonised from MCQ160A and MCQ190/191/195)
alcohol_3_or_more_units_per_day       2005-2014 ALQ101, ALQ110, ALQ120Q/U, ALQ130; from 2017 ALQ111, ALQ121, ALQ130.
                                      The survey counts US drinks (14 g of ethanol)
diabetes_type_1, diabetes_type_2      DIQ010; type 1 approximated as told before 30 (DID040) and on insulin (DIQ050)
osteoporosis_diagnosed                OSQ060
femoral_neck_t_score                  neck_t_nhanes3f = (DXXNKBMD - 0.858) / 0.120
vitamin_d_nmol_l, hba1c_percent       vitd_nmol, LBXGH
====================================  =================================================================================

The survey cannot teach recent fractures, falls or secondary osteoporosis: those columns are all missing.
Codes 7 and 9 (77, 777 ...) mean refused and do not know: they become missing, never numbers.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from tabular.errors import CohortError

TOP_CODED_AGE_YEARS = 80
"""NHANES publishes ages of 80 and more as 80 (85 until 2006)."""
OFFICIAL_CYCLE = "2013-2014"
"""The cycle that carries official ten-year probabilities and vertebral fractures read on images."""

FEATURE_COLUMNS: tuple[str, ...] = (
    "age_years",
    "female",
    "bmi_kg_m2",
    "weight_kg",
    "height_cm",
    "prior_fragility_fracture",
    "recent_fracture_2y",
    "parental_hip_fracture",
    "current_smoker",
    "former_smoker",
    "glucocorticoids",
    "rheumatoid_arthritis",
    "alcohol_3_or_more_units_per_day",
    "secondary_osteoporosis",
    "diabetes_type_1",
    "diabetes_type_2",
    "osteoporosis_diagnosed",
    "femoral_neck_t_score",
    "vitamin_d_nmol_l",
    "hba1c_percent",
    "falls_last_year",
)
"""Fields of `RiskFeatures`, in order; in a cohort each is a float column, NaN where not known, 1.0/0.0 for yes/no."""


def _words(text: str) -> list[str]:
    return text.split()


_REQUIRED = _words(
    "cycle RIDAGEYR RIAGENDR RIDRETH1 WTMEC2YR SDMVPSU SDMVSTRA BMXBMI BMXWT BMXHT OSQ060 OSQ080 OSQ130 "
    "OSQ170 OSQ200 SMQ020 SMQ040 ALQ130 ra age_fx_hip age_fx_wrist age_fx_spine fx_hip fx_wrist fx_spine "
    "fx_hws neck_t_nhanes3f"
)
_OPTIONAL = _words(
    "WTMECPRP ALQ101 ALQ110 ALQ111 ALQ120Q ALQ120U ALQ121 DXXPRVFX DXXFRAX1 DXXFRAX2 frax_major_pct "
    "frax_hip_pct vfa_fracture vitd_nmol LBXGH DIQ010 DID040 DIQ050"
)

_DAYS_PER_UNIT = {1.0: 7.0, 2.0: 30.0, 3.0: 365.0}
_ALQ121_DAYS_PER_DAY = {
    0.0: 0.0,
    1.0: 1.0,
    2.0: 6 / 7,
    3.0: 3.5 / 7,
    4.0: 2 / 7,
    5.0: 1 / 7,
    6.0: 2.5 / 30,
    7.0: 1 / 30,
    8.0: 9 / 365,
    9.0: 4.5 / 365,
    10.0: 1.5 / 365,
}
"""ALQ121 answers as a share of days; the middle of each answer's range."""


def read_survey(path: Path) -> pd.DataFrame:
    """Read a survey file and turn it into a cohort.

    Args:
        path: A CSV file, plain or gzip, in the layout of the module's docstring.

    Returns:
        See `build_cohort`.

    Raises:
        CohortError: The file cannot be read, or lacks columns (``risk.cohort.unreadable``, ``.column_missing``).
    """
    try:
        raw = pd.read_csv(path, low_memory=False)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise CohortError(
            "the survey file cannot be read as CSV", remedy="Give the path of a CSV file, plain or gzip."
        ) from error
    return build_cohort(raw)


def build_cohort(raw: pd.DataFrame) -> pd.DataFrame:
    """Turn survey rows into training rows.

    Args:
        raw: Survey variables under their own names, one row a person.

    Returns:
        One row a person, index 0..n-1: `FEATURE_COLUMNS` (float, NaN for not known); ``cycle``, ``ethnicity``
        (RIDRETH1), ``weight`` (examination weight), ``stratum``, ``psu``; ``official_major`` and ``official_hip``, the
        survey's own ten-year probabilities (0..1); ``official_major_if_fracture`` and ``official_hip_if_fracture``,
        the same as if there had been a prior fracture; ``vertebral_fracture`` (read on images) and
        ``major_fracture_ever`` (hip, wrist or spine, self-reported).

    Raises:
        CohortError: Columns are missing (``risk.cohort.column_missing``).
    """
    absent = [name for name in _REQUIRED if name not in raw.columns]
    if absent:
        raise CohortError(
            f"the survey file lacks the columns {', '.join(absent)}",
            remedy="Use the layout that the documentation of `tabular.cohort` describes.",
            code="risk.cohort.column_missing",
        )
    survey = raw.reindex(columns=_REQUIRED + _OPTIONAL).reset_index(drop=True)
    numeric = survey.columns.drop("cycle")
    survey[numeric] = survey[numeric].apply(pd.to_numeric, errors="coerce")
    cohort = pd.DataFrame(np.nan, index=survey.index, columns=list(FEATURE_COLUMNS))
    cohort["age_years"] = survey["RIDAGEYR"].clip(upper=TOP_CODED_AGE_YEARS)
    cohort["female"] = survey["RIAGENDR"].map({1.0: 0.0, 2.0: 1.0})
    cohort["bmi_kg_m2"], cohort["weight_kg"], cohort["height_cm"] = survey["BMXBMI"], survey["BMXWT"], survey["BMXHT"]
    cohort["prior_fragility_fracture"] = _prior_fracture(survey)
    cohort["parental_hip_fracture"] = _either(yes_no(survey["OSQ170"]), yes_no(survey["OSQ200"]))
    cohort["current_smoker"], cohort["former_smoker"] = _smoking(survey)
    cohort["glucocorticoids"] = yes_no(survey["OSQ130"])
    cohort["rheumatoid_arthritis"] = survey["ra"]
    cohort["alcohol_3_or_more_units_per_day"] = _alcohol(survey)
    cohort["diabetes_type_1"], cohort["diabetes_type_2"] = _diabetes(survey)
    cohort["osteoporosis_diagnosed"] = yes_no(survey["OSQ060"])
    cohort["femoral_neck_t_score"] = survey["neck_t_nhanes3f"]
    cohort["vitamin_d_nmol_l"], cohort["hba1c_percent"] = survey["vitd_nmol"], survey["LBXGH"]
    return pd.concat([cohort, _design_and_outcomes(survey)], axis=1)


def yes_no(answers: pd.Series) -> pd.Series:
    """Survey answers to numbers: 1 (yes) -> 1.0, 2 (no) -> 0.0, everything else (7, 9, blank) -> NaN."""
    return answers.map({1.0: 1.0, 2.0: 0.0})


def _either(first: pd.Series, second: pd.Series) -> pd.Series:
    """Logical or with unknowns: yes if either is yes, no only if both are no."""
    both = pd.concat([first, second], axis=1)
    return both.max(axis=1).where((both == 1.0).any(axis=1) | both.notna().all(axis=1))


def _prior_fracture(survey: pd.DataFrame) -> pd.Series:
    """A fracture at 20 or later, at any site. A fracture at an unknown age leaves the answer unknown."""
    first_ages = survey[["age_fx_hip", "age_fx_wrist", "age_fx_spine"]]
    reported = survey[["fx_hip", "fx_wrist", "fx_spine"]]
    adult = (first_ages >= 20).any(axis=1) | (survey["OSQ080"] == 1)
    unknown_age = ((reported.to_numpy() == 1.0) & first_ages.isna().to_numpy()).any(axis=1)
    unknown = unknown_age | reported.isna().any(axis=1) | yes_no(survey["OSQ080"]).isna()
    derived = adult.astype(float).where(adult | ~unknown)
    return yes_no(survey["DXXPRVFX"]).fillna(derived)


def _smoking(survey: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    ever = yes_no(survey["SMQ020"])
    now = survey["SMQ040"].map({1.0: 1.0, 2.0: 1.0, 3.0: 0.0})
    current = now.where(ever != 0.0, 0.0)
    former = (1.0 - now).where(ever != 0.0, 0.0)
    return current, former


def _alcohol(survey: pd.DataFrame) -> pd.Series:
    """Three drinks or more a day on average: days drunk a day times drinks on such days."""
    drinks = survey["ALQ130"].where(survey["ALQ130"] < 77)
    days = survey["ALQ120Q"].where(survey["ALQ120Q"] <= 365) / survey["ALQ120U"].map(_DAYS_PER_UNIT)
    days = days.fillna(survey["ALQ121"].map(_ALQ121_DAYS_PER_DAY))
    abstinent = (
        (survey["ALQ120Q"] == 0)
        | ((survey["ALQ101"] == 2) & (survey["ALQ110"] == 2))
        | (survey["ALQ121"] == 0)
        | (survey["ALQ111"] == 2)
    )
    per_day = (days * drinks).mask(abstinent, 0.0)
    return (per_day >= 3 - 1e-9).astype(float).where(per_day.notna())


def _diabetes(survey: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    told = survey["DIQ010"].map({1.0: 1.0, 2.0: 0.0, 3.0: 0.0})
    young = (survey["DID040"] < 30).astype(float).where(survey["DID040"] <= 120)
    type_1 = (young * yes_no(survey["DIQ050"])).where(told != 0.0, 0.0)
    return type_1.where(told.notna()), (told - type_1).where(told.notna())


def _design_and_outcomes(survey: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cycle": survey["cycle"].astype(str),
            "ethnicity": survey["RIDRETH1"],
            "weight": survey["WTMEC2YR"].fillna(survey["WTMECPRP"]).fillna(0.0),
            "stratum": survey["SDMVSTRA"],
            "psu": survey["SDMVPSU"],
            "official_major": survey["frax_major_pct"] / 100.0,
            "official_hip": survey["frax_hip_pct"] / 100.0,
            "official_major_if_fracture": survey["DXXFRAX2"] / 100.0,
            "official_hip_if_fracture": survey["DXXFRAX1"] / 100.0,
            "vertebral_fracture": survey["vfa_fracture"],
            "major_fracture_ever": survey["fx_hws"],
        }
    )
