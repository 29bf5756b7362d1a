"""One call from bytes to answer: who asks, what they know, what is worth saying, and one audit record of it."""

import logging
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from starlette.concurrency import run_in_threadpool

from cds.audit import AuditRecord, AuditTrail, sha256_hex
from cds.case import CaseInput
from cds.errors import error_code
from cds.hooks.errors import FeedbackStoreError, WrongHookError
from cds.hooks.feedback import CardFeedback, FeedbackStore, IssuedCard
from cds.hooks.news import News
from cds.hooks.orders import order_news
from cds.hooks.record import HookRecord, read_hook_record
from cds.hooks.risk import risk_news
from cds.hooks.services import Service, service
from cds.hooks.trust import ClientTrust
from cds.pipeline import Engines, model_versions, run_case
from cds.presenters.cards import CardContext, cards_of, kind_of, rules_of
from cds.settings import Settings
from cds.version import engine_version
from fhir_adapters.cds_hooks.orders import draft_orders
from fhir_adapters.cds_hooks.request import Hook, HookRequest, parse_feedback, parse_hook
from fhir_adapters.cds_hooks.response import Card, HookResponse
from fusion.evidence_base import EvidenceBase

_log = logging.getLogger(__name__)

ReadBody = Callable[[], Awaitable[bytes]]
"""Gives the body; asked only once the client is known, so that a stranger's megabytes are not read."""


def now() -> datetime:
    """The time of an assessment."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """How a call reached the service."""

    address: str
    """Network address."""
    authorization: str | None = field(repr=False)
    """The header of that name."""
    url: str
    """The exact address that was called, as clients see it."""
    form_url: str
    """Where the form of this service is."""


@dataclass(slots=True)
class _Audited:
    """What the audit record of a call will say."""

    actor: str
    versions: tuple[str, ...] = ()
    record: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HooksService:
    """Everything that answers calls."""

    settings: Settings
    engines: Engines
    audit: AuditTrail
    feedback: FeedbackStore
    trust: ClientTrust | None
    """None: calls need no client token."""
    clock: Callable[[], datetime] = now

    async def admit(self, caller: Caller) -> str:
        """Who is calling, for the audit record.

        Raises:
            ClientRefusedError: the client did not show who it is.
        """
        if self.trust is None:
            return f"hooks:{caller.address}"
        issuer = await self.trust.verify(caller.authorization, audience=caller.url)
        return f"hooks:{issuer}"

    async def call(self, service_id: str, read: ReadBody, caller: Caller) -> HookResponse:
        """Answer a call of a service.

        Args:
            service_id: from the address.
            read: gives the body.
            caller: how the call came.

        Raises:
            HookError: the client, the service or the data.
            HookPayloadError: the body.
            Exception: what the engines raise.
        """
        with self._audited(caller) as entry:
            entry.actor = await self.admit(caller)
            wanted = service(service_id)
            request = parse_hook(await read())
            if request.hook not in wanted.hooks:
                raise WrongHookError(one.value for one in wanted.hooks)
            record = await read_hook_record(request, wanted, self.settings)
            entry.record = record.bundle
            return await run_in_threadpool(self._answer, wanted, request, record, caller, entry)

    async def take_feedback(self, service_id: str, read: ReadBody, caller: Caller) -> None:
        """Keep what became of cards.

        Args:
            service_id: from the address.
            read: gives the body.
            caller: how the call came.

        Raises:
            HookError: the client, the service or the store.
            HookPayloadError: the body.
        """
        with self._audited(caller) as entry:
            entry.actor = await self.admit(caller)
            wanted = service(service_id)
            given = parse_feedback(await read())
            received = self.clock()
            found = tuple(
                CardFeedback(
                    card=one.card,
                    service=wanted.id,
                    client=entry.actor.removeprefix("hooks:"),
                    outcome=one.outcome.value,
                    accepted=tuple(item.id for item in one.acceptedSuggestions or ()),
                    reason_system=reason.system if reason is not None else None,
                    reason_code=reason.code if reason is not None else None,
                    comment=one.overrideReason.userComment if one.overrideReason is not None else None,
                    outcome_at=one.outcomeTimestamp,
                    received=received,
                )
                for one in given.feedback
                for reason in (one.overrideReason.reason if one.overrideReason is not None else None,)
            )
            await run_in_threadpool(self.feedback.keep, found)

    def _answer(
        self, wanted: Service, request: HookRequest, record: HookRecord, caller: Caller, entry: _Audited
    ) -> HookResponse:
        evidence = EvidenceBase.load()
        if request.hook is Hook.PATIENT_VIEW:
            case = CaseInput(bundle=record.bundle, patient_id=record.patient_id, as_of=self.clock())
            result = run_case(case, self.engines)
            entry.versions = model_versions(result)
            found = None if result.patient is None else risk_news(result.patient, result.risk)
            news: tuple[News, ...] = () if found is None else (found,)
        else:
            entry.versions = (evidence.version,)
            news = self._order_news(request, record, evidence)
        context = CardContext(
            hook_instance=f"{request.hookInstance}/{wanted.id}",
            evidence=evidence,
            launch_url=self.settings.hooks_launch_url or caller.form_url,
            app_context=self.settings.hooks_app_context,
            gaps=record.gaps,
        )
        cards = cards_of(news, context)
        self._note_issued(wanted, request, news, cards)
        return HookResponse(cards=cards)

    def _order_news(self, request: HookRequest, record: HookRecord, evidence: EvidenceBase) -> tuple[News, ...]:
        bundle = request.context.draftOrders or {}
        selections = request.context.selections if request.hook is Hook.ORDER_SELECT else None
        orders = draft_orders(bundle, patient_id=record.patient_id, selections=selections)
        if not orders:
            return ()
        patient = self.engines.read_record(record.bundle, as_of=self.clock(), patient_id=record.patient_id)
        return order_news(patient, orders, draft_bundle=bundle, read_record=self.engines.read_record, evidence=evidence)

    def _note_issued(
        self, wanted: Service, request: HookRequest, news: tuple[News, ...], cards: tuple[Card, ...]
    ) -> None:
        """Keep what the cards were; a card is not withheld because that fails."""
        issued = [
            IssuedCard(
                card=card.uuid,
                service=wanted.id,
                hook=request.hook.value,
                hook_instance=request.hookInstance,
                kind=kind_of(one).value,
                indicator=card.indicator.value,
                rules=rules_of(one),
                suggestions=tuple((item.uuid, item.label) for item in card.suggestions or ()),
                issued=self.clock(),
            )
            for one, card in zip(news, cards, strict=True)
        ]
        try:
            self.feedback.issued(issued)
        except FeedbackStoreError as error:
            _log.warning("issued cards were not noted [%s]", error.code)

    @contextmanager
    def _audited(self, caller: Caller) -> Generator[_Audited]:
        """One audit record, also of a failure; an answer that nobody can trace is not handed out."""
        started, clock = datetime.now().astimezone(), time.monotonic()
        entry = _Audited(actor=f"hooks:{caller.address}")

        def keep(outcome: str) -> None:
            self.audit.record(
                AuditRecord(
                    case_id=str(uuid4()),
                    started=started,
                    duration_ms=round((time.monotonic() - clock) * 1000),
                    actor=entry.actor,
                    outcome=outcome,
                    engine_version=engine_version(),
                    model_versions=entry.versions,
                    image_sha256=None,
                    record_sha256=sha256_hex(entry.record),
                )
            )

        try:
            yield entry
        except Exception as error:
            keep(error_code(error))
            raise
        keep("ok")
