"""The record behind a call: from the prefetch, else from the client's FHIR server if that is allow-listed."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import SecretStr

from cds.fhir_source import build_fhir_client, trusted_authorities
from cds.hooks.errors import DataMissingError
from cds.hooks.services import Service
from cds.security.pinning import named_by_requests
from cds.settings import Settings
from fhir_adapters.cds_hooks.prefetch import TEMPLATES, Supplied, Supply, bundle_of, judge
from fhir_adapters.cds_hooks.request import FhirAuthorization, HookRequest
from fhir_adapters.client.addresses import base_address
from fhir_adapters.client.fetch import fetch_record
from fhir_adapters.errors import FhirError, HookPayloadError, ServerAddressError
from fhir_adapters.shapes import JsonObject, as_list, as_object

NOT_ALLOWED = "the FHIR server of the call is not on the list of allowed ones"
NO_SERVER = "the call names no FHIR server to read them from"
_DRUG_KEYS = frozenset({"medicationRequests", "medicationStatements"})
_WORDS = {
    "conditions": "diagnoses",
    "observations": "measurements",
    "medicationRequests": "prescriptions",
    "medicationStatements": "medication statements",
    "familyHistory": "family history",
    "procedures": "bone density scans",
    "diagnosticReports": "reports of bone density scans",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HookRecord:
    """A record to be read."""

    bundle: bytes = field(repr=False)
    """A FHIR R4 Bundle of type collection."""
    patient_id: str = field(repr=False)
    gaps: tuple[str, ...] = ()
    """What the reader of a card should know was not there, as clauses."""
    fetched: bool = False
    """Whether a server was asked."""


async def read_hook_record(request: HookRequest, service: Service, settings: Settings) -> HookRecord:
    """Gather what a service needs to know.

    Args:
        request: the call.
        service: what it asks for.
        settings: which servers may be asked, and what null means.

    Raises:
        DataMissingError: a required key was not prefetched, and no server gave it.
        HookPayloadError: the prefetched Patient is not the one of the context.
    """
    supplied = judge(request.prefetch, service.keys)
    _check_patient(supplied["patient"], request.context.patientId)
    wanted = [key for key in service.required if supplied[key].supply is not Supply.WHOLE]
    missing = [key for key in wanted if _is_missing(supplied[key], settings)]
    entries: list[JsonObject] = []
    got: frozenset[str] = frozenset()
    if wanted:
        why = _why_not(request, settings)
        if why is None:
            try:
                entries, got = await _fetch(request, service, wanted, supplied, settings)
            except (FhirError, TimeoutError) as error:
                why = f"the FHIR server did not give them ({_code_of(error)})"
        still = [key for key in missing if key not in got]
        if still:
            raise DataMissingError(still, why or "the FHIR server does not have them")
    for key in service.keys:
        if key not in got:
            entries.extend(supplied[key].entries)
    return HookRecord(
        bundle=bundle_of(entries),
        patient_id=request.context.patientId,
        gaps=tuple(_gaps(service, supplied, got)),
        fetched=bool(got),
    )


def _check_patient(supplied: Supplied, patient_id: str) -> None:
    for entry in supplied.entries:
        if as_object(entry["resource"]).get("id") != patient_id:
            raise HookPayloadError("The prefetched Patient is not the patient of the context.")


def _is_missing(supplied: Supplied, settings: Settings) -> bool:
    if supplied.supply is Supply.NONE:
        return settings.hooks_null_prefetch == "missing"
    return supplied.supply is Supply.UNKNOWN


def _why_not(request: HookRequest, settings: Settings) -> str | None:
    """Why the server of the call cannot be asked, as a clause; None when it can."""
    if request.fhirServer is None:
        return NO_SERVER
    try:
        given = str(base_address(request.fhirServer))
        allowed = {str(base_address(one)) for one in settings.hooks_fhir_servers}
        if given in allowed and request.fhirAuthorization is not None:
            base_address(request.fhirServer, credentials=True)
    except ServerAddressError:
        return "the address of the FHIR server cannot be used"
    return None if given in allowed else NOT_ALLOWED


async def _fetch(
    request: HookRequest, service: Service, wanted: list[str], supplied: dict[str, Supplied], settings: Settings
) -> tuple[list[JsonObject], frozenset[str]]:
    """Entries of the keys that were read, and those keys.

    Optional keys that are not known come along; drugs come together, since a server may hold them as the one or the
    other.
    """
    keys = set(wanted) | {key for key in service.optional if supplied[key].supply is Supply.UNKNOWN}
    if keys & _DRUG_KEYS:
        keys |= _DRUG_KEYS & set(service.keys)
    reader = _settings_for(request.fhirServer or "", request.fhirAuthorization, settings)
    limit = settings.hooks_fhir_timeout_seconds
    server = named_by_requests(settings.hooks_fhir_servers, settings, verify=trusted_authorities(settings))
    async with asyncio.timeout(limit), build_fhir_client(reader, transport=server) as client:
        types = {TEMPLATES[key].resource_type for key in keys}
        found = await fetch_record(client, request.context.patientId, types=types)
    bundle: dict[str, Any] = orjson.loads(found.bundle)
    return [as_object(entry) for entry in as_list(bundle.get("entry"))], frozenset(keys)


def _settings_for(server: str, authorization: FhirAuthorization | None, settings: Settings) -> Settings:
    """The settings of a client that carries the token of this call and none of this program's own."""
    token = None if authorization is None else SecretStr(authorization.access_token.get_secret_value())
    return settings.model_copy(
        update={
            "fhir_server": server,
            "fhir_token": token,
            "fhir_token_file": None,
            "fhir_client_id": None,
            "fhir_key_file": None,
            "fhir_timeout_seconds": settings.hooks_fhir_timeout_seconds,
            "fhir_deadline_seconds": settings.hooks_fhir_timeout_seconds,
        }
    )


def _code_of(error: BaseException) -> str:
    return str(getattr(error, "code", "fhir.server.timeout"))


def _gaps(service: Service, supplied: dict[str, Supplied], got: frozenset[str]) -> Iterable[str]:
    """What was not read, or only in part, in words."""
    for key in service.keys:
        if key in got or key == "patient":
            continue
        if supplied[key].supply is Supply.PARTIAL:
            yield f"{_WORDS[key]} (supplied in part only)"
        elif supplied[key].supply is Supply.UNKNOWN:
            yield f"{_WORDS[key]} (not supplied)"
