"""Who is calling: the signed tokens of CDS Hooks clients (CDS Hooks 2.0.1, "Trusting CDS Clients").

* The issuer must be listed, and its keys come only from the place listed with it: a ``jku`` in the token that differs
  is refused, so that no token decides where its own key is fetched.
* The signature is asymmetric and one of the accepted algorithms; ``aud`` is the exact address called; ``exp``, ``iat``
  and ``jti`` are there, and a ``jti`` is good once.
* Used tokens are remembered until they expire, in this process. Tokens from before it started are refused, so a restart
  does not make one good again.
"""

import asyncio
import heapq
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from cds.errors import SettingsError
from cds.fhir_source import trusted_authorities
from cds.hooks.errors import ClientRefusedError
from cds.security.pinning import named_by_requests
from cds.settings import Settings
from fhir_adapters.client.addresses import base_address
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.keys import MIN_RSA_BITS
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import FhirError
from fhir_adapters.shapes import JsonObject, as_list, as_object

_log = logging.getLogger(__name__)

MAX_TOKEN = 16 * 1024
MAX_LIFE_S = 3600
"""A token that is good for longer is refused: it would have to be remembered for as long."""
REMEMBERED = 100_000
"""Used tokens at once; when there is no more room, tokens are refused rather than forgotten."""
KEYS_LAST_S = 600.0
KEYS_AGAIN_S = 30.0
"""An unknown key makes the set be read again, at most this often."""
KEYS_TIMEOUT_S = 5.0
MAX_KEY_SET = 256 * 1024
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}
_REQUIRED = ["iss", "aud", "exp", "iat", "jti"]

KeyReader = Callable[[str], Awaitable[bytes]]
"""Gives the JWKS at an https address or in a file."""


@dataclass(slots=True)
class _KeySet:
    keys: Mapping[str, JsonObject]
    """JWK by ``kid``."""
    read: float


class ReplayGuard:
    """Admits each token once."""

    def __init__(self, *, capacity: int = REMEMBERED) -> None:
        """Remember at most `capacity` tokens."""
        self._capacity = capacity
        self._seen: set[tuple[str, str]] = set()
        self._ends: list[tuple[float, tuple[str, str]]] = []

    def admit(self, issuer: str, token_id: str, *, until: float, now: float) -> bool:
        """Whether a token is new and was remembered.

        Args:
            issuer: ``iss``.
            token_id: ``jti``.
            until: when it stops being good, seconds since 1970.
            now: the time.
        """
        while self._ends and self._ends[0][0] < now:
            self._seen.discard(heapq.heappop(self._ends)[1])
        key = (issuer, token_id)
        if key in self._seen or len(self._seen) >= self._capacity:
            return False
        self._seen.add(key)
        heapq.heappush(self._ends, (until, key))
        return True


class ClientTrust:
    """Checks client tokens."""

    def __init__(
        self,
        clients: Mapping[str, str],
        *,
        algorithms: Sequence[str],
        skew_s: int,
        read_keys: KeyReader | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; keys are read when the first token comes.

        Args:
            clients: issuer to the address or file of its keys.
            algorithms: accepted signatures.
            skew_s: how far a client's clock may be off.
            read_keys: gives a key set; by default over https or from a file.
            clock: seconds since 1970.

        Raises:
            SettingsError: keys would be fetched from an address that is not https.
        """
        self._clients = dict(clients)
        for place in self._clients.values():
            if _is_address(place):
                require_https(place)
        self._algorithms = tuple(algorithms)
        self._skew = skew_s
        self._read_keys = read_keys or read_key_set
        self._clock = clock
        self._started = clock()
        self._sets: dict[str, _KeySet] = {}
        self._guard = ReplayGuard()
        self._lock = asyncio.Lock()

    async def verify(self, authorization: str | None, *, audience: str) -> str:
        """The issuer of a call.

        Args:
            authorization: the header of that name.
            audience: the exact address that was called.

        Raises:
            ClientRefusedError: there is no token, or it cannot be trusted.
        """
        token = _bearer(authorization)
        header, issuer = self._unverified(token)
        place = self._clients.get(issuer)
        if place is None:
            raise ClientRefusedError("The issuer of the client token is not listed here.")
        if "jku" in header and header["jku"] != place:
            raise ClientRefusedError("The client token names another place for its keys than the one listed here.")
        algorithm = str(header.get("alg"))
        key = await self._key(place, str(header.get("kid")), algorithm)
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=audience,
                issuer=issuer,
                leeway=self._skew,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.PyJWTError as error:
            raise ClientRefusedError(_reason(error)) from None
        self._check_times(claims)
        self._check_once(issuer, claims)
        return issuer

    def _unverified(self, token: str) -> tuple[dict[str, object], str]:
        """Header and issuer, to find the key by; nothing of it is believed yet."""
        try:
            header: dict[str, object] = jwt.get_unverified_header(token)
            claims = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise ClientRefusedError("The client token is not a readable JWT.") from None
        if header.get("alg") not in self._algorithms:
            raise ClientRefusedError("The client token is not signed with an algorithm that is accepted here.")
        if str(header.get("typ", "JWT")).upper() != "JWT" or "crit" in header:
            raise ClientRefusedError("The client token is of another type than JWT.")
        if not isinstance(header.get("kid"), str):
            raise ClientRefusedError("The client token does not name its key (kid).")
        return header, str(claims.get("iss"))

    def _check_times(self, claims: Mapping[str, object]) -> None:
        """Own clock and skew, so that both can be tested."""
        ends, issued, starts = claims["exp"], claims["iat"], claims.get("nbf", claims["iat"])
        if not all(isinstance(one, int | float) and abs(one) < 1e11 for one in (ends, issued, starts)):
            raise ClientRefusedError("The times of the client token are not numbers of seconds.")
        assert isinstance(ends, int | float) and isinstance(issued, int | float) and isinstance(starts, int | float)
        now = self._clock()
        if now >= ends + self._skew:
            raise ClientRefusedError("The client token has expired.")
        if max(issued, starts) > now + self._skew:
            raise ClientRefusedError("The client token is not valid yet; a clock may be wrong.")
        if ends - issued > MAX_LIFE_S:
            raise ClientRefusedError(f"The client token is good for more than {MAX_LIFE_S // 60} minutes.")
        if issued < self._started - self._skew:
            raise ClientRefusedError("The client token is older than the start of this service; sign a new one.")

    def _check_once(self, issuer: str, claims: Mapping[str, object]) -> None:
        token_id, ends = claims["jti"], claims["exp"]
        if not isinstance(token_id, str) or not 1 <= len(token_id) <= 256 or not isinstance(ends, int | float):
            raise ClientRefusedError("The client token has no usable identifier (jti).")
        if not self._guard.admit(issuer, token_id, until=ends + self._skew, now=self._clock()):
            raise ClientRefusedError("The client token was used before.")

    async def _key(self, place: str, key_id: str, algorithm: str) -> jwt.PyJWK:
        known = self._sets.get(place)
        if known is None or self._clock() - known.read > KEYS_LAST_S or self._worth_reading(known, key_id):
            async with self._lock:
                if self._sets.get(place) is known:
                    known = await self._renewed(place, known)
                else:
                    known = self._sets[place]
        jwk = known.keys.get(key_id)
        if jwk is None:
            raise ClientRefusedError("The key of the client token is not among those of its issuer.")
        key = usable_key(jwk, algorithm)
        if key is None:
            raise ClientRefusedError("The key of the client token does not fit its algorithm.")
        return key

    def _worth_reading(self, known: _KeySet, key_id: str) -> bool:
        return key_id not in known.keys and self._clock() - known.read > KEYS_AGAIN_S

    async def _renewed(self, place: str, known: _KeySet | None) -> _KeySet:
        try:
            keys: Mapping[str, JsonObject] = parse_keys(await self._read_keys(place))
        except (FhirError, OSError, ValueError) as error:
            _log.warning("the keys of a CDS Hooks client cannot be read: %s", type(error).__name__)
            if known is None:
                raise ClientRefusedError("The keys of the client cannot be read now.") from None
            keys = known.keys  # better yesterday's keys than none
        renewed = self._sets[place] = _KeySet(keys, self._clock())
        return renewed


def build_trust(settings: Settings) -> ClientTrust | None:
    """The check that the settings ask for; None for an open service.

    Raises:
        SettingsError: an open service beyond the loopback address, or keys from an address that is not https.
    """
    if settings.hooks_auth == "none":
        if settings.host not in {"127.0.0.1", "localhost", "::1"}:
            raise SettingsError(
                "CDS Hooks without client tokens is for the loopback address only.",
                remedy="Set FRACTURE_CDS_HOOKS_AUTH=jwt and list the clients in FRACTURE_CDS_HOOKS_CLIENTS.",
            )
        return None
    return ClientTrust(
        settings.hooks_clients,
        algorithms=settings.hooks_algorithms,
        skew_s=settings.hooks_clock_skew_seconds,
        read_keys=key_reader(settings),
    )


def key_reader(settings: Settings) -> KeyReader:
    """Reads key sets where they are listed: what a token makes this service ask is judged like a ``fhirServer``."""

    async def read(place: str) -> bytes:
        transport = None
        if _is_address(place):
            transport = named_by_requests([place], settings, verify=trusted_authorities(settings))
        return await read_key_set(place, transport=transport)

    return read


async def read_key_set(place: str, *, transport: httpx.AsyncBaseTransport | None = None) -> bytes:
    """The JWKS at an https address or in a file.

    Args:
        place: address or path.
        transport: replaces the network.

    Raises:
        FhirError: the address does not give it.
        OSError: the file cannot be read.
    """
    if not _is_address(place):
        with Path(place).open("rb") as stream:
            return stream.read(MAX_KEY_SET)
    client = HttpClient(
        place,
        timeout=KEYS_TIMEOUT_S,
        retries=RetryPolicy(attempts=2, deadline_s=KEYS_TIMEOUT_S),
        max_body_bytes=MAX_KEY_SET,
        transport=transport,
    )
    async with client:
        return (await client.get(place, accept="application/json, application/jwk-set+json")).body


def _is_address(place: str) -> bool:
    return place.startswith(("http://", "https://"))


def require_https(place: str, *, setting: str = "FRACTURE_CDS_HOOKS_CLIENTS") -> None:
    """Refuse keys that somebody on the way could replace.

    Args:
        place: address of a key set.
        setting: where it stands.

    Raises:
        SettingsError: it is not https, nor this machine.
    """
    try:
        base_address(place, credentials=True)
    except FhirError as error:
        raise SettingsError(
            "The keys that tokens are checked with would come from an address that is not https.",
            remedy=f"Give an https address or a file in {setting}.",
        ) from error


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise ClientRefusedError("The request carries no client token.")
    if len(token) > MAX_TOKEN:
        raise ClientRefusedError("The client token is too long.")
    return token


def parse_keys(data: bytes) -> dict[str, JsonObject]:
    """The asymmetric signing keys of a set by their id; what is none is passed over."""
    listed = as_list(as_object(orjson.loads(data)).get("keys"))
    keys = (as_object(item) for item in listed)
    return {
        str(jwk["kid"]): jwk
        for jwk in keys
        if jwk.get("kty") in ("EC", "RSA") and jwk.get("use", "sig") == "sig" and isinstance(jwk.get("kid"), str)
    }


def usable_key(jwk: JsonObject, algorithm: str) -> jwt.PyJWK | None:
    """The key, if it is a public one of the kind and at least of the strength that an algorithm stands for."""
    if jwk.get("alg", algorithm) != algorithm:
        return None
    try:
        key = jwt.PyJWK(jwk, algorithm)
    except (jwt.PyJWTError, ValueError, KeyError, TypeError):
        return None
    if isinstance(key.key, ec.EllipticCurvePublicKey):
        return key if key.key.curve.name == _CURVES.get(algorithm) else None
    strong = isinstance(key.key, rsa.RSAPublicKey) and key.key.key_size >= MIN_RSA_BITS
    return key if strong and algorithm not in _CURVES else None


def _reason(error: jwt.PyJWTError) -> str:
    if isinstance(error, jwt.InvalidAudienceError):
        return "The client token is meant for another address than the one called."
    if isinstance(error, jwt.InvalidSignatureError):
        return "The signature of the client token does not fit."
    if isinstance(error, jwt.MissingRequiredClaimError):
        return "The client token lacks one of iss, aud, exp, iat and jti."
    return "The client token is not valid."
