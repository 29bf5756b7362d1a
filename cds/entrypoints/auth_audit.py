"""Who opened which case and who logged in: an audit record before the answer leaves.

`AccessAudit` stands behind the gate and around the routes, so that a new route below ``/api/cases`` cannot be
forgotten; the form notes its own acts (`cds.entrypoints.form.trail`). An answer that cannot be recorded is not given.
Assessments leave records of their own (`cds.pipeline.handle_case`).
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds.audit import AccessRecord, AuditKind, AuditTrail, record_access
from cds.entrypoints.problems import problem_response
from cds.errors import NotStoredError, explain
from cds.security.access import address_of
from cds.security.roles import Principal, PrincipalKind

_CASES = re.compile(r"/api/(?:feedback/open|cases(?:/(?P<id>[0-9a-fA-F-]{1,64})(?P<rest>/.*)?)?)/?")
_KINDS = {"GET": AuditKind.READ, "POST": AuditKind.UPDATE, "PUT": AuditKind.UPDATE, "DELETE": AuditKind.DELETE}

PatientOf = Callable[[str], str | None]
"""The patient key of a case; None for none."""


class AccessAudit:
    """Records who read, searched or changed kept cases."""

    def __init__(self, app: ASGIApp, *, trail: AuditTrail, patient_of: PatientOf) -> None:
        """Wrap an application.

        Args:
            app: the application.
            trail: where the records go.
            patient_of: whose case it is.
        """
        self._app = app
        self._trail = trail
        self._patient_of = patient_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; between the application's answer and the client stands the record."""
        match = _CASES.fullmatch(scope["path"]) if scope["type"] == "http" else None
        kind = None if match is None else _KINDS.get(scope["method"])
        if match is None or kind is None:
            await self._app(scope, receive, send)
            return
        case_id = match["id"]
        patient = None if case_id is None else await run_in_threadpool(self._patient, case_id.lower())
        refused = False

        async def recorded(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start":
                entry = _entry(Request(scope), kind, case_id, match["rest"] or "", message["status"], patient)
                try:
                    await run_in_threadpool(record_access, self._trail, entry)
                except Exception as error:
                    refused = True
                    await problem_response(explain(error))(scope, receive, send)
            if not refused:
                await send(message)

        await self._app(scope, receive, recorded)

    def _patient(self, case_id: str) -> str | None:
        """Before the answer: afterwards the case may be gone."""
        try:
            return self._patient_of(case_id)
        except NotStoredError:
            return None


def login_entry(connection: HTTPConnection, principal: Principal | None, *, outcome: str = "ok") -> AccessRecord:
    """The record of a login, or of a credential that opened nothing.

    Args:
        connection: the request.
        principal: who logged in; None for nobody.
        outcome: ``ok`` or the dotted code of the error.
    """
    return access_entry(connection, AuditKind.LOGIN, principal=principal, outcome=outcome)


def access_entry(
    connection: HTTPConnection,
    kind: AuditKind,
    *,
    principal: Principal | None,
    target: str | None = None,
    query: str | None = None,
    outcome: str = "ok",
    patient: str | None = None,
) -> AccessRecord:
    """What a request did, for the audit.

    Args:
        connection: the request.
        kind: what was done.
        principal: who did it; None where no gate stands in front.
        target: what with, such as ``case/<id>``; no patient's name or number.
        query: the raw request of a search.
        outcome: ``ok`` or the dotted code of the error.
        patient: key of the patient; kept as a digest only.
    """
    local = principal is None or principal.kind is PrincipalKind.LOCAL
    return AccessRecord(
        occurred=datetime.now(UTC),
        kind=kind,
        actor=f"web:{address_of(connection)}" if principal is None or local else principal.actor,
        outcome=outcome,
        role=None if principal is None else principal.role.value,
        address=address_of(connection),
        target=None if target is None else target[:200],
        request_id=connection.headers.get("x-request-id"),
        query=query,
        token_tail=None if principal is None else principal.token_tail,
        patient_key=patient,
    )


def _entry(
    request: Request, kind: AuditKind, case_id: str | None, rest: str, status: int, patient: str | None
) -> AccessRecord:
    principal = request.scope.get("state", {}).get("principal")
    query = request.url.query
    return access_entry(
        request,
        AuditKind.QUERY if case_id is None else kind,
        principal=principal if isinstance(principal, Principal) else None,
        target=None if case_id is None else f"case/{case_id}{rest}",
        query=f"{request.method} {request.url.path}{'?' + query if query else ''}" if case_id is None else None,
        outcome="ok" if status < 400 else f"http.{status}",
        patient=patient,
    )
