"""Every statement that the rules can make has a German text, with the same numbers and without English words."""

import random
import re
from collections import Counter
from datetime import UTC, datetime
from functools import cache
from string import Formatter
from typing import Any

import pytest
import yaml

from cds.localisation.language import Language
from cds.localisation.statements import FOLDERS, StatementTranslator, translator
from cds.presenters.messages import WARNING_TEXTS
from fhir_adapters.patient import BoneDensityScan, ConditionKind, DiabetesType, DrugClass, Sourced
from fusion.context import Mechanism
from fusion.engine import FusionEngine
from fusion.results import Assessment, FollowUp
from fusion.sites import FractureSite
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import condition, drug, findings, patient, sourced
from tests.unit.fusion.observed import Case, every_statement, run
from tests.unit.fusion.random_cases import random_case
from tests.unit.fusion.rule_cases import RULE_CASES

RANDOM_CASES = 1_000
SEED = 11
GUARDS = frozenset(
    {
        "If confirmed, moderate, as measured on the radiograph: beyond a published limit.",
        "It was stated to be undisplaced: look again.",
        "(Unverified source; confirm with a pharmacist.)",
        "{x:factor_shown}: union takes about {n} times as long ({a} to {b}).",
        "Two results of one moment contradict each other, {x:plain_result} {a} and {b}: the first is shown as the"
        " value, safety rules took the more dangerous one, and the test is to be repeated.",
    }
)
"""Texts that the rules hold ready and the present evidence does not call for."""
ENGLISH = re.compile(
    r"\b(the|of|and|or|with|without|fracture|weeks?|years?|not|is|are|from|by|bone|record|healing|union|risk|treat|"
    r"known|stated|seen|above|below|after|before|if|day|days|hours?|consider|check|measure|interval|likely)\b"
)
_ENGLISH_NUMBER = re.compile(r"(?<!\w)[-−]?\d+(?:,\d{3})*(?:\.\d+)?(?:e\+\d+)?")
_GERMAN_NUMBER = re.compile(r"(?<!\w)[-−]?\d+(?:\.\d{3})*(?:,\d+)?")


def german() -> StatementTranslator:
    """The translator that ships."""
    found = translator(Language.DE)
    assert found is not None
    return found


def _more_cases() -> list[Case]:
    """What neither the rule cases nor chance brings about soon."""
    plateau = FractureSite.TIBIAL_PLATEAU
    closed = {"open_wound": False, "displaced": False, "intra_articular": False}
    checked = dict.fromkeys(
        ("vascular_deficit", "neurological_deficit", "compartment_signs", "skin_threatened", "dislocation"), False
    )
    suspected = {"image": findings(FractureCall.SUSPECTED, BodyRegion.WRIST), "person": patient(60)}
    short_of_vitamin_d = {
        "vitamin_d_nmol_l": sourced(40.0, "Observation/d"),
        "bmi_kg_m2": sourced(33.0, "Observation/bmi"),
        "medications": (drug(DrugClass.VITAMIN_D_SUPPLEMENT),),
    }
    diabetes = {"diabetes": sourced(DiabetesType.TYPE_2, "Condition/d"), "hba1c_percent": sourced(9.1, "Observation/h")}
    nerve, artery = (
        condition(kind) for kind in (ConditionKind.DIABETIC_NEUROPATHY, ConditionKind.PERIPHERAL_ARTERY_DISEASE)
    )
    diabetic_feet: list[dict[str, Any]] = [
        {**diabetes, "conditions": entries} for entries in ((), (nerve,), (artery,), (nerve, artery))
    ]
    scans = (BoneDensityScan(code="x", resource="Procedure/d", performed=datetime(2023, 3, 12, tzinfo=UTC)),)
    wrist = {"site": FractureSite.DISTAL_RADIUS, "mechanism": Mechanism.LOW_ENERGY}
    old = Sourced(value=-1.8, resource="Observation/t", effective=datetime(2010, 1, 1, tzinfo=UTC))
    return [
        {"person": patient(70, bone_density_scans=scans), **wrist},
        {"person": patient(70, bone_density_scans=scans, t_score_spine=old), **wrist},
        {"person": patient(40), "site": plateau, "displaced": True, "intra_articular": True},
        {"person": patient(40), "site": plateau, **closed},
        {"person": patient(40), "site": FractureSite.CLAVICLE, **closed},
        {"person": patient(40), "site": FractureSite.CLAVICLE, **closed, **checked},
        {"person": patient(40, medications=()), **suspected},
        {"person": patient(60, t_score_spine=sourced(-1.8, "Observation/t")), "site": FractureSite.DISTAL_RADIUS},
        {"person": patient(60, calcium_mmol_l=sourced(3.1, "Observation/ca")), "site": FractureSite.CLAVICLE},
        {"person": patient(60, **short_of_vitamin_d), "site": FractureSite.CLAVICLE},
        *({"person": patient(60, **feet), "site": FractureSite.ANKLE, "displaced": True} for feet in diabetic_feet),
        *({"person": patient(60), "site": site} for site in FractureSite),
    ]


@cache
def corpus() -> frozenset[tuple[str, str]]:
    """Rule and text of every statement of every case."""
    engine, chance = FusionEngine.load(), random.Random(SEED)
    cases = [one for rule in RULE_CASES.values() for one in (rule.fires, rule.silent) if one is not None]
    cases += _more_cases() + [random_case(chance) for _ in range(RANDOM_CASES)]
    found: set[tuple[str, str]] = set()
    for case in cases:
        outcome = run(engine, case)
        found.update((one.id, one.text) for one in every_statement(outcome))
        if isinstance(outcome, Assessment):
            found.update(("what", one.what) for one in outcome.follow_up if isinstance(one, FollowUp))
    return frozenset(found)


def numbers(text: str, pattern: re.Pattern[str]) -> Counter[float]:
    """The numbers of a text as values."""
    found = pattern.findall(text.replace("−", "-"))
    if pattern is _GERMAN_NUMBER:
        found = [one.replace(".", "").replace(",", ".") for one in found]
    else:
        found = [one.replace(",", "") for one in found]
    return Counter(float(one) for one in found)


def test_every_statement_has_a_german_text() -> None:
    missing = sorted((rule, text) for rule, text in corpus() if german().translate(text) is None)
    assert len(corpus()) > 3_000
    assert not missing, missing[:10]


def test_numbers_stay_what_they_are() -> None:
    for rule, text in corpus():
        other = german().translate(text)
        assert other is not None
        assert numbers(text, _ENGLISH_NUMBER) == numbers(other, _GERMAN_NUMBER), (rule, text, other)


def test_no_english_word_is_left() -> None:
    for _, text in corpus():
        other = german().translate(text) or ""
        assert not ENGLISH.search(other), (text, other)


def test_signs_of_bounds_stay() -> None:
    for _, text in corpus():
        other = german().translate(text) or ""
        assert Counter(re.findall("[<>×°%]", text)) == Counter(re.findall("[<>×°%]", other)), (text, other)


def test_no_template_is_dead() -> None:
    translation = german()
    for _, text in corpus():
        translation.translate(text)
    groups = yaml.safe_load((FOLDERS[0] / "de.yaml").read_text(encoding="utf-8"))["templates"].keys()
    dead = [
        one.english
        for one in translation.phrases.templates
        if one.group in groups and one.english not in translation.phrases.used
    ]
    assert set(dead) <= GUARDS


def test_every_warning_has_a_german_text() -> None:
    assert not [one for one in WARNING_TEXTS.values() if german().translate(one) is None]


def test_literal_numbers_of_the_templates_are_in_their_translations() -> None:
    for one in german().phrases.templates:
        literal = "".join(part for part, _, _, _ in Formatter().parse(one.english))
        for form in one.forms.values():
            other = "".join(part for part, _, _, _ in Formatter().parse(form))
            assert Counter(re.findall(r"\d+", literal)) == Counter(re.findall(r"\d+", other)), one.english


@pytest.mark.parametrize(
    ("english", "expected"),
    [
        ("25-hydroxyvitamin D 10 nmol/L: severe deficiency.", "25-Hydroxyvitamin D 10 nmol/l: schwerer Mangel."),
        ("T-score -2.5 (spine): raises the whole range.", "T-Score −2,5 (Wirbelsäule): erhöht den gesamten Bereich."),
        (
            "A British guideline loads with up to 300000 IU in divided doses over 6 to 10 weeks.",
            "Eine britische Leitlinie sättigt mit bis zu 300.000 IE in geteilten Dosen über 6 bis 10 Wochen auf.",
        ),
    ],
)
def test_examples(english: str, expected: str) -> None:
    assert (german().translate(english) or "").replace("\N{NO-BREAK SPACE}", " ") == expected


def test_what_no_template_knows_stays_untranslated() -> None:
    assert german().translate("Amputate at once.") is None
    assert german().translate("Normal pulses do not exclude it. Amputate at once.") is None


def test_english_needs_no_translator() -> None:
    assert translator(Language.EN) is None
    assert german().reviewed is False
