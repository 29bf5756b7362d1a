"""ICD-9-CM diagnoses (in use in the United States until 2015), by prefix without the dot; the longest prefix wins.

Source: CDC/NCHS ICD-9-CM, sixth edition, 2015 tabular list.
"""

from fhir_adapters.codes.meanings import NOTHING, DiagnosisMeaning, diabetes, fracture, kind, smoking, takes
from fhir_adapters.patient import ConditionKind as Kind
from fhir_adapters.patient import DiabetesType, DrugClass, SmokingStatus
from fhir_adapters.patient import FractureSiteGroup as Site


def _all(prefixes: str, meaning: DiagnosisMeaning) -> dict[str, DiagnosisMeaning]:
    """The same meaning for several space-separated prefixes."""
    return dict.fromkeys(prefixes.split(), meaning)


_DIABETES: dict[str, DiagnosisMeaning] = {
    # The fifth digit tells the type: 1 and 3 are type 1; 0 and 2 are "type 2 or unspecified".
    **{f"250{part}{digit}": diabetes(DiabetesType.TYPE_1) for part in range(10) for digit in (1, 3)},
    **{f"250{part}{digit}": diabetes(DiabetesType.TYPE_2) for part in range(10) for digit in (0, 2)},
    # The fourth digit 6 stands for neurological manifestations.
    **{f"2506{digit}": diabetes(DiabetesType.TYPE_1, Kind.DIABETIC_NEUROPATHY) for digit in (1, 3)},
    **{f"2506{digit}": diabetes(DiabetesType.TYPE_2, Kind.DIABETIC_NEUROPATHY) for digit in (0, 2)},
    "250": diabetes(DiabetesType.UNSPECIFIED),
}

ICD_9_CM: dict[str, DiagnosisMeaning] = {
    **_DIABETES,
    **_all("800 801 802 803 804", fracture(Site.SKULL)),
    **_all("805 806", fracture(Site.SPINE)),
    **_all("8056 8057 8066 8067 808", fracture(Site.PELVIS)),
    **_all("8070 8071 8074", fracture(Site.RIB)),
    **_all("8072 8073 809 811 818 819 827 828 829", fracture(Site.OTHER)),
    **_all("810", fracture(Site.CLAVICLE)),
    **_all("812", fracture(Site.HUMERUS)),
    **_all("813", fracture(Site.FOREARM)),
    **_all("8134 8135", fracture(Site.WRIST)),
    **_all("814 815 816 817", fracture(Site.HAND)),
    **_all("820", fracture(Site.HIP)),
    **_all("821", fracture(Site.FEMUR)),
    **_all("822 823", fracture(Site.LOWER_LEG)),
    **_all("824", fracture(Site.ANKLE)),
    **_all("825 826", fracture(Site.FOOT)),
    **_all("73310 73319", fracture(Site.OTHER, pathological=True)),
    **_all("73311", fracture(Site.HUMERUS, pathological=True)),
    **_all("73312", fracture(Site.WRIST, pathological=True)),
    **_all("73313", fracture(Site.SPINE, pathological=True)),
    **_all("73314", fracture(Site.HIP, pathological=True)),
    **_all("73315", fracture(Site.FEMUR, pathological=True)),
    **_all("73316", fracture(Site.LOWER_LEG, pathological=True)),
    **_all("V1351", fracture(Site.OTHER, pathological=True, past=True)),
    **_all("V1551", fracture(Site.OTHER, past=True)),
    **_all("7330", kind(Kind.OSTEOPOROSIS)),
    **_all("7140 7141 7142", kind(Kind.RHEUMATOID_ARTHRITIS)),
    **_all("27541", kind(Kind.HYPOCALCAEMIA)),
    **_all("27542", kind(Kind.HYPERCALCAEMIA)),
    **_all("592", kind(Kind.KIDNEY_STONES)),
    **_all("135", kind(Kind.SARCOIDOSIS)),
    **_all("25201", kind(Kind.PRIMARY_HYPERPARATHYROIDISM)),
    **_all("242", kind(Kind.HYPERTHYROIDISM)),
    **_all("585", kind(Kind.CHRONIC_KIDNEY_DISEASE)),
    **_all("5712 5714 5715 5716", kind(Kind.CHRONIC_LIVER_DISEASE)),
    **_all("555 556 579", kind(Kind.MALABSORPTION)),
    **_all("303 3050", kind(Kind.ALCOHOL_USE_DISORDER)),
    **_all("290 3310 3311 33182", kind(Kind.DEMENTIA)),
    **_all("3320", kind(Kind.PARKINSON)),
    **_all("345", kind(Kind.EPILEPSY)),
    **_all("430 431 434 436 438", kind(Kind.STROKE)),
    **_all("410 411 412 413 414", kind(Kind.ISCHAEMIC_HEART_DISEASE)),
    **_all("491 492 493 496", kind(Kind.ASTHMA_OR_COPD)),
    **_all("14 15 16 17 18 19 200 201 202 203 204 205 206 207 208", kind(Kind.CANCER)),
    **_all("173", NOTHING),  # non-melanoma skin cancer
    **_all("V22 V23", kind(Kind.PREGNANCY)),
    **_all("268", kind(Kind.VITAMIN_D_DEFICIENCY)),
    **_all("2563 2572 7586 7587", kind(Kind.HYPOGONADISM)),
    **_all("260 261 262 2630", kind(Kind.MALNUTRITION)),
    **_all("V5865", takes(DrugClass.SYSTEMIC_GLUCOCORTICOID)),
    **_all("V5861", takes(DrugClass.ANTICOAGULANT)),
    **_all("V5864", takes(DrugClass.NSAID)),
    **_all("3071", kind(Kind.ANOREXIA_NERVOSA)),
    **_all("75651", kind(Kind.OSTEOGENESIS_IMPERFECTA)),
    **_all("V1588", kind(Kind.REPEATED_FALLS)),
    **_all("4402 4439", kind(Kind.PERIPHERAL_ARTERY_DISEASE)),
    **_all("3051", smoking(SmokingStatus.CURRENT)),
    **_all("V1582", smoking(SmokingStatus.FORMER)),
}
"""ICD-9-CM, prefixes without dot."""
