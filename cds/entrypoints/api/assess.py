"""``POST /api/assess``: one case, answered at once."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from cds.entrypoints.api.intake import read_case, request_body
from cds.entrypoints.api.routes import ProblemRoute, problems
from cds.entrypoints.auth import client_of
from cds.entrypoints.guards import REPORT_POLICY
from cds.entrypoints.service import Service
from cds.localisation.language import Language
from cds.options import ReportFormat
from cds.outputs import FILE_KINDS, render
from cds.work.gate import Turnstile
from cds.work.keeping import report_file
from cds.work.requests import RawCase

PAGES = frozenset({ReportFormat.HTML, ReportFormat.PATIENT})
"""Formats that a browser shows as a page."""
CASE_HEADER = "Fracture-CDS-Case"
KEY_PATTERN = r"^[!-~]{1,200}$"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY_PATTERN,
        description="A repetition with the same key and the same inputs gives the case that was kept first.",
    ),
]
_HEADERS = {
    CASE_HEADER: {"schema": {"type": "string"}, "description": "Identifier of the kept case."},
    "Location": {"schema": {"type": "string"}, "description": "Address of the kept case."},
}
Work = tuple[bytes, str, str | None]
"""Report, media type, and identifier of the kept case."""


def assess_router(service: Service, turnstile: Turnstile) -> APIRouter:
    """The route.

    Args:
        service: assesses.
        turnstile: how many at a time.
    """
    router = APIRouter(route_class=ProblemRoute, tags=["assess"])

    @router.post(
        "/api/assess",
        summary="Assess one case",
        description="An X-ray, a patient record, or both, and bedside findings. What is left out is 'not stated'."
        " `explain=true` adds heat maps to the HTML report and the PDF; they cost seconds."
        " `language` is that of the report, the PDF and the patient page. Without `format`, `Accept` decides; JSON by"
        " default.",
        response_class=Response,
        responses={
            200: {
                "description": "The report",
                "content": {kind.media_type.partition(";")[0]: {} for kind in FILE_KINDS.values()},
                "headers": {name: {**header, "required": False} for name, header in _HEADERS.items()},
            },
            **problems(400, 409, 413, 415, 422),
        },
        openapi_extra={"requestBody": request_body()},
    )
    async def assess(
        request: Request,
        format: Annotated[ReportFormat | None, Query()] = None,
        heat_maps: Annotated[bool, Query(alias="explain")] = False,
        language: Annotated[Language, Query()] = Language.EN,
        key: IdempotencyKey = None,
    ) -> Response:
        chosen = format or accepted(request.headers.get("accept", ""))
        raw = await read_case(request, explain=heat_maps)
        work = _work_on(service, raw, chosen, language, client=client_of(request), key=key)
        async with turnstile.passage():
            content, media_type, case_id = await run_in_threadpool(work)
        return report_response(content, media_type, chosen, case_id)

    return router


def report_response(content: bytes, media_type: str, chosen: ReportFormat, case_id: str | None) -> Response:
    """A report, with the identifier of its case and, for a page, the policy that keeps scripts out."""
    headers: dict[str, Any] = {}
    if case_id is not None:
        headers |= {CASE_HEADER: case_id, "Location": f"/api/cases/{case_id}"}
    if chosen in PAGES:
        headers["Content-Security-Policy"] = REPORT_POLICY
    return Response(content, media_type=media_type, headers=headers)


def accepted(accept: str) -> ReportFormat:
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


def _work_on(
    service: Service, raw: RawCase, chosen: ReportFormat, language: Language, *, client: str, key: str | None
) -> Callable[[], Work]:
    """Everything that takes time, for a thread of its own."""
    request_key = None if key is None or service.store is None else f"assess:{key}"

    def work() -> Work:
        before = None if request_key is None else service.answered(raw, request_key)
        if before is not None:
            return (*service.report(before.id, chosen, language, client=client), before.id)
        result = service.assess(raw, client=client, request_key=request_key)
        file = report_file(chosen, language, render(result, chosen, language))
        if service.store is None:
            return file.content, file.media_type, None
        service.store.cases.add_file(result.case_id, file)
        return file.content, file.media_type, result.case_id

    return work
