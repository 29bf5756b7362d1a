"""The story of one case: read the image, find fractures, read the record, estimate the risk, assess.

`run_case` holds the order of the steps and nothing else; it touches no file, clock or network, only the engines it is
given. `handle_case` beside it is what entry points call: the same run, plus one audit record, also of a failure.
"""

import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from cds.audit import AuditRecord, AuditTrail, sha256_hex
from cds.bone_age import BoneAgeReader, read_bone_age, worth_saying
from cds.case import CaseInput, CaseResult
from cds.errors import InputError, NothingToAssessError, error_code
from cds.following import ModelWatch
from cds.mapping import MappedFeatures, map_features
from cds.version import engine_version
from fhir_adapters.patient import PatientSnapshot
from fusion.context import ClinicalContext
from fusion.results import Assessment
from imaging.errors import ImagingError
from imaging.explanation.results import Explanation
from imaging.radiograph import Radiograph
from imaging.results import BoneAgeEstimate, ImageFindings
from tabular.errors import AgeBelowModelError, AgeMissingError
from tabular.features import RiskFeatures
from tabular.results import RiskEstimate

EXPLANATION_FAILED = "cds.explanation.failed"
NO_RECORD = "No patient record was given, so the fracture risk was not estimated."


class ImageReader(Protocol):
    """Turns a file into a radiograph; raises `imaging.errors.ImagingError`."""

    def __call__(self, source: bytes, *, frame: int = 1) -> Radiograph:
        """Read one frame, counted from 1."""


class ImageEngine(Protocol):
    """Finds fractures; raises `imaging.errors.ImagingError`."""

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """Analyse one radiograph."""


class ImageExplainer(Protocol):
    """Shows where findings came from; raises `imaging.errors.ImagingError`."""

    def explain_findings(self, radiograph: Radiograph, findings: ImageFindings) -> tuple[Explanation, ...]:
        """Heat maps of the first detections."""


class RecordReader(Protocol):
    """Turns a FHIR Bundle into a snapshot; raises `fhir_adapters.errors.FhirError`."""

    def __call__(self, data: bytes, *, as_of: datetime, patient_id: str | None = None) -> PatientSnapshot:
        """Read one patient's record as it stood at `as_of`."""


class RiskModel(Protocol):
    """Estimates fracture risk; raises `tabular.errors.TabularError`."""

    def estimate(self, features: RiskFeatures) -> RiskEstimate:
        """Estimate the risk of one person."""


class Assessor(Protocol):
    """Applies the evidence base; raises `fusion.errors.FusionError`."""

    def assess(
        self,
        *,
        findings: ImageFindings | None,
        patient: PatientSnapshot | None,
        risk: RiskEstimate | None,
        context: ClinicalContext,
        as_of: datetime,
        bone_age: BoneAgeEstimate | None = None,
    ) -> Assessment:
        """Combine what is known into one assessment; any part may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engines:
    """The parts that a case passes through; `cds.bootstrap.build_engines` makes the real ones."""

    read_image: ImageReader
    image: ImageEngine
    read_record: RecordReader
    risk: RiskModel
    fusion: Assessor
    explain: ImageExplainer | None = None
    """None: no heat maps, whoever asks."""
    bone_age: BoneAgeReader | None = None
    """None: no skeletal age, whoever asks."""
    models: ModelWatch | None = None
    """What became of newly chosen models; None where the parts follow no choice."""


def run_case(case: CaseInput, engines: Engines, *, case_id: str | None = None) -> CaseResult:
    """Assess one case.

    Args:
        case: the inputs; image or record alone is enough.
        engines: the parts to use.
        case_id: identifier of the run; a new random one by default.

    Raises:
        NothingToAssessError: neither an image nor a record.
        InputError: `CaseInput.as_of` has no time zone.
        ImagingError: the image is unreadable or refused, or the detector is broken; heat maps that fail are no error.
        FhirError: the record is unreadable.
        TabularError: the risk model is broken; a person outside its range is no error.
        FusionError: the evidence base is broken.
    """
    if case.image is None and case.bundle is None:
        raise NothingToAssessError
    if case.as_of.tzinfo is None:
        raise InputError("The time of the assessment has no time zone.", remedy="Give a time with its UTC offset.")

    radiograph = None if case.image is None else engines.read_image(case.image, frame=case.frame)
    findings = None if radiograph is None else engines.image.analyse(radiograph)
    explanations, unexplained = _explain(case, radiograph, findings, engines)

    patient = _read_record(case, engines)
    mapped = None if patient is None else map_features(patient)
    risk, risk_unavailable = _estimate_risk(mapped, engines)

    bone_age, bone_age_unavailable = read_bone_age(case, radiograph, findings, patient, engines.bone_age)

    assessment = engines.fusion.assess(
        findings=findings, patient=patient, risk=risk, context=case.context, as_of=case.as_of, bone_age=bone_age
    )
    # What the mapping had to leave out belongs in front of the reader too.
    left_out = (*case.source_warnings, *unexplained, *(() if mapped is None else mapped.warnings))
    assessment = replace(assessment, warnings=(*left_out, *assessment.warnings))
    return CaseResult(
        case_id=case_id or str(uuid4()),
        engine_version=engine_version(),
        radiograph=radiograph,
        findings=findings,
        patient=patient,
        features=None if mapped is None else mapped.features,
        risk=risk,
        risk_unavailable=risk_unavailable,
        context=case.context,
        assessment=assessment,
        explanations=explanations,
        bone_age=bone_age,
        bone_age_unavailable=bone_age_unavailable,
        source_image=case.image if radiograph is not None and radiograph.dicom is not None else None,
        bone_age_expected=radiograph is not None and worth_saying(case.bone_age, patient),
    )


def _explain(
    case: CaseInput, radiograph: Radiograph | None, findings: ImageFindings | None, engines: Engines
) -> tuple[tuple[Explanation, ...], tuple[str, ...]]:
    """Heat maps where they are wanted, and the warning when they fail: a picture must not withhold the finding."""
    if not case.explain or engines.explain is None or radiograph is None or findings is None:
        return (), ()
    try:
        return engines.explain.explain_findings(radiograph, findings), ()
    except ImagingError:
        return (), (EXPLANATION_FAILED,)


def _read_record(case: CaseInput, engines: Engines) -> PatientSnapshot | None:
    if case.bundle is None:
        return None
    return engines.read_record(case.bundle, as_of=case.as_of, patient_id=case.patient_id)


def _estimate_risk(mapped: MappedFeatures | None, engines: Engines) -> tuple[RiskEstimate | None, str | None]:
    """The estimate, or the reason in one sentence why there is none."""
    if mapped is None:
        return None, NO_RECORD
    try:
        return engines.risk.estimate(mapped.features), None
    except (AgeMissingError, AgeBelowModelError) as error:  # of the person, not of a broken model
        reason = str(error)
        return None, f"{reason[:1].upper()}{reason[1:].rstrip('.')}."


def handle_case(
    case: CaseInput, engines: Engines, *, audit: AuditTrail, actor: str, case_id: str | None = None
) -> CaseResult:
    """Assess one case and leave one audit record, whether it succeeds or fails.

    Args:
        case: as for `run_case`.
        engines: as for `run_case`.
        audit: where the record goes.
        actor: who asks, for instance ``cli:<login>``.
        case_id: identifier of the run; a new random one by default.

    Raises:
        AuditError: the record cannot be kept; an assessment nobody can trace is not handed out.
        Exception: whatever `run_case` raises.
    """
    case_id = case_id or str(uuid4())
    started = datetime.now().astimezone()
    clock = time.monotonic()

    def entry(outcome: str, versions: tuple[str, ...], patient_key: str | None = None) -> AuditRecord:
        return AuditRecord(
            case_id=case_id,
            started=started,
            duration_ms=round((time.monotonic() - clock) * 1000),
            actor=actor,
            outcome=outcome,
            engine_version=engine_version(),
            model_versions=versions,
            image_sha256=sha256_hex(case.image),
            record_sha256=sha256_hex(case.bundle),
            patient_key=patient_key,
        )

    try:
        result = run_case(case, engines, case_id=case_id)
    except Exception as error:
        audit.record(entry(error_code(error), ()))
        raise
    patient_key = None if result.patient is None else result.patient.patient_id
    audit.record(entry("ok", model_versions(result), patient_key))
    return result


def model_versions(result: CaseResult) -> tuple[str, ...]:
    """Identifiers of the models and the evidence that took part in a result."""
    image = () if result.findings is None else (result.findings.model_id,)
    risk = () if result.risk is None else (result.risk.model_id,)
    bone_age = () if result.bone_age is None else (result.bone_age.model_id,)
    healing = result.assessment.healing
    learned = () if healing is None or healing.learned is None else (healing.learned.model_id,)
    return (*image, *bone_age, *risk, *learned, result.assessment.evidence_version)
