"""Logging in to the form with the hospital's OpenID Connect issuer: authorization code with PKCE, state and nonce.

Endpoints come from the issuer's discovery document, keys from the listed place only. The identity token is verified
like every bearer token of that issuer, but its audience is our client id.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass
from urllib.parse import quote

import jwt
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from cds.audit import AuditTrail, record_access
from cds.entrypoints.auth import OIDC_CALLBACK, OIDC_LOGIN, logged_in, problem_page
from cds.entrypoints.auth_audit import login_entry
from cds.entrypoints.launch import public_base
from cds.errors import LaunchRefusedError, SettingsError, UnauthorisedError, error_code
from cds.fhir_source import trusted_authorities
from cds.security.access import AccessGate
from cds.security.authorization_code import Pending, authorisation_address, challenge, code_of, endpoints, exchange
from cds.security.lockers import Lockers
from cds.security.oidc import OidcTrust, build_oidc
from cds.security.roles import Principal
from cds.settings import Settings
from cds.store.database import Database
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.shapes import as_text

COOKIE = "fracture_cds_login"
TIMEOUT_S = 10.0
SCOPE = "openid profile"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    token_endpoint: str
    redirect: str
    target: str
    nonce: str


class OidcLogin:
    """Logins at one issuer."""

    def __init__(self, settings: Settings, trust: OidcTrust, lockers: Lockers | None = None) -> None:
        """Prepare.

        Args:
            settings: issuer, client id and its secret.
            trust: checks identity tokens.
            lockers: where logins under way lie; None for this process only.

        Raises:
            SettingsError: the file with the secret cannot be read.
        """
        self._settings = settings
        self._issuer, self._client_id = (settings.oidc_issuer or "").rstrip("/"), settings.oidc_client_id or ""
        self._secret = _secret(settings)
        self._trust = trust
        self._pending = Pending(_Begun, kind="login", lockers=lockers or Lockers())

    async def begin(self, *, redirect: str, target: str, browser: str) -> str:
        """Where the browser goes to log in.

        Args:
            redirect: our address that it comes back to.
            target: path to go to afterwards.
            browser: cookie of the browser.

        Raises:
            LaunchRefusedError: the issuer cannot be used for this.
            FhirError: it does not answer.
            StoreError: the login cannot be kept.
        """
        async with self._http() as http:
            found = (await http.get(".well-known/openid-configuration", accept="application/json")).json()
        if found.get("issuer") != self._settings.oidc_issuer:
            raise LaunchRefusedError(
                "The issuer calls itself by another name.", remedy="Check FRACTURE_CDS_OIDC_ISSUER."
            )
        authorise, token = endpoints(found)
        begun = _Begun(token_endpoint=token, redirect=redirect, target=target, nonce=secrets.token_urlsafe(32))
        state, verifier = await run_in_threadpool(self._pending.begin, begun, browser=browser)
        return authorisation_address(
            authorise,
            {
                "response_type": "code",
                "client_id": self._client_id,
                "redirect_uri": redirect,
                "scope": SCOPE,
                "state": state,
                "nonce": begun.nonce,
                "code_challenge": challenge(verifier),
                "code_challenge_method": "S256",
            },
        )

    async def finish(self, request: Request, *, browser: str) -> tuple[Principal, str]:
        """Who logged in, and the path to go to.

        Args:
            request: which the issuer sent the browser back with.
            browser: cookie of the browser.

        Raises:
            LaunchRefusedError: the login was not begun here by this browser, the issuer refuses it, or its identity
                token cannot be trusted or gives no role here.
            FhirError: the issuer does not answer.
        """
        state = request.query_params.get("state", "")
        begun = await run_in_threadpool(self._pending.take, state, browser=browser)
        form = {
            "grant_type": "authorization_code",
            "code": code_of(request.query_params),
            "redirect_uri": begun.what.redirect,
            "code_verifier": begun.verifier,
            "client_id": self._client_id,
        }
        async with self._http() as http:
            answer = await exchange(http, begun.what.token_endpoint, form, basic=self._basic())
        token = as_text(answer.get("id_token")) or ""
        try:
            principal = await self._trust.principal(token)
        except UnauthorisedError:
            raise LaunchRefusedError(
                "The hospital account opens nothing here.", remedy="Ask the administrator of this service for a role."
            ) from None
        # Verified just now: only its nonce, which binds it to this login, is looked at again.
        nonce = str(jwt.decode(token, options={"verify_signature": False}).get("nonce", ""))
        if not hmac.compare_digest(nonce.encode(), begun.what.nonce.encode()):
            raise LaunchRefusedError("The account was shown for another login.", remedy="Begin again.")
        return principal, begun.what.target

    def _http(self) -> HttpClient:
        return HttpClient(
            self._issuer,
            timeout=TIMEOUT_S,
            retries=RetryPolicy(attempts=1, failure_attempts=1, deadline_s=TIMEOUT_S),
            verify=trusted_authorities(self._settings),
            max_body_bytes=1 << 20,
        )

    def _basic(self) -> str | None:
        """Client id and secret as RFC 6749, section 2.3.1, has them."""
        if self._secret is None:
            return None
        pair = f"{quote(self._client_id, safe='')}:{quote(self._secret, safe='')}"
        return "Basic " + base64.b64encode(pair.encode()).decode()


def build_oidc_login(settings: Settings, database: Database | None = None) -> OidcLogin | None:
    """The login that the settings ask for; None where browsers log in with a key or a token.

    Args:
        settings: issuer, client id and its secret.
        database: holds logins under way; None for this process only.

    Raises:
        SettingsError: the issuer is set in part only, or the secret cannot be read.
    """
    if settings.oidc_client_id is None:
        return None
    trust = build_oidc(settings, audience=settings.oidc_client_id)
    if trust is None:
        raise SettingsError(
            "A client id of OpenID Connect is set, but no issuer.", remedy="Set FRACTURE_CDS_OIDC_ISSUER as well."
        )
    return OidcLogin(settings, trust, Lockers(database))


def mount_oidc_login(
    app: FastAPI, settings: Settings, login: OidcLogin | None, gate: AccessGate, trail: AuditTrail
) -> None:
    """Add the two routes, both public; none where there is no such login.

    Args:
        app: the service.
        settings: the address that browsers see.
        login: at the issuer.
        gate: keeps the session.
        trail: where logins are recorded, also those that fail.
    """
    if login is None:
        return

    @app.get(OIDC_LOGIN, include_in_schema=False)
    async def begin(request: Request, next: str = "/") -> Response:
        browser = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        try:
            redirect = public_base(request, settings) + OIDC_CALLBACK
            target = await login.begin(redirect=redirect, target=next, browser=browser)
        except Exception as error:
            return problem_page(error)
        response = RedirectResponse(target, status_code=303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, browser, httponly=True, samesite="lax", secure=secure, path="/login")
        return response

    @app.get(OIDC_CALLBACK, include_in_schema=False)
    async def back(request: Request) -> Response:
        try:
            try:
                principal, target = await login.finish(request, browser=request.cookies.get(COOKIE, ""))
            except Exception as error:
                entry = login_entry(request, None, outcome=error_code(error))
                await run_in_threadpool(record_access, trail, entry)
                raise
            return await logged_in(request, principal, gate=gate, trail=trail, target=target)
        except Exception as error:
            return problem_page(error)


def _secret(settings: Settings) -> str | None:
    if settings.oidc_client_secret_file is None:
        return None
    try:
        return settings.oidc_client_secret_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(
            f"The secret of the OpenID Connect client cannot be read: {error.strerror}.",
            remedy="Check FRACTURE_CDS_OIDC_CLIENT_SECRET_FILE.",
        ) from None
