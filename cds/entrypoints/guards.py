"""What stands before every request: a size limit, and headers that keep the page inside the hospital."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cds.entrypoints.problems import problem_response
from cds.errors import InputKind, InputTooLargeError, explain

FORM_POLICY = "; ".join(
    (
        "default-src 'self'",
        # The form's toolkit writes its configuration into the page and compiles its templates in the browser.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
"""Content Security Policy of the form: nothing is loaded from, or sent to, another host."""

REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups"
"""Content Security Policy of a report: no script, no connection."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class BodyLimit:
    """Refuses a request body beyond a limit, by its declared length or as soon as more arrives."""

    def __init__(self, app: ASGIApp, *, limit_bytes: int) -> None:
        """Wrap an application.

        Args:
            app: the application.
            limit_bytes: the largest body let through.
        """
        self._app = app
        self._limit = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 by the declared length, else count what arrives."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            await problem_response(explain(self._too_large()))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise self._too_large()
            return message

        await self._app(scope, counted, send)

    def _too_large(self) -> InputTooLargeError:
        return InputTooLargeError(InputKind.REQUEST, limit_bytes=self._limit)


class PrivacyHeaders:
    """Adds the policies to every response, and forbids storing what may hold patient data."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers where the application has not set its own."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cacheable = scope["path"].startswith(("/assets/", "/static/"))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Content-Security-Policy", FORM_POLICY)
                if not cacheable:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self._app(scope, receive, with_headers)
