"""The JSON that the API answers."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from cds.learning.feedback.cases import JudgedCase
from cds.learning.feedback.truth import Dispute
from cds.store.feedback import FeedbackKind
from cds.store.jobs import Job, JobState
from fusion.context import FractureType


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class ProblemOut(_Out):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable, dotted.")
    remedy: str = Field(description="How to mend it.")
    instance: str | None = Field(default=None, description="Of an internal error: the reference in the log.")


class FileOut(_Out):
    """A file of a case."""

    name: str
    media_type: str
    sha256: str
    size: int = Field(description="Bytes.")


class CaseOut(_Out):
    """A kept case."""

    id: str
    created: datetime
    actor: str = Field(description="Who asked for it.")
    patient_key: str | None = Field(description="Logical id of the Patient in the record that was given.")
    study_uid: str | None
    title: str = Field(description="The summary sentence of the report.")
    call: str | None = Field(description="What was seen on the radiograph; null without one.")
    severity: str
    urgency: str
    region: str | None
    probability: float | None = Field(description="Probability of a fracture on the radiograph, 0 to 1.")
    engine_version: str
    model_versions: list[str]
    signed_by: str | None
    signed: datetime | None


class CaseDetailOut(CaseOut):
    """A kept case with its files and the bedside findings."""

    context: dict[str, Any] = Field(description="Bedside findings; null is 'not stated'.")
    files: list[FileOut]


class CasePageOut(_Out):
    """A page of cases, the newest first."""

    cases: list[CaseOut]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class FeedbackContentOut(_Out):
    """The details of a feedback."""

    fracture: bool | None
    unsure: bool | None = Field(description="True where an own read could not decide.")
    boxes: list[tuple[float, float, float, float]] = Field(description="x0, y0, x1, y1 in pixels of the radiograph.")
    fracture_type: FractureType | None
    weeks: float | None = Field(description="Weeks after the injury.")
    united: bool | None
    seconds: float | None = Field(description="How long the own read took.")


class FeedbackOut(_Out):
    """A kept feedback."""

    id: str
    case_id: str
    created: datetime
    author: str
    role: str
    kind: FeedbackKind
    finding: int | None = Field(description="Index of the detection, from 0.")
    content: FeedbackContentOut
    supersedes: str | None
    model_versions: list[str]


class ReaderOut(_Out):
    """What one reader holds of a case."""

    author: str
    role: str
    fracture: bool | None = Field(description="null where the reader did not say.")
    independent: bool = Field(description="Said before the machine's read was shown.")


class DisagreementOut(_Out):
    """A case whose readers disagree."""

    case_id: str
    created: datetime = Field(description="When the case was assessed.")
    disputes: list[Dispute] = Field(description="What the readers disagree on.")
    call: str | None = Field(description="What the machine said of the radiograph.")
    readers: list[ReaderOut]

    @classmethod
    def of(cls, judged: JudgedCase) -> "DisagreementOut":
        """Of a case with its feedback."""
        return cls(
            case_id=judged.case.id,
            created=judged.case.created,
            disputes=list(judged.truth.disputes),
            call=judged.facts.machine.call,
            readers=[ReaderOut.model_validate(one) for one in judged.truth.readers],
        )


class JobErrorOut(_Out):
    """Why a job failed, or waits for another try."""

    code: str
    text: str


class JobOut(_Out):
    """A job as it stands."""

    id: str
    state: JobState
    created: datetime
    finished: datetime | None
    progress: float = Field(ge=0, le=1)
    step: str | None = Field(description="What is being done.")
    attempts: int
    cancel_asked: bool
    case_id: str | None = Field(description="The case that it became, at /api/cases/{case_id}.")
    error: JobErrorOut | None

    @classmethod
    def of(cls, job: Job) -> "JobOut":
        """A job without what it was given."""
        failed = job.error_code is not None and job.state is not JobState.DONE
        return cls(
            id=job.id,
            state=job.state,
            created=job.created,
            finished=job.finished,
            progress=job.progress,
            step=job.step,
            attempts=job.attempts,
            cancel_asked=job.cancel_asked,
            case_id=None if job.result is None else str(job.result["case_id"]),
            error=JobErrorOut(code=job.error_code or "", text=job.error_text or "") if failed else None,
        )


class ModelOut(_Out):
    """A model, or the evidence base."""

    role: str = Field(description="detector, risk, bone_age or evidence.")
    id: str | None = Field(description="Name, version and digest; null where it is not installed.")
    name: str | None
    version: str | None
    digest: str | None = Field(description="SHA-256 of the model; of several files, of their digests in a row.")
    intended_use: str
    validation: str | None = Field(description="How good it was measured to be.")
    available: bool


class ModelsOut(_Out):
    """Every part whose answers reports rest on."""

    engine_version: str
    models: list[ModelOut]


class HealthOut(_Out):
    """The process answers."""

    status: str
    version: str
    models_kept: dict[str, str] = {}
    """Kinds whose chosen model cannot be used, so that the one before answers, to the code of the reason."""
