"""What the API and the form share: the engines, and the way from raw inputs to one result."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cds.audit import AuditTrail
from cds.bedside import parse_context
from cds.case import CaseInput, CaseResult
from cds.errors import InputError, InputKind, InputTooLargeError
from cds.pipeline import Engines, handle_case
from cds.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """A case as it came over the wire: bytes and text, nothing checked."""

    image: bytes | None
    bundle: bytes | None
    patient_id: str | None
    frame: str | None
    as_of: str | None
    bedside: Mapping[str, str | None]
    explain: bool = False
    """Whether heat maps are wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One running service."""

    settings: Settings
    engines: Engines
    audit: AuditTrail

    def assess(self, raw: RawCase, *, client: str) -> CaseResult:
        """Check the inputs and assess the case.

        Args:
            raw: the inputs.
            client: who asks, for the audit record: an address or a login.

        Raises:
            Exception: everything that `cds.errors.explain` knows.
        """
        case = CaseInput(
            image=_within(raw.image, InputKind.RADIOGRAPH, self.settings.max_image_bytes),
            bundle=_within(raw.bundle, InputKind.RECORD, self.settings.max_record_bytes),
            patient_id=raw.patient_id or None,
            frame=_frame(raw.frame),
            context=parse_context(raw.bedside),
            explain=raw.explain,
            as_of=_moment(raw.as_of),
        )
        return handle_case(case, self.engines, audit=self.audit, actor=f"web:{client}")


def _within(data: bytes | None, kind: InputKind, limit_bytes: int) -> bytes | None:
    if data is not None and len(data) > limit_bytes:
        raise InputTooLargeError(kind, limit_bytes=limit_bytes)
    return data


def _frame(text: str | None) -> int:
    if not text:
        return 1
    if text.isascii() and text.isdigit() and int(text[:9]) >= 1:
        return int(text[:9])
    raise InputError("The frame number cannot be read.", remedy="Give a whole number from 1 on.")


def _moment(text: str | None) -> datetime:
    if not text:
        return datetime.now().astimezone()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(
            "The time of the assessment cannot be read.",
            remedy="Give ISO 8601 with its UTC offset, for instance 2026-03-04T09:30:00+00:00, or leave it out.",
        ) from None
    return moment
