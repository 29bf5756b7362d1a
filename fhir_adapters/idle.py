"""Which diagnoses and prescriptions say nothing here, so that nobody need read them.

Most Conditions of a record are colds and sprains, most prescriptions drugs of no class that matters. A resource that
`is_idle` adds neither a value nor a warning to its patient's snapshot, whatever else it says. It still may be a newer
version of one that does, which the caller must check (`fhir_adapters.superseded.share_ids`). `idle_line` tells the
same of most lines from their bytes: what stands between id and subject is one of a few hundred texts that come again.
"""

import re
from functools import lru_cache

import orjson

from fhir_adapters.codes.diagnoses import diagnosis
from fhir_adapters.codes.drugs import drug
from fhir_adapters.shapes import JsonObject, as_object, as_text, codings

IDLE_TYPES = frozenset(
    {"Condition", "MedicationRequest", "MedicationStatement", "MedicationAdministration", "MedicationDispense"}
)
"""Types of which a resource can be idle."""
_TO_BE_READ = frozenset({"modifierExtension", "implicitRules", "medicationReference"})
_TOLD_FIRST = {"Condition": "code"} | dict.fromkeys(IDLE_TYPES - {"Condition"}, "medicationCodeableConcept")
"""The element that says of what, which must stand before the subject."""
_BEFORE_ID = b'","id":"'
_HEADS = {b'{"resourceType":"%b%b' % (name.encode(), _BEFORE_ID): name for name in IDLE_TYPES}
_SUBJECT = b'"subject":{"reference":"'
_SIGNS = (b'"resourceType"', b"\\u")
"""After these bytes nothing can be said: a resource contained or, for want of a line end, glued on; a hidden key."""
_SIGNS_OF_DRUGS = (*_SIGNS, *(b'"%b"' % name.encode() for name in _TO_BE_READ))
_ID = re.compile(rb"[A-Za-z0-9\-.]{1,64}")
_PATIENT = re.compile(rb"(?:Patient/|urn:uuid:)([A-Za-z0-9\-.]{1,64})")


def is_idle(resource: JsonObject) -> bool:
    """Whether a resource of one of `IDLE_TYPES` changes nothing in the snapshot of the patient it names.

    Args:
        resource: The parsed resource; its subject is the patient of the snapshot, found by the end of the reference.
    """
    if resource.get("resourceType") == "Condition":
        return all(diagnosis(system, code) is None for system, code in codings(resource.get("code")))
    subject = as_text(as_object(resource.get("subject")).get("reference")) or ""
    if not subject.startswith(("Patient/", "urn:uuid:")) or not _TO_BE_READ.isdisjoint(resource):
        return False
    known = False
    for system, code in codings(resource.get("medicationCodeableConcept")):
        meaning = drug(system, code)
        if meaning is not None:
            if meaning.classes or meaning.oral_or_intravenous:
                return False
            known = True
    return known  # of an unknown drug the reader warns


def idle_line(line: bytes) -> tuple[bytes, bytes] | None:
    """Ids of the patient and of the resource of a line that `is_idle`, from its bytes.

    What stands behind the subject is not checked for being JSON.

    Args:
        line: One resource as JSON without its line end and without repeated keys.

    Returns:
        None when it must be parsed: it is not idle, or has not the usual form: compact, type and id first, before the
        subject what it is of, and nothing contained.
    """
    opening = line.find(_BEFORE_ID) + len(_BEFORE_ID)
    name = _HEADS.get(line[:opening])
    if name is None:
        return None
    begin = line.find(b'"', opening)
    subject = line.find(_SUBJECT, begin)
    if subject < 0 or not _says_nothing(name, line[begin + 1 : subject]):
        return None
    subject += len(_SUBJECT)
    end = line.find(b'"', subject)
    patient, resource_id = _patient(line[subject:end]), line[opening:begin]
    if patient is None or _ID.fullmatch(resource_id) is None:
        return None
    for sign in _SIGNS if name == "Condition" else _SIGNS_OF_DRUGS:
        if line.find(sign, end) >= 0:
            return None
    return patient, resource_id


@lru_cache(maxsize=4096)
def _says_nothing(name: str, told: bytes) -> bool:
    """Whether the elements between id and subject, with a comma before and behind, make a resource idle."""
    if not told.startswith(b",") or not told.endswith(b","):
        return False
    try:
        resource = orjson.loads(b"{%b}" % told[1:-1])
    except orjson.JSONDecodeError:
        return False
    if _TOLD_FIRST[name] not in resource:
        return False
    return is_idle(resource | {"resourceType": name, "subject": {"reference": "Patient/"}})


@lru_cache(maxsize=1024)
def _patient(reference: bytes) -> bytes | None:
    found = _PATIENT.fullmatch(reference)
    return None if found is None else found[1]
