"""CDS Hooks over HTTP: discovery, services and feedback below ``/cds-services``, with CORS on every route."""

from collections.abc import Collection
from functools import partial

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from cds.audit import AuditTrail
from cds.entrypoints.hooks_service import Caller, HooksService, ReadBody
from cds.entrypoints.launch import PATH as LAUNCH
from cds.entrypoints.problems import problem_response, status_response
from cds.errors import InputKind, InputTooLargeError, explain
from cds.hooks.errors import WrongMediaTypeError
from cds.hooks.feedback import FeedbackStore, JsonLinesFeedbackStore, NoFeedbackStore
from cds.hooks.services import discovery
from cds.hooks.trust import build_trust
from cds.pipeline import Engines
from cds.settings import Settings
from cds.store.opening import Store
from fhir_adapters.cds_hooks.response import as_json

PATH = "/cds-services"
_PREFLIGHT_LASTS_S = 600
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


def mount_hooks(
    app: FastAPI,
    *,
    settings: Settings,
    engines: Engines,
    audit: AuditTrail,
    feedback: FeedbackStore | None = None,
) -> HooksService:
    """Add the routes; call it before anything is mounted at ``/``.

    Args:
        app: the service.
        settings: clients, origins, servers, limits.
        engines: the parts to use.
        audit: where calls are recorded.
        feedback: where cards and feedback are kept; what the settings say by default.

    Raises:
        SettingsError: calls without client tokens beyond the loopback address.
    """
    service = HooksService(
        settings=settings,
        engines=engines,
        audit=audit,
        feedback=feedback or build_feedback_store(settings),
        trust=build_trust(settings),
    )
    _add_routes(app, service)
    return service


def build_feedback_store(settings: Settings, store: Store | None = None) -> FeedbackStore:
    """Where cards and feedback are kept: in the store; without one in a file, if the operator named one.

    Args:
        settings: whether anything is kept, and the file.
        store: the service's store, open; None where it keeps none.
    """
    if store is not None:
        return store.hook_feedback
    if settings.store == "off" and settings.hooks_feedback_log is None:
        return NoFeedbackStore()
    return JsonLinesFeedbackStore(settings.hooks_feedback_path)


def _add_routes(app: FastAPI, service: HooksService) -> None:
    # Plain requests and responses: the bodies have their own checks and their own errors.
    @app.get(PATH, summary="CDS Hooks: discovery", response_class=JSONResponse, tags=["cds-hooks"])
    async def discover(request: Request) -> Response:
        try:
            await service.admit(_caller(request, service.settings))
        except Exception as error:
            return _problem(error)
        return JSONResponse(as_json(discovery()))

    @app.post(
        f"{PATH}/{{service_id}}", summary="CDS Hooks: call a service", response_class=JSONResponse, tags=["cds-hooks"]
    )
    async def call(service_id: str, request: Request) -> Response:
        try:
            answer = await service.call(
                service_id, _reader(request, service.settings), _caller(request, service.settings)
            )
        except Exception as error:
            return _problem(error)
        return JSONResponse(as_json(answer))

    @app.post(
        f"{PATH}/{{service_id}}/feedback",
        summary="CDS Hooks: what became of the cards",
        response_class=Response,
        tags=["cds-hooks"],
    )
    async def feedback(service_id: str, request: Request) -> Response:
        try:
            await service.take_feedback(
                service_id, _reader(request, service.settings), _caller(request, service.settings)
            )
        except Exception as error:
            return _problem(error)
        return Response(status_code=200)

    @app.api_route(PATH, methods=_METHODS, include_in_schema=False)
    @app.api_route(f"{PATH}/{{path:path}}", methods=_METHODS, include_in_schema=False)
    async def elsewhere(path: str = "") -> Response:
        parts = [part for part in path.split("/") if part]
        if not parts:
            return status_response(405, "Discovery takes GET only.", {"Allow": "GET"})
        if len(parts) == 1 or parts[1:] == ["feedback"]:
            return status_response(405, "A service takes POST only.", {"Allow": "POST"})
        return status_response(404, "There is nothing at this address.")


def _problem(error: Exception) -> Response:
    response = problem_response(explain(error))
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="cds-hooks", error="invalid_token"'
    return response


def _reader(request: Request, settings: Settings) -> ReadBody:
    return partial(_body, request, settings.hooks_max_request_bytes)


async def _body(request: Request, limit_bytes: int) -> bytes:
    """The body, as far as the limit.

    Raises:
        WrongMediaTypeError: it is not declared as JSON.
        InputTooLargeError: it is larger.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not (media_type.startswith("application/") and "+json" in media_type):
        raise WrongMediaTypeError
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit_bytes:
            error = InputTooLargeError(InputKind.REQUEST, limit_bytes=limit_bytes)
            error.remedy = "Prefetch less, or raise FRACTURE_CDS_HOOKS_MAX_REQUEST_MIB."
            raise error
        parts.append(part)
    return b"".join(parts)


def _caller(request: Request, settings: Settings) -> Caller:
    """Who called what; behind a proxy the address that clients see comes from the settings."""
    base = settings.hooks_base_url or f"{request.url.scheme}://{request.url.netloc}"
    base = base.rstrip("/")
    return Caller(
        address="unknown" if request.client is None else request.client.host,
        authorization=request.headers.get("authorization"),
        url=f"{base}{request.url.path}",
        form_url=f"{base}/" if settings.smart_client_id is None else f"{base}{LAUNCH}",
    )


class HooksCors:
    """CORS for the routes of CDS Hooks, their errors included, and for nothing else."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        """Wrap an application; the outermost middleware but for those that refuse hosts.

        Args:
            app: the application.
            origins: web origins that may call; ``*`` for all.
        """
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "Accept"],
            # A page on the public internet calls a service on this machine or in this network.
            allow_private_network=True,
            expose_headers=["WWW-Authenticate"],
            max_age=_PREFLIGHT_LASTS_S,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let everything else pass."""
        path = scope.get("path", "")
        hooks = scope["type"] == "http" and (path == PATH or path.startswith(f"{PATH}/"))
        await (self._cors if hooks else self._app)(scope, receive, send)
