"""Errors on the wire: one shape for all, ``application/problem+json`` (RFC 9457)."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from cds.errors import Problem

PROBLEM_MEDIA_TYPE = "application/problem+json"
API_DESCRIPTION = "The API describes itself at /api/openapi.json."


def problem_response(problem: Problem) -> JSONResponse:
    """An explained error as ``type, title, status, detail, code, remedy`` and, for internal errors, ``instance``."""
    body: dict[str, str | int] = {
        "type": f"urn:fracture-cds:problem:{problem.code}",
        "title": problem.what,
        "status": problem.http_status,
        "detail": problem.why,
        "code": problem.code,
        "remedy": problem.remedy,
    }
    if problem.reference is not None:
        body["instance"] = f"urn:fracture-cds:error:{problem.reference}"
    headers = {"WWW-Authenticate": "Bearer"} if problem.http_status == HTTPStatus.UNAUTHORIZED else {}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    return JSONResponse(body, status_code=problem.http_status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def status_response(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A plain HTTP status, such as 404, in the same shape."""
    body: dict[str, str | int] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": f"http.{status}",
        "remedy": API_DESCRIPTION,
    }
    return JSONResponse(body, status_code=status, headers=headers, media_type=PROBLEM_MEDIA_TYPE)


def install_problem_handlers(app: FastAPI) -> None:
    """Give FastAPI's own errors the one shape; none repeats what the request held."""

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> JSONResponse:
        places = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()})
        return status_response(422, f"These parts of the request cannot be read: {', '.join(places)}.")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        return status_response(error.status_code, HTTPStatus(error.status_code).description or "Refused.")
