"""Measurements and coded answers: LOINC, and the few SNOMED CT observables met in practice.

Source: LOINC 2.77. Left out on purpose: 1,25-dihydroxyvitamin D (another hormone), ionised and corrected calcium, body
mass index percentiles, eGFR with the race coefficient (the same panel reports one without), alcohol per drinking day
(no frequency).
"""

from enum import StrEnum

from fhir_adapters.codes.snomed import PARENT_BROKE_HIP
from fhir_adapters.codes.snomed import SMOKING as _SMOKING_SNOMED
from fhir_adapters.codes.systems import CodeSystem
from fhir_adapters.patient import SmokingStatus


class Observable(StrEnum):
    """What an Observation measures, as far as this engine reads it."""

    WEIGHT = "weight"
    HEIGHT = "height"
    BMI = "bmi"
    SMOKING = "smoking"
    ALCOHOL = "alcohol"
    FALLS = "falls"
    PARENTAL_HIP_FRACTURE = "parental_hip_fracture"
    PREGNANCY = "pregnancy"
    VITAMIN_D = "vitamin_d"
    CALCIUM = "calcium"
    EGFR = "egfr"
    HBA1C = "hba1c"
    T_SCORE_SPINE = "t_score_spine"
    T_SCORE_HIP = "t_score_hip"
    """The hip, or its neck if the body site says so."""
    T_SCORE_FEMUR = "t_score_femur"
    """The femur, of which only the body site tells the part."""
    T_SCORE_ANY = "t_score_any"
    """LOINC 38265-5: by its definition the forearm, in practice used for any site; only the body site tells."""


_BY_OBSERVABLE: dict[Observable, str] = {
    Observable.WEIGHT: "29463-7 3141-9 3142-7 8350-1 8351-9",
    Observable.HEIGHT: "8302-2 3137-7 3138-5 8308-9 8306-3",
    Observable.BMI: "39156-5",
    Observable.SMOKING: "72166-2",
    Observable.ALCOHOL: "74013-4",
    Observable.FALLS: "52552-7",
    Observable.PREGNANCY: "82810-3",
    # D3; D2 + D3; D3 and D2 + D3 in moles; D2 + D3 by immunoassay
    Observable.VITAMIN_D: "1989-3 62292-8 14635-7 83070-3",
    # mass in serum, in blood; moles in serum
    Observable.CALCIUM: "17861-6 49765-1 2000-8",
    # MDRD; CKD-EPI 2009, 2021, with cystatin C 2021 and 2012, cystatin C; formula not said; MDRD and CKD-EPI without
    # race coefficient
    Observable.EGFR: "33914-3 62238-1 98979-8 98980-6 94677-2 50210-4 69405-9 77147-7 48642-3 88294-4",
    # NGSP; by HPLC; by calculation; by electrophoresis; IFCC
    Observable.HBA1C: "4548-4 17856-6 17855-8 4549-2 59261-8",
    Observable.T_SCORE_SPINE: "38267-1",
    Observable.T_SCORE_HIP: "38264-8 80945-9 80946-7",
    Observable.T_SCORE_FEMUR: "38263-0 80947-5 80948-3",
    Observable.T_SCORE_ANY: "38265-5",
}

OBSERVABLES: dict[str, tuple[CodeSystem, Observable]] = {
    **{code: (CodeSystem.LOINC, what) for what, codes in _BY_OBSERVABLE.items() for code in codes.split()},
    "1082641000000106": (CodeSystem.SNOMED_CT, Observable.ALCOHOL),  # alcohol units consumed per week
    "160573003": (CodeSystem.SNOMED_CT, Observable.ALCOHOL),  # alcohol intake, whose unit tells the rest
    "27113001": (CodeSystem.SNOMED_CT, Observable.WEIGHT),
    "50373000": (CodeSystem.SNOMED_CT, Observable.HEIGHT),
    "60621009": (CodeSystem.SNOMED_CT, Observable.BMI),
    # Findings in the place of the question: the code is the answer.
    **dict.fromkeys(_SMOKING_SNOMED, (CodeSystem.SNOMED_CT, Observable.SMOKING)),
    **dict.fromkeys(PARENT_BROKE_HIP, (CodeSystem.SNOMED_CT, Observable.PARENTAL_HIP_FRACTURE)),
}
"""Code to its system and what it measures; the system must be checked too."""

OFF_SCALE = frozenset({"<", ">"})
"""Interpretations (HL7 v3 ObservationInterpretation) that make the value a bound, as a comparator does."""

UNITS_PER_WEEK_CODE = "1082641000000106"
"""The one alcohol code that fixes its own unit: UK units per week."""

SMOKING_ANSWERS: dict[tuple[CodeSystem, str], SmokingStatus] = {
    **{(CodeSystem.SNOMED_CT, code): status for code, status in _SMOKING_SNOMED.items()},
    (CodeSystem.LOINC, "LA18976-3"): SmokingStatus.CURRENT,  # every day
    (CodeSystem.LOINC, "LA18977-1"): SmokingStatus.CURRENT,  # some days
    (CodeSystem.LOINC, "LA18981-3"): SmokingStatus.CURRENT,  # heavy
    (CodeSystem.LOINC, "LA18982-1"): SmokingStatus.CURRENT,  # light
    (CodeSystem.LOINC, "LA15920-4"): SmokingStatus.FORMER,
    (CodeSystem.LOINC, "LA18978-9"): SmokingStatus.NEVER,
    (CodeSystem.LOINC, "LA18979-7"): SmokingStatus.UNKNOWN,  # smoker, current status unknown
    (CodeSystem.LOINC, "LA18980-5"): SmokingStatus.UNKNOWN,  # unknown if ever smoked
}
"""Coded answers to the smoking question (US Core value set and LOINC answer list)."""

PREGNANT_ANSWERS = frozenset({(CodeSystem.LOINC, "LA15173-0"), (CodeSystem.SNOMED_CT, "77386006")})
"""Coded answers that say: pregnant. Every other answer is not read."""

YES_ANSWERS = frozenset({(CodeSystem.LOINC, "LA33-6"), (CodeSystem.SNOMED_CT, "373066001")})
NO_ANSWERS = frozenset({(CodeSystem.LOINC, "LA32-8"), (CodeSystem.SNOMED_CT, "373067005")})
