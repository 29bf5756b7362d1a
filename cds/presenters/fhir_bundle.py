"""`CaseResult` to a FHIR R4 transaction that an electronic health record can store.

Why a transaction: a ``collection`` cannot be posted; a transaction of POST requests with ``urn:uuid:`` addresses lets
the server give its own ids, rewrites the references between the resources and stores all of them or none. Each
resource is created only if the server does not hold it yet (``ifNoneExist``), so the same bundle may be sent twice.

What is in it: the engine and each model as Device; one DiagnosticReport with the image-level call and one Observation
per place the detector marked; skeletal age; severity, image and patient together, weak bone or force, weeks to union;
the ten-year probabilities as RiskAssessment; a DetectedIssue per line of drug-safety advice and a CommunicationRequest
per red flag; NutritionOrders, ServiceRequests, Goals and the CarePlan over them; one Provenance over all.

Nothing here was verified by a person, so nothing is ``final``: the report is ``partial`` ("may be incomplete or
unverified"), judgements are ``preliminary``, and whatever asks for something is a ``draft`` with the intent
``proposal``. All of it carries the security label of data that an algorithm asserted.

Codes: LOINC and SNOMED CT only where their meaning fits exactly (kind of study, body region, "fracture of bone" as
the conclusion of a definite call, a kind of imaging); the engine's own answers have codes of its own system, because a
disorder code on a suspected or negative finding would be read as the disorder by a program that searches for it.

Without a record there is no patient to refer to: Observations, report and red flags then name an unidentified patient
in words, and resources that cannot do without one (RiskAssessment, DetectedIssue, plans and orders) are left out.
"""

import orjson

from cds.case import CaseResult
from cds.presenters import wording
from cds.presenters.fhir_care import add_care
from cds.presenters.fhir_devices import add_devices, add_provenance, model_device
from cds.presenters.fhir_estimates import osteoporosis_prediction, risk_notes
from cds.presenters.fhir_imaging import add_imaging
from cds.presenters.fhir_judgements import add_combined, add_fragility, add_healing, add_severity
from cds.presenters.fhir_nutrition import add_nutrition
from cds.presenters.fhir_safety import add_issues, add_red_flags
from cds.presenters.fhir_transaction import CASE_SYSTEM, Transaction, own, texts
from fhir_adapters import builders
from fhir_adapters.r4_types import JsonObject, ObservationStatus, Prediction, identifier
from fusion.results import Severity
from tabular.results import FractureProbability, RiskEstimate


def _prediction(probability: FractureProbability) -> Prediction:
    applied = "; ".join(f"{one.factor}, hazard x {one.ratio:g}" for one in probability.adjustments)
    return Prediction(
        outcome=own(
            f"fracture-{probability.outcome.replace('_', '-')}",
            wording.OUTCOMES.get(probability.outcome, wording.words(probability.outcome)),
        ),
        percent=100 * probability.value,
        within_years=probability.horizon_years,
        rationale=(
            f"Probability in per cent. Interval {wording.percent(probability.low)} to"
            f" {wording.percent(probability.high)}. Model alone {wording.percent(probability.model_value)};"
            f" {f'adjusted for {applied}' if applied else 'no published factor added'}."
        ),
    )


def _add_risk(bundle: Transaction, risk: RiskEstimate) -> JsonObject:
    resource = builders.risk_assessment(
        business_id=bundle.business_id("risk"),
        status=ObservationStatus.PRELIMINARY,
        code=own("fracture-risk", "Probability of a next fracture"),
        method=risk.model_id,
        subject=bundle.subject,
        occurrence=bundle.created,
        performer=model_device(bundle, risk.model_id),
        predictions=(_prediction(risk.major_osteoporotic), _prediction(risk.hip), *osteoporosis_prediction(risk)),
        notes=(
            risk.interval_meaning,
            risk.model_validation,
            *risk_notes(risk),
            *texts(bundle.result.assessment.risk_statements),
            *((f"Did without: {', '.join(map(wording.feature_name, risk.missing))}.",) if risk.missing else ()),
        ),
    )
    return bundle.add("risk", resource, "Probability of a next fracture")


def build_bundle(result: CaseResult) -> JsonObject:
    """The transaction as JSON values; see the module for what it holds.

    Args:
        result: The case; any part of it may be missing.

    Returns:
        A FHIR R4 Bundle of type ``transaction``; the same case always gives the same bundle.
    """
    bundle = Transaction(result)
    add_devices(bundle)
    basis = _add_judgements(bundle)
    if result.patient is not None:
        if result.risk is not None:
            basis.append(_add_risk(bundle, result.risk))
        advice = result.assessment.supplementation
        basis.extend(add_issues(bundle, advice))
        add_care(bundle, basis, add_nutrition(bundle, advice))
    add_provenance(bundle)
    return builders.transaction(bundle.entries, identifier(CASE_SYSTEM, result.case_id), bundle.created)


def _add_judgements(bundle: Transaction) -> list[JsonObject]:
    """The radiograph and what the rules say of the injury; references for the plan that rests on them."""
    assessment = bundle.result.assessment
    basis: list[JsonObject] = []
    if bundle.result.findings is not None:
        basis.append(add_imaging(bundle, bundle.result.findings))
    if assessment.severity.grade is not Severity.NOT_APPLICABLE or assessment.severity.red_flags:
        severity = add_severity(bundle, assessment.severity)
        add_red_flags(bundle, assessment.severity.red_flags, severity)
        basis.append(severity)
    if assessment.combined is not None:
        basis.extend(add_combined(bundle, assessment.combined))
    if assessment.fragility is not None:
        basis.append(add_fragility(bundle, assessment.fragility))
    if assessment.healing is not None:
        basis.append(add_healing(bundle, assessment.healing))
    return basis


def render_bundle(result: CaseResult) -> bytes:
    """One case as ``bundle.json``: UTF-8, indented, ending in a newline."""
    return orjson.dumps(build_bundle(result), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
