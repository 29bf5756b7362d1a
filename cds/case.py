"""One case, in and out."""

from dataclasses import dataclass, field
from datetime import datetime

from fhir_adapters.patient import PatientSnapshot
from fusion.context import ClinicalContext
from fusion.results import Assessment
from imaging.explanation.results import Explanation
from imaging.radiograph import Radiograph
from imaging.results import ImageFindings
from tabular.features import RiskFeatures
from tabular.results import RiskEstimate


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseInput:
    """What an entry point hands to the pipeline: bytes as they came, and the clinician's own input."""

    image: bytes | None = None
    """A DICOM, PNG or JPEG file."""
    bundle: bytes | None = None
    """A FHIR R4 Bundle, JSON or gzip of JSON."""
    patient_id: str | None = None
    """Which Patient of the bundle, when it holds several."""
    frame: int = 1
    """Which frame of a DICOM file with several, counted from 1."""
    context: ClinicalContext = field(default_factory=ClinicalContext)
    explain: bool = False
    """Whether heat maps are wanted; they cost seconds and change no answer."""
    as_of: datetime
    """The time of the assessment, timezone-aware."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """All that was concluded, and what it was concluded from."""

    case_id: str
    """Random identifier of this run (UUID)."""
    engine_version: str
    radiograph: Radiograph | None
    findings: ImageFindings | None
    patient: PatientSnapshot | None
    features: RiskFeatures | None
    risk: RiskEstimate | None
    risk_unavailable: str | None
    """Why there is no risk estimate, in one sentence; None when there is one."""
    context: ClinicalContext
    assessment: Assessment
    explanations: tuple[Explanation, ...] = ()
    """Heat maps of the first detections; empty when they were not asked for or could not be made."""
