"""Every bundle before three judges: `fhir.resources` (structure), npm `fhir` (value sets), Medplum (invariants)."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle

from cds.case import CaseInput, CaseResult
from cds.pipeline import run_case
from cds.presenters.fhir_bundle import build_bundle, render_bundle
from fusion.context import ClinicalContext, Mechanism
from fusion.sites import FractureSite
from tests.golden.cases.load import case_names, load, run
from tests.support.cases import all_cases
from tests.support.fakes import FakeParts
from tests.support.fhir_cases import complete_case
from tests.support.fhir_validators.runner import Validators, installed_validators
from tests.support.shared import requires_shared, shared_dir

Json = dict[str, Any]


@pytest.fixture(scope="module")
def validators() -> Validators:
    return installed_validators()


def _accepted(validators: Validators, results: dict[str, CaseResult]) -> None:
    bundles = {name: render_bundle(result) for name, result in results.items()}
    for bundle in bundles.values():
        Bundle.model_validate_json(bundle)
    said = dict(zip(bundles, validators.judge(bundles.values()), strict=True))
    assert {name: complaints for name, complaints in said.items() if complaints} == {}


def _from_the_pipeline() -> CaseResult:
    case = CaseInput(image=b"image", bundle=b"{}", as_of=datetime(2026, 1, 1, tzinfo=UTC))
    return run_case(case, FakeParts().engines())


def test_example_cases(validators: Validators) -> None:
    complete = complete_case()
    assert complete.findings is not None
    drawn = replace(complete, findings=replace(complete.findings, synthetic=True))
    examples = {**all_cases(), "complete": complete, "drawn": drawn, "pipeline": _from_the_pipeline()}
    _accepted(validators, examples)


def test_written_cases(validators: Validators) -> None:
    _accepted(validators, {name: run(load(name)) for name in case_names()})


def _synthea() -> Iterator[tuple[str, bytes]]:
    folder = shared_dir()
    assert folder is not None
    for path in sorted((folder / "data" / "fhir" / "synthea_r4").glob("*.json.gz"))[::12]:
        yield path.name, path.read_bytes()


@requires_shared
def test_real_records_with_every_mechanism(validators: Validators) -> None:
    """Records of the shared data under the real reader and rules, with findings that stay the same."""
    results: dict[str, CaseResult] = {}
    written = load("01_adult_wrist")
    for number, (name, record) in enumerate(_synthea()):
        context = ClinicalContext(
            site=list(FractureSite)[number % len(FractureSite)],
            mechanism=list(Mechanism)[number % len(Mechanism)],
            open_wound=number % 2 == 0,
            calcium_diet_mg_per_day=500.0,
        )
        results[name] = run(replace(written, record=record, context=context, as_of=datetime(2026, 1, 1, tzinfo=UTC)))
    assert len(results) >= 5
    _accepted(validators, results)


def _status(bundle: Json) -> None:
    bundle["entry"][-2]["resource"]["status"] = "perhaps"


def _both(bundle: Json) -> None:
    plan = next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "CarePlan")
    plan["activity"][0] |= {"reference": {"display": "x"}, "detail": {"status": "not-started"}}


def _value_and_reason(bundle: Json) -> None:
    place = next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Observation")
    place["dataAbsentReason"] = {"text": "although it has a value"}


def _wrong_target(bundle: Json) -> None:
    plan = next(one for one in bundle["entry"] if one["resource"]["resourceType"] == "CarePlan")
    plan["resource"]["goal"][0]["reference"] = plan["fullUrl"]


def test_the_judges_are_awake(validators: Validators) -> None:
    """One flaw a bundle: a status that is none, and three that only invariants and types of references forbid."""
    flaws: dict[str, Callable[[Json], None]] = {
        "fhir": _status,
        "cpl-3": _both,
        "obs-6": _value_and_reason,
        "Invalid reference": _wrong_target,
    }
    broken = []
    for breaks in flaws.values():
        bundle: Json = json.loads(json.dumps(build_bundle(complete_case())))
        breaks(bundle)
        broken.append(json.dumps(bundle).encode())
    for flaw, complaints in zip(flaws, validators.judge(broken), strict=True):
        assert any(flaw in (one.validator, *one.message.split()) or flaw in one.message for one in complaints), flaw
