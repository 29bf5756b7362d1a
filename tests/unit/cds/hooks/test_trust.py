"""Client tokens: who is let in, and every way in which a token can be wrong."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from cds.errors import SettingsError
from cds.hooks.errors import ClientRefusedError
from cds.hooks.trust import MAX_LIFE_S, ClientTrust, ReplayGuard
from cds.settings import Settings
from tests.support import hooks
from tests.support.hooks import condition, hook_call, prefetch

ISSUER, JKU = "https://ehr.example", "https://ehr.example/jwks.json"
URL = "http://127.0.0.1/cds-services/fracture-risk"
EC, RSA = ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)
SMALL_EC, WEAK_RSA = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 1024)


def jwk(key: Any, key_id: str, **more: Any) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "use": "sig", **more}


KEYS = {"keys": [jwk(EC, "e"), jwk(RSA, "r", alg="RS384"), jwk(SMALL_EC, "small"), jwk(WEAK_RSA, "weak")]}


def token(key: Any = EC, algorithm: str = "ES384", *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
    now = int(time.time())
    body = {"iss": ISSUER, "aud": URL, "exp": now + 300, "iat": now, "jti": str(uuid4()), **claims}
    named = {"kid": "e", "jku": JKU, **(headers or {})}
    kept = {name: value for name, value in body.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jwt.encode(kept, key, algorithm, headers={n: v for n, v in named.items() if v is not None})


@dataclass(slots=True)
class Keys:
    """A place for keys that counts how often it is asked."""

    answer: bytes = field(default_factory=lambda: json.dumps(KEYS).encode())
    asked: list[str] = field(default_factory=list)
    fails: bool = False

    async def __call__(self, place: str) -> bytes:
        self.asked.append(place)
        if self.fails:
            raise OSError("down")
        return self.answer


@dataclass(slots=True)
class Clock:
    """The time, and a way to move it."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def trust(keys: Keys | None = None, clock: Clock | None = None, **options: Any) -> ClientTrust:
    return ClientTrust(
        options.pop("clients", {ISSUER: JKU}),
        algorithms=options.pop("algorithms", ("ES384", "RS384")),
        skew_s=60,
        read_keys=keys or Keys(),
        clock=clock or Clock(),
        **options,
    )


def verify(one: ClientTrust, given: str | None, audience: str = URL) -> str:
    header = None if given is None else f"Bearer {given}"
    return asyncio.run(one.verify(header, audience=audience))


def refused(given: str | None, why: str, one: ClientTrust | None = None) -> None:
    with pytest.raises(ClientRefusedError, match=why) as caught:
        verify(one or trust(), given)
    if given is not None and len(given) > 20:
        assert given[:20] not in str(caught.value)


def test_both_recommended_algorithms() -> None:
    assert verify(trust(), token()) == ISSUER
    assert verify(trust(), token(RSA, "RS384", headers={"kid": "r"})) == ISSUER
    assert verify(trust(), token(aud=[URL, "https://other.example"])) == ISSUER
    assert verify(trust(), token(headers={"jku": None})) == ISSUER


def unsigned() -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT", "kid": "e"}).encode()).rstrip(b"=")
    return f"{header.decode()}.{token().split('.')[1]}."


def confused() -> str:
    """Signed with HMAC, the public key as the secret."""
    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = json.dumps({"alg": "HS384", "typ": "JWT", "kid": "r"}).encode()
    signed = f"{base64.urlsafe_b64encode(head).rstrip(b'=').decode()}.{token().split('.')[1]}"
    signature = hmac.new(secret, signed.encode(), hashlib.sha384).digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: None, "no client token"),
        (lambda: "abc", "not a readable JWT"),
        (lambda: "a" * 20_000, "too long"),
        (unsigned, "not a readable JWT|algorithm"),
        (confused, "algorithm"),
        (lambda: token(b"secret-secret-secret-secret-secret-secret-secret", "HS384"), "algorithm"),
        (lambda: token(RSA, "RS256", headers={"kid": "r"}), "algorithm"),
        (lambda: token(SMALL_EC, "ES256", headers={"kid": "small"}), "algorithm"),
        (lambda: token(WEAK_RSA, "RS384", headers={"kid": "weak"}), "does not fit its algorithm"),
        (lambda: token(RSA, "RS384", headers={"kid": "e"}), "does not fit its algorithm"),
        (lambda: token(ec.generate_private_key(ec.SECP384R1())), "signature"),
        (lambda: token(headers={"kid": "unknown"}), "not among"),
        (lambda: token(headers={"kid": None}), "name its key"),
        (lambda: token(headers={"typ": "at+jwt"}), "another type"),
        (lambda: token(headers={"jku": "https://evil.example/jwks.json"}), "another place"),
        (lambda: token(iss="https://evil.example"), "issuer"),
        (lambda: token(iss=None), "issuer"),
        (lambda: token(aud="http://127.0.0.1/cds-services"), "another address"),
        (lambda: token(aud=None), "lacks one of"),
        (lambda: token(exp=None), "lacks one of"),
        (lambda: token(iat=None), "lacks one of"),
        (lambda: token(jti=None), "lacks one of"),
        (lambda: token(jti=""), "identifier|valid"),
        (lambda: token(exp=int(time.time()) - 61), "expired"),
        (lambda: token(iat=int(time.time()) + 120), "not valid yet"),
        (lambda: token(nbf=int(time.time()) + 120), "not valid yet"),
        (lambda: token(exp=int(time.time()) + MAX_LIFE_S + 10), "more than 60 minutes"),
        (lambda: token(exp=1e300), "numbers|valid"),
        (lambda: token(iat=int(time.time()) - 200), "older than the start"),
    ],
)
def test_refused(make: Any, why: str) -> None:
    refused(make(), why)


def test_a_clock_that_is_somewhat_off_does_no_harm() -> None:
    now = int(time.time())
    assert verify(trust(), token(iat=now + 50, exp=now + 350)) == ISSUER
    assert verify(trust(), token(iat=now - 50, exp=now - 50)) == ISSUER


def test_a_token_is_good_once() -> None:
    one, given = trust(), token()
    assert verify(one, given) == ISSUER
    refused(given, "used before", one)
    refused(token(jti=jwt.decode(given, options={"verify_signature": False})["jti"]), "used before", one)


def test_a_restart_does_not_make_a_used_token_good_again() -> None:
    given = token(exp=int(time.time()) + 1000)
    assert verify(trust(), given) == ISSUER
    clock = Clock(ahead=100)
    refused(given, "older than the start", trust(clock=clock))


def test_used_tokens_are_forgotten_when_they_expire_and_never_before() -> None:
    guard = ReplayGuard(capacity=2)
    assert guard.admit("i", "a", until=100, now=0)
    assert guard.admit("i", "b", until=200, now=0)
    assert not guard.admit("i", "c", until=300, now=50)
    assert not guard.admit("i", "a", until=100, now=50)
    assert guard.admit("i", "c", until=300, now=101)
    assert guard.admit("j", "b", until=300, now=201)


def test_keys_are_kept_and_renewed() -> None:
    keys, clock = Keys(), Clock()
    one = trust(keys, clock)
    verify(one, token())
    verify(one, token())
    assert keys.asked == [JKU]
    refused(token(headers={"kid": "new"}), "not among", one)
    assert len(keys.asked) == 1  # asked a moment ago
    clock.ahead = 40
    fresh = ec.generate_private_key(ec.SECP384R1())
    keys.answer = json.dumps({"keys": [jwk(fresh, "new")]}).encode()
    assert verify(one, token(fresh, headers={"kid": "new"})) == ISSUER
    refused(token(), "not among", one)


def test_keys_survive_that_their_server_is_down() -> None:
    keys, clock = Keys(), Clock()
    one = trust(keys, clock)
    verify(one, token())
    keys.fails, clock.ahead = True, 1000
    now = int(clock())
    assert verify(one, token(iat=now, exp=now + 300)) == ISSUER
    down = Keys(fails=True)
    refused(token(), "cannot be read", trust(down))
    refused(token(), "cannot be read", trust(Keys(answer=b"<html>")))
    refused(token(), "not among", trust(Keys(answer=b'{"keys": [{"kty": "oct", "k": "AA", "kid": "e"}, 7, {}]}')))


def test_a_symmetric_key_in_a_key_set_is_no_key() -> None:
    secret = b"0123456789012345678901234567890123456789012345678"
    encoded = base64.urlsafe_b64encode(secret).decode()
    keys = Keys(answer=json.dumps({"keys": [{"kty": "oct", "kid": "e", "k": encoded}]}).encode())
    refused(token(secret, "HS384"), "algorithm", trust(keys))


def test_keys_never_come_over_plain_http() -> None:
    with pytest.raises(SettingsError, match="not https"):
        trust(clients={ISSUER: "http://ehr.example/jwks.json"})


# --- over HTTP


@pytest.fixture
def client(tmp_path: Path) -> Iterator[hooks.HooksClient]:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEYS))
    yield hooks.hooks_client(Settings(hooks_clients={ISSUER: str(path)}))


def bearer(given: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {given}"}


def test_every_route_wants_a_token_for_its_own_address(client: hooks.HooksClient) -> None:
    base = "http://127.0.0.1/cds-services"
    call = hook_call("patient-view", prefetch(condition("f1", hooks.WRIST_FRACTURE, days=200)))
    feedback = {
        "feedback": [
            {"card": "4e0a3a1e", "outcome": "overridden", "outcomeTimestamp": "2026-12-11T00:00:00Z"},
        ]
    }

    def signed(path: str) -> dict[str, str]:
        return bearer(token(headers={"jku": None}, aud=f"{base}{path}"))

    assert client.http.get("/cds-services", headers=signed("")).status_code == 200
    assert client.http.get("/cds-services", headers=signed("/fracture-risk")).status_code == 401
    assert client.http.post("/cds-services/fracture-risk", json=call).status_code == 401
    one = signed("/fracture-risk")
    assert len(client.http.post("/cds-services/fracture-risk", json=call, headers=one).json()["cards"]) == 1
    again = client.http.post("/cds-services/fracture-risk", json=call, headers=one)
    assert again.status_code == 401 and again.headers["www-authenticate"].startswith("Bearer ")
    path = "/fracture-risk/feedback"
    assert client.http.post(f"/cds-services{path}", json=feedback, headers=signed(path)).status_code == 200
    assert client.feedback.items[0].client == ISSUER
    assert [entry.actor for entry in client.audit.entries if entry.outcome == "ok"] == [f"hooks:{ISSUER}"] * 2


def test_behind_a_proxy_the_audience_is_what_clients_see(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(KEYS))
    settings = Settings(hooks_clients={ISSUER: str(path)}, hooks_base_url="https://cds.example/")
    client = hooks.hooks_client(settings)
    given = token(headers={"jku": None}, aud="https://cds.example/cds-services")
    assert client.http.get("/cds-services", headers=bearer(given)).status_code == 200


def test_a_stranger_learns_nothing(client: hooks.HooksClient) -> None:
    """Whether a service exists and what its body lacks is told to known clients only."""
    assert client.http.post("/cds-services/unknown", content=b"{").status_code == 401
    assert client.http.post("/cds-services/fracture-risk", content=b"x" * 100).status_code == 401
