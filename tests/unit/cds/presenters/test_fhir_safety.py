import json
from dataclasses import replace
from typing import Any

import pytest

from cds.presenters.fhir_bundle import render_bundle
from cds.presenters.fhir_nutrition import AGENTS, ordered
from fusion.results import Advice, AdviceAction, Certainty, RedFlag, SourceReference, Urgency
from tests.support.cases import image_only_case
from tests.support.fhir_cases import Json, advice, complete_case, nodes_of, resources_of, say


def bundle_with(**parts: Any) -> Json:
    complete = complete_case()
    bundle: Json = json.loads(render_bundle(replace(complete, assessment=replace(complete.assessment, **parts))))
    return bundle


def issue_of(line: Advice, **parts: Any) -> Json:
    (issue,) = resources_of(bundle_with(supplementation=(line,), **parts), "DetectedIssue")
    return issue


@pytest.mark.parametrize(
    ("action", "severity"),
    [
        (AdviceAction.AVOID, "high"),
        (AdviceAction.CORRECT_FIRST, "high"),
        (AdviceAction.SPECIALIST_ONLY, "moderate"),
        (AdviceAction.SEPARATE, "moderate"),
        (AdviceAction.CAUTION, "moderate"),
    ],
)
def test_severity_follows_what_is_asked(action: AdviceAction, severity: str) -> None:
    issue = issue_of(advice(action, "calcium", "Observation/egfr-1"))
    assert issue["severity"] == severity
    assert issue["status"] == "preliminary"
    (mitigation,) = issue["mitigation"]
    assert mitigation["action"]["text"].startswith("Proposed, nothing done yet: ")
    assert "calcium" in mitigation["action"]["text"]
    assert "date" not in mitigation


def test_a_general_caution_is_of_low_severity() -> None:
    issue = issue_of(advice(AdviceAction.CAUTION, "vitamin_c"))
    assert issue["severity"] == "low"
    assert "implicated" not in issue


@pytest.mark.parametrize("action", [AdviceAction.CONSIDER, AdviceAction.INFORM])
def test_advice_is_no_issue(action: AdviceAction) -> None:
    assert resources_of(bundle_with(supplementation=(advice(action, "calcium"),)), "DetectedIssue") == []


@pytest.mark.parametrize(
    ("record", "code"),
    [
        (("Condition/a", "MedicationRequest/b"), "DRG"),
        (("Observation/a", "Condition/b"), "COND"),
        (("Observation/a",), "OBSA"),
    ],
)
def test_the_kind_of_entry_gives_the_code(record: tuple[str, ...], code: str) -> None:
    issue = issue_of(advice(AdviceAction.AVOID, "calcium", *record))
    assert [one["code"] for one in issue["code"]["coding"]] == [code]
    assert {one["reference"] for one in issue["implicated"]} == set(record)
    measured = [one["reference"] for one in issue["evidence"][0].get("detail", [])]
    assert measured == [one for one in record if one.startswith("Observation/")]


def test_evidence_is_cited_with_its_certainty_and_address() -> None:
    source = SourceReference(
        id="BHOF2022",
        statement="Target 30 to 50 ng/mL.",
        citation="Foundation 2022.",
        identifier="PMID:12345678",
        certainty=Certainty.UNVERIFIED,
    )
    issue = issue_of(advice(AdviceAction.AVOID, "calcium"), sources=(source,))
    (code,) = issue["evidence"][0]["code"]
    assert code["text"] == "Target 30 to 50 ng/mL. Foundation 2022. (unverified)"
    assert code["coding"][0] == {
        "system": "urn:fracture-cds:evidence",
        "code": "BHOF2022",
        "display": "Target 30 to 50 ng/mL.",
    }
    assert issue["reference"] == "https://pubmed.ncbi.nlm.nih.gov/12345678/"


def test_red_flags_ask_that_somebody_be_told() -> None:
    complete = complete_case()
    flags = tuple(
        RedFlag(urgency=urgency, statement=say(f"flag.{urgency.value}", f"Flag {urgency.value}.", "Observation/a"))
        for urgency in (Urgency.IMMEDIATE, Urgency.WITHIN_HOURS)
    )
    bundle = bundle_with(severity=replace(complete.assessment.severity, red_flags=flags))
    requests = resources_of(bundle, "CommunicationRequest")
    assert [one["priority"] for one in requests] == ["stat", "urgent"]
    assert [one["payload"][0]["contentString"] for one in requests] == ["Flag immediate.", "Flag within_hours."]
    for one in requests:
        assert one["category"][0]["coding"][0]["code"] == "alert"
        assert one["reasonReference"][1:] == [{"reference": "Observation/a"}]
    assert resources_of(bundle, "Flag") == []


def test_a_red_flag_needs_no_record() -> None:
    nobody = image_only_case()
    flag = RedFlag(urgency=Urgency.IMMEDIATE, statement=say("flag", "Open wound.", "clinician"))
    severity = replace(nobody.assessment.severity, red_flags=(flag,))
    raw = render_bundle(replace(nobody, assessment=replace(nobody.assessment, severity=severity)))
    (request,) = resources_of(json.loads(raw), "CommunicationRequest")
    assert "reference" not in request["subject"]


def test_supplements_are_daily_amounts_in_ucum() -> None:
    vitamin_d, calcium, protein = resources_of(bundle_with(), "NutritionOrder")
    assert vitamin_d["supplement"][0]["quantity"] == {
        "value": 800.0,
        "unit": "IU per day",
        "system": "http://unitsofmeasure.org",
        "code": "[iU]/d",
    }
    assert "800 to 1000 IU per day; the quantity stated is the lower end" in vitamin_d["supplement"][0]["instruction"]
    assert calcium["supplement"][0]["quantity"]["code"] == "mg/d"
    assert "lower end" not in calcium["supplement"][0]["instruction"]
    assert "separate calcium." in [one["text"] for one in calcium["note"]]
    (nutrient,) = protein["oralDiet"]["nutrient"]
    assert (nutrient["amount"]["value"], nutrient["amount"]["code"]) == (1.0, "g/kg/d")
    assert nutrient["modifier"]["coding"][0]["code"] == "88878007"
    for one in (vitamin_d, calcium):
        assert "schedule" not in one["supplement"][0]


def test_a_gap_that_may_be_nothing_has_no_quantity() -> None:
    line = advice(AdviceAction.CONSIDER, "calcium", dose=(0.0, 200.0, "mg/d"))
    (order,) = resources_of(bundle_with(supplementation=(line,)), "NutritionOrder")
    assert "quantity" not in order["supplement"][0]
    assert "0 to 200 mg per day" in order["supplement"][0]["instruction"]


@pytest.mark.parametrize("agent", sorted(AGENTS))
@pytest.mark.parametrize("action", [one for one in AdviceAction if one is not AdviceAction.CONSIDER])
def test_only_what_the_engine_advises_becomes_an_order(agent: str, action: AdviceAction) -> None:
    assert ordered((advice(action, agent, dose=(1.0, 2.0, "mg/d")),)) == ()
    assert ordered((advice(AdviceAction.CONSIDER, agent),)) == ()
    assert len(ordered((advice(AdviceAction.CONSIDER, agent, dose=(1.0, 2.0, "mg/d")),))) == 1


@pytest.mark.parametrize("agent", ["calcium", "vitamin_d"])
@pytest.mark.parametrize("blocked", ["same", "calcium_and_vitamin_d"])
@pytest.mark.parametrize("action", [AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY, AdviceAction.CORRECT_FIRST])
def test_a_block_keeps_any_order_out(agent: str, blocked: str, action: AdviceAction) -> None:
    line = advice(AdviceAction.CONSIDER, agent, dose=(1.0, 2.0, "mg/d"))
    block = advice(action, agent if blocked == "same" else blocked)
    assert ordered((line, block)) == ()
    bundle = bundle_with(supplementation=(line, block), follow_up=())
    assert resources_of(bundle, "NutritionOrder") == resources_of(bundle, "CarePlan") == []


def test_bundle_is_whole() -> None:
    bundle = bundle_with()
    kinds = {one["fullUrl"]: one["resource"]["resourceType"] for one in bundle["entry"]}
    for node in nodes_of(bundle):
        assert node not in (None, "", [], {})
        if isinstance(node, dict) and str(node.get("reference", "")).startswith("urn:uuid:"):
            assert node["type"] == kinds[node["reference"]]
