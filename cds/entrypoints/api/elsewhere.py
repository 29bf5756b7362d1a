"""Every other address of the API: 405 where another method would do, else 404; the form must not answer there."""

from fastapi import FastAPI, Request, Response
from starlette.routing import Match, Mount, Route

from cds.entrypoints.problems import status_response

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "QUERY"]
_NAME = "elsewhere"
_ALONE = ("/healthz", "/readyz", "/metrics")


def add_elsewhere(app: FastAPI) -> None:
    """Add the routes; call it after all others of the API, and before anything is mounted at ``/``."""

    async def elsewhere(request: Request) -> Response:
        allowed = _allowed(app, request)
        if not allowed:
            return status_response(404, "There is nothing at this address.")
        listed = ", ".join(sorted(allowed))
        return status_response(405, f"This address takes {listed} only.", {"Allow": listed})

    for path in ("/api/{path:path}", *_ALONE):
        app.router.routes.append(Route(path, elsewhere, methods=_METHODS, include_in_schema=False, name=_NAME))


def _allowed(app: FastAPI, request: Request) -> set[str]:
    """The methods that other routes take at this address."""
    allowed: set[str] = set()
    for route in app.router.routes:
        if isinstance(route, Mount) or getattr(route, "name", None) == _NAME:
            continue
        for method in _METHODS:
            if route.matches({**request.scope, "method": method})[0] is Match.FULL:
                allowed.add(method)
    return allowed
