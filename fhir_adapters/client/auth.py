"""Bearer tokens: given, from a file, or earned with a signed assertion (SMART Backend Services).

Flow of SMART Backend Services (HL7 SMART App Launch 2.2): the token endpoint is read from
``[base]/.well-known/smart-configuration``; a JWT signed with the client's private key (iss = sub = client id, aud =
token endpoint, exp within five minutes, a jti used once) is exchanged for an access token of limited life.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import httpx
import jwt
import orjson

from fhir_adapters.client.addresses import base_address, host_of, require_private
from fhir_adapters.client.answers import Reply
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.keys import ClientKey
from fhir_adapters.errors import (
    FhirServerError,
    ServerAddressError,
    SmartDiscoveryError,
    TokenFileError,
    TokenRefusedError,
)
from fhir_adapters.shapes import JsonObject, as_list, as_number, as_text

WELL_KNOWN = ".well-known/smart-configuration"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_LIFE_S = 240
"""Below the five minutes that SMART allows, so that a clock somewhat off does no harm."""
DEFAULT_LIFE_S = 300.0
"""Of a token whose answer does not say: what SMART recommends as the longest."""
RENEW_BEFORE_S = 30.0
"""A token this close to its end (at most a tenth of its life) is renewed before it is used."""
MAX_TOKEN = 16 * 1024
_TOKEN = re.compile(r"[\x21-\x7e]+")
_OAUTH_ERROR = re.compile(r"[a-z_]{3,40}")


class BearerAuth:
    """A token given from outside; one from a file is read again when the server refuses it."""

    def __init__(self, read: Callable[[], str], *, renewable: bool) -> None:
        """Use `fixed` or `from_file`."""
        self._read = read
        self._renewable = renewable
        self._token: str | None = None

    @classmethod
    def fixed(cls, token: str) -> "BearerAuth":
        """Always this token.

        Raises:
            TokenFileError: it cannot stand in a header.
        """
        checked = _checked_token(token)
        return cls(lambda: checked, renewable=False)

    @classmethod
    def from_file(cls, path: Path) -> "BearerAuth":
        """The token in a file, which another program may keep fresh."""
        return cls(lambda: _read_token(path), renewable=True)

    @property
    def renewable(self) -> bool:
        """Whether reading again may give another token."""
        return self._renewable

    def __repr__(self) -> str:
        """Without the token."""
        return "<BearerAuth>"

    async def token(self, http: HttpClient) -> str:
        """The token.

        Raises:
            TokenFileError: the file cannot be read or holds no token.
        """
        if self._token is None:
            self._token = self._read()
        return self._token

    def forget(self, token: str) -> None:
        """Read again next time."""
        if self._token == token:
            self._token = None


class BackendServices:
    """SMART Backend Services: one token at a time, renewed before it ends and when the server refuses it."""

    renewable = True

    def __init__(
        self,
        client_id: str,
        key: ClientKey,
        *,
        resource_types: Iterable[str] = (),
        created_types: Iterable[str] = (),
        scope: str | None = None,
        token_url: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; the first request fetches the first token.

        Args:
            client_id: as registered with the server.
            key: its private key.
            resource_types: what is going to be read; makes the scope when `scope` is None. None: every type.
            created_types: what is going to be created; adds to that scope.
            scope: scopes to ask for, as they are.
            token_url: token endpoint; None: discovered.
            clock: seconds since 1970, for tests.

        Raises:
            ServerAddressError: the token would come back unencrypted.
        """
        if token_url is not None:
            base_address(token_url, credentials=True)
        self._client_id = client_id
        self._key = key
        self._types = tuple(resource_types) or ("*",)
        self._created = tuple(created_types)
        self._scope = scope
        self._token_url = token_url
        self._clock = clock
        self._lock: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None
        self._token: str | None = None
        self._ends = 0.0

    def __repr__(self) -> str:
        """Key id only."""
        return f"<BackendServices {self._key.algorithm.value} kid={self._key.key_id}>"

    def forget(self, token: str) -> None:
        """Fetch a new token next time."""
        if self._token == token:
            self._token = None

    async def token(self, http: HttpClient) -> str:
        """The present token, or a new one.

        Raises:
            SmartDiscoveryError: the token endpoint is not known.
            TokenRefusedError: the authorisation server says no.
            FhirServerError: it gives no usable answer.
        """
        async with self._one_at_a_time():
            if self._token is None or self._clock() >= self._ends:
                await self._renew(http)
            assert self._token is not None
            return self._token

    def _one_at_a_time(self) -> asyncio.Lock:
        """A lock of the running loop: a lock serves one loop only, while a token may outlive a loop."""
        loop = asyncio.get_running_loop()
        if self._lock is None or self._lock[0] is not loop:
            self._lock = loop, asyncio.Lock()
        return self._lock[1]

    def assertion(self, audience: str) -> str:
        """A signed JWT that is good for one use.

        Args:
            audience: the token endpoint.
        """
        now = int(self._clock())
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": audience,
            "iat": now,
            "exp": now + ASSERTION_LIFE_S,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(
            claims, self._key.private, algorithm=self._key.algorithm.value, headers={"kid": self._key.key_id}
        )

    async def _renew(self, http: HttpClient) -> None:
        if self._token_url is None or self._scope is None:
            await self._discover(http)
        endpoint = self._token_url or ""
        scope = self._scope or ""

        def form() -> Mapping[str, str]:
            return {
                "grant_type": "client_credentials",
                "scope": scope,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self.assertion(endpoint),
            }

        reply = await http.post_form(
            endpoint, form, accept="application/json", ok=(200, 400, 401, 403), anonymous=True, foreign=True
        )
        answer = _token_answer(reply)
        token, kind = as_text(answer.get("access_token")), as_text(answer.get("token_type"))
        if token is None or _TOKEN.fullmatch(token) is None or (kind or "").lower() != "bearer":
            raise TokenRefusedError("The answer of the authorisation server holds no bearer token.")
        life_s = as_number(answer.get("expires_in")) or DEFAULT_LIFE_S
        self._token = token
        self._ends = self._clock() + life_s - min(RENEW_BEFORE_S, life_s / 10)

    async def _discover(self, http: HttpClient) -> None:
        """Token endpoint and the spelling of scopes, from the server's SMART configuration."""
        try:
            # The configuration is public, so it is asked for without the token that it leads to.
            found = (await http.get(WELL_KNOWN, accept="application/json", anonymous=True)).json()
        except FhirServerError as error:
            if self._token_url is None:
                raise SmartDiscoveryError(f"The SMART configuration of the server cannot be read: {error}") from None
            found = {}
        if self._token_url is None:
            self._token_url = _token_endpoint(http, found)
        if self._scope is None:
            self._scope = scopes(self._types, found, created=self._created)


def scopes(types: Iterable[str], configuration: JsonObject, *, created: Iterable[str] = ()) -> str:
    """Scopes for resource types, in SMART 2 form (``.rs``, ``.crs``) unless the server offers the first form only.

    Args:
        types: what is read.
        configuration: the server's SMART configuration.
        created: what is created; a conditional create searches and reads, too.
    """
    offered = {item for item in as_list(configuration.get("capabilities")) if isinstance(item, str)}
    first_form = "permission-v1" in offered and "permission-v2" not in offered
    read, create = (("read",), ("read", "write")) if first_form else (("rs",), ("crs",))
    wanted = [(one, suffix) for one in types for suffix in read]
    wanted += [(one, suffix) for one in created for suffix in create]
    return " ".join(dict.fromkeys(f"system/{name}.{suffix}" for name, suffix in wanted))


def _token_endpoint(http: HttpClient, configuration: JsonObject) -> str:
    text = as_text(configuration.get("token_endpoint"))
    if text is None:
        raise SmartDiscoveryError("The SMART configuration of the server names no token endpoint.")
    try:
        url = http.address(text)
        # The assertion is no secret for long, but the token that comes back is.
        require_private(url)
    except ServerAddressError as error:
        raise SmartDiscoveryError(f"The token endpoint of the server cannot be used: {error}") from None
    return str(url)


def _token_answer(reply: Reply) -> JsonObject:
    """The JSON of a token endpoint; its error code in a message, its description (free text) not."""
    host = host_of(httpx.URL(reply.url))
    try:
        value = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        value = None
    answer: JsonObject = value if isinstance(value, dict) else {}
    if reply.status != 200:
        code = as_text(answer.get("error")) or ""
        named = f" ({code})" if _OAUTH_ERROR.fullmatch(code) else ""
        raise TokenRefusedError(f"The authorisation server {host} refused a token with status {reply.status}{named}.")
    return answer


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_TOKEN + 1)
    except OSError as error:
        raise TokenFileError(f"The token file cannot be opened: {error.strerror or type(error).__name__}.") from None
    if len(raw) > MAX_TOKEN:
        raise TokenFileError("The token file is far too large to hold a token alone.")
    return _checked_token(raw.decode("utf-8", errors="replace"))


def _checked_token(text: str) -> str:
    token = text.strip().removeprefix("Bearer ").strip()
    if _TOKEN.fullmatch(token) is None:
        raise TokenFileError("The token is empty, or holds characters that no token has.")
    return token
