"""Bytes, or resources already parsed, to the entries of one record, grouped by resource type in one pass."""

import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import orjson

from fhir_adapters.dates import parse_moment
from fhir_adapters.errors import (
    BundleTypeError,
    CompressionError,
    EmptyInputError,
    InputTooLargeError,
    NotABundleError,
    NotJsonError,
)
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

MAX_BYTES = 256 * 1024 * 1024
"""Limit of the JSON text, also after decompression: some 200 complete records."""

MAX_BUNDLE_DEPTH = 3
"""A batch response may hold search results, that is Bundles in a Bundle; deeper nesting is not read."""

READ_TYPES = frozenset(
    {
        "Patient",
        "Observation",
        "Condition",
        "MedicationRequest",
        "MedicationStatement",
        "MedicationAdministration",
        "MedicationDispense",
        "Medication",
        "FamilyMemberHistory",
        "DiagnosticReport",
        "Procedure",
    }
)
"""Resource types that tell this engine something: a DiagnosticReport by the Observations contained in it and, like a
Procedure, by a bone density scan that it records."""

_BUNDLE_TYPES = frozenset(
    {"transaction", "batch", "collection", "searchset", "document", "transaction-response", "batch-response"}
)
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_TYPE_NAME = re.compile(r"[A-Z][A-Za-z]{1,60}")


def is_logical_id(value: object) -> bool:
    """Whether a value can be the id of a resource."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


class Entry(NamedTuple):
    """One resource of a Bundle."""

    resource: JsonObject
    full_url: str | None
    position: int
    """Index among all entries of the Bundle."""
    within: str | None = None
    """Reference of the resource that contains this one, None for an entry of its own."""

    @property
    def reference(self) -> str:
        """``Observation/12``; without a valid id the place in the Bundle. Holds no patient data."""
        resource_id = self.resource.get("id")
        if self.within is not None:
            return f"{self.within}#{resource_id}" if is_logical_id(resource_id) else self.within
        named = _named(str(self.resource["resourceType"]), resource_id) if isinstance(resource_id, str) else None
        return named or f"Bundle.entry[{self.position}]"


@lru_cache(maxsize=1024)
def _named(resource_type: str, resource_id: str) -> str | None:
    """Reference by type and id, which is asked for again and again; None for what is no id."""
    return f"{resource_type}/{resource_id}" if _ID.fullmatch(resource_id) is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The entries of a Bundle that this engine can use."""

    entries: Mapping[str, Sequence[Entry]]
    """Resource type to its entries; duplicates (one fullUrl or one id) are reduced to the newest version."""
    unreadable: int
    """Entries that are no FHIR resources."""
    paged: bool
    """The Bundle is one page of a longer search result."""

    def of_type(self, resource_type: str) -> Sequence[Entry]:
        """The entries of a type; empty when there are none."""
        return self.entries.get(resource_type, ())


def decode_bundle(data: bytes, *, max_bytes: int = MAX_BYTES) -> JsonObject:
    """The JSON object of a Bundle.

    Args:
        data: JSON text in UTF-8, plain or compressed with gzip.
        max_bytes: Limit of the JSON text after decompression.

    Raises:
        FhirInputError: The bytes are empty, too many, damaged, no JSON, or no Bundle; the subclass tells which.
    """
    if len(data) > max_bytes:
        raise InputTooLargeError(f"The input is larger than {max_bytes // 2**20} MiB.")
    text = _inflate(data, max_bytes) if data[:2] == b"\x1f\x8b" else data
    value = _parse(text.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(value, dict):
        raise NotABundleError(f"The JSON value is {_kind_of(value)}, not a FHIR Bundle.")
    resource_type = value.get("resourceType")
    if resource_type != "Bundle":
        named = isinstance(resource_type, str) and _TYPE_NAME.fullmatch(resource_type)
        found = f"a {resource_type} resource" if named else "an object without a known resourceType"
        raise NotABundleError(f"The JSON value is {found}, not a FHIR Bundle.")
    bundle_type = value.get("type")
    if bundle_type is not None and as_text(bundle_type) not in _BUNDLE_TYPES:
        raise BundleTypeError("The Bundle's type does not describe the present state of a record.")
    return value


def group_entries(bundle: JsonObject) -> Record:
    """One pass over the entries: by resource type, each resource once, Bundles within the Bundle opened."""
    return _group(_resources(bundle, 1), paged=_has_next(bundle))


def group_resources(resources: Iterable[JsonObject]) -> Record:
    """One pass over resources without a Bundle, such as the lines of NDJSON; Bundles among them are opened."""
    return _group(_opened(resources), paged=False)


def _group(found: Iterable[tuple[str | None, JsonObject | None]], *, paged: bool) -> Record:
    """Group the fullUrl and the resource of each entry by resource type."""
    grouped: dict[str, dict[object, Entry]] = {}
    unreadable = 0
    for position, (full_url, resource) in enumerate(found):
        resource_type = resource.get("resourceType") if resource is not None else None
        if not isinstance(resource_type, str) or resource is None:
            unreadable += 1
        elif resource_type in READ_TYPES:
            if resource_type == "DiagnosticReport" and "contained" in resource:
                for held in _contained_observations(Entry(resource, full_url, position)):
                    grouped.setdefault("Observation", {})[(position, id(held.resource))] = held
            kept = grouped.get(resource_type)
            if kept is None:
                kept = grouped[resource_type] = {}
            name = full_url or resource.get("id")
            key = name if isinstance(name, str) else position
            entry = Entry(resource, full_url, position)
            # Another version of a resource replaces it unless it is older.
            if key not in kept or _updated(entry) >= _updated(kept[key]):
                kept[key] = entry
    entries = {resource_type: tuple(entries.values()) for resource_type, entries in grouped.items()}
    return Record(entries=entries, unreadable=unreadable, paged=paged)


def _opened(resources: Iterable[object]) -> Iterator[tuple[str | None, JsonObject | None]]:
    """Resources as entries without fullUrl; None for what is no object."""
    for resource in resources:
        if not isinstance(resource, dict):
            yield None, None
        elif resource.get("resourceType") == "Bundle":
            yield from _resources(resource, 2)
        else:
            yield None, resource


def _inflate(data: bytes, max_bytes: int) -> bytes:
    """Decompress all members of a gzip file, stopping at the limit instead of filling the memory."""
    parts: list[bytes] = []
    room = max_bytes
    while data:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(data, room + 1))
        except zlib.error:
            raise CompressionError("The gzip data are damaged.") from None
        room -= len(parts[-1])
        if room < 0:
            raise InputTooLargeError(f"The input decompresses to more than {max_bytes // 2**20} MiB.")
        if not member.eof:
            raise CompressionError("The gzip data end too early.")
        data = member.unused_data.lstrip(b"\x00")
    return b"".join(parts)


def _parse(text: bytes) -> object:
    """Parse JSON; the parser's own exception is dropped because it carries the whole text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    start = text[:64].lstrip()
    if not start:
        raise EmptyInputError("The input is empty.")
    if start.startswith(b"<"):
        raise NotJsonError("The input is XML or HTML, not JSON.", remedy="Ask the server for application/fhir+json.")
    if start.startswith(b"PK"):
        raise NotJsonError(
            "The input is a ZIP archive, not JSON.", remedy="Unpack the archive and supply the Bundle in it."
        )
    if _looks_like_ndjson(text):
        raise NotJsonError(
            "The input is NDJSON, one resource a line, not one Bundle.",
            remedy="Put the resources of one patient into a Bundle, or use the screening command for NDJSON.",
        )
    raise NotJsonError("The input is not valid JSON in UTF-8, or is nested too deeply.")


def _looks_like_ndjson(text: bytes) -> bool:
    first, _, rest = text.lstrip().partition(b"\n")
    if not rest.lstrip().startswith(b"{"):
        return False
    try:
        return isinstance(orjson.loads(first), dict)
    except orjson.JSONDecodeError:
        return False


def _kind_of(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "a bare value"


def _has_next(bundle: JsonObject) -> bool:
    return any(as_object(link).get("relation") == "next" for link in as_list(bundle.get("link")))


def _resources(bundle: JsonObject, depth: int) -> Iterator[tuple[str | None, JsonObject | None]]:
    """The fullUrl and the resource of each entry that has one; None for a resource that is no object."""
    for entry in as_list(bundle.get("entry")):
        if not isinstance(entry, dict):
            yield None, None
            continue
        resource = entry.get("resource")
        if resource is None:
            continue
        if not isinstance(resource, dict):
            yield None, None
        elif resource.get("resourceType") == "Bundle" and depth < MAX_BUNDLE_DEPTH:
            yield from _resources(resource, depth + 1)
        else:
            yield as_text(entry.get("fullUrl")), resource


def _updated(entry: Entry) -> float:
    moment = parse_moment(as_object(entry.resource.get("meta")).get("lastUpdated"))
    return moment.start.timestamp() if moment is not None else float("-inf")


def _contained_observations(report: Entry) -> Iterator[Entry]:
    """Observations inside a DiagnosticReport; they take its subject and date where they have none of their own."""
    if as_text(report.resource.get("status")) in {"entered-in-error", "cancelled"}:
        return
    inherited: JsonObject = {
        name: report.resource[name]
        for name in ("subject", "effectiveDateTime", "effectivePeriod", "issued")
        if name in report.resource
    }
    for resource in as_list(report.resource.get("contained")):
        if isinstance(resource, dict) and resource.get("resourceType") == "Observation":
            yield Entry(inherited | resource, report.full_url, report.position, report.reference)
