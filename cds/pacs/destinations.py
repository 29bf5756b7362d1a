"""Where results go: a PACS by C-STORE, or a DICOMweb server by STOW-RS. Both may receive the same file twice."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cds.errors import PacsAssociationRefusedError, PacsUnreachableError, SettingsError
from cds.fhir_source import authenticator
from cds.pacs.send import PacsPeer, push
from cds.pacs.tls import TlsFiles, client_context
from cds.settings import Settings
from fhir_adapters.client.addresses import base_address, origin
from fhir_adapters.client.auth import BearerAuth
from fhir_adapters.client.dicomweb import store_instances
from fhir_adapters.client.http import Authenticator, HttpClient
from fhir_adapters.client.retrying import RetryPolicy
from fhir_adapters.errors import (
    ClientAuthError,
    ForbiddenError,
    ServerBusyError,
    ServerCertificateError,
    ServerContentError,
    ServerFailureError,
    ServerTimeoutError,
    ServerUnreachableError,
    UnauthorisedError,
)

PASSING = (
    PacsUnreachableError,
    PacsAssociationRefusedError,
    ClientAuthError,
    ForbiddenError,
    ServerBusyError,
    ServerCertificateError,
    ServerContentError,
    ServerFailureError,
    ServerTimeoutError,
    ServerUnreachableError,
    UnauthorisedError,
)
"""What waiting may mend, or an operator who corrects the set-up of either side: no result is given up for it."""


class Destination(Protocol):
    """Takes the results of one case."""

    @property
    def label(self) -> str:
        """For a person, without credentials."""

    def send(self, contents: Sequence[bytes], *, first: bool) -> None:
        """Store all files, or raise; one of `PASSING` when it is worth trying again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreDestination:
    """A PACS by C-STORE, one association a case."""

    peer: PacsPeer

    @property
    def label(self) -> str:
        """``AET at host:port``."""
        return f"{self.peer.called_aet} at {self.peer.host}:{self.peer.port}"

    def send(self, contents: Sequence[bytes], *, first: bool) -> None:
        """Store all files, trying once."""
        push(contents, self.peer, attempts=1, first=first)


@dataclass(frozen=True, slots=True, kw_only=True)
class StowDestination:
    """A DICOMweb server by STOW-RS, one request a case."""

    url: str
    settings: Settings
    tls: TlsFiles | None = None

    @property
    def label(self) -> str:
        """Host only."""
        return f"STOW-RS at {base_address(self.url).host}"

    def send(self, contents: Sequence[bytes], *, first: bool) -> None:
        """Store all files; DICOMweb knows no priority."""
        asyncio.run(self._send(contents))

    async def _send(self, contents: Sequence[bytes]) -> None:
        async with dicomweb_client(self.settings, self.url, tls=self.tls) as http:
            await store_instances(http, contents)


def dicomweb_client(settings: Settings, url: str, *, tls: TlsFiles | None = None) -> HttpClient:
    """A client of a DICOMweb server, with the token that the settings hold for it.

    A token for DICOMweb goes to the host of ``FRACTURE_CDS_DICOMWEB_URL`` where that is set, and the credentials of
    the FHIR server only to the FHIR server's own host.

    Raises:
        ServerAddressError: the address cannot be used.
        SettingsError: a file for TLS, or the credentials, cannot be used.
    """
    return HttpClient(
        url,
        auth=_credentials(settings, url),
        timeout=settings.pacs_timeout_seconds,
        retries=RetryPolicy(deadline_s=settings.fhir_deadline_seconds),
        verify=_trust(settings, tls),
    )


def _credentials(settings: Settings, url: str) -> Authenticator | None:
    home = origin(base_address(url))
    token = settings.dicomweb_token
    if token is not None and (settings.dicomweb_url is None or origin(base_address(settings.dicomweb_url)) == home):
        return BearerAuth.fixed(token.get_secret_value())
    if settings.fhir_server is not None and origin(base_address(settings.fhir_server)) == home:
        return authenticator(settings)
    return None


def _trust(settings: Settings, tls: TlsFiles | None) -> ssl.SSLContext | bool:
    if tls is not None:
        return client_context(tls)
    return True if settings.fhir_ca_file is None else client_context(TlsFiles(authority=settings.fhir_ca_file))


def parse_peer(text: str, settings: Settings, *, tls: TlsFiles | None = None) -> PacsPeer:
    """A peer written as ``host:port:AET``; an IPv6 address stands in brackets.

    Raises:
        SettingsError: it is written otherwise.
    """
    address, _, aet = text.rpartition(":")
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536 or not 0 < len(aet) <= 16:
        raise SettingsError(
            "A peer is not written as it should be.", remedy="Write host:port:AET, such as pacs.example:104:ARCHIVE."
        )
    return PacsPeer(
        host=host,
        port=int(port),
        called_aet=aet,
        calling_aet=settings.pacs_aet,
        timeout_s=settings.pacs_timeout_seconds,
        tls=tls,
    )
