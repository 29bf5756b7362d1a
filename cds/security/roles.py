"""Who somebody is and what they may do: viewer < clinician < admin."""

from dataclasses import dataclass, field
from enum import StrEnum

from cds.errors import ForbiddenError


class Role(StrEnum):
    """What a person or a program may do; each role may do what the one before may."""

    VIEWER = "viewer"
    """Reads cases and reports."""
    CLINICIAN = "clinician"
    """Assesses, signs, gives feedback, sends to other systems."""
    ADMIN = "admin"
    """Erases, exports and audits patients' data; manages keys."""

    def covers(self, needed: "Role") -> bool:
        """Whether who has this role may do what `needed` stands for."""
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = tuple(Role)


class PrincipalKind(StrEnum):
    """How somebody showed who they are."""

    LOCAL = "local"
    """Not at all: a service on the loopback address for which no credential is configured."""
    TOKEN = "token"
    """With the shared access token."""
    API_KEY = "key"
    """With an API key of the store."""
    OIDC = "oidc"
    """With a bearer token of an OpenID Connect issuer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who is asking."""

    name: str
    """Name of the key, subject of the token, or the kind itself; what the audit shows."""
    role: Role
    kind: PrincipalKind
    credential_id: str | None = None
    """Identifier of the API key or of the token (``jti``); no secret."""
    token_tail: str | None = field(default=None, repr=False)
    """Last characters of the credential, few enough to be of no use to a thief."""

    @property
    def actor(self) -> str:
        """Name for audit records and signatures, such as ``key:pacs-gateway`` or ``oidc:jdoe``."""
        return self.kind.value if self.name == self.kind.value else f"{self.kind.value}:{self.name}"

    def require(self, needed: Role) -> None:
        """Refuse unless the role suffices.

        Raises:
            ForbiddenError: it does not.
        """
        if not self.role.covers(needed):
            raise ForbiddenError(needed.value)


def tail(secret: str) -> str:
    """The last characters of an opaque token, for the audit.

    IHE BALP records 32; a token that is not at least four times as long gives up 4 only, and a very short one nothing.
    """
    if len(secret) >= 128:
        return secret[-32:]
    return secret[-4:] if len(secret) >= 24 else ""
