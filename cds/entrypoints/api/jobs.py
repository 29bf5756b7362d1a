"""``/api/jobs``: cases that are worked on after the request was answered."""

from collections.abc import Callable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from cds.entrypoints.api.assess import IdempotencyKey
from cds.entrypoints.api.intake import read_case, request_body
from cds.entrypoints.api.routes import ProblemRoute, problems
from cds.entrypoints.api.schemas import JobOut
from cds.entrypoints.auth import client_of
from cds.entrypoints.service import Service
from cds.errors import NothingToAssessError, NotStoredError, TooManyRequestsError
from cds.store.jobs import Job
from cds.work.gate import FULL
from cds.work.requests import ASSESS, RawCase, patient_key_of, to_document

RETRY_AFTER_S = 10
_LOCATION = {"Location": {"schema": {"type": "string"}, "description": "Address of the job."}}


def jobs_router(service: Service) -> APIRouter:
    """The routes.

    Args:
        service: holds the store.
    """
    router = APIRouter(prefix="/api/jobs", route_class=ProblemRoute, tags=["jobs"])

    @router.post(
        "",
        status_code=202,
        summary="Accept one case for later",
        description="The same bodies as `POST /api/assess`. What was accepted survives a crash. Ask for the job until"
        " it is `done`; its `case_id` then names the case.",
        responses={202: {"description": "Accepted", "headers": _LOCATION}, **problems(400, 404, 409, 413, 415, 422)},
        openapi_extra={"requestBody": request_body()},
    )
    async def submit(
        request: Request,
        response: Response,
        heat_maps: Annotated[bool, Query(alias="explain")] = False,
        key: IdempotencyKey = None,
    ) -> JobOut:
        service.opened()
        raw = await read_case(request, explain=heat_maps)
        job = await run_in_threadpool(_submission(service, raw, client=client_of(request), key=key))
        response.headers["Location"] = f"/api/jobs/{job.id}"
        return JobOut.of(job)

    @router.get("/{job_id}", summary="Where a job stands", responses=problems(404, 422))
    def one(job_id: UUID) -> JobOut:
        return JobOut.of(_known(service, job_id))

    @router.delete(
        "/{job_id}",
        summary="Cancel a job",
        description="One that waits is cancelled at once; one that runs ends after the step that it is at.",
        responses=problems(404, 409, 422),
    )
    def cancel(job_id: UUID) -> JobOut:
        _known(service, job_id)
        return JobOut.of(service.opened().jobs.cancel(str(job_id)))

    return router


def _submission(service: Service, raw: RawCase, *, client: str, key: str | None) -> Callable[[], Job]:
    def submit() -> Job:
        case = service.checked(raw)  # what is wrong with the fields is said now, not by a job that fails
        if not case.image and not case.bundle:
            raise NothingToAssessError
        files = {name: data for name, data in (("image", raw.image), ("bundle", raw.bundle)) if data is not None}
        job = service.opened().jobs.submit(
            ASSESS,
            to_document(raw),
            actor=f"web:{client}",
            files=files,
            request_key=None if key is None else f"job:{key}",
            patient_key=patient_key_of(raw),
        )
        if job is None:
            raise TooManyRequestsError(retry_after_s=RETRY_AFTER_S, message=FULL)
        return job

    return submit


def _known(service: Service, job_id: UUID) -> Job:
    """A job of this API; those of other entrances (PACS) are not its business."""
    job = service.opened().jobs.get(str(job_id))
    if job.kind != ASSESS:
        raise NotStoredError("There is no such job.", remedy="Check the identifier.")
    return job
