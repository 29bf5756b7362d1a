"""The authorization code flow of OAuth 2.0 with PKCE (RFC 6749, 7636), as this service begins and ends it as a client.

What was begun lies for some minutes in a locker that only its ``state`` opens: once, and only for the browser that
began it, which shows a cookie of its own. Codes and tokens appear in no log and in no address of ours.
"""

import base64
import hashlib
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import httpx
import orjson
from pydantic import TypeAdapter, ValidationError

from cds.errors import LaunchRefusedError
from cds.security.lockers import Lockers
from fhir_adapters.client.addresses import require_private
from fhir_adapters.client.http import HttpClient
from fhir_adapters.errors import ServerAddressError
from fhir_adapters.shapes import JsonObject, as_list, as_text

LASTS_S = 600.0
"""How long somebody may take to log in elsewhere, in seconds."""
CAPACITY = 10_000
"""Logins under way at once; the oldest makes room."""
MAX_CODE = 4096
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}")
_OAUTH_ERROR = re.compile(r"[a-z_]{3,40}")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun(Generic[T]):
    """A login that was begun elsewhere."""

    what: T
    """What the caller wants back at the end."""
    verifier: str
    """``code_verifier``, which only this service knows."""
    browser: str
    """Digest of the browser's cookie."""


class Pending(Generic[T]):
    """Logins under way."""

    def __init__(self, of: type[T], *, kind: str, lockers: Lockers, clock: Callable[[], float] = time.time) -> None:
        """Prepare.

        Args:
            of: a dataclass: what is given to `begin`.
            kind: of the lockers; one for each kind of login.
            lockers: where they lie meanwhile.
            clock: seconds since 1970.
        """
        self._form: TypeAdapter[Begun[T]] = TypeAdapter(Begun[of])  # type: ignore[valid-type]
        self._kind = kind
        self._lockers = lockers
        self._clock = clock

    def begin(self, what: T, *, browser: str) -> tuple[str, str]:
        """Remember a login.

        Args:
            what: comes back at its end.
            browser: cookie of the browser.

        Returns:
            ``state`` and ``code_verifier``.

        Raises:
            StoreError: it cannot be kept.
        """
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        begun = Begun(what=what, verifier=verifier, browser=digest(browser))
        ends = self._clock() + LASTS_S
        self._lockers.keep(self._kind, state, self._form.dump_json(begun), ends=ends, capacity=CAPACITY)
        return state, verifier

    def take(self, state: str, *, browser: str) -> Begun[T]:
        """What was begun, once.

        Raises:
            LaunchRefusedError: nothing was, it took too long, or another browser began it.
            StoreError: the store does not answer.
        """
        content = self._lockers.take(self._kind, state)
        found = None if content is None else self._read(content)
        if found is None or found.browser != digest(browser):
            raise LaunchRefusedError(
                "This login was not begun here, was used before, or took too long.", remedy="Begin again."
            )
        return found

    def _read(self, content: bytes) -> Begun[T] | None:
        try:
            return self._form.validate_json(content)
        except ValidationError:  # another version of the program began it
            return None


def digest(value: str) -> str:
    """SHA-256, under which secrets are remembered."""
    return hashlib.sha256(value.encode(errors="replace")).hexdigest()


def challenge(verifier: str) -> str:
    """``code_challenge`` of a verifier, method S256 (RFC 7636, section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorisation_address(endpoint: str, parameters: Mapping[str, str]) -> str:
    """Where the browser is sent to log in.

    Raises:
        LaunchRefusedError: the endpoint is no https address, nor one of this machine.
    """
    try:
        url = httpx.URL(endpoint)
        require_private(url)
        usable = url.scheme in {"http", "https"} and bool(url.host) and not url.userinfo and not url.fragment
    except (httpx.InvalidURL, ValueError, TypeError, ServerAddressError):
        usable = False
    if not usable:
        raise LaunchRefusedError(
            "The server names no authorization endpoint that can be used.", remedy="Ask its operator."
        )
    return str(url.copy_merge_params(dict(parameters)))


def code_of(query: Mapping[str, str]) -> str:
    """The code in the address that a server sent the browser back with.

    Raises:
        LaunchRefusedError: the server refused, or gave none.
    """
    if "error" in query:
        error = query["error"]
        named = f" ({error})" if _OAUTH_ERROR.fullmatch(error) else ""
        raise LaunchRefusedError(f"The server refused the login{named}.", remedy="Ask its operator, or begin again.")
    code = query.get("code", "")
    if not 1 <= len(code) <= MAX_CODE or not code.isprintable():
        raise LaunchRefusedError("The server gave no code.", remedy="Begin again.")
    return code


def endpoints(configuration: JsonObject) -> tuple[str, str]:
    """Authorization and token endpoint of a discovery document.

    Raises:
        LaunchRefusedError: one is missing, or the server says that it does not know PKCE with S256.
    """
    authorise, token = (as_text(configuration.get(f"{name}_endpoint")) for name in ("authorization", "token"))
    methods = as_list(configuration.get("code_challenge_methods_supported"))
    if authorise is None or token is None or (methods and "S256" not in methods):
        raise LaunchRefusedError(
            "The server does not offer logins by authorization code with PKCE (S256).", remedy="Ask its operator."
        )
    return authorise, token


async def exchange(http: HttpClient, endpoint: str, form: Mapping[str, str], *, basic: str | None = None) -> JsonObject:
    """The answer of a token endpoint to a code.

    Args:
        http: asks; without retries, since a code is good once.
        endpoint: the token endpoint.
        form: the fields.
        basic: value of the ``Authorization`` header of a client with a secret; None for none.

    Raises:
        LaunchRefusedError: the server refuses, or its answer holds no bearer token.
        FhirServerError: it does not answer, or would answer unencrypted.
    """
    require_private(http.address(endpoint))
    reply = await http.post_form(
        endpoint,
        lambda: form,
        headers=None if basic is None else {"Authorization": basic},
        accept="application/json",
        ok=(200, 400, 401, 403),
        anonymous=True,
        foreign=True,
    )
    try:
        value = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        value = None
    answer: JsonObject = value if isinstance(value, dict) else {}
    if reply.status != 200:
        error_name = as_text(answer.get("error")) or ""
        named = f" ({error_name})" if _OAUTH_ERROR.fullmatch(error_name) else ""
        raise LaunchRefusedError(f"The server refused the code{named}.", remedy="Begin again.")
    token, kind = as_text(answer.get("access_token")), as_text(answer.get("token_type"))
    if token is None or _TOKEN.fullmatch(token) is None or (kind or "").lower() != "bearer":
        raise LaunchRefusedError("The answer of the server holds no bearer token.", remedy="Ask its operator.")
    return answer
