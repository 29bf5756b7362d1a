"""What the API and the form share: the engines, and the way from raw inputs to one result."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from cds.audit import AuditTrail
from cds.bedside import parse_context
from cds.case import CaseInput, CaseResult
from cds.errors import ConflictError, InputError, InputKind, InputTooLargeError, StoreOffError, error_code
from cds.localisation.language import Language
from cds.metrics import Metrics, outcome_of
from cds.options import ReportFormat
from cds.outputs import render
from cds.pipeline import Engines, handle_case, model_versions
from cds.settings import Settings
from cds.smart_launch import SmartLaunches
from cds.store.cases import StoredCase
from cds.store.opening import Store
from cds.version import engine_version
from cds.work.keeping import keep, kept_before, kept_request, report_file, report_name
from cds.work.requests import RawCase

__all__ = ["RawCase", "Service"]

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""Of a time of assessment: beyond them, dates cannot be counted with in every time zone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One running service."""

    settings: Settings
    engines: Engines
    audit: AuditTrail
    store: Store | None = None
    """Where cases are kept; None keeps nothing."""
    metrics: Metrics = field(default_factory=Metrics)
    launches: SmartLaunches | None = None
    """Patients whom an EHR opened the form for; None where no EHR does."""

    def assess(
        self,
        raw: RawCase,
        *,
        client: str,
        request_key: str | None = None,
        before_keeping: Callable[[], None] = lambda: None,
    ) -> CaseResult:
        """Check the inputs, assess the case, and keep it where there is a store.

        Args:
            raw: the inputs.
            client: who asks, for the audit record: an address or a login.
            request_key: makes a repetition the same case: `CaseResult.case_id` is then that of the case kept first.
            before_keeping: called once all is known; may raise to stop.

        Raises:
            Exception: everything that `cds.errors.explain` knows.
        """
        try:
            case = self.checked(raw)
            result = handle_case(case, self.engines, audit=self.audit, actor=f"web:{client}")
        except Exception as error:
            self.metrics.failed(error_code(error), where="web")
            raise
        self.metrics.assessed(outcome_of(result), where="web")
        if self.store is None:
            return result
        before_keeping()
        stored = keep(self.store, raw, case, result, actor=f"web:{client}", request_key=request_key)
        return result if stored.id == result.case_id else replace(result, case_id=stored.id)

    def checked(self, raw: RawCase) -> CaseInput:
        """The inputs as the pipeline takes them.

        Raises:
            InputTooLargeError: a file exceeds its limit.
            InputError: a field cannot be read.
        """
        return CaseInput(
            image=_within(raw.image, InputKind.RADIOGRAPH, self.settings.max_image_bytes),
            bundle=_within(raw.bundle, InputKind.RECORD, self.settings.max_record_bytes),
            patient_id=raw.patient_id or None,
            frame=_frame(raw.frame),
            context=parse_context(raw.bedside),
            explain=raw.explain,
            source_warnings=raw.source_warnings,
            as_of=_moment(raw.as_of),
        )

    def opened(self) -> Store:
        """The store.

        Raises:
            StoreOffError: this service keeps nothing.
        """
        if self.store is None:
            raise StoreOffError
        return self.store

    def answered(self, raw: RawCase, request_key: str) -> StoredCase | None:
        """The case of a request that was answered before under the same key; None for a new one.

        Raises:
            ConflictError: the key came with another request.
        """
        return None if self.store is None else kept_before(self.store, raw, request_key)

    def report(
        self, case_id: str, chosen: ReportFormat, language: Language = Language.EN, *, client: str
    ) -> tuple[bytes, str]:
        """A report of a kept case and its media type; one that was not made yet is made, and kept.

        Args:
            case_id: which case.
            chosen: the format.
            language: of the report, the PDF and the patient page.
            client: who asks.

        Raises:
            StoreOffError: this service keeps nothing.
            NotStoredError: there is no such case.
            ConflictError: the format was not made then, and the models have changed since.
            Exception: everything else that `cds.errors.explain` knows.
        """
        store = self.opened()
        stored, name = store.cases.get(case_id), report_name(chosen, language)
        if any(one.name == name for one in stored.files):
            return store.cases.file(case_id, name)
        result = self._again(store, stored, client)
        file = report_file(chosen, language, render(result, chosen, language))
        store.cases.add_file(case_id, file)
        return file.content, file.media_type

    def _again(self, store: Store, stored: StoredCase, client: str) -> CaseResult:
        """The result of a kept case: the same inputs at the same time through the same models."""
        case = self.checked(kept_request(store, stored.id, dated=True))
        result = handle_case(case, self.engines, audit=self.audit, actor=f"web:{client}", case_id=stored.id)
        if (engine_version(), model_versions(result)) != (stored.engine_version, stored.model_versions):
            raise ConflictError(
                "This format was not made at the time, and the models have changed since.",
                remedy="Use a report that was kept, or assess the case anew.",
            )
        return result


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
    if moment is None or moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise InputError(
            "The time of the assessment cannot be read.",
            remedy="Give ISO 8601 with its UTC offset, for instance 2026-03-04T09:30:00+00:00, or leave it out.",
        ) from None
    return moment
