"""The HTTP service: the form at ``/``, the API under ``/api``, health at ``/healthz`` and ``/readyz``.

It is meant for one department's machine: it listens on the loopback address unless told otherwise, loads nothing from
other hosts, and keeps no result. Uploads of the form lie in a private temporary folder until they expire.
"""

import logging
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from cds.audit import AuditTrail
from cds.bedside import BEDSIDE_FIELDS, FieldKind
from cds.bootstrap import build_audit_trail, build_engines, warm_up
from cds.entrypoints.guards import REPORT_POLICY, BodyLimit, PrivacyHeaders
from cds.entrypoints.hooks import HooksCors, mount_hooks
from cds.entrypoints.problems import PROBLEM_MEDIA_TYPE, install_problem_handlers, problem_response, status_response
from cds.entrypoints.service import RawCase, Service
from cds.errors import InputError, UnauthorisedError, explain
from cds.localisation.language import Language
from cds.logs import configure_logging
from cds.options import ReportFormat
from cds.outputs import FILE_KINDS, render
from cds.pipeline import Engines
from cds.settings import MEBIBYTE, Settings
from cds.version import engine_version

_log = logging.getLogger(__name__)

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FORM_OVERHEAD_BYTES = MEBIBYTE
"""Room for the text fields and the framing of a multipart request."""
FILE_FIELDS = frozenset({"image", "bundle"})
TEXT_FIELDS = frozenset({"patient_id", "frame", "as_of"}) | {item.name for item in BEDSIDE_FIELDS}
PAGES = frozenset({ReportFormat.HTML, ReportFormat.PATIENT})
"""Formats that a browser shows as a page."""


def create_app(settings: Settings, engines: Engines | None = None, audit: AuditTrail | None = None) -> FastAPI:
    """Build the service.

    Args:
        settings: limits, access token, allowed hosts.
        engines: the parts to use; the real ones by default.
        audit: where assessments are recorded; what the settings say by default.
    """
    from cds.entrypoints.evidence_web import mount_evidence
    from cds.entrypoints.form import discard_uploads, mount_form

    service = Service(
        settings=settings,
        engines=engines or build_engines(settings),
        audit=audit or build_audit_trail(settings),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=_load_early, args=(service.engines,), daemon=True).start()
        yield
        discard_uploads()

    app = FastAPI(
        title="fracture-cds",
        version=engine_version(),
        summary="Decision support for limb fractures. Investigational, not for diagnostic use.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # these pages load their scripts from another host
        redoc_url=None,
        lifespan=lifespan,
    )
    install_problem_handlers(app)
    _add_health(app, service)
    mount_evidence(app)
    _add_api(app, service)
    mount_hooks(app, settings=settings, engines=service.engines, audit=service.audit)

    mount_form(app, service)
    limit = settings.max_image_bytes + settings.max_record_bytes + FORM_OVERHEAD_BYTES
    app.add_middleware(BodyLimit, limit_bytes=limit)
    app.add_middleware(HooksCors, origins=settings.hooks_origins)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.allowed_hosts), www_redirect=False)
    app.add_middleware(PrivacyHeaders)
    return app


def run_server(settings: Settings) -> None:
    """Serve until interrupted."""
    configure_logging(settings.log_level)
    if settings.host not in LOOPBACK and settings.access_token is None:
        _log.warning(
            "Listening on %s without FRACTURE_CDS_ACCESS_TOKEN: anyone who reaches this port can use it.", settings.host
        )
    app = create_app(settings)
    print(f"fracture-cds at http://{settings.host}:{settings.port} (stop with Ctrl+C)", flush=True)
    uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, server_header=False)


def _load_early(engines: Engines) -> None:
    """Load the models while the first page is read; a failure is explained when a case or ``/readyz`` meets it."""
    try:
        warm_up(engines)
    except Exception as error:
        problem = explain(error)
        _log.warning("not ready: %s [%s]", problem.what, problem.code)


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/healthz", summary="The process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "live", "version": engine_version()}

    @app.get("/readyz", summary="Every model is loaded", responses=_problem_responses(503))
    def readyz() -> Response:
        try:
            warm_up(service.engines)
        except Exception as error:
            return problem_response(explain(error))
        return JSONResponse({"status": "ready", "version": engine_version()})


def _add_api(app: FastAPI, service: Service) -> None:
    @app.post(
        "/api/assess",
        summary="Assess one case",
        description="An X-ray, a patient record, or both, and bedside findings. What is left out is 'not stated'."
        " `explain=true` adds heat maps to the HTML report and the PDF; they cost seconds."
        " `language` is that of the patient page.",
        response_class=Response,
        responses={
            200: {"description": "The report", "content": {kind.media_type: {} for kind in FILE_KINDS.values()}},
            **_problem_responses(401, 413, 422, 503),
        },
        openapi_extra={"requestBody": _request_body()},
    )
    async def assess(
        request: Request,
        format: ReportFormat | None = None,
        heat_maps: Annotated[bool, Query(alias="explain")] = False,
        language: Language = Language.EN,
    ) -> Response:
        chosen = format or _accepted(request.headers.get("accept", ""))
        try:
            _check_token(request, service.settings)
            async with request.form(max_files=2, max_fields=len(TEXT_FIELDS)) as form:
                raw = replace(await _read_form(form), explain=heat_maps)
            client = "unknown" if request.client is None else request.client.host
            result = await run_in_threadpool(service.assess, raw, client=client)
            content = await run_in_threadpool(render, result, chosen, language)
        except HTTPException:
            raise
        except Exception as error:
            return problem_response(explain(error))
        headers = {"Content-Security-Policy": REPORT_POLICY} if chosen in PAGES else None
        return Response(content, media_type=FILE_KINDS[chosen].media_type, headers=headers)

    @app.api_route(
        "/api/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"], include_in_schema=False
    )
    async def elsewhere(path: str) -> Response:
        if path == "assess":
            return status_response(405, "This address takes POST only.", {"Allow": "POST"})
        return status_response(404, "There is nothing at this address.")


def _accepted(accept: str) -> ReportFormat:
    """The first format that the client names; JSON when it names none of ours."""
    by_media_type = {
        "text/html": ReportFormat.HTML,
        "application/json": ReportFormat.JSON,
        "application/fhir+json": ReportFormat.FHIR,
        "application/pdf": ReportFormat.PDF,
        "application/dicom": ReportFormat.DICOM,
    }
    for part in accept.split(","):
        chosen = by_media_type.get(part.partition(";")[0].strip().lower())
        if chosen is not None:
            return chosen
    return ReportFormat.JSON


def _check_token(request: Request, settings: Settings) -> None:
    if settings.access_token is None:
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    expected = settings.access_token.get_secret_value().encode()
    if scheme.lower() != "bearer" or not secrets.compare_digest(given.strip().encode(), expected):
        raise UnauthorisedError


async def _read_form(form: FormData) -> RawCase:
    """The fields of the request; an unknown or repeated one is refused, since a misspelled one would be lost."""
    names = [name for name, _ in form.multi_items()]
    if set(names) - FILE_FIELDS - TEXT_FIELDS or len(names) != len(set(names)):
        raise InputError(
            "The request holds a field that is unknown or given twice.",
            remedy=f"Known fields: {', '.join(sorted(FILE_FIELDS | TEXT_FIELDS))}.",
        )
    files: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) != (name in FILE_FIELDS):
            raise InputError(f"The field '{name}' has the wrong kind.", remedy="Send image and bundle as files.")
        if isinstance(value, UploadFile):
            content = await value.read()
            if value.filename or content:  # a browser sends a nameless empty file for a field left blank
                files[name] = content
        else:
            texts[name] = value
    return RawCase(
        image=files.get("image"),
        bundle=files.get("bundle"),
        patient_id=texts.get("patient_id"),
        frame=texts.get("frame"),
        as_of=texts.get("as_of"),
        bedside={item.name: texts.get(item.name) for item in BEDSIDE_FIELDS},
    )


def _problem_responses(*statuses: int) -> dict[int | str, dict[str, object]]:
    return {status: {"description": "A problem", "content": {PROBLEM_MEDIA_TYPE: {}}} for status in statuses}


def _request_body() -> dict[str, object]:
    """OpenAPI of the multipart request, from the same table that the form is built of."""
    properties: dict[str, dict[str, object]] = {
        "image": {"type": "string", "format": "binary", "description": "DICOM, PNG or JPEG."},
        "bundle": {"type": "string", "format": "binary", "description": "FHIR R4 Bundle, JSON or gzip of JSON."},
        "patient_id": {"type": "string", "description": "Which Patient, when the bundle holds several."},
        "frame": {"type": "integer", "minimum": 1, "default": 1, "description": "DICOM frame, counted from 1."},
        "as_of": {"type": "string", "format": "date-time", "description": "Time of the assessment; now by default."},
    }
    for item in BEDSIDE_FIELDS:
        schema: dict[str, object] = {"description": item.explanation, "type": "string"}
        if item.kind is FieldKind.FLAG:
            schema["enum"] = ["yes", "no"]
        elif item.choices is not None:
            schema["enum"] = [member.value for member in item.choices]
        else:
            schema["type"] = "number"
        properties[item.name] = schema
    return {"content": {"multipart/form-data": {"schema": {"type": "object", "properties": properties}}}}
