"""Bearer tokens of an OpenID Connect issuer: verified here, fetched nowhere but from the listed place of its keys.

Signatures are asymmetric only; ``none`` and HMAC are refused whatever the settings say, since with HMAC whoever knows
the public key could sign. A ``jku``, ``jwk`` or ``x5u`` in the token is refused: no token brings its own key.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

import jwt
from orjson import JSONDecodeError

from cds.errors import SettingsError, UnauthorisedError
from cds.hooks.trust import KeyReader, key_reader, parse_keys, read_key_set, require_https, usable_key
from cds.security.roles import Principal, PrincipalKind, Role, tail
from cds.settings import Settings
from fhir_adapters.errors import FhirError
from fhir_adapters.shapes import JsonObject

_log = logging.getLogger(__name__)

MAX_TOKEN = 16 * 1024
KEYS_LAST_S = 600.0
KEYS_AGAIN_S = 30.0
"""An unknown key makes the set be read again, at most this often."""
_FORBIDDEN_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})
_REQUIRED = ["iss", "aud", "exp", "sub"]


class OidcTrust:
    """Checks tokens of one issuer."""

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: str,
        algorithms: Sequence[str],
        role_claim: str,
        roles: Mapping[str, Role],
        skew_s: int = 60,
        read_keys: KeyReader | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare; keys are read when the first token comes.

        Args:
            issuer: ``iss``, exactly.
            audience: what ``aud`` has to be or to contain.
            keys: https address or file of the JWKS.
            algorithms: accepted signatures.
            role_claim: where the roles stand, dotted for nested claims, such as ``realm_access.roles``.
            roles: value of that claim to role; who has none of them is refused.
            skew_s: how far clocks may differ.
            read_keys: gives a key set; by default over https or from a file.
            clock: seconds since 1970.

        Raises:
            SettingsError: keys would come from an address that is not https, or a symmetric algorithm is listed.
        """
        if any(not one.startswith(("RS", "ES", "PS")) for one in algorithms) or not algorithms:
            raise SettingsError(
                "OpenID Connect tokens need an asymmetric signature.",
                remedy="List RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or ES512 only.",
            )
        if keys.startswith(("http://", "https://")):
            require_https(keys, setting="FRACTURE_CDS_OIDC_KEYS")
        self._issuer, self._audience, self._place = issuer, audience, keys
        self._algorithms = tuple(algorithms)
        self._claim, self._roles = role_claim.split("."), dict(roles)
        self._skew = skew_s
        self._read_keys = read_keys or read_key_set
        self._clock = clock
        self._keys: Mapping[str, JsonObject] = {}
        self._read = float("-inf")
        self._tried = float("-inf")
        self._lock = asyncio.Lock()

    async def principal(self, token: str) -> Principal:
        """Who holds a token.

        Raises:
            UnauthorisedError: the token cannot be trusted, or gives no role here.
        """
        try:
            header = jwt.get_unverified_header(token) if len(token) <= MAX_TOKEN else {}
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise UnauthorisedError from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms or not isinstance(key_id, str) or _FORBIDDEN_HEADERS & set(header):
            raise UnauthorisedError
        jwk = await self._jwk(key_id)
        key = None if jwk is None else usable_key(jwk, algorithm)
        if key is None:
            raise UnauthorisedError
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": _REQUIRED, "verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise UnauthorisedError from None
        self._check_times(claims)
        role = self._role(claims)
        subject = claims["sub"]
        if role is None or not isinstance(subject, str) or not 1 <= len(subject) <= 200:
            raise UnauthorisedError
        token_id = claims.get("jti")
        return Principal(
            name=subject if subject.isprintable() else "unprintable",
            role=role,
            kind=PrincipalKind.OIDC,
            credential_id=token_id[:64] if isinstance(token_id, str) and token_id.isprintable() else None,
            token_tail=tail(token),
        )

    def _check_times(self, claims: Mapping[str, object]) -> None:
        """Own clock and skew, so that both can be tested."""
        now = self._clock()
        times = [claims["exp"], claims.get("nbf", 0), claims.get("iat", 0)]
        if any(isinstance(one, bool) or not isinstance(one, int | float) or not abs(one) < 1e11 for one in times):
            raise UnauthorisedError
        ends, starts, issued = (float(one) for one in times if isinstance(one, int | float))
        if now >= ends + self._skew or max(starts, issued) > now + self._skew:
            raise UnauthorisedError

    def _role(self, claims: Mapping[str, object]) -> Role | None:
        """The highest role that the claim stands for."""
        value: object = claims
        for part in self._claim:
            value = value.get(part) if isinstance(value, Mapping) else None
        given = value.split() if isinstance(value, str) else value
        found = (
            [self._roles[one] for one in given if isinstance(one, str) and one in self._roles]
            if isinstance(given, list)
            else []
        )
        return max(found, key=list(Role).index, default=None)

    async def _jwk(self, key_id: str) -> JsonObject | None:
        if self._stale(key_id):
            async with self._lock:
                if self._stale(key_id):
                    self._tried = self._clock()
                    try:
                        self._keys = parse_keys(await self._read_keys(self._place))
                        self._read = self._tried
                    except (FhirError, OSError, ValueError, JSONDecodeError) as error:
                        # Yesterday's keys are better than none.
                        _log.warning("the keys of the OpenID Connect issuer cannot be read: %s", type(error).__name__)
        return self._keys.get(key_id)

    def _stale(self, key_id: str) -> bool:
        now = self._clock()
        wanted = now - self._read > KEYS_LAST_S or key_id not in self._keys
        return wanted and now - self._tried > KEYS_AGAIN_S


def build_oidc(settings: Settings, *, audience: str | None = None) -> OidcTrust | None:
    """The check that the settings ask for; None where no issuer is set.

    Args:
        settings: the issuer.
        audience: of identity tokens: our client id; None: what the settings say of access tokens.

    Raises:
        SettingsError: the issuer is set without audience, keys or roles, or one of them cannot be used.
    """
    if settings.oidc_issuer is None:
        return None
    if not (audience or settings.oidc_audience) or not settings.oidc_keys or not settings.oidc_roles:
        raise SettingsError(
            "OpenID Connect is set up in part only.",
            remedy="Set FRACTURE_CDS_OIDC_AUDIENCE, FRACTURE_CDS_OIDC_KEYS and FRACTURE_CDS_OIDC_ROLES as well.",
        )
    return OidcTrust(
        issuer=settings.oidc_issuer,
        audience=audience or settings.oidc_audience or "",
        keys=settings.oidc_keys,
        algorithms=settings.oidc_algorithms,
        role_claim=settings.oidc_role_claim,
        roles={value: Role(role) for value, role in settings.oidc_roles.items()},
        skew_s=settings.oidc_clock_skew_seconds,
        read_keys=key_reader(settings),
    )
