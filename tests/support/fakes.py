"""Engines that answer at once, from the example cases, and note what they were asked."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from cds.audit import AuditRecord
from cds.case import CaseInput
from cds.pipeline import Engines
from fhir_adapters.patient import PatientSnapshot
from fusion.context import ClinicalContext
from fusion.results import Assessment
from imaging.explanation.results import Explanation
from imaging.radiograph import Radiograph
from imaging.results import BoneAgeEstimate, ImageFindings
from tabular.features import RiskFeatures
from tabular.results import RiskEstimate
from tests.support import cases

AS_OF = cases.CREATED


@dataclass(slots=True)
class FakeParts:
    """All six parts in one object; `calls` holds their names in the order in which they were asked.

    Set a `fail_*` field to make that part raise.
    """

    calls: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    contexts: list[ClinicalContext] = field(default_factory=list)
    patient: PatientSnapshot = field(default_factory=cases.patient)
    fail_image: Exception | None = None
    fail_analysis: Exception | None = None
    fail_explanation: Exception | None = None
    fail_record: Exception | None = None
    fail_risk: Exception | None = None
    fail_assessment: Exception | None = None

    def read_image(self, source: bytes, *, frame: int = 1) -> Radiograph:
        """The drawn radiograph."""
        self.calls.append("read_image")
        self.frames.append(frame)
        _raise(self.fail_image)
        return cases.radiograph()

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        """One definite and one suspected finding."""
        self.calls.append("analyse")
        _raise(self.fail_analysis)
        return cases.findings()

    def explain_findings(self, radiograph: Radiograph, findings: ImageFindings) -> tuple[Explanation, ...]:
        """The drawn heat maps."""
        self.calls.append("explain")
        _raise(self.fail_explanation)
        return (cases.explanation(),)

    def read_record(self, data: bytes, *, as_of: datetime, patient_id: str | None = None) -> PatientSnapshot:
        """The invented patient."""
        self.calls.append("read_record")
        _raise(self.fail_record)
        return self.patient

    def estimate(self, features: RiskFeatures) -> RiskEstimate:
        """The invented estimate."""
        self.calls.append("estimate")
        _raise(self.fail_risk)
        return cases.risk()

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
        """The example assessment, dated as asked."""
        self.calls.append("assess")
        self.contexts.append(context)
        _raise(self.fail_assessment)
        return replace(cases.assessment(), created=as_of)

    def engines(self) -> Engines:
        """The parts as the pipeline takes them."""
        return Engines(
            read_image=self.read_image,
            image=self,
            read_record=self.read_record,
            risk=self,
            fusion=self,
            explain=self,
        )


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


@dataclass(slots=True)
class RememberingAuditTrail:
    """Keeps the records in memory."""

    entries: list[AuditRecord] = field(default_factory=list)

    def record(self, entry: AuditRecord) -> None:
        """Keep one record."""
        self.entries.append(entry)


def full_input() -> CaseInput:
    """An image and a record, as bytes the fakes do not look at."""
    return CaseInput(image=b"image", bundle=b"record", as_of=AS_OF)
