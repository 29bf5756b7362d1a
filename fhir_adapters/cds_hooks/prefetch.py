"""Prefetch: the templates that discovery lists, and the values of a call to the entries of one record.

The templates keep to the subset of queries that CDS Hooks recommends (reads, searches by reference and token,
``_count``), so Medications that requests refer to do not come along; a value that refers to some counts as partial.

What a value says
-----------------
* absent, an OperationOutcome, or anything but the resource or Bundle of its template: not known.
* null: the client has no data for the template (CDS Hooks 2.0.1); for a read there must be some, so it is not known.
* a Bundle with a next link, or with Medications missing: known in part.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import orjson

from fhir_adapters.errors import HookPayloadError
from fhir_adapters.relevance import relevant_codes, scan_codes
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

PAGE_SIZE = 500
"""Wish for searches: prefetched results must come at once."""
_PATIENT = "{{context.patientId}}"
_MEDICATION = re.compile(r"(?:^|/)Medication/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]*)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One thing that a service wants to be handed."""

    key: str
    resource_type: str
    query: str
    """With prefetch tokens."""


def _search(resource_type: str, more: str = "") -> str:
    return f"{resource_type}?patient={_PATIENT}{more}&_count={PAGE_SIZE}"


TEMPLATES: Mapping[str, Template] = {
    one.key: one
    for one in (
        Template(key="patient", resource_type="Patient", query=f"Patient/{_PATIENT}"),
        Template(key="conditions", resource_type="Condition", query=_search("Condition")),
        Template(
            key="observations",
            resource_type="Observation",
            query=_search("Observation", f"&code={','.join(sorted(relevant_codes()))}"),
        ),
        Template(key="medicationRequests", resource_type="MedicationRequest", query=_search("MedicationRequest")),
        Template(key="medicationStatements", resource_type="MedicationStatement", query=_search("MedicationStatement")),
        Template(key="familyHistory", resource_type="FamilyMemberHistory", query=_search("FamilyMemberHistory")),
        Template(
            key="procedures",
            resource_type="Procedure",
            query=_search("Procedure", f"&code={','.join(sorted(scan_codes()))}"),
        ),
        Template(
            key="diagnosticReports",
            resource_type="DiagnosticReport",
            query=_search("DiagnosticReport", f"&code={','.join(sorted(scan_codes()))}"),
        ),
    )
}
"""Every template, by its key."""


class Supply(StrEnum):
    """What a prefetched value is worth."""

    WHOLE = "whole"
    PARTIAL = "partial"
    """Some of it is there: a page, or requests without the Medications that they refer to."""
    NONE = "none"
    """The client says that there is none (null)."""
    UNKNOWN = "unknown"
    """Nothing can be concluded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supplied:
    """One value of the prefetch, judged."""

    supply: Supply
    entries: tuple[JsonObject, ...] = ()
    """``{"fullUrl": ..., "resource": ...}`` as in a Bundle; without fullUrl where the client gave none."""


def judge(values: Mapping[str, object] | None, keys: Collection[str]) -> dict[str, Supplied]:
    """Every wanted key with what the client supplied for it.

    Args:
        values: The prefetch of a call; None when it has none.
        keys: Of `TEMPLATES`.
    """
    given = values or {}
    return {key: _judge(TEMPLATES[key], given[key]) if key in given else _UNKNOWN for key in keys}


_UNKNOWN = Supplied(supply=Supply.UNKNOWN)


def _judge(template: Template, value: object) -> Supplied:
    read = template.resource_type == "Patient"
    if value is None:
        return _UNKNOWN if read else Supplied(supply=Supply.NONE)
    resource = as_object(value)
    kind = resource.get("resourceType")
    if kind == template.resource_type:
        return Supplied(supply=Supply.WHOLE, entries=({"resource": resource},))
    if kind != "Bundle":
        return _UNKNOWN
    entries = tuple(_entries(resource, template.resource_type))
    if read and not entries:
        return _UNKNOWN
    if _failed(resource):
        return _UNKNOWN
    partial = _has_next(resource) or any(_unresolved(entries))
    return Supplied(supply=Supply.PARTIAL if partial else Supply.WHOLE, entries=entries)


def _entries(bundle: JsonObject, resource_type: str) -> Iterator[JsonObject]:
    """The entries of the template's type, and Medications; what else a client sent was not asked for."""
    for item in as_list(bundle.get("entry")):
        entry = as_object(item)
        resource = as_object(entry.get("resource"))
        if as_text(resource.get("resourceType")) not in {resource_type, "Medication"}:
            continue
        full_url = as_text(entry.get("fullUrl"))
        yield {"resource": resource} if full_url is None else {"fullUrl": full_url, "resource": resource}


def _failed(bundle: JsonObject) -> bool:
    """Whether an OperationOutcome among the entries says that the search failed."""
    for item in as_list(bundle.get("entry")):
        resource = as_object(as_object(item).get("resource"))
        if resource.get("resourceType") == "OperationOutcome" and any(
            as_text(as_object(issue).get("severity")) in {"error", "fatal"} for issue in as_list(resource.get("issue"))
        ):
            return True
    return False


def _has_next(bundle: JsonObject) -> bool:
    return any(as_object(link).get("relation") == "next" for link in as_list(bundle.get("link")))


def _unresolved(entries: Sequence[JsonObject]) -> Iterator[str]:
    """Ids of Medications that requests refer to and the value does not hold."""
    resources = [as_object(entry["resource"]) for entry in entries]
    held = {as_text(one.get("id")) for one in resources if one.get("resourceType") == "Medication"}
    for resource in resources:
        if resource.get("medicationCodeableConcept") is not None:
            continue
        reference = as_text(as_object(resource.get("medicationReference")).get("reference"))
        found = _MEDICATION.search(reference or "")
        if found is not None and found.group(1) not in held:
            yield found.group(1)


def bundle_of(entries: Sequence[JsonObject]) -> bytes:
    """A collection of entries, as the record reader takes it.

    Raises:
        HookPayloadError: it is nested too deeply to be written again.
    """
    try:
        return orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": list(entries)})
    except TypeError:
        raise HookPayloadError("The prefetched data are nested too deeply.") from None
