"""SMART App Launch over HTTP: ``/launch`` and ``/launch/callback``, behind the gate like everything else.

Whoever is not logged in here logs in first and comes back to the launch. At its end the browser is sent to the form
with the number of the launch; the token, and the code that it came from, stand in no address of ours.
"""

import secrets

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from cds.audit import AuditKind, AuditTrail, record_access
from cds.entrypoints.auth import principal_of, problem_page
from cds.entrypoints.auth_audit import access_entry
from cds.errors import LaunchRefusedError, error_code
from cds.settings import Settings
from cds.smart_launch import SmartLaunches

PATH = "/launch"
CALLBACK = f"{PATH}/callback"
COOKIE = "fracture_cds_launch"
_OFF = "This service is not set up to be launched from an EHR."


def mount_launch(app: FastAPI, settings: Settings, launches: SmartLaunches | None, trail: AuditTrail) -> None:
    """Add the routes; call it before anything is mounted at ``/``.

    Args:
        app: the service.
        settings: the address that browsers see.
        launches: None where no EHR launches the form.
        trail: where launches are recorded.
    """

    @app.get(PATH, include_in_schema=False)
    async def launch(request: Request) -> Response:
        try:
            browser = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
            target = await _ready(launches).begin(
                request.query_params,
                redirect=public_base(request, settings) + CALLBACK,
                actor=principal_of(request).actor,
                browser=browser,
            )
        except Exception as error:
            return problem_page(error)
        response = RedirectResponse(target, status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, browser, httponly=True, samesite="lax", secure=secure, path="/")
        return response

    @app.get(CALLBACK, include_in_schema=False)
    async def back(request: Request) -> Response:
        principal = principal_of(request)

        def note(outcome: str, patient: str | None = None) -> None:
            entry = access_entry(
                request, AuditKind.READ, principal=principal, target="ehr-launch", outcome=outcome, patient=patient
            )
            record_access(trail, entry)

        try:
            try:
                launched = await _ready(launches).finish(
                    request.query_params, actor=principal.actor, browser=request.cookies.get(COOKIE, "")
                )
            except Exception as error:
                await run_in_threadpool(note, error_code(error))
                raise
            await run_in_threadpool(note, "ok", launched.patient_id)
        except Exception as error:
            return problem_page(error)
        return RedirectResponse(f"/?launch={launched.id}", status_code=303)


def public_base(request: Request, settings: Settings) -> str:
    """Scheme and host under which browsers see this service, without a slash at the end."""
    return (settings.public_url or f"{request.url.scheme}://{request.url.netloc}").rstrip("/")


def _ready(launches: SmartLaunches | None) -> SmartLaunches:
    if launches is None:
        raise LaunchRefusedError(_OFF, remedy="Set FRACTURE_CDS_SMART_CLIENT_ID and FRACTURE_CDS_SMART_ISSUERS.")
    return launches
