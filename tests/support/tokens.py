"""Tokens of clients and people whose clocks are off: whether the service takes them."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from cds.errors import UnauthorisedError
from cds.hooks.errors import ClientRefusedError
from cds.hooks.trust import build_trust
from cds.security.oidc import build_oidc
from cds.settings import Settings

ISSUER, AUDIENCE = "https://issuer.example", "https://cds.example/cds-services/fracture-risk"
LIFE_S = 60


def _signed(folder: Path, claims: dict[str, Any]) -> tuple[str, Path]:
    key = ec.generate_private_key(ec.SECP384R1())
    place = folder / f"{uuid4()}.json"
    public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "k", "use": "sig"}
    place.write_text(json.dumps({"keys": [public]}))
    return jwt.encode(claims, key, algorithm="ES384", headers={"kid": "k"}), place


def _times(off_s: int) -> dict[str, float]:
    """A token signed this very moment, or at its last one, by a clock that is ahead (or behind) by so many seconds."""
    now = time.time()
    if off_s >= 0:
        return {"iat": now + off_s, "exp": now + off_s + LIFE_S}
    return {"iat": now - LIFE_S, "exp": now + off_s}


def hooks_call_is_trusted(folder: Path, *, client_clock_off_s: int) -> bool:
    """Whether a CDS Hooks client is let in."""
    times = _times(client_clock_off_s)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "jti": str(uuid4()), **times}
    token, place = _signed(folder, claims)
    trust = build_trust(Settings(hooks_clients={ISSUER: str(place)}))
    assert trust is not None
    trust._started = times["iat"] - 1  # the service is older than the token
    try:
        return asyncio.run(trust.verify(f"Bearer {token}", audience=AUDIENCE)) == ISSUER
    except ClientRefusedError:
        return False


def oidc_token_is_trusted(folder: Path, *, issuer_clock_off_s: int) -> bool:
    """Whether a person is let in."""
    claims = {"iss": ISSUER, "aud": "cds", "sub": "p", "roles": ["doctor"], **_times(issuer_clock_off_s)}
    token, place = _signed(folder, claims)
    trust = build_oidc(
        Settings(
            oidc_issuer=ISSUER,
            oidc_audience="cds",
            oidc_keys=str(place),
            oidc_algorithms=("ES384",),
            oidc_roles={"doctor": "clinician"},
        )
    )
    assert trust is not None
    try:
        return asyncio.run(trust.principal(token)).name == "p"
    except UnauthorisedError:
        return False
