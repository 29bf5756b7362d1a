"""The story of one case: the order of the steps, what each missing part leads to, and what the audit keeps."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest

from cds.audit import AuditRecord
from cds.case import CaseInput
from cds.errors import AuditError, InputError, NothingToAssessError
from cds.pipeline import NO_RECORD, handle_case, model_versions, run_case
from fhir_adapters.errors import FhirError
from fhir_adapters.patient import PriorFracture
from fusion.context import ClinicalContext
from fusion.sites import FractureSite
from imaging.errors import ExplanationError, ImagingError
from tabular.errors import AgeBelowModelError, AgeMissingError, TabularError, WeightsDigestError
from tests.support.fakes import AS_OF, FakeParts, RememberingAuditTrail, full_input

EVERY_STEP = ["read_image", "analyse", "read_record", "estimate", "assess"]


BROKEN = WeightsDigestError("major.json")


def test_steps_in_reading_order() -> None:
    parts = FakeParts()
    result = run_case(full_input(), parts.engines())
    assert parts.calls == EVERY_STEP
    assert result.findings is not None
    assert result.patient is not None
    assert result.risk is not None
    assert result.risk_unavailable is None
    assert UUID(result.case_id)
    assert result.assessment.created == AS_OF


def test_image_alone() -> None:
    parts = FakeParts()
    result = run_case(replace(full_input(), bundle=None), parts.engines())
    assert parts.calls == ["read_image", "analyse", "assess"]
    assert (result.patient, result.features, result.risk) == (None, None, None)
    assert result.risk_unavailable == NO_RECORD


def test_record_alone() -> None:
    parts = FakeParts()
    result = run_case(replace(full_input(), image=None), parts.engines())
    assert parts.calls == ["read_record", "estimate", "assess"]
    assert (result.radiograph, result.findings) == (None, None)


def test_neither_is_refused() -> None:
    with pytest.raises(NothingToAssessError):
        run_case(CaseInput(as_of=AS_OF), FakeParts().engines())


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(InputError):
        run_case(replace(full_input(), as_of=datetime(2026, 3, 4)), FakeParts().engines())


def test_frame_and_context_arrive() -> None:
    parts = FakeParts()
    context = ClinicalContext(site=FractureSite.ANKLE, open_wound=False)
    result = run_case(replace(full_input(), frame=3, context=context), parts.engines())
    assert parts.frames == [3]
    assert parts.contexts == [context]
    assert result.context is context


def test_heat_maps_only_when_wanted_and_possible() -> None:
    parts = FakeParts()
    result = run_case(replace(full_input(), explain=True), parts.engines())
    assert parts.calls == ["read_image", "analyse", "explain", *EVERY_STEP[2:]]
    assert [one.detection for one in result.explanations] == [0]
    assert run_case(full_input(), parts.engines()).explanations == ()
    without = replace(parts.engines(), explain=None)
    assert run_case(replace(full_input(), explain=True), without).explanations == ()
    assert run_case(replace(full_input(), image=None, explain=True), parts.engines()).explanations == ()


def test_failed_heat_maps_do_not_withhold_the_finding() -> None:
    parts = FakeParts(fail_explanation=ExplanationError("x"))
    result = run_case(replace(full_input(), explain=True), parts.engines())
    assert result.findings is not None
    assert result.explanations == ()
    assert result.assessment.warnings[0] == "cds.explanation.failed"


@pytest.mark.parametrize("reason", [AgeMissingError(), AgeBelowModelError(40)])
def test_person_outside_the_risk_model_is_no_error(reason: TabularError) -> None:
    parts = FakeParts(fail_risk=reason)
    result = run_case(full_input(), parts.engines())
    assert parts.calls == EVERY_STEP
    assert result.risk is None
    assert result.risk_unavailable is not None
    assert str(reason)[1:] in result.risk_unavailable
    assert result.risk_unavailable[0].isupper()
    assert result.risk_unavailable.endswith(".")


def test_broken_risk_model_is_an_error() -> None:
    parts = FakeParts(fail_risk=BROKEN)
    with pytest.raises(WeightsDigestError):
        run_case(full_input(), parts.engines())


def test_what_the_mapping_left_out_reaches_the_report() -> None:
    parts = FakeParts()
    undated = PriorFracture(site=parts.patient.prior_fractures[0].site, code="s|c", resource="Condition/77")
    parts.patient = replace(parts.patient, prior_fractures=(undated,))
    result = run_case(full_input(), parts.engines())
    assert "cds.fracture.undated:Condition/77" in result.assessment.warnings


def test_same_input_gives_the_same_result() -> None:
    first, second = (run_case(full_input(), FakeParts().engines(), case_id="x") for _ in range(2))
    assert replace(first, radiograph=None) == replace(second, radiograph=None)


def audited(parts: FakeParts, case: CaseInput) -> tuple[AuditRecord, Exception | None]:
    trail = RememberingAuditTrail()
    error: Exception | None = None
    try:
        handle_case(case, parts.engines(), audit=trail, actor="cli:somebody")
    except Exception as caught:
        error = caught
    (entry,) = trail.entries
    return entry, error


def test_audit_of_a_success() -> None:
    trail = RememberingAuditTrail()
    result = handle_case(full_input(), FakeParts().engines(), audit=trail, actor="cli:somebody")
    (entry,) = trail.entries
    assert entry.outcome == "ok"
    assert entry.case_id == result.case_id
    assert entry.actor == "cli:somebody"
    assert entry.model_versions == model_versions(result)
    assert len(entry.model_versions) == 3
    assert entry.started.tzinfo is not None
    assert entry.duration_ms >= 0
    assert entry.image_sha256 != entry.record_sha256


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        (FakeParts(fail_image=ImagingError("x", remedy="y")), "imaging.error"),
        (FakeParts(fail_record=FhirError("x", remedy="y")), "fhir.error"),
        (FakeParts(fail_risk=BROKEN), "risk.weights.digest"),
        (FakeParts(fail_assessment=KeyError("Planted Name")), "cds.internal"),
    ],
)
def test_audit_of_a_failure(parts: FakeParts, code: str) -> None:
    entry, error = audited(parts, full_input())
    assert error is not None
    assert entry.outcome == code
    assert "Planted" not in repr(entry)


def test_audit_holds_no_patient_data() -> None:
    parts = FakeParts()
    entry, _ = audited(parts, replace(full_input(), patient_id="planted-id-4711"))
    text = repr(entry)
    assert "planted-id-4711" not in text
    assert parts.patient.patient_id not in text


def test_no_result_without_an_audit_record() -> None:
    class FullDisk:
        def record(self, entry: AuditRecord) -> None:
            raise AuditError("x", remedy="y")

    with pytest.raises(AuditError):
        handle_case(full_input(), FakeParts().engines(), audit=FullDisk(), actor="cli:somebody")
