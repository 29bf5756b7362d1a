"""From the settings to a patient's record and radiograph on a server, as the bytes that the pipeline reads.

This is the one place that builds FHIR clients: credentials by the settings (SMART Backend Services before a token file
before a token), certificates by the hospital's own authority if it has one.
"""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime

import httpx

from cds.errors import InputError, SettingsError
from cds.security.pinning import named_by_servers
from cds.settings import Settings
from fhir_adapters.client.addresses import base_address
from fhir_adapters.client.auth import BackendServices, BearerAuth
from fhir_adapters.client.dicomweb import fetch_instance
from fhir_adapters.client.fetch import READ_SCOPE_TYPES, fetch_record
from fhir_adapters.client.fhir import FhirClient, SearchMethod
from fhir_adapters.client.http import Authenticator, HttpClient, Traffic
from fhir_adapters.client.keys import load_key
from fhir_adapters.client.media import IMAGE_SCOPE_TYPES, newest_radiograph
from fhir_adapters.client.retrying import RetryPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomWebChoice:
    """An image named by its DICOM identifiers."""

    study: str
    """Study Instance UID."""
    series: str | None = None
    """Series Instance UID; None: the first series of radiographs."""
    instance: str | None = None
    """SOP Instance UID; None: the first of the series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRequest:
    """What to fetch from servers; at least one of the three."""

    patient_id: str | None = field(default=None, repr=False)
    """Logical id of the Patient whose record is wanted."""
    image_from_server: bool = False
    """Whether the patient's newest limb radiograph is wanted, too."""
    dicomweb: DicomWebChoice | None = None
    """An image by its DICOM identifiers instead."""
    allow_incomplete: bool = False
    """Whether a record may lack a part that the server refuses; the report then says so."""
    as_of: datetime
    """Timezone-aware; later radiographs are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What servers gave."""

    bundle: bytes | None = field(repr=False)
    """A FHIR R4 Bundle of type collection; None when no record was asked for."""
    patient_id: str | None = field(repr=False)
    image: bytes | None = field(repr=False)
    """A DICOM, PNG or JPEG file; None when no image was asked for."""
    warnings: tuple[str, ...]
    """For the reader of the report: goes into `CaseInput.source_warnings`."""
    notes: tuple[str, ...]
    """What was fetched and what it cost, one line each, without patient data."""


def fetch_case(settings: Settings, request: SourceRequest) -> Fetched:
    """Fetch record and radiograph; blocks until both are there.

    Args:
        settings: where the servers are and how to prove who asks.
        request: what is wanted.

    Raises:
        InputError: settings and request do not fit together.
        SettingsError: the credentials are incomplete.
        FhirError: a server does not give it.
    """
    return asyncio.run(fetch_case_async(settings, request))


async def fetch_case_async(settings: Settings, request: SourceRequest) -> Fetched:
    """As `fetch_case`, within a running loop."""
    bundle = image = None
    warnings: list[str] = []
    notes: list[str] = []
    async with AsyncExitStack() as stack:
        client = None
        if request.patient_id is not None:
            client = await stack.enter_async_context(build_fhir_client(settings, types=_types(request)))
        dicomweb = build_dicomweb_client(settings, client)
        if dicomweb is not None:
            await stack.enter_async_context(dicomweb)
        if client is not None and request.patient_id is not None:
            record = await fetch_record(client, request.patient_id, allow_incomplete=request.allow_incomplete)
            bundle = record.bundle
            warnings.extend(record.warnings)
            held = ", ".join(f"{number} {name}" for name, number in record.counts)
            notes.append(f"record: {_cost(record.requests, record.received_bytes)}: {held}")
        if request.dicomweb is not None:
            image, uid = await _instance(settings, dicomweb, request.dicomweb)
            notes.append(f"radiograph: DICOM instance {uid}, {len(image)} bytes")
        elif request.image_from_server and client is not None and request.patient_id is not None:
            newest = await newest_radiograph(
                client,
                request.patient_id,
                as_of=request.as_of,
                dicomweb=dicomweb,
                max_bytes=settings.max_image_bytes,
            )
            image = newest.data
            warnings.extend(newest.warnings)
            notes.append(f"radiograph: {newest.reference}, {len(image)} bytes")
        if client is not None:
            notes.append(_total(client.traffic))
    patient_id = None if request.patient_id is None else request.patient_id.removeprefix("Patient/")
    return Fetched(bundle=bundle, patient_id=patient_id, image=image, warnings=tuple(warnings), notes=tuple(notes))


def build_fhir_client(
    settings: Settings,
    *,
    types: Sequence[str] = READ_SCOPE_TYPES,
    created: Sequence[str] = (),
    transport: httpx.AsyncBaseTransport | None = None,
) -> FhirClient:
    """A client of the FHIR server that the settings name.

    Args:
        settings: address, credentials, limits.
        types: resource types that will be read; makes the scopes unless the settings fix them.
        created: resource types that will be created; adds to the scopes.
        transport: replaces the network, there and for what it points to.

    Raises:
        InputError: no server is named.
        SettingsError: the credentials are incomplete, or the certificate authority cannot be read.
        ClientAuthError: key or token cannot be used.
        ServerAddressError: the address cannot be used.
    """
    if settings.fhir_server is None:
        raise InputError(
            "A patient on a FHIR server was asked for, but no server is named.",
            remedy="Give --fhir-server, or set FRACTURE_CDS_FHIR_SERVER.",
        )
    home = base_address(settings.fhir_server)
    verify = trusted_authorities(settings)
    return FhirClient(
        settings.fhir_server,
        auth=authenticator(settings, types=types, created=created),
        transport=transport,
        elsewhere=transport or named_by_servers(home.host, verify=verify),
        timeout=settings.fhir_timeout_seconds,
        retries=RetryPolicy(deadline_s=settings.fhir_deadline_seconds),
        verify=verify,
        max_body_bytes=settings.max_record_bytes,
        search_method=SearchMethod(settings.fhir_search_method),
    )


def authenticator(
    settings: Settings, *, types: Sequence[str] = READ_SCOPE_TYPES, created: Sequence[str] = ()
) -> Authenticator | None:
    """The credentials that the settings hold; None for an open server.

    Raises:
        SettingsError: a client id without its key, or a key without its client id.
        ClientAuthError: key or token cannot be used.
    """
    if (settings.fhir_client_id is None) != (settings.fhir_key_file is None):
        raise SettingsError(
            "SMART Backend Services needs both a client id and its private key.",
            remedy="Give --fhir-client-id and --fhir-key, or neither.",
        )
    if settings.fhir_client_id is not None and settings.fhir_key_file is not None:
        return BackendServices(
            settings.fhir_client_id,
            load_key(settings.fhir_key_file, key_id=settings.fhir_key_id),
            resource_types=types,
            created_types=created,
            scope=settings.fhir_scope,
            token_url=settings.fhir_token_url,
        )
    if settings.fhir_token_file is not None:
        return BearerAuth.from_file(settings.fhir_token_file)
    return None if settings.fhir_token is None else BearerAuth.fixed(settings.fhir_token.get_secret_value())


def _types(request: SourceRequest) -> tuple[str, ...]:
    return (*READ_SCOPE_TYPES, *(IMAGE_SCOPE_TYPES if request.image_from_server else ()))


def build_dicomweb_client(settings: Settings, client: FhirClient | None) -> HttpClient | None:
    """A client of the DICOMweb server; with its own token, else beside the FHIR server."""
    if settings.dicomweb_url is None:
        return None
    if settings.dicomweb_token is None and client is not None:
        return client.beside(settings.dicomweb_url, chosen=True)
    token = settings.dicomweb_token
    return HttpClient(
        settings.dicomweb_url,
        auth=None if token is None else BearerAuth.fixed(token.get_secret_value()),
        timeout=settings.fhir_timeout_seconds,
        retries=RetryPolicy(deadline_s=settings.fhir_deadline_seconds),
        verify=trusted_authorities(settings),
        max_body_bytes=settings.max_image_bytes,
    )


async def _instance(settings: Settings, dicomweb: HttpClient | None, choice: DicomWebChoice) -> tuple[bytes, str]:
    if dicomweb is None:
        raise InputError(
            "A DICOM study was asked for, but no DICOMweb server is named.",
            remedy="Give --dicomweb, or set FRACTURE_CDS_DICOMWEB_URL.",
        )
    return await fetch_instance(
        dicomweb, choice.study, choice.series, choice.instance, max_bytes=settings.max_image_bytes
    )


def trusted_authorities(settings: Settings) -> ssl.SSLContext | bool:
    """How certificates are checked; they always are."""
    if settings.fhir_ca_file is None:
        return True
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=settings.fhir_ca_file)
    except OSError as error:
        raise SettingsError(
            f"The certificate authority cannot be read: {error.strerror or type(error).__name__}.",
            remedy="Set FRACTURE_CDS_FHIR_CA_FILE to a file with certificates in PEM form.",
        ) from None
    return context


def _cost(requests: int, received_bytes: int) -> str:
    return f"{requests} requests, {received_bytes / 1000:.0f} kB"


def _total(traffic: Traffic) -> str:
    return f"in all: {_cost(traffic.requests, traffic.received_bytes)}, {traffic.retries} retries"
