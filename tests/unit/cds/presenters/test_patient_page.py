"""The patient's page: what it says by the case, never more than the report, and that it is a sound page."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from cds.case import CaseResult
from cds.localisation.catalogue import load_catalogue
from cds.localisation.language import Language
from cds.presenters.patient_page.page import render_patient_page
from fhir_adapters.patient import Sourced
from fusion.context import ClinicalContext, Mechanism
from fusion.evidence_base import EvidenceBase
from fusion.results import (
    Advice,
    AdviceAction,
    BoneHealthPathway,
    Certainty,
    FollowUp,
    FragilityAssessment,
    FragilityVerdict,
    RedFlag,
    Statement,
    Urgency,
)
from fusion.sites import FractureSite
from imaging.results import FractureCall
from tests.support.cases import all_cases, full_case, image_only_case, negative_case, patient_only_case, unreadable_case

ENGLISH = load_catalogue(Language.EN).messages


def _text(result: CaseResult, language: Language = Language.EN) -> str:
    """The visible text of the page."""
    page = render_patient_page(result, language)
    return " ".join(unescape(re.sub(r"<style>.*?</style>|<title>.*?</title>|<[^>]+>", " ", page, flags=re.S)).split())


def _statement(rule: str, certainty: Certainty = Certainty.VERIFIED) -> Statement:
    return Statement(id=rule, text=f"Clinician's words of {rule}.", certainty=certainty)


def _advice(rule: str, agent: str, action: AdviceAction, dose: tuple[float, float, str] | None = None) -> Advice:
    low, high, unit = dose or (None, None, None)
    return Advice(action=action, agent=agent, statement=_statement(rule), dose_low=low, dose_high=high, dose_unit=unit)


def _advised(*advice: Advice, case: CaseResult | None = None) -> CaseResult:
    case = case or full_case()
    return replace(case, assessment=replace(case.assessment, supplementation=advice))


def _follow(rule: str, earliest: float | None, latest: float | None) -> FollowUp:
    return FollowUp(
        what="x", earliest_week=earliest, latest_week=latest, urgency=Urgency.CLINIC, statement=_statement(rule)
    )


def _planned(*steps: FollowUp, case: CaseResult | None = None) -> CaseResult:
    case = case or full_case()
    return replace(case, assessment=replace(case.assessment, follow_up=steps))


def _child(years: int = 9) -> CaseResult:
    full = full_case()
    assert full.patient is not None
    return replace(full, patient=replace(full.patient, age_years=years))


def _flagged(rule: str) -> CaseResult:
    full = full_case()
    flag = RedFlag(urgency=Urgency.IMMEDIATE, statement=_statement(rule))
    severity = replace(full.assessment.severity, red_flags=(flag,))
    return replace(full, assessment=replace(full.assessment, severity=severity))


def _stated(**context: object) -> CaseResult:
    return replace(full_case(), context=replace(ClinicalContext(site=FractureSite.DISTAL_RADIUS), **context))


# --- the page


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("name", all_cases())
def test_every_case_gives_a_sound_page(name: str, language: Language) -> None:
    page = render_patient_page(all_cases()[name], language)
    assert page.startswith("<!DOCTYPE html>")
    assert f'<html lang="{language.tag}">' in page
    assert "None" not in page
    assert not re.search(r"<(script|link|iframe|img|form)\b", page)
    assert "url(" not in page
    assert re.search(r"\{[a-z_]+\}", _text(all_cases()[name], language)) is None
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'aria-labelledby="([^"]+)"', page)) <= set(ids)


@pytest.mark.parametrize("language", Language)
def test_a_clinician_signs_it_before_anyone_reads_it(language: Language) -> None:
    page = render_patient_page(full_case(), language)
    assert page.index('class="fill"') < page.index("<main>")
    assert [name in page for name in ("fill-name", "fill-signature", "fill-date")] == [True] * 3
    assert 'id="unreviewed"' in page


@pytest.mark.parametrize("language", Language)
def test_no_patient_data_and_no_clinician_words_stand_on_it(language: Language) -> None:
    text = _text(full_case(), language)
    for hidden in ("example-72f", "1953", "Observation/", "T-score", "22.7", "senior review"):
        assert hidden not in text


def test_the_same_case_gives_the_same_page() -> None:
    assert render_patient_page(full_case(), Language.DE) == render_patient_page(full_case(), Language.DE)


def test_hostile_text_is_escaped() -> None:
    case = replace(full_case(), engine_version="<script>alert(1)</script>", case_id="<b>&'\"")
    page = render_patient_page(case, Language.EN)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>" not in page


def test_sentences_are_short_and_plain() -> None:
    texts = [text for key, one in ENGLISH.items() if key.startswith("patient.") for text in one.forms.values()]
    sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.:])\s", text)]
    lengths = [len(sentence.split()) for sentence in sentences]
    assert max(lengths) <= 27
    assert sum(lengths) / len(lengths) <= 11
    jargon = ("fracture", "radiograph", "union", "probability", "percentile", "supplementation", "contraindicated")
    assert not [text for text in texts for word in jargon if word in text.lower()]


# --- what was found


def test_a_stated_fracture_is_the_clinicians_word() -> None:
    text = _text(full_case())
    assert "wrote down that you have a broken bone: lower arm, close to the wrist." in text
    assert "The computer also sees a break" in text
    full = full_case()
    assert full.findings is not None
    unseen = replace(full, findings=replace(full.findings, call=FractureCall.NOT_SEEN, detections=()))
    assert "The computer does not see the break on this X-ray. That can happen." in _text(unseen)


def test_a_stated_fracture_without_its_site() -> None:
    case = replace(full_case(), context=ClinicalContext(displaced=True))
    assert "wrote down that you have a broken bone." in _text(case)


@pytest.mark.parametrize("call", [FractureCall.DEFINITE, FractureCall.SUSPECTED])
def test_what_only_the_network_sees_stays_conditional(call: FractureCall) -> None:
    full = full_case()
    assert full.findings is not None
    case = replace(full, context=ClinicalContext(), findings=replace(full.findings, call=call))
    text = _text(case)
    assert "you have a broken bone" not in text
    assert "A doctor has to look at the X-ray and say if this is right." in text
    assert "If the doctor confirms the break" in text
    assert "If the break is confirmed, our estimate is" in text
    assert "All this is only needed if the doctor confirms the break." in text
    assert "wrist, left" in text
    assert ("may be a break" in text) is (call is FractureCall.SUSPECTED)


def test_no_fracture_seen_is_no_all_clear() -> None:
    text = _text(negative_case())
    assert "That does not mean that there is none." in text
    assert "the pain does not get better in a week" in text
    assert "How long healing takes" not in text
    suspicious = replace(negative_case(), context=ClinicalContext(clinical_suspicion_high=True))
    assert "more pictures may be needed" in _text(suspicious)
    assert "more pictures may be needed" not in text


def test_a_radiograph_that_was_not_judged_and_none_at_all() -> None:
    assert "it cannot say if a bone is broken" in _text(unreadable_case())
    assert "No X-ray was checked." in _text(patient_only_case())
    nothing = _advised(case=_planned(case=replace(patient_only_case(), patient=None, risk=None)))
    text = _text(nothing)
    assert "Ask your team what you can do" in text
    assert "No appointments were planned here." in text
    assert "a bone may be broken, because it hurts a lot" in text


def test_a_drawn_radiograph_says_so() -> None:
    full = full_case()
    assert full.findings is not None
    drawn = replace(full, findings=replace(full.findings, synthetic=True))
    assert "It shows no real person." in _text(drawn)
    assert "It shows no real person." not in _text(full)


# --- what it means


def test_grade_and_urgency_in_plain_words() -> None:
    text = _text(full_case())
    assert "this break is in the serious group" in text
    assert "Please stay here until a doctor has talked with you." in text


@pytest.mark.parametrize("rule", ["severity.red_flag.abuse_pattern", "severity.red_flag.non_ambulant_infant"])
def test_a_question_of_abuse_leaves_no_trace_on_paper(rule: str) -> None:
    text = _text(_flagged(rule))
    assert "group" not in text
    assert "Please stay here" in text
    assert "Clinician's words" not in text


def test_a_suspected_lesion_is_for_a_talk() -> None:
    text = _text(_stated(mechanism=Mechanism.PATHOLOGICAL))
    assert "wants to find out why the bone broke" in text
    assert "group" not in text
    assert "cancer" not in text.lower()


@pytest.mark.parametrize(
    ("pathway", "said"),
    [
        (BoneHealthPathway.FRACTURE_LIAISON, "A bone that breaks in a simple fall can be"),
        (BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY, "If it was only a simple fall, the break can be"),
        (BoneHealthPathway.NONE, ""),
    ],
)
def test_weak_bone_follows_the_pathway(pathway: BoneHealthPathway, said: str) -> None:
    full = full_case()
    found = FragilityAssessment(
        verdict=FragilityVerdict.CANNOT_BE_JUDGED, pathway=pathway, statement=_statement("fragility")
    )
    assessment = replace(full.assessment, fragility=found, follow_up=(_follow("follow_up.fls.dxa", 0.0, 12.0),))
    text = _text(replace(full, assessment=assessment))
    assert said in text
    assert ("thin bones" in text) is bool(said)
    conditional = pathway is BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY
    assert ("A scan that measures how strong the bones are (if it was a simple fall)." in text) is conditional


# --- healing


def test_the_interval_in_plain_words() -> None:
    assert "about 7 to 12 weeks" in _text(full_case())
    assert "etwa 7 bis 12 Wochen" in _text(full_case(), Language.DE)
    assert "For about eight of them it takes this long." in _text(full_case())


def test_rough_figures_say_so() -> None:
    full = full_case()
    assert full.assessment.healing is not None
    assert "These numbers are rough." in _text(full)
    sure = replace(
        full.assessment.healing, baseline=replace(full.assessment.healing.baseline, certainty=Certainty.VERIFIED)
    )
    assert "These numbers are rough." not in _text(replace(full, assessment=replace(full.assessment, healing=sure)))


def test_healing_that_cannot_be_estimated() -> None:
    assert "How long healing takes cannot be said yet." in _text(image_only_case())


# --- amounts and safety

_GAP = _advice("supplementation.calcium.gap", "calcium", AdviceAction.CONSIDER, (700.0, 700.0, "mg/d"))
_D = _advice("supplementation.vitamin_d.bone_health", "vitamin_d", AdviceAction.CONSIDER, (800.0, 1000.0, "[iU]/d"))


def test_amounts_are_those_of_the_engine() -> None:
    english, german = _text(_advised(_GAP, _D)), _text(_advised(_GAP, _D), Language.DE)
    assert "About 700 mg a day is missing." in english
    assert "800 to 1,000 units (IU) a day" in english
    assert "800 bis 1.000 Internationale Einheiten (I. E.) am Tag" in german
    assert "It has not been shown to make a break heal faster." in english


@pytest.mark.parametrize("action", [AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY, AdviceAction.CORRECT_FIRST])
def test_a_block_leaves_no_amount(action: AdviceAction) -> None:
    text = _text(
        _advised(
            _GAP, _D, _advice("safety.x.calcium", "calcium", action), _advice("safety.x.vitamin_d", "vitamin_d", action)
        )
    )
    assert "700 mg" not in text
    assert "1,000 units" not in text
    assert "Bones need calcium" not in text
    assert "Calcium tablets or powder." in text
    assert "oily fish" not in text


def test_a_block_of_both_at_once() -> None:
    text = _text(_advised(_GAP, _D, _advice("safety.x", "calcium_and_vitamin_d", AdviceAction.AVOID)))
    assert "700 mg" not in text
    assert "1,000 units" not in text
    assert "says no for now" in text


def test_stones_leave_calcium_from_food() -> None:
    text = _text(_advised(_GAP, _advice("safety.stones", "calcium", AdviceAction.SPECIALIST_ONLY)))
    assert "Bones need calcium" in text
    assert "700 mg" not in text
    assert "For you, a specialist has to decide" in text


def test_unverified_figures_give_no_amount() -> None:
    weak = replace(_D, statement=_statement(_D.statement.id, Certainty.UNVERIFIED))
    assert "units (IU)" not in _text(_advised(weak))


@pytest.mark.parametrize(
    ("rule", "agent", "action", "said"),
    [
        ("supplementation.calcium.met", "calcium", AdviceAction.INFORM, "You need no calcium tablets."),
        ("supplementation.calcium.ask_diet", "calcium", AdviceAction.INFORM, "Tell your team what you eat"),
        ("supplementation.calcium.already_taken", "calcium", AdviceAction.CAUTION, "You already have calcium tablets."),
        ("supplementation.vitamin_d.already_taken", "vitamin_d", AdviceAction.CAUTION, "You already have vitamin D."),
        ("supplementation.vitamin_d.compare", "vitamin_d", AdviceAction.INFORM, "You already have vitamin D."),
        ("supplementation.vitamin_d.sufficient", "vitamin_d", AdviceAction.INFORM, "Your vitamin D is good."),
        ("supplementation.vitamin_d.high", "vitamin_d", AdviceAction.CAUTION, "in the blood is already high."),
        ("safety.kidney_unknown", "calcium", AdviceAction.CAUTION, "For you, a specialist has to decide"),
        ("safety.interaction.levothyroxine", "calcium", AdviceAction.SEPARATE, "with the thyroid tablet"),
        ("safety.interaction.thiazide", "calcium", AdviceAction.CAUTION, "how they go with other medicine"),
        ("safety.nsaid.older", "nsaid", AdviceAction.AVOID, "ibuprofen, diclofenac or naproxen"),
        ("safety.cox2.healing", "cox2_inhibitor", AdviceAction.CAUTION, "ibuprofen, diclofenac or naproxen"),
        ("safety.hypocalcaemia", "bisphosphonate", AdviceAction.CORRECT_FIRST, "Medicine for thin bones"),
        ("lifestyle.vitamin_c.stones", "vitamin_c", AdviceAction.AVOID, "Tablets with vitamin C"),
        ("lifestyle.protein", "protein", AdviceAction.CONSIDER, "Eat enough protein."),
        ("lifestyle.protein.kidney", "protein", AdviceAction.SPECIALIST_ONLY, "Protein drinks or powder."),
        ("lifestyle.smoking", "smoking", AdviceAction.CONSIDER, "You smoke."),
        ("lifestyle.alcohol", "alcohol", AdviceAction.CONSIDER, "Drink less alcohol."),
        ("safety.new_rule", "some_new_drug", AdviceAction.AVOID, "The doctor's report says more about medicine."),
    ],
)
def test_each_rule_has_its_words(rule: str, agent: str, action: AdviceAction, said: str) -> None:
    said = said.replace("Tablets with vitamin C", "Vitamin C tablets")
    assert said in _text(_advised(_advice(rule, agent, action)))
    assert said not in _text(_advised())


def test_hours_between_medicines_are_left_to_the_team() -> None:
    text = _text(_advised(_advice("safety.interaction.quinolone", "calcium", AdviceAction.SEPARATE)))
    assert "with the antibiotic" in text
    assert re.search(r"\d+ hours", text) is None


def test_smoking_that_nobody_recorded_is_asked_about() -> None:
    full = full_case()
    assert full.patient is not None
    unknown = _advised(case=replace(full, patient=replace(full.patient, smoking=None)))
    assert "If you smoke" in _text(unknown)
    assert "If you smoke" not in _text(_advised())


def test_falls_are_a_subject_of_older_people_and_of_those_who_fell() -> None:
    full = full_case()
    assert full.patient is not None
    young = replace(full.patient, age_years=40)
    fell = replace(young, falls_last_year=Sourced(value=2, resource="Observation/falls"))
    assert "Make your home safe" in _text(full)
    assert "Make your home safe" not in _text(replace(full, patient=young))
    assert "Make your home safe" in _text(replace(full, patient=fell))


# --- children


def test_parents_read_about_their_child() -> None:
    case = _advised(
        _advice("safety.age_or_pregnancy", "calcium_and_vitamin_d", AdviceAction.SPECIALIST_ONLY), case=_child()
    )
    text = _text(case)
    assert text.startswith("About your child's bone")
    assert "your child has a broken bone" in text
    assert "For your child, a specialist has to decide" in text
    assert "Take your child to the emergency department" in text
    assert "Do not drive" not in text
    assert "Über den Knochen Ihres Kindes" in _text(case, Language.DE)


# --- appointments


def test_the_calendar_gathers_what_is_due_together() -> None:
    case = _planned(
        _follow("follow_up.fls.dxa", 0.0, 12.0),
        _follow("follow_up.fls.risk_assessed", 0.0, 12.0),
        _follow("follow_up.rehab.distal_radius_cast", 3.0, 6.0),
        _follow("follow_up.nonunion", 39.1, None),
        _follow("follow_up.unheard_of", None, None),
        _follow("follow_up.hip.surgery", 0.0, 0.0),
        _follow("follow_up.rust", 6.0, 6.0),
    )
    page = render_patient_page(case, Language.EN)
    rows = re.findall(r'<th scope="row">([^<]+)</th>', page)
    assert rows == ["Now", "Weeks 3 to 6", "Week 6", "By week 12", "From week 39", "Your team will say when"]
    assert "A check with your team. Ask what it is for." in page
    assert page.count("By week 12") == 1


def test_every_follow_up_rule_of_the_engine_has_its_words() -> None:
    sources = Path(__file__).resolve().parents[4] / "fusion"
    code = "".join(path.read_text(encoding="utf-8") for path in sources.glob("*.py"))
    rules = {f"follow_up.{name}" for name in re.findall(r'"((?:check|rehab)\.[a-z0-9_]+)"', code)}
    rules |= set(re.findall(r'"(follow_up\.[a-z0-9_.]*[a-z0-9])"', code))
    rules |= {f"follow_up.fls.{name}" for name in ("risk_assessed", "dxa", "falls_assessment", "strength_balance")}
    rules |= {f"follow_up.fls.{name}" for name in ("drug_started", "monitoring", "on_drug_check")}
    assert len(rules) > 30
    assert {rule for rule in rules if f"patient.calendar.{rule}" not in ENGLISH} == set()


# --- when to come back


def test_warning_signs_follow_the_limb_and_the_wound() -> None:
    arm, leg = _text(_stated()), _text(_stated(site=FractureSite.ANKLE))
    assert "trouble breathing" not in arm
    assert "trouble breathing" in leg
    assert "the calf or thigh hurts" in leg
    assert "pus comes out" not in arm
    assert "pus comes out" in _text(_stated(open_wound=True))
    assert "pus comes out" in _text(_stated(operated=True))
    signs = ("numb, or tingle", "blue, white or cold", "cannot be moved", "feels too tight", "soft, loose or cracked")
    for sign in signs:
        assert sign in arm


def test_no_cast_no_words_on_casts() -> None:
    hip = _text(_stated(site=FractureSite.FEMORAL_NECK))
    assert "Keep a cast dry" not in hip
    assert "cast gets wet" not in hip
    assert "pus comes out" in hip
    assert "Keep a cast dry" in _text(_stated())


def test_a_limb_that_nobody_named_is_treated_as_a_leg() -> None:
    assert "trouble breathing" in _text(image_only_case())


# --- sources


def test_the_static_advice_rests_on_entries_that_were_read() -> None:
    base = EvidenceBase.load()
    names = ["care.return.limb", "care.return.cast", "care.return.clot", "care.return.wound", "care.home.cast"]
    names += ["care.home.falls", "care.food.bones"]
    assert base.certainty(names) is Certainty.VERIFIED
    text = _text(_stated(site=FractureSite.ANKLE, open_wound=True))
    for name in ("Milton Keynes", "South Tees", "Surgical wounds"):
        assert text.count(name) == 1


def test_unverified_sources_are_left_to_the_report() -> None:
    assert "Hoppenfeld" not in _text(full_case())
