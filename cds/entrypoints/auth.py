"""The gate in front of every route, the page to log in with a browser, and what routes ask for.

Everything is closed unless it is listed as public here, so that a new route cannot be forgotten: reading takes the role
viewer, anything else clinician; a route that wants more says so with `require`.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from cds.audit import AuditTrail, NoAuditTrail, record_access
from cds.entrypoints.auth_audit import login_entry
from cds.entrypoints.problems import problem_response, status_response
from cds.errors import ForbiddenError, TooManyRequestsError, UnauthorisedError, error_code, explain
from cds.security.access import SAFE_METHODS, AccessGate, address_of
from cds.security.limits import RateLimit
from cds.security.pages import LOGIN_POLICY, login_page, trouble_page
from cds.security.roles import Principal, PrincipalKind, Role
from cds.security.sessions import COOKIE

OIDC_LOGIN, OIDC_CALLBACK = "/login/oidc", "/login/oidc/callback"
PUBLIC = frozenset({"/healthz", "/readyz", "/login", "/logout", OIDC_LOGIN, OIDC_CALLBACK})
OWN_GATES = ("/cds-services",)
"""Path prefixes with credentials of their own: CDS Hooks clients show signed tokens."""
_STATE_KEY = "principal"
_LIMITED = frozenset({"/login", OIDC_LOGIN, OIDC_CALLBACK})
"""Public, but not for any number of requests."""
_SECRET_QUERIES = frozenset({"/launch/callback"})
"""Their queries hold codes, which must not stand in another address."""


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

    def __init__(
        self, app: ASGIApp, *, gate: AccessGate, limit: RateLimit | None = None, trail: AuditTrail | None = None
    ) -> None:
        """Wrap an application.

        Args:
            app: the application.
            gate: tells who is asking.
            limit: requests that one principal may send; None for any number.
            trail: where a credential that opens nothing is recorded; None for nowhere.
        """
        self._app = app
        self._gate = gate
        self._limit = limit
        self._trail = trail or NoAuditTrail()

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
            await self._refuse(await self._noted(connection, error), scope, receive, send)
            return
        except Exception as error:
            await self._refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})[_STATE_KEY] = principal
        await self._app(scope, receive, send)

    async def _noted(self, connection: HTTPConnection, error: UnauthorisedError) -> Exception:
        """The refusal, recorded where a credential was shown; the gate counts those, so that they stay few."""
        if "authorization" not in connection.headers:
            return error
        try:
            entry = login_entry(connection, None, outcome=error_code(error))
            await run_in_threadpool(record_access, self._trail, entry)
        except Exception as failure:
            return failure
        return error

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
        if scope["type"] == "http" and scope["path"] not in PUBLIC - _LIMITED:
            try:
                _take(self._limit, address_of(HTTPConnection(scope)))
            except Exception as error:
                await problem_response(explain(error))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def mount_login(app: FastAPI, gate: AccessGate, trail: AuditTrail | None = None, *, oidc: bool = False) -> None:
    """Add ``/login`` and ``/logout``; call it before anything is mounted at ``/``.

    Args:
        app: the service.
        gate: tells who is asking.
        trail: where logins are recorded, also those that fail; None for nowhere.
        oidc: whether the page offers to log in with the OpenID Connect issuer.
    """
    kept = trail or NoAuditTrail()

    @app.get("/login", include_in_schema=False)
    async def show(request: Request, next: str = "/") -> Response:
        return _page(next, oidc=oidc)

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        try:
            async with request.form(max_files=0, max_fields=4) as form:
                credential, target = str(form.get("password", "")).strip(), str(form.get("next", "/"))
        except FormParserError:
            return status_response(400, "The form cannot be read.")
        try:
            try:
                principal = await gate.check(credential, address=address_of(request))
            except UnauthorisedError as error:
                await run_in_threadpool(record_access, kept, login_entry(request, None, outcome=error_code(error)))
                return _page(target, "That opens nothing here. Check it for missing characters.", status=400, oidc=oidc)
            return await logged_in(request, principal, gate=gate, trail=kept, target=target)
        except Exception as error:
            return problem_response(explain(error))

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        try:
            await gate.log_out(request.cookies.get(COOKIE, ""))
        except Exception as error:
            return problem_response(explain(error))
        response = RedirectResponse("/login", status_code=303)
        response.delete_cookie(COOKIE, path="/")
        return response


async def logged_in(
    request: Request, principal: Principal, *, gate: AccessGate, trail: AuditTrail, target: str
) -> Response:
    """The answer that lets a browser in and leads on; the login is recorded first.

    Args:
        request: which logs in.
        principal: who that is.
        gate: keeps the session.
        trail: where the login is recorded.
        target: path to go to; one of another host leads to ``/``.

    Raises:
        AuditError: it cannot be recorded.
        StoreError: the session cannot be kept.
    """
    await run_in_threadpool(record_access, trail, login_entry(request, principal))
    response = RedirectResponse(_within(target), status_code=303)
    session = await gate.begin(principal)
    response.set_cookie(COOKIE, session, httponly=True, samesite="lax", secure=request.url.scheme == "https", path="/")
    return response


def install_access(
    app: FastAPI, gate: AccessGate, *, requests_per_minute: int, trail: AuditTrail | None = None
) -> None:
    """Put gate and rate limits around everything that is and will be routed.

    Args:
        app: the service; add the middleware that answers hosts, sizes and headers after this call.
        gate: tells who is asking.
        requests_per_minute: of one principal, and of one address.
        trail: where credentials that open nothing are recorded; None for nowhere.
    """

    async def refused(request: Request, error: Exception) -> Response:
        return problem_response(explain(error))

    for kind in (ForbiddenError, UnauthorisedError, TooManyRequestsError):
        app.add_exception_handler(kind, refused)
    app.add_middleware(AccessControl, gate=gate, limit=RateLimit(requests_per_minute, per_s=60), trail=trail)
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
    target = scope["path"] + (f"?{query}" if query and scope["path"] not in _SECRET_QUERIES else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", status_code=303)


def problem_page(error: Exception) -> Response:
    """What went wrong on the way in, as a page for a person."""
    problem = explain(error)
    page = trouble_page(problem.what, f"{problem.why} {problem.remedy}")
    return HTMLResponse(page, status_code=problem.http_status, headers={"Content-Security-Policy": LOGIN_POLICY})


def _page(target: str, problem: str = "", status: int = 200, *, oidc: bool = False) -> Response:
    within = _within(target)
    elsewhere = f"{OIDC_LOGIN}?next={quote(within, safe='')}" if oidc else None
    return HTMLResponse(
        login_page(within, problem, elsewhere),
        status_code=status,
        headers={"Content-Security-Policy": LOGIN_POLICY},
    )


def _within(target: str) -> str:
    """A path of this service, whatever was asked for: a login must not lead elsewhere."""
    plain = target.replace("\\", "/")
    safe = plain.startswith("/") and not plain.startswith("//") and target.isprintable()
    return target if safe and plain == target else "/"
