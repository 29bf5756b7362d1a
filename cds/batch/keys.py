"""Whose line is it? Read from the bytes where that is safe, from the parsed object where it is not.

Safe means: the object has one ``subject`` and no contained resource, so that the one match is the resource's own. A
quotation mark inside a string is always escaped in JSON, hence text can never look like a key.
"""

import re
from functools import lru_cache

from fhir_adapters.shapes import JsonObject, as_object, as_text

_SUBJECT = re.compile(
    rb'"(?:subject|patient)"\s*:\s*\{\s*"reference"\s*:\s*"(?:Patient/|urn:uuid:)([A-Za-z0-9\-.]{1,64})"'
)
_PATIENT = re.compile(rb'\{\s*"resourceType"\s*:\s*"Patient"\s*,\s*"id"\s*:\s*"([A-Za-z0-9\-.]{1,64})"')
_HISTORY = re.compile(r"/_history/[^/]*$")
_USABLE = re.compile(r"[^\x00-\x20/\"\\]{1,256}")


def patient_key_of_line(line: bytes) -> bytes | None:
    """The patient's id a line names as its subject; None where only a parse can tell."""
    found = _SUBJECT.search(line)
    if found is None or b'"contained"' in line or line.count(b'"subject"') + line.count(b'"patient"') != 1:
        return None
    return found.group(1)


def id_of_patient_line(line: bytes) -> bytes | None:
    """The id of a line that is a Patient; None where only a parse can tell."""
    found = _PATIENT.match(line)
    return found.group(1) if found is not None else None


def subject_reference(resource: JsonObject) -> str | None:
    """The reference a resource gives as its subject or patient."""
    holder = resource.get("subject") or resource.get("patient")
    return as_text(as_object(holder).get("reference"))


@lru_cache(maxsize=4096)
def reference_key(reference: str, resource_type: str) -> bytes | None:
    """The logical id that a literal reference ends in; None for one that cannot be followed without a server.

    Args:
        reference: ``Patient/1``, ``https://server/fhir/Patient/1``, ``Patient/1/_history/2`` or ``urn:uuid:1``.
        resource_type: The type it should point to.
    """
    if "/_history/" in reference:
        reference = _HISTORY.sub("", reference)
    if reference.startswith("urn:uuid:"):
        return usable_key(reference.removeprefix("urn:uuid:"))
    head, slash, target = reference.rpartition(f"{resource_type}/")
    if not slash or (head and not head.endswith("/")):
        return None
    return usable_key(target)


def usable_key(resource_id: object) -> bytes | None:
    """An id as a key of the spill files, more liberal than FHIR; None for what cannot be an id."""
    if not isinstance(resource_id, str) or not _USABLE.fullmatch(resource_id):
        return None
    try:
        return resource_id.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return None


def reference_of(resource: JsonObject) -> str:
    """``Observation/12`` for a list of rejects; empty without a sound id."""
    resource_type, resource_id = resource.get("resourceType"), usable_key(resource.get("id"))
    return f"{resource_type}/{resource_id.decode()}" if isinstance(resource_type, str) and resource_id else ""
