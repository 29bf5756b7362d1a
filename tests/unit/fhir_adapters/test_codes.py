import re

import pytest

from fhir_adapters.codes import rxnorm, snomed
from fhir_adapters.codes.diagnoses import diagnosis, is_sequela
from fhir_adapters.codes.drugs import drug
from fhir_adapters.codes.observations import OBSERVABLES, Observable
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass, FractureSiteGroup, SmokingStatus
from tests.unit.fhir_adapters.records import ATC, ICD_9_CM, ICD_10, ICD_10_CM, LOINC, RXNORM, SNOMED

Kind, Site, Drug = ConditionKind, FractureSiteGroup, DrugClass

# Dihedral group D5 and the permutation of the Verhoeff check digit, which every SNOMED CT identifier ends in.
_D5 = [
    [(i + j) % 5 + 5 * (i // 5 ^ j // 5) if i < 5 else (i - j) % 5 + 5 * (1 ^ j // 5) for j in range(10)]
    for i in range(10)
]
_STEP = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]


def verhoeff(digits: str) -> bool:
    check, permutation = 0, list(range(10))
    for digit in reversed(digits):
        check = _D5[check][permutation[int(digit)]]
        permutation = [permutation[step] for step in _STEP]
    return check == 0


def loinc_check(code: str) -> bool:
    """The last digit of a LOINC code is a Luhn (mod 10) check digit."""
    number, check = code.split("-")
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(number))]
    return (10 - sum(sum(map(int, str(value))) for value in doubled) % 10) % 10 == int(check)


def test_every_snomed_concept_has_a_valid_check_digit() -> None:
    assert verhoeff("64859006")
    assert not verhoeff("64859007")
    concepts = {*snomed.DIAGNOSES, *snomed.SMOKING, *snomed.BODY_STRUCTURES}
    concepts |= {code for code, (system, _) in OBSERVABLES.items() if system is CodeSystem.SNOMED_CT}
    assert len(concepts) > 190
    assert [concept for concept in concepts if not verhoeff(concept)] == []


def test_every_loinc_code_has_a_valid_check_digit() -> None:
    codes = [code for code, (system, _) in OBSERVABLES.items() if system is CodeSystem.LOINC]
    assert loinc_check("38265-5")
    assert [code for code in codes if not loinc_check(code)] == []
    assert {what for _, what in OBSERVABLES.values()} == set(Observable)


@pytest.mark.parametrize(
    ("uri", "system"),
    [
        ("http://snomed.info/sct/83821000000107/version/20240410", CodeSystem.SNOMED_CT),
        ("https://loinc.org/", CodeSystem.LOINC),
        ("urn:oid:2.16.840.1.113883.6.90", CodeSystem.ICD_10_CM),
        ("http://fhir.de/CodeSystem/bfarm/icd-10-gm", CodeSystem.ICD_10),
        ("http://example.org/local", None),
        ("http://snomed.info/sctx", None),
    ],
)
def test_systems_by_the_uris_they_are_known_by(uri: str, system: CodeSystem | None) -> None:
    assert system_of(uri) is system


@pytest.mark.parametrize(
    ("system", "code", "kinds"),
    [
        (SNOMED, "64859006", {Kind.OSTEOPOROSIS}),
        (ICD_10_CM, "M81.0", {Kind.OSTEOPOROSIS}),
        (ICD_10_CM, "M85.80", {Kind.OSTEOPENIA}),
        (ICD_10, "M82.1", {Kind.OSTEOPOROSIS}),
        (ICD_9_CM, "733.01", {Kind.OSTEOPOROSIS}),
        (ICD_10_CM, "M05.79", {Kind.RHEUMATOID_ARTHRITIS}),
        (ICD_10_CM, "E83.52", {Kind.HYPERCALCAEMIA}),
        (ICD_10_CM, "N20.0", {Kind.KIDNEY_STONES}),
        (ICD_10_CM, "K90.0", {Kind.MALABSORPTION}),
        (ICD_10_CM, "K50.90", {Kind.MALABSORPTION}),
        (ICD_10_CM, "G30.9", {Kind.DEMENTIA}),
        (ICD_10_CM, "C50.911", {Kind.CANCER}),
        (ICD_10_CM, "Z85.3", {Kind.CANCER}),
        (ICD_9_CM, "174.9", {Kind.CANCER}),
        (ICD_10_CM, "O09.90", {Kind.PREGNANCY}),
        (ICD_10_CM, "E11.51", {Kind.PERIPHERAL_ARTERY_DISEASE}),
        (ICD_9_CM, "V15.88", {Kind.REPEATED_FALLS}),
        (SNOMED, "443165006", {Kind.OSTEOPOROSIS}),
    ],
)
def test_diseases(system: str, code: str, kinds: set[ConditionKind]) -> None:
    meaning = diagnosis(system, code)
    assert meaning is not None
    assert set(meaning.kinds) == kinds


@pytest.mark.parametrize(
    ("system", "code"),
    [
        (SNOMED, "15777000"),  # prediabetes
        (ICD_10_CM, "R73.03"),  # prediabetes
        (ICD_10_CM, "C44.311"),  # basal cell carcinoma
        (ICD_9_CM, "173.3"),
        (ICD_10_CM, "Z85.828"),
        (ICD_10_CM, "S02.5XXA"),  # tooth
        (ICD_10_CM, "S12.8XXA"),  # larynx
        (ICD_10_CM, "M06.1"),  # adult-onset Still's disease
        (ICD_10_CM, "S53.401A"),  # sprain
        (ICD_9_CM, "807.5"),  # larynx
        (ICD_10, "E83.5"),  # hyper- or hypocalcaemia, or hypercalciuria
        (LOINC, "64859006"),
        ("http://example.org/local", "M81.0"),
        ("", ""),
    ],
)
def test_codes_that_mean_nothing_here(system: str, code: str) -> None:
    assert diagnosis(system, code) is None


@pytest.mark.parametrize(
    ("system", "code", "diabetes"),
    [
        (SNOMED, "44054006", DiabetesType.TYPE_2),
        (SNOMED, "46635009", DiabetesType.TYPE_1),
        (SNOMED, "90781000119102", DiabetesType.TYPE_2),
        (ICD_10_CM, "E10.9", DiabetesType.TYPE_1),
        (ICD_10_CM, "E11.65", DiabetesType.TYPE_2),
        (ICD_10, "E14", DiabetesType.UNSPECIFIED),
        (ICD_9_CM, "250.01", DiabetesType.TYPE_1),
        (ICD_9_CM, "250.62", DiabetesType.TYPE_2),
        (ICD_10_CM, "O24.410", None),
    ],
)
def test_diabetes(system: str, code: str, diabetes: DiabetesType | None) -> None:
    meaning = diagnosis(system, code)
    assert meaning is not None
    assert meaning.diabetes is diabetes


@pytest.mark.parametrize(
    ("system", "code", "site", "pathological", "past"),
    [
        (SNOMED, "359817006", Site.HIP, False, False),
        (SNOMED, "263102004", Site.WRIST, False, False),
        (ICD_10_CM, "S72.001A", Site.HIP, False, False),
        (ICD_10_CM, "S72.301D", Site.FEMUR, False, False),
        (ICD_10_CM, "S52.501A", Site.WRIST, False, False),
        (ICD_10_CM, "S52.101A", Site.FOREARM, False, False),
        (ICD_10_CM, "S62.001A", Site.HAND, False, False),
        (ICD_10_CM, "S22.080A", Site.SPINE, False, False),
        (ICD_10_CM, "S22.31XA", Site.RIB, False, False),
        (ICD_10_CM, "S32.10XA", Site.PELVIS, False, False),
        (ICD_10_CM, "S32.010A", Site.SPINE, False, False),
        (ICD_10_CM, "S42.201A", Site.HUMERUS, False, False),
        (ICD_10_CM, "S82.841A", Site.ANKLE, False, False),
        (ICD_10_CM, "S82.831A", Site.LOWER_LEG, False, False),
        (ICD_10_CM, "S92.301A", Site.FOOT, False, False),
        (ICD_10_CM, "M80.08XA", Site.SPINE, True, False),
        (ICD_10_CM, "M80.0B1A", Site.PELVIS, True, False),
        (ICD_10_CM, "M84.559A", Site.HIP, True, False),
        (ICD_10_CM, "M48.54XA", Site.SPINE, True, False),
        (ICD_10_CM, "M84.374A", Site.OTHER, False, False),
        (ICD_10_CM, "Z87.310", Site.OTHER, True, True),
        (ICD_10_CM, "Z87.81", Site.OTHER, False, True),
        (ICD_10, "S82.8", Site.ANKLE, False, False),
        (ICD_10, "M80.08", Site.OTHER, True, False),  # here 8 is "other site", not the spine as in ICD-10-CM
        (ICD_10, "T93.1", Site.FEMUR, False, True),
        (ICD_9_CM, "820.8", Site.HIP, False, False),
        (ICD_9_CM, "813.41", Site.WRIST, False, False),
        (ICD_9_CM, "733.13", Site.SPINE, True, False),
        (ICD_10_CM, "s72.001a", Site.HIP, False, False),
        (ICD_10_CM, "S72001A", Site.HIP, False, False),
    ],
)
def test_fractures(system: str, code: str, site: FractureSiteGroup, pathological: bool, past: bool) -> None:
    meaning = diagnosis(system, code)
    assert meaning is not None
    assert meaning.fracture is not None
    assert (meaning.fracture.site, meaning.fracture.pathological, meaning.fracture.past) == (site, pathological, past)


def test_sequela_is_the_seventh_character_of_icd_10_cm() -> None:
    assert is_sequela(ICD_10_CM, "S72.001S")
    assert not is_sequela(ICD_10_CM, "S72.001D")
    assert not is_sequela(ICD_10, "S72.001S")


def test_every_kind_of_condition_and_site_has_a_code() -> None:
    from fhir_adapters.codes import icd9, icd10

    meanings = [*snomed.DIAGNOSES.values(), *icd10.ICD_10_CM.values(), *icd10.ICD_10.values(), *icd9.ICD_9_CM.values()]
    assert {kind for meaning in meanings for kind in meaning.kinds} == set(ConditionKind)
    assert {meaning.fracture.site for meaning in meanings if meaning.fracture} == set(FractureSiteGroup)
    assert {meaning.smoking for meaning in meanings} >= {SmokingStatus.CURRENT, SmokingStatus.FORMER}


@pytest.mark.parametrize(
    ("system", "code", "classes"),
    [
        (ATC, "H02AB06", (Drug.SYSTEMIC_GLUCOCORTICOID,)),
        (ATC, "D07AC01", ()),  # betamethasone on the skin
        (ATC, "R03BA02", ()),  # budesonide inhaled
        (ATC, "M01AE01", (Drug.NSAID,)),
        (ATC, "M01AH01", (Drug.COX2_INHIBITOR,)),
        (ATC, "M01AX05", ()),  # glucosamine
        (ATC, "M05BA04", (Drug.ORAL_BISPHOSPHONATE,)),
        (ATC, "M05BA08", (Drug.INTRAVENOUS_BISPHOSPHONATE,)),
        (ATC, "M05BB03", (Drug.ORAL_BISPHOSPHONATE, Drug.VITAMIN_D_SUPPLEMENT)),
        (ATC, "M05BX04", (Drug.DENOSUMAB,)),
        (ATC, "H05AA02", (Drug.ANABOLIC_BONE_DRUG,)),
        (ATC, "C09DA01", (Drug.ACE_INHIBITOR_OR_ARB, Drug.THIAZIDE)),
        (ATC, "C09AA05", (Drug.ACE_INHIBITOR_OR_ARB,)),
        (ATC, "C09BX01", (Drug.ACE_INHIBITOR_OR_ARB, Drug.THIAZIDE)),
        (ATC, "C09XA52", (Drug.THIAZIDE,)),
        (ATC, "C09XA02", ()),  # aliskiren
        (ATC, "C03CA01", (Drug.DIURETIC,)),
        (ATC, "C03DA01", (Drug.DIURETIC,)),
        (ATC, "C08CA01", ()),  # amlodipine
        (ATC, "B01AA03", (Drug.ANTICOAGULANT,)),
        (ATC, "B01AC06", (Drug.ANTIPLATELET,)),
        (RXNORM, "35296", (Drug.ACE_INHIBITOR_OR_ARB,)),
        (RXNORM, "4603", (Drug.DIURETIC,)),
        (RXNORM, "243670", (Drug.ANTIPLATELET,)),
        (ATC, "A12AX", (Drug.CALCIUM_SUPPLEMENT, Drug.VITAMIN_D_SUPPLEMENT)),
        (ATC, "L02AE02", (Drug.ANDROGEN_DEPRIVATION,)),
        (ATC, "G03AA07", ()),  # contraceptive
        (RXNORM, "904419", (Drug.ORAL_BISPHOSPHONATE,)),
        (RXNORM, "8640", (Drug.SYSTEMIC_GLUCOCORTICOID,)),
        (RXNORM, "316672", ()),  # simvastatin
        (RXNORM, "106258", ()),  # hydrocortisone cream
    ],
)
def test_drugs(system: str, code: str, classes: tuple[DrugClass, ...]) -> None:
    meaning = drug(system, code)
    assert meaning is not None
    assert meaning.classes == classes


@pytest.mark.parametrize(
    ("system", "code"), [(RXNORM, "99999999"), (ATC, "M"), (SNOMED, "387517004"), ("http://hl7.org/fhir/sid/ndc", "1")]
)
def test_drugs_this_engine_does_not_know(system: str, code: str) -> None:
    assert drug(system, code) is None


def test_every_drug_class_has_a_code() -> None:
    from fhir_adapters.codes import atc

    assert {drug_class for classes in atc.CLASSES.values() for drug_class in classes} == set(DrugClass)


def test_code_tables_contradict_neither_themselves_nor_each_other() -> None:
    assert not set(rxnorm.CLASSES) & rxnorm.NO_CLASS
    assert not set(rxnorm.CLASSES) & rxnorm.ROUTE_DECIDES
    assert all(re.fullmatch(r"\d{3,8}", code) for code in (*rxnorm.CLASSES, *rxnorm.NO_CLASS, *rxnorm.ROUTE_DECIDES))


@pytest.mark.parametrize(
    ("system", "code", "kind"),
    [
        (SNOMED, "84114007", Kind.HEART_FAILURE),
        (ICD_10_CM, "I50.9", Kind.HEART_FAILURE),
        (ICD_10_CM, "I11.0", Kind.HEART_FAILURE),
        (ICD_10_CM, "K25.4", Kind.PEPTIC_ULCER),
        (SNOMED, "13200003", Kind.PEPTIC_ULCER),
        (ICD_10_CM, "K21.00", Kind.OESOPHAGEAL_DISEASE),
        (SNOMED, "45564002", Kind.OESOPHAGEAL_DISEASE),
    ],
)
def test_diseases_that_forbid_a_pain_or_bone_drug(system: str, code: str, kind: Kind) -> None:
    meaning = diagnosis(system, code)
    assert meaning is not None and meaning.kinds == (kind,)


def test_hypertension_without_heart_failure_is_none() -> None:
    meaning = diagnosis(ICD_10_CM, "I11.9")
    assert meaning is None or not meaning.kinds
