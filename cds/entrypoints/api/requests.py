"""Counts every request by its route, never by its path: a path may name a case."""

import time
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds.metrics import Metrics

OTHER: Final = "other"
"""The form, its files, and addresses that do not exist."""
_ROUTES: Final = ("/api/", "/cds-services", "/healthz", "/readyz", "/metrics")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMetrics:
    """The outermost middleware: it also sees what the others refuse."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        """Wrap an application.

        Args:
            app: the application.
            metrics: where requests are counted.
        """
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass and note how it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else OTHER
            self._metrics.answered(method, _route(scope), status, time.monotonic() - began)


def _route(scope: Scope) -> str:
    route = scope.get("route")
    path = getattr(route, "path_format", None) or getattr(route, "path", None)
    return path if isinstance(path, str) and path.startswith(_ROUTES) else OTHER
