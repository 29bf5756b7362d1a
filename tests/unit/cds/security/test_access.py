"""Who is let in: tokens, keys, OpenID Connect, sessions, roles; and binds that would let everybody in."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from fastapi import Depends, FastAPI, Request
from fastapi.testclient import TestClient
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from pydantic import SecretStr
from typer.testing import CliRunner

from cds.entrypoints.access_commands import access_app
from cds.entrypoints.auth import client_of, install_access, mount_login, principal_of, require
from cds.entrypoints.problems import install_problem_handlers
from cds.errors import InputError, SettingsError, UnauthorisedError
from cds.security.access import FAILURES_PER_MINUTE, AccessGate, build_gate, check_bind
from cds.security.api_keys import ApiKeys
from cds.security.limits import RateLimit
from cds.security.oidc import OidcTrust
from cds.security.roles import Principal, PrincipalKind, Role, tail
from cds.security.secrets import weak_secret
from cds.security.sessions import Sessions
from cds.settings import Settings
from cds.store.database import Database, open_database

TOKEN = "q7J-Zx2_mN8vB4cD1eF6"
ISSUER, AUDIENCE = "https://id.example/realm", "fracture-cds"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(Settings(data_dir=tmp_path, audit_log=None))
    yield opened
    opened.close()


def client_for(gate: AccessGate, **options: Any) -> TestClient:
    app = FastAPI()
    install_problem_handlers(app)
    mount_login(app, gate)

    @app.get("/healthz")
    def health() -> str:
        return "ok"

    @app.get("/who")
    def who(request: Request) -> dict[str, str]:
        return {"actor": principal_of(request).actor, "client": client_of(request)}

    @app.post("/assess")
    def assess() -> str:
        return "ok"

    @app.get("/admin")
    def admin(principal: Annotated[Principal, Depends(require(Role.ADMIN))]) -> str:
        return principal.name

    install_access(app, gate, requests_per_minute=options.pop("requests_per_minute", 1000))
    return TestClient(app, base_url="http://127.0.0.1", follow_redirects=False, **options)


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def test_roles_cover_each_other_in_order() -> None:
    allowed = {(have, need) for have in Role for need in Role if have.covers(need)}
    assert allowed == {
        (Role.VIEWER, Role.VIEWER),
        (Role.CLINICIAN, Role.VIEWER),
        (Role.CLINICIAN, Role.CLINICIAN),
        *((Role.ADMIN, need) for need in Role),
    }


def test_without_credentials_this_machine_is_a_clinician() -> None:
    gate = AccessGate()
    assert gate.is_open
    client = client_for(gate)
    assert client.get("/who").json()["actor"] == "local"
    assert client.post("/assess").status_code == 200
    assert client.get("/admin").status_code == 403
    foreign = client_for(gate, client=("203.0.113.9", 5))
    assert foreign.get("/who").status_code == 401
    assert client_for(gate, client=("127.0.0.1", 5)).get("/who").json()["client"] == "127.0.0.1"


def test_shared_token_is_a_clinician() -> None:
    client = client_for(AccessGate(token=TOKEN))
    assert client.get("/who").status_code == 401
    assert client.get("/healthz").status_code == 200
    for wrong in ("", "wrong", TOKEN[:-1], TOKEN + "x", "caf\u00e9".encode().decode("latin-1")):
        assert client.get("/who", headers={"Authorization": f"Bearer {wrong}".encode("latin-1")}).status_code == 401
    assert client.get("/who", headers=bearer(TOKEN)).json() == {"actor": "token", "client": "token"}
    assert client.get("/admin", headers=bearer(TOKEN)).status_code == 403
    assert client.get("/who", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401


def test_api_keys(database: Database) -> None:
    keys = ApiKeys(database)
    viewer = keys.create("ward", Role.VIEWER, created_by="test")
    admin = keys.create("boss", Role.ADMIN, created_by="test")
    client = client_for(AccessGate(keys=keys))
    assert client.get("/who").status_code == 401
    assert client.get("/who", headers=bearer(viewer.secret)).json()["actor"] == "key:ward"
    assert client.post("/assess", headers=bearer(viewer.secret)).status_code == 403
    assert client.get("/admin", headers=bearer(admin.secret)).json() == "boss"
    keys.revoke(viewer.key.id)
    assert client.get("/who", headers=bearer(viewer.secret)).status_code == 401
    assert client.get("/who", headers=bearer("cds_" + "A" * 43)).status_code == 401


def test_only_digests_of_keys_are_kept(database: Database, tmp_path: Path) -> None:
    made = ApiKeys(database).create("ward", Role.VIEWER, created_by="test")
    database.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert made.secret.encode() not in kept and made.secret[4:].encode() not in kept
    assert made.secret not in repr(made)


def test_expired_key_opens_nothing_and_leaves_the_service_closed(database: Database) -> None:
    keys = ApiKeys(database)
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    made = keys.create("short", Role.CLINICIAN, created_by="test", expires=soon)
    assert keys.principal(made.secret) is not None
    time.sleep(0.35)
    assert keys.principal(made.secret) is None
    assert not AccessGate(keys=keys).is_open
    keys.create("short", Role.CLINICIAN, created_by="test")


@pytest.mark.parametrize("name", ["", " x", "a\nb", "x" * 65, "=cmd()", "<b>"])
def test_names_of_keys(name: str, database: Database) -> None:
    with pytest.raises(InputError):
        ApiKeys(database).create(name, Role.VIEWER, created_by="test")


def test_two_working_keys_cannot_share_a_name(database: Database) -> None:
    keys = ApiKeys(database)
    first = keys.create("ward", Role.VIEWER, created_by="test")
    with pytest.raises(InputError):
        keys.create("ward", Role.ADMIN, created_by="test")
    keys.revoke(first.key.id)
    keys.create("ward", Role.ADMIN, created_by="test")


class Issuer:
    """Signs tokens."""

    def __init__(self, tmp_path: Path) -> None:
        self.rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.place = tmp_path / "jwks.json"
        rsa_jwk = RSAAlgorithm.to_jwk(self.rsa.public_key(), as_dict=True) | {"kid": "r", "use": "sig"}
        ec_jwk = ECAlgorithm.to_jwk(self.ec.public_key(), as_dict=True) | {"kid": "e", "use": "sig"}
        self.place.write_text(json.dumps({"keys": [rsa_jwk, ec_jwk]}))

    def trust(self, **changed: Any) -> OidcTrust:
        given: dict[str, Any] = {
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "keys": str(self.place),
            "algorithms": ("RS256", "ES256"),
            "role_claim": "realm_access.roles",
            "roles": {"radiographer": Role.VIEWER, "doctor": Role.CLINICIAN, "it": Role.ADMIN},
        }
        return OidcTrust(**given | changed)

    def token(self, key: Any = None, algorithm: str = "RS256", kid: str = "r", **changed: Any) -> str:
        headers = {"kid": kid} | changed.pop("headers", {})
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": ["other", AUDIENCE],
            "sub": "jdoe",
            "exp": time.time() + 300,
            "iat": time.time(),
            "jti": "t-1",
            "realm_access": {"roles": ["radiographer", "doctor", "unknown"]},
        } | changed
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.rsa if key is None else key, algorithm=algorithm, headers=headers)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("issuer"))


def test_oidc_tokens_give_the_highest_role(issuer: Issuer) -> None:
    client = client_for(AccessGate(oidc=issuer.trust()))
    assert client.get("/who", headers=bearer(issuer.token())).json()["actor"] == "oidc:jdoe"
    assert client.post("/assess", headers=bearer(issuer.token())).status_code == 200
    es256 = issuer.token(issuer.ec, "ES256", "e", realm_access={"roles": ["it"]})
    assert client.get("/admin", headers=bearer(es256)).json() == "jdoe"


def test_oidc_tokens_that_are_refused(issuer: Issuer) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = issuer.rsa.public_key().public_numbers().n.to_bytes(256, "big")
    unsigned = jwt.encode({"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "exp": 9e9}, "", "none", headers={"kid": "r"})
    now = time.time()
    refused = [
        unsigned,
        issuer.token(public, "HS256"),
        issuer.token(other),
        issuer.token(issuer.rsa, "RS512"),
        issuer.token(kid="unknown"),
        issuer.token(kid="e"),
        issuer.token(headers={"jku": "https://evil.example/keys"}),
        issuer.token(headers={"crit": ["b64"]}),
        issuer.token(iss="https://evil.example"),
        issuer.token(aud="other"),
        issuer.token(exp=now - 61),
        issuer.token(exp=None),
        issuer.token(iat=now + 61),
        issuer.token(nbf=now + 61),
        issuer.token(exp=True),
        issuer.token(sub=None),
        issuer.token(realm_access={"roles": ["stranger"]}),
        issuer.token(realm_access=["doctor"]),
        issuer.token()[:-4] + "AAAA",
        "a.b.c",
        "x" * 20_000,
        "",
    ]
    trust = issuer.trust()
    for index, token in enumerate(refused):
        with pytest.raises(UnauthorisedError):
            asyncio.run(trust.principal(token))
            pytest.fail(f"token {index} was accepted")


def test_clock_skew_is_allowed_for(issuer: Issuer) -> None:
    now = time.time()
    for token in (issuer.token(exp=now - 50), issuer.token(iat=now + 50, nbf=now + 50)):
        assert asyncio.run(issuer.trust().principal(token)).name == "jdoe"
        with pytest.raises(UnauthorisedError):
            asyncio.run(issuer.trust(skew_s=10).principal(token))


def test_symmetric_algorithms_and_plain_http_keys_are_no_setting(issuer: Issuer) -> None:
    for changed in ({"algorithms": ("HS256",)}, {"algorithms": ("none",)}, {"keys": "http://id.example/jwks"}):
        with pytest.raises(SettingsError):
            issuer.trust(**changed)


def test_keys_of_the_issuer_are_fetched_again_but_not_for_every_token(issuer: Issuer) -> None:
    reads, clock = [], [time.time()]

    async def read(place: str) -> bytes:
        reads.append(place)
        if len(reads) == 3:
            raise OSError("down")
        return issuer.place.read_bytes()

    trust = issuer.trust(read_keys=read, clock=lambda: clock[0])
    token = issuer.token(exp=clock[0] + 5000)
    for _ in range(3):
        assert asyncio.run(trust.principal(token))
    assert len(reads) == 1
    for _ in range(5):
        with pytest.raises(UnauthorisedError):
            asyncio.run(trust.principal(issuer.token(kid="new")))
    assert len(reads) == 1
    clock[0] += 31
    with pytest.raises(UnauthorisedError):
        asyncio.run(trust.principal(issuer.token(kid="new")))
    assert len(reads) == 2
    clock[0] += 601
    assert asyncio.run(trust.principal(token)), "keys of yesterday are better than none"
    assert len(reads) == 3


def test_half_a_setup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        build_gate(Settings(data_dir=tmp_path, audit_log=None, oidc_issuer=ISSUER), None)


def test_browser_is_led_to_the_login_and_back() -> None:
    client = client_for(AccessGate(token=TOKEN))
    page = {"Accept": "text/html"}
    away = client.get("/who?a=1&b=2", headers=page)
    assert away.status_code == 303
    assert away.headers["location"] == "/login?next=%2Fwho%3Fa%3D1%26b%3D2"
    shown = client.get(away.headers["location"])
    assert 'value="/who?a=1&amp;b=2"' in shown.text and "form-action 'self'" in shown.headers["content-security-policy"]
    assert client.post("/login", data={"password": "wrong", "next": "/who"}).status_code == 400
    done = client.post("/login", data={"password": TOKEN, "next": "/who?a=1"})
    assert (done.status_code, done.headers["location"]) == (303, "/who?a=1")
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and TOKEN not in cookie
    assert client.get("/who", headers=page).json()["actor"] == "token"
    assert client.post("/logout").status_code == 303
    assert client.get("/who").status_code == 401


def test_cookie_is_secure_over_https() -> None:
    client = client_for(AccessGate(token=TOKEN))
    done = client.post("https://127.0.0.1/login", data={"password": TOKEN})
    assert "Secure" in done.headers["set-cookie"]


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\e", "x", "/a\nb"])
def test_login_leads_nowhere_else(target: str) -> None:
    client = client_for(AccessGate(token=TOKEN))
    assert client.post("/login", data={"password": TOKEN, "next": target}).headers["location"] == "/"


def test_another_sites_page_cannot_use_the_cookie() -> None:
    client = client_for(AccessGate(token=TOKEN))
    client.post("/login", data={"password": TOKEN})
    for headers, status in (
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://other.127.0.0.1"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1"}, 200),
        ({"Origin": "http://127.0.0.1"}, 200),
    ):
        assert client.post("/assess", headers=headers).status_code == status, headers


def test_revoked_key_ends_its_sessions(database: Database) -> None:
    keys = ApiKeys(database)
    made = keys.create("ward", Role.VIEWER, created_by="test")
    client = client_for(AccessGate(keys=keys))
    client.post("/login", data={"password": made.secret})
    assert client.get("/who").status_code == 200
    keys.revoke(made.key.id)
    assert client.get("/who").status_code == 401


def test_sessions_end() -> None:
    now = [0.0]
    sessions = Sessions(lasts_s=10, clock=lambda: now[0])
    someone = Principal(name="a", role=Role.VIEWER, kind=PrincipalKind.API_KEY)
    value = sessions.begin(someone)
    assert sessions.principal(value) == someone
    assert sessions.principal(value + "x") is None
    now[0] = 10
    assert sessions.principal(value) is None


def test_guessing_is_slowed_down() -> None:
    client = client_for(AccessGate(token=TOKEN))
    answers = [client.get("/who", headers=bearer(f"wrong-{n}")).status_code for n in range(FAILURES_PER_MINUTE + 5)]
    assert answers == [401] * FAILURES_PER_MINUTE + [429] * 5
    right = client.get("/who", headers=bearer(TOKEN))
    assert right.status_code == 429 and int(right.headers["retry-after"]) >= 1


def test_rate_limit_per_principal_and_address() -> None:
    client = client_for(AccessGate(token=TOKEN), requests_per_minute=5)
    answers = [client.get("/who", headers=bearer(TOKEN)) for _ in range(7)]
    assert [one.status_code for one in answers] == [200] * 5 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) == 12
    assert answers[-1].json()["code"] == "cds.access.too_many"
    assert client.get("/healthz").status_code == 200


def test_bucket_refills_steadily_and_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    limit = RateLimit(2, per_s=10, clock=lambda: now[0])
    assert [limit.take("a") for _ in range(3)] == [0, 0, 5]
    assert limit.take("b") == 0
    now[0] = 5.0
    assert [limit.take("a") for _ in range(2)] == [0, 5]
    monkeypatch.setattr("cds.security.limits.CAPACITY", 3)
    for name in "cdefg":
        limit.take(name)
    assert len(limit._buckets) <= 3


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "cds.hospital.example"])
def test_bind_beyond_this_machine_needs_credentials(host: str, tmp_path: Path, database: Database) -> None:
    def check(**given: Any) -> None:
        settings = Settings(data_dir=tmp_path, audit_log=None, host=host, **given)
        check_bind(settings, build_gate(settings, database))

    with pytest.raises(SettingsError) as caught:
        check()
    assert "cds access key create" in caught.value.remedy
    for weak in ("changeme", "password", "admin", "short", "aaaaaaaaaaaaaaaaaaaa", "Password-Password", "secret123"):
        with pytest.raises(SettingsError):
            check(access_token=SecretStr(weak))
    check(access_token=SecretStr(TOKEN))
    with pytest.raises(SettingsError):
        check(access_token=SecretStr(TOKEN), database_url=SecretStr("postgresql://cds:postgres@db.example/cds"))
    ApiKeys(database).create("ward", Role.VIEWER, created_by="test")
    check()


def test_bind_to_this_machine_needs_none(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        check_bind(Settings(data_dir=tmp_path, audit_log=None, host=host), AccessGate())


def test_token_from_a_file(tmp_path: Path) -> None:
    place = tmp_path / "token"
    settings = Settings(data_dir=tmp_path, audit_log=None, access_token_file=place)
    for content in (None, "", " \n"):
        if content is not None:
            place.write_text(content)
        with pytest.raises(SettingsError):
            build_gate(settings, None)
    place.write_text(TOKEN + "\n")
    assert client_for(build_gate(settings, None)).get("/who", headers=bearer(TOKEN)).status_code == 200


def test_weak_secrets() -> None:
    assert weak_secret("Admin123!") and weak_secret("x" * 30) and weak_secret("orthanc")
    assert not weak_secret(TOKEN)


def test_tail_of_a_token_is_of_no_use() -> None:
    assert tail("short") == ""
    assert tail("cds_" + "a" * 39 + "wxyz") == "wxyz"
    assert len(tail("j" * 700)) == 32


def test_gradio_request_is_understood() -> None:
    import gradio as gr

    someone = Principal(name="a", role=Role.VIEWER, kind=PrincipalKind.API_KEY)
    plain = Request({"type": "http", "headers": [], "state": {"principal": someone}})
    assert principal_of(gr.Request(request=plain)) is someone
    with pytest.raises(UnauthorisedError):
        principal_of(gr.Request(request=Request({"type": "http", "headers": []})))


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_DATA_DIR", str(tmp_path))
    run = CliRunner()
    made = run.invoke(access_app, ["key", "create", "--name", "ward", "--role", "viewer", "--expires", "30d"])
    assert made.exit_code == 0, made.output
    secret = made.stdout.splitlines()[0]
    assert secret.startswith("cds_")
    shown = run.invoke(access_app, ["key", "list"]).stdout
    assert "ward" in shown and "viewer" in shown and "works" in shown and secret not in shown
    assert run.invoke(access_app, ["key", "revoke", shown.split()[0]]).exit_code == 0
    assert "revoked" in run.invoke(access_app, ["key", "list"]).stdout
    assert run.invoke(access_app, ["key", "revoke", "nothing"]).exit_code == 2
    assert run.invoke(access_app, ["key", "create", "--name", "x", "--role", "viewer", "--expires", "soon"]).exit_code
