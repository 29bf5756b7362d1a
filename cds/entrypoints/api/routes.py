"""What every route shares: errors in one shape, and what the description says of them."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from cds.entrypoints.api.schemas import ProblemOut
from cds.entrypoints.problems import PROBLEM_MEDIA_TYPE, problem_response
from cds.errors import explain

_WORDS = {
    400: "The request cannot be read",
    401: "Nobody that is known here asks",
    403: "Who asks may not do this",
    404: "There is nothing under this identifier, or this service keeps nothing",
    405: "The address takes other methods",
    409: "The request contradicts what is stored",
    413: "The request, or a file in it, is too large",
    415: "The request has the wrong media type",
    422: "An input cannot be used",
    429: "Too much at once: come back after `Retry-After` seconds",
    503: "A model or the store cannot be used at the moment",
}
GENERAL = (401, 403, 429, 503)
"""What any route below ``/api`` may answer."""
_RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds."}}


class ProblemRoute(APIRoute):
    """Turns what a handler or its dependencies raise into ``application/problem+json``; nothing is quoted or logged."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, guarded."""
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except (HTTPException, RequestValidationError):
                raise
            except Exception as error:
                return problem_response(explain(error))

        return guarded


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Entries of the description for these statuses and for those that every route may answer."""
    return {
        status: {
            "description": _WORDS[status],
            "content": {PROBLEM_MEDIA_TYPE: {"schema": ProblemOut.model_json_schema()}},
            **({"headers": _RETRY_AFTER} if status == 429 else {}),
        }
        for status in sorted({*GENERAL, *statuses})
    }
