"""What one patient's record needs, fetched in few parallel requests and put into one Bundle for the reader.

Plan: ten searches at once, one for each type that the reader uses (``Patient/$everything`` would return ten times as
much, most of it claims): Patient, Condition, Observation of the codes that are read, MedicationRequest and the three
other kinds of medication entries, each with its Medication, FamilyMemberHistory, Procedure and DiagnosticReport of the
codes of a bone density scan. Further requests only for further pages, and one for Medications that ``_include`` did not
bring. Not fetched: other DiagnosticReports, whose results are Observations of their own (those that exist only inside
such a report are not seen), and Observations that measure only by a component.

What a server refuses
---------------------
* Condition and Observation, and at least one of MedicationRequest and MedicationStatement, are essential: without them
  the patient would look healthier than she is. A refusal is an error, or, only if the caller allows it, a warning that
  the reader of the report sees first.
* Any other type that is refused becomes a warning.
* A refused search parameter (a filter by code, ``_include``) is left out and the search repeated: more comes over the
  wire, nothing is lost.
* A server that does not answer is an error whatever the type: asking again may mend it.
* Entries of other patients, from a server that ignored the filter, are dropped before anybody sees them.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import orjson

from fhir_adapters.client.fhir import FhirClient, Hit, checked_id
from fhir_adapters.client.http import Params
from fhir_adapters.client.warnings import ClientWarning
from fhir_adapters.errors import (
    FhirServerError,
    ForbiddenError,
    GoneFromServerError,
    InputTooLargeError,
    NotOnServerError,
    RecordIncompleteError,
    ServerOutcomeError,
    ServerRefusalError,
)
from fhir_adapters.relevance import relevant_codes, scan_codes
from fhir_adapters.shapes import JsonObject, as_object, as_text

PAGE_SIZE = 500
CODES_PER_REQUEST = 1500
"""Characters of codes in one request; more are split, since an address of 2,000 characters passes everywhere."""
MAX_RECORD_BYTES = 256 * 1024 * 1024
ESSENTIAL = ("Condition", "Observation", "MedicationRequest")
SUBSTITUTES = {"MedicationRequest": "MedicationStatement"}
"""A server may keep current drugs as the one or the other."""
MEDICATIONS = ("MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense")
RECORD_TYPES = (
    "Patient",
    "Condition",
    "Observation",
    *MEDICATIONS,
    "FamilyMemberHistory",
    "Procedure",
    "DiagnosticReport",
)
"""What is searched for, in the order of the Bundle."""
READ_SCOPE_TYPES = (*RECORD_TYPES, "Medication")
"""Types that need a read scope."""
_READ_CODES = {"Observation": relevant_codes(), "Procedure": scan_codes(), "DiagnosticReport": scan_codes()}
"""Types that are searched for by code."""

_MEDICATION_REFERENCE = re.compile(r"(?:^|/)Medication/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
_PATIENT_REFERENCE = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")
_MEDICATIONS_PER_REQUEST = 50
_NOT_OFFERED = (ForbiddenError, NotOnServerError, ServerRefusalError, ServerOutcomeError)
"""What a server answers to say that it will not, rather than that it cannot now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedRecord:
    """One patient's record as fetched."""

    bundle: bytes = field(repr=False)
    """A FHIR R4 Bundle of type collection, JSON; the same bytes for the same record, whatever the server's order."""
    patient_id: str = field(repr=False)
    """Logical id of the Patient in the Bundle."""
    warnings: tuple[str, ...]
    """Codes of `fhir_adapters.client.warnings`."""
    requests: int
    """Requests sent for it, retries and tokens included."""
    received_bytes: int
    counts: tuple[tuple[str, int], ...]
    """Resource type and how many, in the order of the Bundle."""


@dataclass(slots=True, kw_only=True)
class _Part:
    """One search: what came, or why nothing."""

    resource_type: str
    hits: list[Hit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    error: FhirServerError | None = None


async def fetch_record(
    client: FhirClient, patient_id: str, *, allow_incomplete: bool = False, types: Collection[str] = RECORD_TYPES
) -> FetchedRecord:
    """Fetch what the reader needs of one patient's record.

    Args:
        client: of the server, open.
        patient_id: logical id of the Patient, also as ``Patient/id``.
        allow_incomplete: accept that an essential type is refused; the first warning then says so.
        types: of `RECORD_TYPES`, for a caller that has the others; the Medications of the drugs come along.

    Raises:
        NotOnServerError: the server has no such Patient.
        RecordIncompleteError: an essential type is refused.
        FhirServerError: the server does not answer, or not in FHIR.
        ClientAuthError: no token to be had.
        InputTooLargeError: the record is beyond `MAX_RECORD_BYTES`.
    """
    wanted = checked_id(patient_id.removeprefix("Patient/"))
    requests, received = client.traffic.requests, client.traffic.received_bytes
    parts = await _all_parts(client, wanted, types)
    warnings = _judge(parts, allow_incomplete=allow_incomplete)
    hits = [hit for part in parts for hit in part.hits]
    own = [hit for hit in hits if not _is_of_another(hit.resource, wanted)]
    if len(own) < len(hits):
        warnings.append(f"{ClientWarning.FILTER_IGNORED}:{len(hits) - len(own)} entries")
    missing, lost = await _missing_medications(client, own)
    own.extend(missing)
    warnings.extend(lost)
    for part in parts:
        warnings.extend(part.warnings)
    resources = _ordered(own)
    return FetchedRecord(
        bundle=_bundle(client, resources),
        patient_id=wanted,
        warnings=tuple(dict.fromkeys(warnings)),
        requests=client.traffic.requests - requests,
        received_bytes=client.traffic.received_bytes - received,
        counts=tuple(_counts(resources)),
    )


async def _all_parts(client: FhirClient, patient_id: str, types: Collection[str]) -> list[_Part]:
    """Every search of the plan at once; the first error that is no refusal ends them all."""
    by_patient = ("patient", patient_id)
    searches = [_patient(client, patient_id)] if "Patient" in types else []
    for resource_type in RECORD_TYPES[1:]:
        if resource_type not in types:
            continue
        if (read := _READ_CODES.get(resource_type)) is not None:
            searches.extend(
                _part(client, resource_type, [[by_patient, ("code", codes)], [by_patient]])
                for codes in code_groups(read)
            )
        elif resource_type in MEDICATIONS:
            include = ("_include", f"{resource_type}:medication")
            searches.append(_part(client, resource_type, [[by_patient, include], [by_patient]]))
        else:
            searches.append(_part(client, resource_type, [[by_patient]]))
    tasks = [asyncio.ensure_future(search) for search in searches]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def code_groups(codes: Iterable[str], *, limit: int = CODES_PER_REQUEST) -> Iterator[str]:
    """Codes joined by commas, in order, each group no longer than `limit` characters."""
    group = ""
    for code in sorted(codes):
        if group and len(group) + 1 + len(code) > limit:
            yield group
            group = code
        else:
            group = f"{group},{code}" if group else code
    if group:
        yield group


async def _patient(client: FhirClient, patient_id: str) -> _Part:
    """The Patient, by search (the id stays out of addresses), else by read where search is refused.

    Raises:
        NotOnServerError: there is none.
    """
    part = await _part(client, "Patient", [[("_id", patient_id)]])
    if part.error is not None:
        resource = await client.read("Patient", patient_id)
        return _Part(resource_type="Patient", hits=[Hit(resource, None, False)])
    part.hits = [hit for hit in part.hits if hit.resource.get("id") == patient_id]
    if not part.hits:
        raise NotOnServerError("The server has no Patient with this logical id.")
    return part


async def _part(client: FhirClient, resource_type: str, attempts: Sequence[Params]) -> _Part:
    """Search with the first set of parameters that the server accepts."""
    part = _Part(resource_type=resource_type)
    for params in attempts:
        part = _Part(resource_type=resource_type)
        try:
            async for page in client.search(resource_type, params, page_size=PAGE_SIZE):
                part.hits.extend(page.hits)
                part.warnings.extend(
                    f"{ClientWarning.OUTCOME}:{resource_type} {issue.code}"
                    for issue in page.issues
                    if issue.severity == "warning"
                )
            return part
        except GoneFromServerError:
            raise
        except ServerRefusalError as error:
            part = _Part(resource_type=resource_type, error=error)
        except _NOT_OFFERED as error:
            return _Part(resource_type=resource_type, error=error)
    return part


def _judge(parts: Sequence[_Part], *, allow_incomplete: bool) -> list[str]:
    """The warnings for what was refused.

    Raises:
        RecordIncompleteError: it was essential, and nobody allowed that.
    """
    refused = {part.resource_type: part.error for part in parts if part.error is not None}
    essential = [resource_type for resource_type in ESSENTIAL if resource_type in refused]
    intolerable = [name for name in essential if SUBSTITUTES.get(name, name) in refused]
    if intolerable and not allow_incomplete:
        raise RecordIncompleteError(tuple(intolerable), str(refused[intolerable[0]])) from None
    return [
        *(f"{ClientWarning.UNREAD_ESSENTIAL}:{name}" for name in essential),
        *(f"{ClientWarning.UNREAD}:{name}" for name in refused if name not in essential),
    ]


def _is_of_another(resource: JsonObject, patient_id: str) -> bool:
    """Whether a resource names another Patient as its subject; one that names nobody is left to the reader."""
    if resource.get("resourceType") == "Patient":
        return resource.get("id") != patient_id
    reference = as_text(as_object(resource.get("subject") or resource.get("patient")).get("reference"))
    match = _PATIENT_REFERENCE.search(reference or "")
    return match is not None and match.group(1) != patient_id


async def _missing_medications(client: FhirClient, hits: Sequence[Hit]) -> tuple[list[Hit], list[str]]:
    """Medications that are referred to but were not included, and the warning for those that cannot be had."""
    held = {as_text(hit.resource.get("id")) for hit in hits if hit.resource.get("resourceType") == "Medication"}
    wanted = sorted(set(_medication_ids(hits)) - held)
    found: list[Hit] = []
    refused = False
    for start in range(0, len(wanted), _MEDICATIONS_PER_REQUEST):
        ids = ",".join(wanted[start : start + _MEDICATIONS_PER_REQUEST])
        part = await _part(client, "Medication", [[("_id", ids)]])
        found.extend(part.hits)
        refused = refused or part.error is not None
    lost = len(wanted) - len(found)
    return found, [f"{ClientWarning.MEDICATION_MISSING}:{lost}"] if lost > 0 or refused else []


def _medication_ids(hits: Iterable[Hit]) -> Iterator[str]:
    for hit in hits:
        reference = as_text(as_object(hit.resource.get("medicationReference")).get("reference"))
        match = _MEDICATION_REFERENCE.search(reference or "")
        if match is not None:
            yield match.group(1)


def _ordered(hits: Iterable[Hit]) -> list[Hit]:
    """Each resource once, by type in the order of the plan, then by id."""
    rank = {name: place for place, name in enumerate(RECORD_TYPES)}
    by_key = {(str(hit.resource["resourceType"]), str(hit.resource.get("id"))): hit for hit in hits}
    return [by_key[key] for key in sorted(by_key, key=lambda key: (rank.get(key[0], len(rank)), key))]


def _bundle(client: FhirClient, hits: Sequence[Hit]) -> bytes:
    """The collection; an entry keeps the address the server gave it, since references are resolved by it."""
    base = str(client.base)
    entries = [
        {
            "fullUrl": hit.full_url or f"{base}{hit.resource['resourceType']}/{hit.resource.get('id')}",
            "resource": hit.resource,
        }
        for hit in hits
    ]
    data = orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})
    if len(data) > MAX_RECORD_BYTES:
        raise InputTooLargeError(f"The record on the server is larger than {MAX_RECORD_BYTES // 2**20} MiB.")
    return data


def _counts(hits: Iterable[Hit]) -> Iterator[tuple[str, int]]:
    counts: dict[str, int] = {}
    for hit in hits:
        name = str(hit.resource["resourceType"])
        counts[name] = counts.get(name, 0) + 1
    yield from counts.items()
