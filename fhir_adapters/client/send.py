"""One transaction to the server that holds the patient: all of it is stored, or nothing, and nothing twice.

The patient is read first. A server need not check that the Patient which a resource names exists, and would then keep a
report that nobody finds.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

from fhir_adapters.client.answers import Reply
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.errors import (
    ForbiddenError,
    NotConfirmedError,
    NotOnServerError,
    NotSendableError,
    ServerRefusalError,
)
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

_WRITE_REMEDY = (
    "Nothing was stored. Ask the operator of the server to grant write access (SMART scope system/<type>.crs; some"
    " servers want system/*.crs for a transaction: set FRACTURE_CDS_FHIR_SCOPE)."
)
_REFUSED_REMEDY = "Nothing was stored. Ask the operator of the server, whose log says which entry it does not accept."
_PATIENT_REMEDY = "Nothing was stored. Send the bundle to the server that the patient's record came from."


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A transaction that may be sent."""

    body: bytes
    patient_id: str
    """Logical id of the one Patient that it is about."""
    types: tuple[str, ...]
    """Resource types that it creates, sorted."""
    entries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of a transaction."""

    created: int
    found: int
    """Entries that the server held already."""
    locations: tuple[str, ...]
    """``Type/id`` of each entry on the server, in the order of the bundle; empty where the server does not say."""


def outgoing(raw: bytes) -> Outgoing:
    """Check a Bundle before it leaves.

    Args:
        raw: The Bundle as JSON.

    Raises:
        NotSendableError: It is no transaction, an entry could be stored twice, or it is not about one patient.
    """
    try:
        bundle = as_object(orjson.loads(raw))
    except orjson.JSONDecodeError:
        raise NotSendableError("The file is not valid JSON.") from None
    entries = [as_object(one) for one in as_list(bundle.get("entry"))]
    if bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction" or not entries:
        raise NotSendableError("The file is not a FHIR transaction Bundle.")
    types: set[str] = set()
    patients: set[str] = set()
    for entry in entries:
        resource, request = as_object(entry.get("resource")), as_object(entry.get("request"))
        kind = as_text(resource.get("resourceType"))
        if kind is None or request.get("method") != "POST" or not as_text(request.get("ifNoneExist")):
            raise NotSendableError("An entry of the Bundle is not a conditional create: it could be stored twice.")
        types.add(kind)
        patients.update(_patients(resource))
    if len(patients) != 1:
        raise NotSendableError(
            "The Bundle is about no patient of a server."
            if not patients
            else "The Bundle is about several patients: nobody could tell whose report it is."
        )
    return Outgoing(body=raw, patient_id=patients.pop(), types=tuple(sorted(types)), entries=len(entries))


def _patients(resource: JsonObject) -> Iterator[str]:
    for name in ("subject", "patient"):
        target = as_text(as_object(resource.get(name)).get("reference"))
        if target is not None and target.startswith("Patient/"):
            yield target.removeprefix("Patient/")


async def send(client: FhirClient, bundle: Outgoing) -> Sent:
    """Send a transaction; repeated after an answer that was lost, it stores nothing twice.

    Raises:
        NotOnServerError: the server does not hold the patient.
        ForbiddenError: the credentials do not allow it.
        ServerRefusalError: the server does not accept the transaction.
        NotConfirmedError: the answer does not confirm every entry.
        FhirServerError: as in `HttpClient.get`.
        ClientAuthError: as in `HttpClient.get`.
    """
    try:
        await client.read("Patient", bundle.patient_id)
    except NotOnServerError as error:
        raise NotOnServerError(str(error), remedy=_PATIENT_REMEDY) from None
    try:
        reply = await client.post_json("", bundle.body, check=Reply.resource)
    except ForbiddenError as error:
        raise ForbiddenError(str(error), remedy=_WRITE_REMEDY) from None
    except ServerRefusalError as error:
        raise ServerRefusalError(str(error), remedy=_REFUSED_REMEDY) from None
    return _confirmed(reply, bundle.entries)


def _confirmed(reply: Reply, entries: int) -> Sent:
    answer = reply.resource()
    responses = [as_object(as_object(one).get("response")) for one in as_list(answer.get("entry"))]
    codes = [(as_text(one.get("status")) or "")[:3] for one in responses]
    if answer.get("type") != "transaction-response" or len(codes) != entries or not set(codes) <= {"200", "201"}:
        raise NotConfirmedError("The server answered the transaction without confirming every entry.")
    return Sent(
        created=codes.count("201"),
        found=codes.count("200"),
        locations=tuple(_location(as_text(one.get("location")) or "") for one in responses),
    )


def _location(address: str) -> str:
    """``Type/id`` of an address that may be absolute and versioned."""
    parts = address.partition("/_history/")[0].rstrip("/").split("/")
    return "/".join(parts[-2:]) if len(parts) > 1 else ""
