"""One case, in and out."""

from dataclasses import dataclass, field
from datetime import datetime

from fhir_adapters.patient import PatientSnapshot
from fusion.context import ClinicalContext
from fusion.results import Assessment
from imaging.explanation.results import Explanation
from imaging.radiograph import Radiograph
from imaging.results import BoneAgeEstimate, ImageFindings
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
    source_warnings: tuple[str, ...] = ()
    """What fetching the inputs left to say to the reader (a part of the record that a server refused)."""
    explain: bool = False
    """Whether heat maps are wanted; they cost seconds and change no answer."""
    bone_age: bool | None = None
    """Whether skeletal age is wanted: None reads it where the radiograph is the hand of a child by the record, True
    also where the record gives no age, False never."""
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
    bone_age: BoneAgeEstimate | None = None
    """Skeletal age, where the radiograph is a child's hand."""
    bone_age_unavailable: str | None = None
    """Why there is no skeletal age, as a dotted code of `imaging.warnings`; None when there is one or no radiograph."""
    source_image: bytes | None = field(default=None, repr=False)
    """The DICOM file that the radiograph came from, as it came: objects for the PACS copy its patient and study and
    need its window. None for other formats. Patient data: it goes into no report but those objects, and no log."""
    bone_age_expected: bool = False
    """Whether a reader misses it when there is none: it was asked for, or the person is under 19."""
