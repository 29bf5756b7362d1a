"""An EHR with a login of its own, for tests: SMART App Launch and OpenID Connect by authorization code with PKCE.

Its FHIR part passes on to a real server what the token of a launch may read: one patient, nothing else.
"""

import base64
import hashlib
import html
import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jwt.algorithms import ECAlgorithm

from tests.support.fhir_server import LOADER
from tests.support.server import serving

CLIENT = "fracture-cds"
SUBJECT = "dr-example"


@dataclass(slots=True)
class Identity:
    """What it knows, what it was asked, and how it misbehaves."""

    patient: str | None = "example-72f"
    """Patient of the launch context."""
    upstream: str = ""
    """Base address of the FHIR server behind it."""
    url: str = ""
    life_s: int = 3600
    methods: list[str] = field(default_factory=lambda: ["S256"])
    nonce: str | None = None
    """Replaces the nonce in identity tokens."""
    refuse: bool = False
    """Whether whoever logs in there is refused."""
    roles: list[str] = field(default_factory=lambda: ["doctors"])
    asked: list[str] = field(default_factory=list)
    """Method, path and query of every request."""
    launches: dict[str, str | None] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, str | None] = field(default_factory=dict)
    """Access token to the patient that it may read."""
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def iss(self) -> str:
        """Base address of the FHIR part."""
        return f"{self.url}/fhir"

    def launch(self) -> str:
        """A new launch of the form for the patient: its handle."""
        handle = secrets.token_urlsafe(12)
        self.launches[handle] = self.patient
        return handle

    def jwks(self) -> dict[str, Any]:
        """Keys of the identity tokens."""
        public: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**public, "kid": "k1", "use": "sig", "alg": "ES256"}]}


def app_of(identity: Identity) -> FastAPI:
    """The EHR with this state."""
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call: Any) -> Any:
        identity.asked.append(f"{request.method} {request.url.path}?{request.url.query}")
        return await call(request)

    @app.get("/favicon.ico")
    def icon() -> Response:
        return Response(status_code=204)

    @app.get("/fhir/.well-known/smart-configuration")
    @app.get("/.well-known/openid-configuration")
    def configuration() -> dict[str, Any]:
        return {
            "issuer": identity.url,
            "authorization_endpoint": f"{identity.url}/authorize",
            "token_endpoint": f"{identity.url}/token",
            "code_challenge_methods_supported": identity.methods,
        }

    @app.get("/jwks.json")
    def keys() -> dict[str, Any]:
        return identity.jwks()

    @app.get("/authorize")
    def authorize(request: Request) -> Response:
        given = dict(request.query_params)
        known = given.get("client_id") == CLIENT and given.get("response_type") == "code"
        if not known or given.get("code_challenge_method") != "S256" or not given.get("state"):
            return Response("bad request", status_code=400)
        if "launch" in given and (given["launch"] not in identity.launches or given.get("aud") != identity.iss):
            return Response("bad launch", status_code=400)
        back = {"state": given["state"]}
        if identity.refuse:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe(16)
            identity.codes[back["code"]] = given
        address = html.escape(f"{given['redirect_uri']}?{urlencode(back)}")
        return HTMLResponse(f'<h1>Hospital login</h1><a href="{address}">I am {SUBJECT}</a>')

    @app.post("/token")
    async def token(request: Request) -> Response:
        form_ = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        begun = identity.codes.pop(form_.get("code", ""), None)  # good once
        digest = hashlib.sha256(form_.get("code_verifier", "").encode()).digest()
        shown = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if begun is None or begun["code_challenge"] != shown or begun["redirect_uri"] != form_.get("redirect_uri"):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        access = secrets.token_urlsafe(24)
        answer: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": identity.life_s}
        if "launch" in begun:
            identity.tokens[access] = identity.launches[begun["launch"]]
            answer |= {"scope": begun["scope"]}
            answer |= {} if identity.tokens[access] is None else {"patient": identity.tokens[access]}
        if "nonce" in begun:
            answer["id_token"] = id_token(identity, nonce=identity.nonce or begun["nonce"])
        return JSONResponse(answer)

    @app.api_route("/fhir/{path:path}", methods=["GET", "POST"])
    async def fhir(path: str, request: Request) -> Response:
        body = await request.body()
        granted = request.headers.get("authorization", "").removeprefix("Bearer ")
        if granted not in identity.tokens:
            return JSONResponse({"resourceType": "OperationOutcome", "issue": []}, status_code=401)
        patient = identity.tokens[granted] or ""
        if patient not in path + request.url.query + body.decode() and path:
            return JSONResponse({"resourceType": "OperationOutcome", "issue": []}, status_code=403)
        passed = {name: request.headers[name] for name in ("content-type", "accept") if name in request.headers}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            reply = await client.request(
                request.method,
                f"{identity.upstream}/{path}",
                params=request.query_params,
                content=body,
                headers=passed | {"Authorization": LOADER["Authorization"]},
            )
        kept = {"content-type": reply.headers.get("content-type", "application/fhir+json")}
        return Response(reply.content, status_code=reply.status_code, headers=kept)

    return app


def id_token(identity: Identity, **more: Any) -> str:
    """An identity token of the person who logs in there."""
    now = int(time.time())
    claims = {
        "iss": identity.url,
        "aud": CLIENT,
        "sub": SUBJECT,
        "iat": now,
        "exp": now + 300,
        "roles": identity.roles,
        **more,
    }
    return jwt.encode(claims, identity.key, algorithm="ES256", headers={"kid": "k1"})


def _page(text: str, request: Request) -> HTMLResponse:
    return HTMLResponse(text)


@contextmanager
def running_identity(identity: Identity, pages: Mapping[str, str] | None = None) -> Iterator[Identity]:
    """Serve it on a free port of this machine.

    Args:
        identity: its state.
        pages: HTML by path.
    """
    app = app_of(identity)
    for path, page in (pages or {}).items():
        app.add_route(path, partial(_page, page))
    with serving(app) as address:
        identity.url = address
        yield identity
