"""Who is at the keyboard."""

from typing import Any

from cds.entrypoints.auth import principal_of
from cds.errors import UnauthorisedError

ROLE = "clinician"
"""Everybody whom the form lets act is one: the gate refuses a viewer's clicks."""


def client_of(request: Any) -> str:
    """Name for audit records, signatures and feedback: the login, else the address.

    Args:
        request: ``gr.Request``.
    """
    try:
        return principal_of(request).actor
    except UnauthorisedError:
        pass
    if request.username:
        return str(request.username)
    return str(request.client.host) if request.client else "unknown"
