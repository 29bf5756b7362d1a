"""SMART App Launch: who may launch, what is checked on the way back, and what is remembered."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi.testclient import TestClient

from cds.audit import AccessRecord, AuditKind
from cds.entrypoints.launch import COOKIE
from cds.entrypoints.web import create_app
from cds.errors import CdsError, LaunchRefusedError, SettingsError
from cds.settings import Settings
from cds.smart_launch import Launched, SmartLaunches, build_launches
from cds.store.opening import open_store
from fhir_adapters.errors import FhirError, ServerAddressError
from tests.support.fakes import FakeParts, RememberingAuditTrail
from tests.support.identity import CLIENT, Identity, running_identity

ACTOR, BROWSER = "token", "browser-secret"
REDIRECT = "http://127.0.0.1/launch/callback"


class Trail(RememberingAuditTrail):
    """Keeps who looked, too."""

    def __init__(self) -> None:
        super().__init__()
        self.access: list[AccessRecord] = []

    def record_access(self, entry: AccessRecord) -> None:
        self.access.append(entry)


@pytest.fixture(scope="module")
def running() -> Iterator[Identity]:
    with running_identity(Identity()) as identity:
        yield identity


@pytest.fixture
def ehr(running: Identity) -> Iterator[Identity]:
    fresh = Identity()
    for name in ("patient", "life_s", "methods", "refuse", "asked", "launches", "codes", "tokens"):
        setattr(running, name, getattr(fresh, name))
    yield running


def settings(ehr: Identity, **more: object) -> Settings:
    return Settings(audit_log=None, store="off", smart_client_id=CLIENT, smart_issuers=(ehr.iss,), **more)  # type: ignore[arg-type]


def begin(launches: SmartLaunches, ehr: Identity, **more: str) -> dict[str, str]:
    """What the browser is sent to the EHR with."""
    query = {"iss": ehr.iss, "launch": ehr.launch(), **more}
    address = asyncio.run(launches.begin(query, redirect=REDIRECT, actor=ACTOR, browser=BROWSER))
    assert address.startswith(f"{ehr.url}/authorize?")
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def allow(ehr: Identity, sent: dict[str, str]) -> dict[str, str]:
    """What the browser comes back with."""
    page = httpx.get(f"{ehr.url}/authorize", params=sent, trust_env=False)
    assert page.status_code == 200, page.text
    link = page.text.split('href="')[1].split('"')[0].replace("&amp;", "&")
    return {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}


def finish(launches: SmartLaunches, back: dict[str, str], *, actor: str = ACTOR, browser: str = BROWSER) -> Launched:
    return asyncio.run(launches.finish(back, actor=actor, browser=browser))


def test_a_launch_gives_the_patient_and_a_token(ehr: Identity) -> None:
    launches = SmartLaunches(settings(ehr))
    sent = begin(launches, ehr)
    assert sent["aud"] == ehr.iss and sent["code_challenge_method"] == "S256" and sent["redirect_uri"] == REDIRECT
    assert sent["scope"].startswith("launch patient/Patient.rs ") and "*" not in sent["scope"]
    launched = finish(launches, allow(ehr, sent))
    assert launched.patient_id == "example-72f" and launched.token.get_secret_value() in ehr.tokens
    assert launches.find(launched.id, actor=ACTOR, browser=BROWSER) == launched
    reader = launched.settings(
        Settings(fhir_client_id="backend", fhir_key_file=Path("k"), fhir_server="https://x/fhir")
    )
    assert (reader.fhir_server, reader.fhir_token, reader.fhir_client_id) == (ehr.iss, launched.token, None)
    secret = launched.token.get_secret_value()
    assert secret not in repr(launched) and launched.patient_id not in repr(launched)
    assert not any(secret in one for one in ehr.asked)


@pytest.mark.parametrize("iss", ["", "nonsense", "https://evil.example/fhir", "{iss}x", "{iss}@evil.example"])
def test_a_server_that_is_not_listed_is_not_asked(ehr: Identity, iss: str) -> None:
    launches = SmartLaunches(settings(ehr))
    with pytest.raises(LaunchRefusedError, match="not listed"):
        begin(launches, ehr, iss=iss.replace("{iss}", ehr.iss))
    assert ehr.asked == []


def test_a_slash_at_the_end_is_the_same_server(ehr: Identity) -> None:
    assert begin(SmartLaunches(settings(ehr)), ehr, iss=ehr.iss + "/")["aud"] == ehr.iss


@pytest.mark.parametrize(
    ("place", "hosts"), [("10.1.2.3", ()), ("127.0.0.1", ("ehr.example",)), ("169.254.169.254", ("ehr.example",))]
)
def test_a_listed_name_leads_only_where_it_should(
    monkeypatch: pytest.MonkeyPatch, place: str, hosts: tuple[str, ...]
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: [(2, 1, 6, "", (place, 0))])
    iss = "https://ehr.example/fhir"
    given = Settings(audit_log=None, store="off", smart_client_id=CLIENT, smart_issuers=(iss,), private_hosts=hosts)
    query = {"iss": iss, "launch": "x"}
    with pytest.raises(ServerAddressError, match="private network") as caught:
        asyncio.run(SmartLaunches(given).begin(query, redirect=REDIRECT, actor=ACTOR, browser=BROWSER))
    assert "FRACTURE_CDS_PRIVATE_HOSTS" in caught.value.remedy


@pytest.mark.parametrize("launch", ["", "a\nb", "x" * 5000])
def test_a_launch_needs_its_handle(ehr: Identity, launch: str) -> None:
    with pytest.raises(LaunchRefusedError, match="launch parameter"):
        begin(SmartLaunches(settings(ehr)), ehr, launch=launch)


def test_an_ehr_without_pkce_is_refused(ehr: Identity) -> None:
    ehr.methods = ["plain"]
    with pytest.raises(LaunchRefusedError, match="PKCE"):
        begin(SmartLaunches(settings(ehr)), ehr)


def test_the_way_back_is_good_once_for_the_one_who_began(ehr: Identity) -> None:
    launches = SmartLaunches(settings(ehr))
    back = allow(ehr, begin(launches, ehr))
    for stranger in ({"browser": "another"}, {"browser": ""}):
        with pytest.raises(LaunchRefusedError, match="not begun here"):
            finish(launches, back, **stranger)
    with pytest.raises(LaunchRefusedError, match="not begun here"):  # the stranger's try used it up
        finish(launches, back)
    back = allow(ehr, begin(launches, ehr))
    with pytest.raises(LaunchRefusedError, match="not begun here"):
        finish(launches, back | {"state": "guessed"})
    with pytest.raises(LaunchRefusedError, match="Somebody else"):
        finish(launches, back, actor="key:other")
    assert ehr.tokens == {}


def test_a_code_of_another_launch_is_refused_by_the_verifier(ehr: Identity) -> None:
    launches = SmartLaunches(settings(ehr))
    first, second = (allow(ehr, begin(launches, ehr)) for _ in range(2))
    with pytest.raises(LaunchRefusedError, match="invalid_grant"):
        finish(launches, first | {"code": second["code"]})


@pytest.mark.parametrize(
    ("change", "words"),
    [({"refuse": True}, "access_denied"), ({"patient": None}, "without a patient"), ({"patient": "a/b"}, "without a")],
)
def test_what_the_ehr_may_answer_instead(ehr: Identity, change: dict[str, object], words: str) -> None:
    for name, value in change.items():
        setattr(ehr, name, value)
    launches = SmartLaunches(settings(ehr))
    with pytest.raises(LaunchRefusedError, match=words):
        finish(launches, allow(ehr, begin(launches, ehr)))


def test_free_text_of_a_server_is_not_repeated(ehr: Identity) -> None:
    launches = SmartLaunches(settings(ehr))
    state = begin(launches, ehr)["state"]
    with pytest.raises(LaunchRefusedError) as caught:
        finish(launches, {"state": state, "error": "<script>Plantedname"})
    assert "Planted" not in str(caught.value)


def test_launches_end(ehr: Identity) -> None:
    now = [1000.0]
    launches = SmartLaunches(settings(ehr), clock=lambda: now[0])
    late = allow(ehr, begin(launches, ehr))
    now[0] += 601
    with pytest.raises(LaunchRefusedError, match="took too long"):
        finish(launches, late)
    ehr.life_s = 60
    launched = finish(launches, allow(ehr, begin(launches, ehr)))
    now[0] += 61
    with pytest.raises(LaunchRefusedError, match="has ended"):
        launches.find(launched.id, actor=ACTOR, browser=BROWSER)
    for other in (
        {"actor": "key:other", "browser": BROWSER},
        {"actor": ACTOR, "browser": "another"},
    ):
        with pytest.raises(LaunchRefusedError, match="no such launch"):
            launches.find(launched.id, **other)


def test_an_ehr_that_is_down(ehr: Identity) -> None:
    gone = "http://127.0.0.1:9/fhir"
    launches = SmartLaunches(settings(ehr).model_copy(update={"smart_issuers": (gone,)}))
    with pytest.raises(FhirError):
        begin(launches, ehr, iss=gone)


def test_a_client_with_a_key_signs(ehr: Identity, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    path = tmp_path / "key.pem"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    launches = SmartLaunches(settings(ehr, smart_key_file=path))
    sent = begin(launches, ehr)
    form = launches._form(launches._pending.take(sent["state"], browser=BROWSER), "c")
    claims = jwt.decode(form["client_assertion"], key.public_key(), algorithms=["ES384"], audience=f"{ehr.url}/token")
    assert claims["iss"] == claims["sub"] == CLIENT and "client_id" not in form


def test_settings(ehr: Identity) -> None:
    assert build_launches(Settings(audit_log=None)) is None
    with pytest.raises(SettingsError):
        SmartLaunches(Settings(audit_log=None))
    with pytest.raises(SettingsError, match="cannot be used"):
        SmartLaunches(Settings(audit_log=None, smart_client_id=CLIENT, smart_issuers=("http://ehr.example/fhir",)))
    assert issubclass(LaunchRefusedError, CdsError)


def test_over_http(ehr: Identity) -> None:
    trail = Trail()
    app = create_app(settings(ehr), FakeParts().engines(), trail)
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        refused = client.get("/launch", params={"iss": "https://evil.example/fhir", "launch": "x"})
        assert refused.status_code == 400 and "not listed" in refused.text and "location" not in refused.headers
        gone = client.get("/launch", params={"iss": ehr.iss, "launch": ehr.launch()})
        assert gone.status_code == 303 and gone.headers["referrer-policy"] == "no-referrer"
        cookie = gone.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=lax" in cookie and COOKIE in cookie
        query = parse_qs(urlsplit(gone.headers["location"]).query)
        back = allow(ehr, {name: values[0] for name, values in query.items()})
        done = client.get("/launch/callback", params=back)
        assert done.status_code == 303 and done.headers["location"].startswith("/?launch=")
        assert client.get("/launch/callback", params=back).status_code == 400
    found = [(one.kind, one.outcome, one.target) for one in trail.access]
    assert found == [
        (AuditKind.READ, "ok", "ehr-launch"),
        (AuditKind.READ, "cds.access.launch", "ehr-launch"),
    ]
    assert trail.access[0].patient_key == "example-72f"
    (token,) = ehr.tokens
    assert all(token not in text and back["code"] not in text for text in (str(trail.access), done.headers["location"]))


def test_a_launch_outlasts_the_process_that_began_it(ehr: Identity, tmp_path: Path) -> None:
    """Login, launch, callback and form each meet another process; each locker opens once, or for its browser only."""
    given = settings(ehr, data_dir=tmp_path, access_token="q7J-Zx2_mN8vB4cD1eF6")
    cookies: dict[str, str] = {}

    def ask(method: str, path: str, **more: Any) -> Any:
        store = open_store(given)
        try:
            app = create_app(given, FakeParts().engines(), Trail(), store)
            with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False, cookies=cookies) as client:
                answer = client.request(method, path, **more)
                cookies.update(dict(client.cookies.items()))
                if "launch=" in answer.headers.get("location", "") and path == "/launch/callback":
                    numbers.append(answer.headers["location"].partition("=")[2])
                return answer
        finally:
            store.close()

    numbers: list[str] = []
    assert ask("POST", "/login", data={"password": "q7J-Zx2_mN8vB4cD1eF6"}).status_code == 303
    gone = ask("GET", "/launch", params={"iss": ehr.iss, "launch": ehr.launch()})
    query = parse_qs(urlsplit(gone.headers["location"]).query)
    back = allow(ehr, {name: values[0] for name, values in query.items()})
    assert ask("GET", "/launch/callback", params=back).status_code == 303
    assert ask("GET", "/launch/callback", params=back).status_code == 400
    (number,), (token,) = numbers, ehr.tokens
    store = open_store(given)
    launches = build_launches(given, store.database)
    assert launches is not None
    found = launches.find(number, actor="token", browser=cookies[COOKIE])
    assert found.patient_id == "example-72f" and found.token.get_secret_value() == token
    with pytest.raises(LaunchRefusedError, match="no such launch"):
        launches.find(number, actor="token", browser="another")
    store.close()
    held = b"".join(one.read_bytes() for one in tmp_path.rglob("*.sqlite3*"))
    assert all(secret.encode() not in held for secret in (token, "example-72f", cookies[COOKIE], back["state"]))


def test_a_service_that_is_not_set_up_says_so(ehr: Identity) -> None:
    app = create_app(replace_settings(ehr), FakeParts().engines(), Trail())
    with TestClient(app, base_url="http://127.0.0.1") as client:
        answer = client.get("/launch", params={"iss": ehr.iss, "launch": "x"})
    assert answer.status_code == 400 and "not set up" in answer.text and ehr.asked == []


def test_a_code_does_not_travel_to_the_login_page(ehr: Identity) -> None:
    app = create_app(settings(ehr, access_token="q7J-Zx2_mN8vB4cD1eF6"), FakeParts().engines(), Trail())
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        page = {"accept": "text/html"}
        there = client.get("/launch", params={"iss": ehr.iss, "launch": "x1"}, headers=page)
        back = client.get("/launch/callback", params={"code": "secret-code", "state": "s"}, headers=page)
    assert there.status_code == back.status_code == 303
    assert "launch%3D" in there.headers["location"] and "x1" in there.headers["location"]
    assert back.headers["location"] == "/login?next=%2Flaunch%2Fcallback"


def replace_settings(ehr: Identity) -> Settings:
    return settings(ehr).model_copy(update={"smart_client_id": None})
