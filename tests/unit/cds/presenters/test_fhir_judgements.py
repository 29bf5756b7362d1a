import json
from dataclasses import replace
from typing import Any

import pytest

from cds.presenters.fhir_bundle import render_bundle
from cds.presenters.fhir_judgements import PATHWAYS
from fusion.results import BoneHealthPathway, FragilityLikelihood, FragilityVerdict
from tests.support.cases import full_case
from tests.support.fhir_cases import Json, combined, complete_case, fragility, resources_of


def observations(**parts: Any) -> dict[str, Json]:
    complete = complete_case()
    raw = render_bundle(replace(complete, assessment=replace(complete.assessment, **parts)))
    return {one["code"]["coding"][0]["code"]: one for one in resources_of(json.loads(raw), "Observation")}


def components(resource: Json) -> dict[str, Json]:
    return {one["code"]["coding"][0]["code"]: one for one in resource["component"]}


def test_fragility_is_a_band_with_its_reading() -> None:
    found = observations()["fragility"]
    assert found["valueCodeableConcept"]["text"] == "Likely to very likely"
    parts = components(found)
    band = parts["fragility-band"]["valueRange"]
    assert (band["low"]["value"], band["high"]["value"], band["low"]["code"]) == (60.0, 100.0, "%")
    assert parts["fragility-definition"]["valueCodeableConcept"]["text"] == "Met"
    assert parts["bone-health-pathway"]["valueCodeableConcept"]["text"] == "Fracture liaison"
    assert found["note"][0]["text"].startswith("Weak bone rather than force alone")


def test_one_likelihood_is_named_once() -> None:
    one = replace(fragility(), lowest=FragilityLikelihood.POSSIBLE, highest=FragilityLikelihood.POSSIBLE)
    assert observations(fragility=one)["fragility"]["valueCodeableConcept"]["text"] == "Possible"


@pytest.mark.parametrize("verdict", [one for one in FragilityVerdict if one is not FragilityVerdict.JUDGED])
def test_a_verdict_that_was_not_reached_has_no_value(verdict: FragilityVerdict) -> None:
    one = replace(fragility(), verdict=verdict, lowest=None, highest=None, low=None, high=None, meets_definition=None)
    found = observations(fragility=one)["fragility"]
    assert "valueCodeableConcept" not in found
    assert found["dataAbsentReason"]["text"]
    assert set(components(found)) == {"fragility-verdict", "bone-health-pathway"}


def test_every_pathway_has_words() -> None:
    assert set(PATHWAYS) == set(BoneHealthPathway)


def test_image_and_patient_stand_beside_both_together() -> None:
    found = observations()["combined-fracture"]
    assert found["valueQuantity"] == {
        "value": 87.0,
        "unit": "%",
        "system": "http://unitsofmeasure.org",
        "code": "%",
    }
    parts = components(found)
    assert parts["combined-fracture-image"]["valueQuantity"]["value"] == 80.0
    assert parts["combined-fracture-patient-interval"]["valueRange"]["high"]["value"] == 40.0
    assert parts["combined-fracture-together-interval"]["valueRange"]["low"]["value"] == 75.0
    notes = [one["text"] for one in found["note"]]
    assert "Low-energy fall: +0.40 log odds." in notes
    assert "Not counted: Smoking has no weight." in notes


def test_an_absent_part_has_no_number_and_a_band_is_a_range() -> None:
    found = observations()["combined-weak-bone"]
    assert found["valueRange"]["low"]["value"] == 60.0
    assert set(components(found)) == {"combined-weak-bone-patient", "combined-weak-bone-together"}
    assert "image in words." in [one["text"] for one in found["note"]]


def test_nothing_together_is_absent_with_its_reason() -> None:
    both = combined()
    assert both.broken_now is not None
    nothing = {
        name: replace(getattr(both.broken_now, name), value=None, low=None, high=None)
        for name in ("image", "patient", "together")
    }
    found = observations(combined=replace(both, broken_now=replace(both.broken_now, **nothing), weak_bone=None))
    assert found["combined-fracture"]["dataAbsentReason"]["text"] == "together in words."
    assert "component" not in found["combined-fracture"]
    assert "combined-weak-bone" not in found


def test_healing_names_its_interval_and_its_place() -> None:
    union = observations()["time-to-union"]
    assert "80 % interval" in union["code"]["text"]
    assert union["bodySite"]["text"] == "left distal radius"


def test_test_data_is_labelled() -> None:
    full = full_case()
    assert full.findings is not None
    for synthetic in (False, True):
        raw = render_bundle(replace(full, findings=replace(full.findings, synthetic=synthetic)))
        for entry in json.loads(raw)["entry"]:
            if entry["resource"]["resourceType"] == "Device":
                continue
            labels = [one["code"] for one in entry["resource"]["meta"].get("security", [])]
            assert ("HTEST" in labels) is synthetic


def test_models_are_devices_and_agents() -> None:
    bundle = json.loads(render_bundle(complete_case()))
    _, *models = resources_of(bundle, "Device")
    ids = {one["identifier"][0]["value"] for one in models}
    assert ids == {
        "yolov7-tiny-fracatlas@1.0.0+ab12cd34",
        "attributes@1.0.0+01234567",
        "fracture-risk-nhanes@1.0.0+ef56ab78",
    }
    assert {one["version"][0]["value"] for one in models} == {one.partition("@")[2] for one in ids}
    (provenance,) = resources_of(bundle, "Provenance")
    engine, *others = provenance["agent"]
    assert engine["who"]["display"] == "fracture-cds 0.1.0"
    for one in others:
        assert one["onBehalfOf"]["reference"] == engine["who"]["reference"]
        assert any(name in one["who"]["display"] for name in ids)
    (risk,) = resources_of(bundle, "RiskAssessment")
    assert risk["performer"]["display"] == "fracture-risk-nhanes@1.0.0+ef56ab78"
