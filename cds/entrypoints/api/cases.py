"""``/api/cases``: what was kept, its files and reports, signatures."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import AwareDatetime

from cds.entrypoints.api.assess import report_response
from cds.entrypoints.api.routes import ProblemRoute, problems
from cds.entrypoints.api.schemas import CaseDetailOut, CaseOut, CasePageOut
from cds.entrypoints.auth import client_of
from cds.entrypoints.guards import REPORT_POLICY
from cds.entrypoints.service import Service
from cds.errors import InputError
from cds.localisation.language import Language
from cds.options import ReportFormat
from cds.outputs import FILE_KINDS
from cds.store.cases import MAX_PAGE, CaseQuery
from fusion.results import Urgency
from imaging.results import FractureCall

_PLAIN = r"^[^\u0000-\u001f\u007f]*$"
Text = Annotated[str | None, Query(max_length=100, pattern=_PLAIN)]
FileName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_FIRST_YEAR, _LAST_YEAR = 1900, 2200


def cases_router(service: Service) -> APIRouter:
    """The routes.

    Args:
        service: holds the store.
    """
    router = APIRouter(prefix="/api/cases", route_class=ProblemRoute, tags=["cases"])

    @router.get("", summary="Search the cases", responses=problems(404, 422))
    def search(
        q: Text = None,
        patient_key: Text = None,
        call: FractureCall | None = None,
        urgency: Urgency | None = None,
        signed: bool | None = None,
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(max_length=500)] = None,
    ) -> CasePageOut:
        query = CaseQuery(
            text=q,
            patient_key=patient_key,
            call=None if call is None else call.value,
            urgency=None if urgency is None else urgency.value,
            signed=signed,
            since=sensible(since),
            until=sensible(until),
            limit=limit,
            cursor=cursor,
        )
        return CasePageOut.model_validate(service.opened().cases.find(query))

    @router.get("/{case_id}", summary="One case", responses=problems(404, 422))
    def one(case_id: UUID) -> CaseDetailOut:
        return CaseDetailOut.model_validate(service.opened().cases.get(str(case_id)))

    @router.get(
        "/{case_id}/files/{name}",
        summary="A file of a case: what was given, or a report that was kept",
        response_class=Response,
        responses={200: {"description": "The file", "content": {"*/*": {}}}, **problems(404, 422)},
    )
    def file(case_id: UUID, name: FileName) -> Response:
        content, media_type = service.opened().cases.file(str(case_id), name)
        # Always a download, never a page: what was given is not to be trusted.
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Security-Policy": REPORT_POLICY}
        return Response(content, media_type=media_type, headers=headers)

    @router.get(
        "/{case_id}/reports/{format}",
        summary="A report of a case; a format that was not made yet is made",
        response_class=Response,
        responses={200: {"description": "The report", "content": _report_types()}, **problems(404, 409, 413, 422)},
    )
    def report(
        request: Request, case_id: UUID, format: ReportFormat, language: Annotated[Language, Query()] = Language.EN
    ) -> Response:
        content, media_type = service.report(str(case_id), format, language, client=client_of(request))
        return report_response(content, media_type, format, str(case_id))

    @router.post(
        "/{case_id}/sign",
        summary="Sign the report, once",
        responses=problems(404, 409, 422),
    )
    def sign(request: Request, case_id: UUID) -> CaseOut:
        return CaseOut.model_validate(service.opened().cases.sign(str(case_id), actor=client_of(request)))

    return router


def _report_types() -> dict[str, Any]:
    return {kind.media_type.partition(";")[0]: {} for kind in FILE_KINDS.values()}


def sensible(moment: datetime | None) -> datetime | None:
    """A time that every database can hold in any zone."""
    if moment is not None and not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise InputError("A time of the search is out of range.", remedy=f"Give {_FIRST_YEAR} to {_LAST_YEAR}.")
    return moment
