"""Who this program is: keys, the public key set, tokens given and tokens earned."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from fhir_adapters.client.auth import BackendServices, BearerAuth, scopes
from fhir_adapters.client.keys import ClientKey, SigningAlgorithm, jwks, load_key
from fhir_adapters.errors import (
    ClientKeyError,
    ServerAddressError,
    SmartDiscoveryError,
    TokenFileError,
    TokenRefusedError,
    UnauthorisedError,
)
from tests.support.fhir_double import BASE, client, resource

TOKEN_URL = "https://login.example/token"
PATIENT = {"resourceType": "Patient", "id": "p1"}
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP384R1())


def write_pem(folder: Path, key: Any, encryption: KeySerializationEncryption | None = None) -> Path:
    path = folder / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))
    return path


def key(private: Any = EC_KEY) -> ClientKey:
    algorithm = SigningAlgorithm.ES384 if private is EC_KEY else SigningAlgorithm.RS384
    return ClientKey(private=private, algorithm=algorithm, key_id="k1")


@pytest.mark.parametrize(("private", "algorithm"), [(RSA_KEY, "RS384"), (EC_KEY, "ES384")])
def test_a_pem_key_and_its_public_set(private: Any, algorithm: str, tmp_path: Path) -> None:
    loaded = load_key(write_pem(tmp_path, private))
    (public,) = jwks([loaded])["keys"]
    assert public["alg"] == algorithm
    assert public["kid"] == loaded.key_id
    assert len(loaded.key_id) == 43  # SHA-256 in base64url
    assert not {"d", "p", "q", "dp", "dq", "qi"} & set(public)
    assert load_key(write_pem(tmp_path, private), key_id="mine").key_id == "mine"
    assert "private" not in repr(loaded)


@pytest.mark.parametrize("private", [RSA_KEY, EC_KEY])
def test_a_jwk_or_a_set_of_them(private: Any, tmp_path: Path) -> None:
    algorithm = jwt.algorithms.RSAAlgorithm if private is RSA_KEY else jwt.algorithms.ECAlgorithm
    jwk = {**algorithm.to_jwk(private, as_dict=True), "kid": "in-the-file"}
    path = tmp_path / "key.json"
    path.write_text(json.dumps(jwk))
    assert load_key(path).key_id == "in-the-file"
    public_only = {name: value for name, value in jwk.items() if name in {"kty", "n", "e", "crv", "x", "y"}}
    path.write_text(json.dumps({"keys": [public_only, jwk]}))
    assert load_key(path).public_jwk() == load_key(path, key_id="in-the-file").public_jwk()


def test_the_thumbprint_is_that_of_rfc_7638(tmp_path: Path) -> None:
    loaded = load_key(write_pem(tmp_path, EC_KEY))
    assert jwt.PyJWK(loaded.public_jwk()).key_id == loaded.key_id
    import base64
    import hashlib

    public = loaded.public_jwk()
    text = json.dumps({name: public[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
    assert loaded.key_id == digest


def test_keys_that_cannot_be_used(tmp_path: Path) -> None:
    def refused(path: Path) -> str:
        with pytest.raises(ClientKeyError) as caught:
            load_key(path)
        assert caught.value.__cause__ is None
        return str(caught.value)

    assert "opened" in refused(tmp_path / "missing.pem")
    assert "1024 bits" in refused(write_pem(tmp_path, rsa.generate_private_key(65537, 1024)))
    assert "secp256r1" in refused(write_pem(tmp_path, ec.generate_private_key(ec.SECP256R1())))
    assert "neither" in refused(write_pem(tmp_path, ed25519.Ed25519PrivateKey.generate()))
    assert "encrypted" in refused(write_pem(tmp_path, EC_KEY, BestAvailableEncryption(b"secret")))
    for text in (
        "",
        "nonsense",
        "{",
        "{}",
        '{"kty":"EC","d":"x"}',
        '{"kty":"RSA","d":"x"}',
        '{"keys":[1]}',
        "x" * 70000,
    ):
        path = tmp_path / "broken"
        path.write_text(text)
        refused(path)


class Issuer:
    """A FHIR server and its token endpoint that gives out t1, t2, ..."""

    def __init__(self, *, life_s: int = 300, accept: Callable[[str], bool] = lambda token: True) -> None:
        self.life_s, self.accept = life_s, accept
        self.assertions: list[dict[str, Any]] = []
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, Any]] = []
        self.seen: list[str] = []
        self.refusals: list[httpx.Response] = []
        self.configuration: httpx.Response | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("smart-configuration"):
            assert "authorization" not in request.headers
            known = {"token_endpoint": TOKEN_URL, "capabilities": ["permission-v1", "permission-v2"]}
            return self.configuration or httpx.Response(200, json=known)
        if str(request.url) == TOKEN_URL:
            assert "authorization" not in request.headers
            return self.give(dict(parse_qsl(request.content.decode())))
        token = request.headers["authorization"].removeprefix("Bearer ")
        self.seen.append(token)
        return resource(PATIENT) if self.accept(token) else httpx.Response(401)

    def give(self, form: dict[str, str]) -> httpx.Response:
        self.forms.append(form)
        assertion = form["client_assertion"]
        self.headers.append(jwt.get_unverified_header(assertion))
        public = {"ES384": EC_KEY, "RS384": RSA_KEY}[self.headers[-1]["alg"]].public_key()
        claims = jwt.decode(
            assertion, public, algorithms=["ES384", "RS384"], audience=TOKEN_URL, options={"verify_exp": False}
        )
        self.assertions.append(claims)
        if self.refusals:
            return self.refusals.pop(0)
        body = {"access_token": f"t{len(self.forms)}", "token_type": "bearer", "expires_in": self.life_s}
        return httpx.Response(200, json=body)


def reads(issuer: Issuer, auth: Any, times: int = 1, between: Callable[[], None] = lambda: None) -> None:
    async def go() -> None:
        async with client(issuer, auth=auth) as fhir:
            for _ in range(times):
                await fhir.read("Patient", "p1")
                between()

    asyncio.run(go())


@pytest.mark.parametrize("private", [RSA_KEY, EC_KEY])
def test_an_assertion_is_exchanged_for_a_token(private: Any) -> None:
    issuer = Issuer()
    reads(issuer, BackendServices("me", key(private), resource_types=("Patient", "Condition"), clock=lambda: 1000.0), 2)
    assert issuer.seen == ["t1", "t1"]
    (claims,), (form,), (header,) = issuer.assertions, issuer.forms, issuer.headers
    assert claims["iss"] == claims["sub"] == "me"
    assert claims["exp"] - claims["iat"] <= 300
    assert header["kid"] == "k1"
    assert form["grant_type"] == "client_credentials"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert form["scope"] == "system/Patient.rs system/Condition.rs"


def test_a_token_is_renewed_before_it_ends_with_a_new_assertion() -> None:
    now = [1000.0]

    def later() -> None:
        now[0] += 200

    issuer = Issuer(life_s=300)
    reads(issuer, BackendServices("me", key(), clock=lambda: now[0]), 4, later)
    assert issuer.seen == ["t1", "t1", "t2", "t2"]
    assert len({claims["jti"] for claims in issuer.assertions}) == 2


def test_a_refused_token_is_renewed_once() -> None:
    issuer = Issuer(accept=lambda token: token != "t1")
    reads(issuer, BackendServices("me", key()))
    assert issuer.seen == ["t1", "t2"]
    stubborn = Issuer(accept=lambda token: False)
    with pytest.raises(UnauthorisedError):
        reads(stubborn, BackendServices("me", key()))
    assert stubborn.seen == ["t1", "t2"]


def test_parallel_requests_share_one_token() -> None:
    issuer = Issuer()

    async def go() -> None:
        async with client(issuer, auth=BackendServices("me", key())) as fhir:
            await asyncio.gather(*(fhir.read("Patient", "p1") for _ in range(5)))

    asyncio.run(go())
    assert issuer.seen == ["t1"] * 5
    assert len(issuer.forms) == 1


def test_every_attempt_for_a_token_signs_anew() -> None:
    issuer = Issuer()
    issuer.refusals = [httpx.Response(503)]
    reads(issuer, BackendServices("me", key()))
    assert len({claims["jti"] for claims in issuer.assertions}) == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(401, json={"error": "invalid_client", "error_description": "Plantedname"}),
        httpx.Response(400, content=b"nonsense"),
        httpx.Response(200, json={"access_token": "t", "token_type": "mac"}),
        httpx.Response(200, json={"access_token": "new\nline", "token_type": "bearer"}),
        httpx.Response(200, content=b"[]"),
    ],
)
def test_no_token(answer: httpx.Response) -> None:
    issuer = Issuer()
    issuer.refusals = [answer] * 3
    with pytest.raises(TokenRefusedError) as caught:
        reads(issuer, BackendServices("me", key()))
    assert "Plantedname" not in str(caught.value)
    assert len(issuer.forms) == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"token_endpoint": "http://login.example/token"}),
        httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
    ],
)
def test_no_token_endpoint(answer: httpx.Response) -> None:
    issuer = Issuer()
    issuer.configuration = answer
    with pytest.raises(SmartDiscoveryError):
        reads(issuer, BackendServices("me", key()))


def test_a_configured_endpoint_and_scope_need_no_discovery() -> None:
    issuer = Issuer()
    issuer.configuration = httpx.Response(500)
    reads(issuer, BackendServices("me", key(), scope="system/*.read", token_url=TOKEN_URL))
    assert issuer.forms[0]["scope"] == "system/*.read"
    with pytest.raises(ServerAddressError):
        BackendServices("me", key(), token_url="http://login.example/token")


def test_scopes_follow_what_the_server_speaks() -> None:
    assert scopes(["Patient"], {}) == "system/Patient.rs"
    assert scopes(["Patient"], {"capabilities": ["permission-v1"]}) == "system/Patient.read"


def test_secrets_are_not_represented() -> None:
    assert repr(BackendServices("me", key())) == "<BackendServices ES384 kid=k1>"
    assert "open" not in repr(BearerAuth.fixed("open-sesame"))


def test_a_token_file_is_read_again_after_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old\n")
    issuer = Issuer(accept=lambda token: token == "new")
    auth = BearerAuth.from_file(path)

    async def go() -> None:
        async with client(issuer, auth=auth) as fhir:
            assert await auth.token(fhir) == "old"
            path.write_text("Bearer new\n")
            await fhir.read("Patient", "p1")

    asyncio.run(go())
    assert issuer.seen == ["old", "new"]


def test_a_fixed_token_is_tried_once() -> None:
    issuer = Issuer(accept=lambda token: False)
    with pytest.raises(UnauthorisedError):
        reads(issuer, BearerAuth.fixed("t0ken"))
    assert issuer.seen == ["t0ken"]


@pytest.mark.parametrize("content", ["", "two words", "x" * 20000, "ünicode"])
def test_token_files_that_cannot_be_used(content: str, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(TokenFileError):
        reads(Issuer(), BearerAuth.from_file(path))
    with pytest.raises(TokenFileError):
        reads(Issuer(), BearerAuth.from_file(tmp_path / "missing"))


def test_the_base_is_where_the_configuration_is_looked_for() -> None:
    asked: list[str] = []

    def note(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(404)

    with pytest.raises(SmartDiscoveryError):
        reads(note, BackendServices("me", key()))  # type: ignore[arg-type]
    assert asked == [f"{BASE}/.well-known/smart-configuration"]
