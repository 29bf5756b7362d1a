"""The gate in front of every route, the page to log in with a browser, and what routes ask for.

Everything is closed unless it is listed as public here, so that a new route cannot be forgotten: reading takes the role
viewer, anything else clinician; a route that wants more says so with `require`.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from cds.entrypoints.problems import problem_response
from cds.errors import ForbiddenError, TooManyRequestsError, UnauthorisedError, explain
from cds.security.access import SAFE_METHODS, AccessGate, address_of
from cds.security.limits import RateLimit
from cds.security.pages import LOGIN_POLICY, login_page
from cds.security.roles import Principal, PrincipalKind, Role
from cds.security.sessions import COOKIE

PUBLIC = frozenset({"/healthz", "/readyz", "/login", "/logout"})
OWN_GATES = ("/cds-services",)
"""Path prefixes with credentials of their own: CDS Hooks clients show signed tokens."""
_STATE_KEY = "principal"


def require(role: Role) -> Callable[[Request], Principal]:
    """A FastAPI dependency: ``principal: Annotated[Principal, Depends(require(Role.ADMIN))]``.

    Raises:
        ForbiddenError: from the dependency, when the role does not suffice.
        UnauthorisedError: from the dependency, where no gate stands in front.
    """

    def dependency(request: Request) -> Principal:
        principal = principal_of(request)
        principal.require(role)
        return principal

    return dependency


def principal_of(request: Any) -> Principal:
    """Who sent a request.

    Args:
        request: Starlette's, FastAPI's, or Gradio's ``gr.Request``, which wraps one.

    Raises:
        UnauthorisedError: no gate stood in front of it.
    """
    plain = request if isinstance(request, HTTPConnection) else getattr(request, "request", None)
    found = None if plain is None else plain.scope.get("state", {}).get(_STATE_KEY)
    if not isinstance(found, Principal):
        raise UnauthorisedError
    return found


def principal_name(request: Request) -> str | None:
    """Name for Gradio's ``auth_dependency``; None, which it answers with 401, where no gate stood in front."""
    try:
        return principal_of(request).actor
    except UnauthorisedError:
        return None


def client_of(request: Request) -> str:
    """Who asks, for the audit record: ``key:pacs-gateway``, or the address where nobody has to say who they are."""
    try:
        principal = principal_of(request)
    except UnauthorisedError:
        return address_of(request)
    return address_of(request) if principal.kind is PrincipalKind.LOCAL else principal.actor


class AccessControl:
    """Lets nobody in who is not known; the principal goes into the request's state."""

    def __init__(self, app: ASGIApp, *, gate: AccessGate, limit: RateLimit | None = None) -> None:
        """Wrap an application.

        Args:
            app: the application.
            gate: tells who is asking.
            limit: requests that one principal may send; None for any number.
        """
        self._app = app
        self._gate = gate
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 401, 403, 429, or with the way to the login page."""
        if scope["type"] not in {"http", "websocket"} or _is_public(scope["path"]):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        try:
            principal = await self._gate.identify(connection)
            safe = scope.get("method") in SAFE_METHODS and scope["type"] == "http"
            principal.require(Role.VIEWER if safe else Role.CLINICIAN)
            _take(self._limit, principal.actor)
        except UnauthorisedError as error:
            if scope["type"] == "http" and _is_browser(connection):
                await _to_login(scope)(scope, receive, send)
                return
            await self._refuse(error, scope, receive, send)
            return
        except Exception as error:
            await self._refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})[_STATE_KEY] = principal
        await self._app(scope, receive, send)

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        await problem_response(explain(error))(scope, receive, send)


class AddressLimit:
    """Answers 429 when one address asks too often, before anything else is looked at."""

    def __init__(self, app: ASGIApp, *, limit: RateLimit) -> None:
        """Wrap an application; the outermost middleware but one.

        Args:
            app: the application.
            limit: requests that one address may send.
        """
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or answer 429 with Retry-After."""
        if scope["type"] == "http" and scope["path"] not in PUBLIC - {"/login"}:
            try:
                _take(self._limit, address_of(HTTPConnection(scope)))
            except Exception as error:
                await problem_response(explain(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def mount_login(app: FastAPI, gate: AccessGate) -> None:
    """Add ``/login`` and ``/logout``; call it before anything is mounted at ``/``."""

    @app.get("/login", include_in_schema=False)
    async def show(request: Request, next: str = "/") -> Response:
        return _page(next)

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        async with request.form(max_files=0, max_fields=4) as form:
            credential, target = str(form.get("password", "")).strip(), str(form.get("next", "/"))
        try:
            session = await gate.log_in(credential, address=address_of(request))
        except UnauthorisedError:
            return _page(target, "That opens nothing here. Check it for missing characters.", status=400)
        except Exception as error:
            return problem_response(explain(error))
        response = RedirectResponse(_within(target), status_code=303)
        response.set_cookie(
            COOKIE, session, httponly=True, samesite="lax", secure=request.url.scheme == "https", path="/"
        )
        return response

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        gate.log_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(COOKIE, path="/")
        return response


def install_access(app: FastAPI, gate: AccessGate, *, requests_per_minute: int) -> None:
    """Put gate and rate limits around everything that is and will be routed.

    Args:
        app: the service; add the middleware that answers hosts, sizes and headers after this call.
        gate: tells who is asking.
        requests_per_minute: of one principal, and of one address.
    """

    async def refused(request: Request, error: Exception) -> Response:
        return problem_response(explain(error))

    for kind in (ForbiddenError, UnauthorisedError, TooManyRequestsError):
        app.add_exception_handler(kind, refused)
    app.add_middleware(AccessControl, gate=gate, limit=RateLimit(requests_per_minute, per_s=60))
    app.add_middleware(AddressLimit, limit=RateLimit(requests_per_minute, per_s=60))


def _take(limit: RateLimit | None, name: str) -> None:
    wait_s = 0 if limit is None else limit.take(name)
    if wait_s:
        raise TooManyRequestsError(retry_after_s=wait_s)


def _is_public(path: str) -> bool:
    return path in PUBLIC or any(path == one or path.startswith(f"{one}/") for one in OWN_GATES)


def _is_browser(connection: HTTPConnection) -> bool:
    """Whether a person's browser wants a page."""
    wants_page = "text/html" in connection.headers.get("accept", "")
    return wants_page and connection.scope.get("method") == "GET" and "authorization" not in connection.headers


def _to_login(scope: Scope) -> Response:
    query = scope.get("query_string", b"").decode("latin-1")
    target = scope["path"] + (f"?{query}" if query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", status_code=303)


def _page(target: str, problem: str = "", status: int = 200) -> Response:
    return HTMLResponse(
        login_page(_within(target), problem), status_code=status, headers={"Content-Security-Policy": LOGIN_POLICY}
    )


def _within(target: str) -> str:
    """A path of this service, whatever was asked for: a login must not lead elsewhere."""
    plain = target.replace("\\", "/")
    safe = plain.startswith("/") and not plain.startswith("//") and target.isprintable()
    return target if safe and plain == target else "/"
