import json
from dataclasses import replace
from typing import Any

import pytest
from pydicom.sr._concepts_dict import concepts

from cds.case import CaseResult
from cds.presenters.fhir_bundle import render_bundle
from cds.presenters.fhir_services import ABSORPTIOMETRY, PLAIN_FILM, service_of
from cds.presenters.fhir_transaction import BODY_SITES, site_of
from fhir_adapters.proposals import WEEKS_AFTER_INJURY
from fusion.context import ClinicalContext
from fusion.results import AdviceAction, BoneHealthPathway, FragilityVerdict, Urgency
from fusion.sites import FractureSite, site_fits_region
from imaging.labels import BodyRegion
from tests.support.cases import full_case, image_only_case
from tests.support.fhir_cases import ADVICE, FOLLOW_UP, Json, advice, complete_case, resources_of, step

PLAN_TYPES = {"CarePlan", "Goal", "ServiceRequest", "NutritionOrder"}


def bundle_of(result: CaseResult) -> Json:
    bundle: Json = json.loads(render_bundle(result))
    return bundle


def with_parts(**parts: Any) -> CaseResult:
    complete = complete_case()
    return replace(complete, assessment=replace(complete.assessment, **parts))


@pytest.fixture(scope="module")
def bundle() -> Json:
    return bundle_of(complete_case())


def test_whatever_asks_for_something_is_a_draft_and_a_proposal(bundle: Json) -> None:
    for kind in ("CarePlan", "ServiceRequest", "NutritionOrder"):
        resources = resources_of(bundle, kind)
        assert resources
        for one in resources:
            assert (one["status"], one["intent"]) == ("draft", "proposal")
    assert {one["lifecycleStatus"] for one in resources_of(bundle, "Goal")} == {"proposed"}
    assert {one["status"] for one in resources_of(bundle, "CommunicationRequest")} == {"draft"}


def test_the_plan_holds_every_step_and_every_line_to_consider(bundle: Json) -> None:
    (plan,) = resources_of(bundle, "CarePlan")
    considered = [one for one in ADVICE if one.action is AdviceAction.CONSIDER]
    assert len(plan["activity"]) == len(FOLLOW_UP) + len(considered)
    services = [one for one in FOLLOW_UP if service_of(one) is not None]
    referred = [one["reference"]["type"] for one in plan["activity"] if "reference" in one]
    assert sorted(referred) == sorted(["ServiceRequest"] * len(services) + ["NutritionOrder"] * 3)
    for one in plan["activity"]:
        assert ("detail" in one) is not ("reference" in one)
    described = {one["detail"]["description"] for one in plan["activity"] if "detail" in one}
    assert {"End of cast.", "Bone-protecting treatment.", "consider smoking."} <= described
    assert plan["note"] == [{"text": "inform calcium_and_vitamin_d."}]
    for one in (*plan["goal"], *plan["supportingInfo"]):
        assert one["display"]


def test_windows_count_from_the_injury_in_words_and_numbers(bundle: Json) -> None:
    (plan,) = resources_of(bundle, "CarePlan")
    (cast,) = [
        one["detail"] for one in plan["activity"] if one.get("detail", {}).get("code", {}).get("text") == "End of cast"
    ]
    assert cast["scheduledString"] == "weeks 3 to 6 after the injury"
    (extension,) = cast["_scheduledString"]["extension"]
    assert extension["url"] == WEEKS_AFTER_INJURY
    ends = {end: (value["value"], value["code"]) for end, value in extension["valueRange"].items()}
    assert ends == {"low": (3.0, "wk"), "high": (6.0, "wk")}
    (late,) = [
        one["detail"]
        for one in plan["activity"]
        if one.get("detail", {}).get("code", {}).get("text") == "Non-union review"
    ]
    assert late["scheduledString"] == "from week 39 after the injury"
    assert set(late["_scheduledString"]["extension"][0]["valueRange"]) == {"low"}
    (tests,) = [one for one in resources_of(bundle, "ServiceRequest") if one["code"]["text"].startswith("Tests")]
    assert tests["occurrenceTiming"] == {"code": {"text": "time not stated"}}


def _requests(bundle: Json) -> dict[str, Json]:
    return {one["code"]["text"]: one for one in resources_of(bundle, "ServiceRequest")}


def test_requests_are_coded_placed_and_give_their_reason(bundle: Json) -> None:
    requests = _requests(bundle)
    film = requests["Radiograph for union"]
    assert film["code"]["coding"] == [
        {"system": "http://snomed.info/sct", "code": "168537006", "display": "Plain radiography"}
    ]
    assert film["bodySite"][0]["text"] == "left distal radius"
    assert film["bodySite"][0]["coding"][0]["code"] == BODY_SITES[BodyRegion.WRIST][0]
    (reason,) = film["reasonReference"]
    assert reason["type"] == "Observation"
    dxa = requests["Bone density (DXA)"]
    assert [one["code"] for one in dxa["code"]["coding"]] == ["38268-9", "241686001"]
    assert dxa["reasonReference"] == [{"reference": "Observation/dxa-1"}]
    assert "bodySite" not in dxa
    hip = requests["MRI of the hip, or CT where MRI is not to be had in time"]
    assert hip["priority"] == "urgent"
    assert {one["code"] for one in hip["code"]["coding"]} == {"36013-1", "113091000"}
    assert "coding" not in requests["Referral to the fracture liaison service"]["code"]
    for one in requests.values():
        assert one["note"]
        assert one["requester"]["type"] == "Device"


@pytest.mark.parametrize(
    ("urgency", "priority"),
    [
        (Urgency.IMMEDIATE, "stat"),
        (Urgency.WITHIN_HOURS, "urgent"),
        (Urgency.CLINIC, "routine"),
        (Urgency.ROUTINE, "routine"),
    ],
)
def test_priority_follows_urgency(urgency: Urgency, priority: str) -> None:
    bundle = bundle_of(with_parts(follow_up=(step("repeat_imaging", "Repeat radiograph", 1.0, 2.0, urgency),)))
    (request,) = resources_of(bundle, "ServiceRequest")
    assert request["priority"] == priority


def test_drugs_behind_a_step_are_supporting_information() -> None:
    steps = (step("fls.dxa", "Bone density (DXA)", 0.0, 12.0, Urgency.ROUTINE, "MedicationRequest/a", "Condition/b"),)
    (request,) = resources_of(bundle_of(with_parts(follow_up=steps)), "ServiceRequest")
    assert request["reasonReference"] == [{"reference": "Condition/b"}]
    assert request["supportingInfo"] == [{"reference": "MedicationRequest/a"}]


def test_goals_rest_on_their_judgements(bundle: Json) -> None:
    healing = complete_case().assessment.healing
    assert healing is not None
    union, prevention = resources_of(bundle, "Goal")
    (target,) = union["target"]
    assert target["dueDuration"] | {"value": 0} == {
        "value": 0,
        "unit": "weeks",
        "system": "http://unitsofmeasure.org",
        "code": "wk",
    }
    assert target["dueDuration"]["value"] == pytest.approx(healing.high_weeks, abs=0.25)
    assert union["addresses"][0]["type"] == "Observation"
    assert [one["type"] for one in prevention["addresses"]] == ["Observation", "RiskAssessment"]
    assert "Fracture liaison" in prevention["description"]["text"]


@pytest.mark.parametrize("pathway", [BoneHealthPathway.NONE, BoneHealthPathway.LESION])
def test_without_a_pathway_there_is_no_goal_of_prevention(pathway: BoneHealthPathway) -> None:
    fragility = complete_case().assessment.fragility
    assert fragility is not None
    other = replace(fragility, pathway=pathway, verdict=FragilityVerdict.LESION, lowest=None, highest=None)
    goals = resources_of(bundle_of(with_parts(fragility=other, healing=None)), "Goal")
    assert goals == []


def test_nothing_proposed_is_no_plan() -> None:
    kinds = {
        one["resource"]["resourceType"] for one in bundle_of(with_parts(follow_up=(), supplementation=()))["entry"]
    }
    assert not kinds & PLAN_TYPES


def test_information_alone_is_no_plan() -> None:
    lines = (advice(AdviceAction.INFORM, "calcium"), advice(AdviceAction.AVOID, "nsaid"))
    kinds = {
        one["resource"]["resourceType"] for one in bundle_of(with_parts(follow_up=(), supplementation=lines))["entry"]
    }
    assert not kinds & PLAN_TYPES


def test_without_a_patient_there_is_no_plan() -> None:
    kinds = {one["resource"]["resourceType"] for one in bundle_of(replace(complete_case(), patient=None))["entry"]}
    assert not kinds & (PLAN_TYPES | {"DetectedIssue", "RiskAssessment"})


def test_a_plan_of_a_person_without_an_injury_is_about_bone_health() -> None:
    (plan,) = resources_of(bundle_of(with_parts(fragility=None, healing=None)), "CarePlan")
    assert plan["title"] == "Bone health, proposed by decision support"


@pytest.mark.parametrize("site", FractureSite)
def test_every_site_has_a_place_that_holds_it(site: FractureSite) -> None:
    place = site_of(replace(full_case(), context=ClinicalContext(site=site), findings=None))
    assert place is not None
    (region,) = [one for one, (code, _) in BODY_SITES.items() if code == place.codes[0].code]
    assert site_fits_region(site, region)


def test_a_place_nobody_knows_is_left_out() -> None:
    assert site_of(image_only_case()) is None


def test_codes_of_imaging_are_terms_of_dicom() -> None:
    snomed: Any = concepts["SCT"]
    terms = {code: text for named in snomed.values() for code, (text, _) in named.items()}
    for one in (PLAIN_FILM, ABSORPTIOMETRY):
        assert one.display in terms[one.code]


def test_every_radiograph_of_the_healing_calendar_is_asked_for() -> None:
    film = service_of(step("check.any_site", "Radiograph for displacement", 1.0, 2.0))
    assert film is not None and film.codes == (PLAIN_FILM,)
    either = service_of(step("check.scaphoid_waist", "Radiograph or CT for union", 6.0, 8.0))
    assert either is not None and either.codes == ()
    assert service_of(step("rehab.child_torus", "Torus fracture", None, 3.0)) is None
