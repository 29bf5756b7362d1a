"""What people do in the form, for the audit: its events come over one address of the toolkit, which says nothing."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from starlette.requests import HTTPConnection

from cds.audit import AuditKind, AuditTrail, record_access
from cds.entrypoints.auth import principal_of
from cds.entrypoints.auth_audit import access_entry
from cds.errors import UnauthorisedError, error_code
from cds.security.roles import Principal


@contextmanager
def noted(
    trail: AuditTrail,
    request: Any,
    kind: AuditKind,
    *,
    target: str | None = None,
    patient: str | None = None,
    query: tuple[str, Mapping[str, str]] | None = None,
) -> Generator[None]:
    """Record what the block does, also when it fails; what cannot be recorded is not shown.

    Args:
        trail: where the record goes.
        request: ``gr.Request``.
        kind: what is done.
        target: what with, such as ``case/<id>``.
        patient: key of the patient; kept as a digest only.
        query: name of a search and what was filled in; values that can name a patient are kept as their length only.

    Raises:
        AuditError: the record cannot be kept.
    """
    asked = None if query is None else f"FORM /{query[0]}?{urlencode({k: v for k, v in query[1].items() if v})}"

    def keep(outcome: str) -> None:
        # Gradio's request wraps the one that came over the network.
        plain: HTTPConnection = getattr(request, "request", request)
        entry = access_entry(
            plain, kind, principal=_principal(request), target=target, query=asked, outcome=outcome, patient=patient
        )
        record_access(trail, entry)

    try:
        yield
    except Exception as error:
        keep(error_code(error))
        raise
    keep("ok")


def _principal(request: Any) -> Principal | None:
    try:
        return principal_of(request)
    except UnauthorisedError:
        return None
