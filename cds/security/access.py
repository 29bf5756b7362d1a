"""Who is let in: one gate for the API, the form and everything else that the service serves.

A request shows who it comes from by ``Authorization: Bearer`` (the shared access token, an API key, or a token of the
OpenID Connect issuer) or by the cookie that ``/login`` gave for one of them. Without any of these configured the
service is open, as clinician, and for this machine only: `check_bind` refuses to start anywhere else.
"""

import hmac
import ipaddress
import json
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from cds.errors import ForbiddenError, SettingsError, TooManyRequestsError, UnauthorisedError
from cds.security.api_keys import PREFIX, ApiKeys
from cds.security.limits import RateLimit
from cds.security.lockers import Lockers
from cds.security.oidc import OidcTrust, build_oidc
from cds.security.roles import Principal, PrincipalKind, Role, tail
from cds.security.secrets import access_token, weak_secret
from cds.security.sessions import COOKIE, Sessions
from cds.settings import Settings
from cds.store.database import Database, database_url

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
FAILURES_PER_MINUTE = 20
"""Wrong credentials from one address; more are not even looked at."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class AccessGate:
    """Tells who is asking."""

    def __init__(
        self,
        *,
        token: str | None = None,
        keys: ApiKeys | None = None,
        oidc: OidcTrust | None = None,
        session_hours: float = 10.0,
        lockers: Lockers | None = None,
        bound_to: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            token: the shared access token.
            keys: API keys; None where nothing is kept.
            oidc: the issuer whose tokens are accepted.
            session_hours: how long a browser stays logged in.
            lockers: where sessions lie; None for this process only.
            bound_to: sessions begun with another value are over.
            clock: seconds since 1970.
        """
        self._token = token
        self._keys = keys
        self._oidc = oidc
        self._sessions = Sessions(lasts_s=session_hours * 3600, lockers=lockers, bound_to=bound_to, clock=clock)
        self._failures = RateLimit(FAILURES_PER_MINUTE, per_s=60, clock=clock)
        self._open = token is None and oidc is None and (keys is None or not keys.configured())

    @property
    def is_open(self) -> bool:
        """Whether no credential was configured when the service started."""
        return self._open

    async def identify(self, connection: HTTPConnection) -> Principal:
        """Who is asking.

        Raises:
            UnauthorisedError: nobody that is known, or a credential that opens nothing.
            ForbiddenError: another site's page sends the request with this browser's cookie.
            TooManyRequestsError: too many wrong credentials came from this address.
        """
        header = connection.headers.get("authorization")
        if self._open and header is None:
            return self._local(connection)
        session = connection.cookies.get(COOKIE)
        if header is None and session is not None:
            principal = await self._of_session(session)
            if not _same_origin(connection):
                raise ForbiddenError("clinician")
            return principal
        if header is None:
            raise UnauthorisedError
        scheme, _, credential = header.partition(" ")
        if scheme.lower() != "bearer":
            raise UnauthorisedError
        if self._open:
            return self._local(connection)
        return await self.check(credential.strip(), address=address_of(connection))

    async def check(self, credential: str, *, address: str) -> Principal:
        """Who holds a credential.

        Args:
            credential: access token, API key, or OpenID Connect token.
            address: where it came from; only for counting failures.

        Raises:
            UnauthorisedError: it opens nothing.
            TooManyRequestsError: too many wrong ones came from this address.
        """
        wait_s = self._failures.blocked(address)
        if wait_s:
            raise TooManyRequestsError(retry_after_s=wait_s, message="Too many wrong credentials came from here.")
        principal = await self._holder(credential)
        if principal is None:
            self._failures.take(address)
            raise UnauthorisedError
        return principal

    async def begin(self, principal: Principal) -> str:
        """A new session for a browser of somebody who is known; returns the value of its cookie.

        Raises:
            StoreError: it cannot be kept.
        """
        return await run_in_threadpool(self._sessions.begin, principal)

    async def log_out(self, session: str) -> None:
        """End a session.

        Raises:
            StoreError: the store does not answer.
        """
        await run_in_threadpool(self._sessions.end, session)

    async def _holder(self, credential: str) -> Principal | None:
        if not credential:
            return None
        if self._token is not None and hmac.compare_digest(credential.encode(), self._token.encode()):
            kind = PrincipalKind.TOKEN
            return Principal(name=kind.value, role=Role.CLINICIAN, kind=kind, token_tail=tail(credential))
        if self._keys is not None and credential.startswith(PREFIX):
            return await run_in_threadpool(self._keys.principal, credential)
        if self._oidc is not None and credential.count(".") == 2:
            try:
                return await self._oidc.principal(credential)
            except UnauthorisedError:
                return None
        return None

    async def _of_session(self, session: str) -> Principal:
        principal = await run_in_threadpool(self._sessions.principal, session)
        if principal is not None and principal.kind is PrincipalKind.API_KEY and self._keys is not None:
            # A key that was revoked a moment ago ends the sessions it began.
            principal = await run_in_threadpool(self._keys.still, principal.credential_id or "")
            if principal is None:
                await self.log_out(session)
        if principal is None:
            raise UnauthorisedError
        return principal

    def _local(self, connection: HTTPConnection) -> Principal:
        """This machine's own user; another machine's address can only mean a wrong bind."""
        try:
            foreign = not ipaddress.ip_address(address_of(connection)).is_loopback
        except ValueError:  # a socket file, or a test
            foreign = False
        if foreign:
            raise UnauthorisedError
        return Principal(name=PrincipalKind.LOCAL.value, role=Role.CLINICIAN, kind=PrincipalKind.LOCAL)


def build_gate(settings: Settings, database: Database | None) -> AccessGate:
    """The gate that the settings ask for.

    Args:
        settings: access token, issuer, length of sessions.
        database: holds the API keys and the sessions; None where nothing is kept.

    Raises:
        SettingsError: a setting cannot be used.
        StoreError: the keys cannot be read.
    """
    token = access_token(settings)
    return AccessGate(
        token=token,
        keys=None if database is None else ApiKeys(database),
        oidc=build_oidc(settings),
        session_hours=settings.session_hours,
        lockers=Lockers(database),
        bound_to=_credentials(settings, token),
    )


def _credentials(settings: Settings, token: str | None) -> str:
    """What sessions were begun with: a new access token, issuer or table of roles ends them at the next start."""
    parts = [token, settings.oidc_issuer, settings.oidc_audience, settings.oidc_client_id, settings.oidc_role_claim]
    return json.dumps([*parts, sorted(settings.oidc_roles.items())])


def check_bind(settings: Settings, gate: AccessGate) -> None:
    """Refuse to serve other machines without credentials, or with ones that everybody knows.

    Raises:
        SettingsError: the bind is not safe; the remedy says what to set.
    """
    if settings.host in LOOPBACK:
        return
    if gate.is_open:
        raise SettingsError(
            f"The service would listen on {settings.host} and let everybody in.",
            remedy="Set FRACTURE_CDS_ACCESS_TOKEN_FILE, FRACTURE_CDS_OIDC_ISSUER or make a key"
            " ('cds access key create'); or listen on 127.0.0.1.",
        )
    token = access_token(settings)
    if token is not None and weak_secret(token):
        raise SettingsError(
            "The access token is a default or too short for other machines to reach.",
            remedy="Make one of at least 16 random characters, such as 'openssl rand -base64 24' prints.",
        )
    password = database_url(settings).password if settings.database_url is not None else None
    if password is not None and weak_secret(str(password), least=8):
        raise SettingsError(
            "The password of the database is a default one or very short.",
            remedy="Give the database a password of its own, in FRACTURE_CDS_DATABASE_PASSWORD_FILE.",
        )


def address_of(connection: HTTPConnection) -> str:
    """The network address a request came from."""
    return "unknown" if connection.client is None else connection.client.host


def _same_origin(connection: HTTPConnection) -> bool:
    """Whether a request that changes something comes from this service's own pages (a browser says so)."""
    if connection.scope.get("method", "GET") in SAFE_METHODS and connection.scope["type"] == "http":
        return True
    if connection.headers.get("sec-fetch-site") == "same-origin":
        return True
    origin = connection.headers.get("origin")
    if origin is None:
        return connection.headers.get("sec-fetch-site") in {None, "none"}
    return urlsplit(origin).netloc == connection.headers.get("host", "")
