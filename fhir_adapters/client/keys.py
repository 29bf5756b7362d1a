"""The private key that proves who this program is, and the public half that a server's operator registers.

SMART Backend Services (HL7 SMART App Launch 2.2, "Client Authentication: Asymmetric") asks for RS384 and ES384.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from jwt.exceptions import PyJWTError

from fhir_adapters.errors import ClientKeyError

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
MIN_RSA_BITS = 2048
MAX_KEY_FILE = 64 * 1024
_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}


class SigningAlgorithm(StrEnum):
    """JSON Web Algorithms that SMART names."""

    RS384 = "RS384"
    """RSASSA-PKCS1-v1_5 with SHA-384."""
    ES384 = "ES384"
    """ECDSA on P-384 with SHA-384."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientKey:
    """A private key and how to sign with it; its representation holds the public `key_id` only."""

    private: PrivateKey = field(repr=False)
    algorithm: SigningAlgorithm
    key_id: str
    """``kid``: as in the JWK, else its thumbprint (RFC 7638)."""

    def public_jwk(self) -> dict[str, str | list[str]]:
        """The public key as a JWK for registration."""
        jwk = _public_members(self.private)
        return {**jwk, "kid": self.key_id, "alg": self.algorithm.value, "use": "sig", "key_ops": ["verify"]}


def load_key(path: Path, *, key_id: str | None = None, password: bytes | None = None) -> ClientKey:
    """Read a private key.

    Args:
        path: PEM, a private JWK, or a JWKS whose first private key is taken (the one with `key_id`, if given).
        key_id: the ``kid`` under which the server knows the key.
        password: of an encrypted PEM.

    Raises:
        ClientKeyError: the file cannot be read, or holds no usable private key.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_KEY_FILE + 1).strip()
    except OSError as error:
        raise ClientKeyError(f"The key file cannot be opened: {error.strerror or type(error).__name__}.") from None
    if len(text) > MAX_KEY_FILE:
        raise ClientKeyError("The key file is far too large to be a key.")
    private, named = _from_jwk(text, key_id) if text.startswith(b"{") else (_from_pem(text, password), None)
    algorithm = _algorithm_of(private)
    return ClientKey(private=private, algorithm=algorithm, key_id=key_id or named or _thumbprint(private))


def jwks(keys: list[ClientKey]) -> dict[str, list[dict[str, str | list[str]]]]:
    """The public keys as a JSON Web Key Set: what is registered with the server or published at a ``jwks_uri``."""
    return {"keys": [key.public_jwk() for key in keys]}


def _from_pem(text: bytes, password: bytes | None) -> PrivateKey:
    try:
        key = load_pem_private_key(text, password=password)
    except TypeError:
        raise ClientKeyError("The private key is encrypted.", remedy="Give an unencrypted key file.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ClientKeyError("The key file holds no readable private key in PEM form.") from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ClientKeyError("The private key is neither RSA nor elliptic curve.")
    return key


def _from_jwk(text: bytes, key_id: str | None) -> tuple[PrivateKey, str | None]:
    """The private key of a JWK, or of a set of them, and its ``kid``."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ClientKeyError("The key file is damaged JSON.") from None
    listed = value.get("keys", [value])
    candidates = [jwk for jwk in listed if isinstance(jwk, dict) and "d" in jwk] if isinstance(listed, list) else []
    if key_id is not None:
        candidates = [jwk for jwk in candidates if jwk.get("kid") in (key_id, None)]
    if not candidates:
        raise ClientKeyError("The key file holds no private key (a JWK with a member 'd').")
    jwk = candidates[0]
    try:
        key: Any = (RSAAlgorithm if jwk.get("kty") == "RSA" else ECAlgorithm).from_jwk(jwk)
    except (PyJWTError, ValueError, KeyError, TypeError):
        raise ClientKeyError("The JWK is damaged or of another kind than RSA or EC.") from None
    named = jwk.get("kid")
    return key, named if isinstance(named, str) else None


def _algorithm_of(private: PrivateKey) -> SigningAlgorithm:
    if isinstance(private, rsa.RSAPrivateKey):
        if private.key_size < MIN_RSA_BITS:
            raise ClientKeyError(f"The RSA key has {private.key_size} bits; {MIN_RSA_BITS} are the least.")
        return SigningAlgorithm.RS384
    if not isinstance(private.curve, ec.SECP384R1):
        raise ClientKeyError(f"The key is on the curve {private.curve.name}; ES384 needs P-384.")
    return SigningAlgorithm.ES384


def _public_members(private: PrivateKey) -> dict[str, str]:
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        members: dict[str, Any] = RSAAlgorithm.to_jwk(public, as_dict=True)
    else:
        members = ECAlgorithm.to_jwk(public, as_dict=True)
    return {name: str(members[name]) for name in _PUBLIC_MEMBERS[members["kty"]]}


def _thumbprint(private: PrivateKey) -> str:
    """JWK thumbprint (RFC 7638): SHA-256 of the required members in order, base64url without padding."""
    members = _public_members(private)
    text = orjson.dumps({name: members[name] for name in _THUMBPRINT_MEMBERS[members["kty"]]})
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
