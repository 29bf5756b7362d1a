"""Whose resource is it? References resolved against the Patients of one Bundle, and to Medications.

A relative reference belongs to the server of the entry that holds it, so ``Patient/1`` of one server is not
``Patient/1`` of another.
"""

import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import unquote

from fhir_adapters.bundle import Entry, Record
from fhir_adapters.errors import NoPatientError, PatientNotFoundError, SeveralPatientsError
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

_HISTORY = re.compile(r"/_history/[^/]*$")
_CONDITIONAL = "Patient?identifier="


class Subject(Enum):
    """Whose resource an entry is."""

    THIS = "this"
    OTHER = "other"
    """Another Patient of the Bundle."""
    UNRESOLVED = "unresolved"
    """A patient who is not in the Bundle."""
    MISSING = "missing"
    """The resource names nobody."""


class SubjectResolver:
    """Tells for each entry whether it belongs to the chosen patient. Remembers the references it has seen."""

    def __init__(self, patient: Entry, patients: Iterable[Entry]) -> None:
        """Prepare the spellings under which the chosen patient and the others are referred to."""
        self._id = as_text(patient.resource.get("id"))
        self._full_url = patient.full_url
        self._base = _base(patient.full_url)
        self._identifiers = _identifiers(patient.resource)
        others = [other for other in patients if other is not patient]
        self._other_ids = {as_text(other.resource.get("id")) for other in others}
        self._other_urls = {other.full_url for other in others}
        self._seen: dict[tuple[str, str | None], Subject] = {}

    def whose(self, entry: Entry) -> Subject:
        """Whose resource the entry is, by its ``subject`` or ``patient``."""
        holder = entry.resource.get("subject") or entry.resource.get("patient")
        if not isinstance(holder, dict):
            return Subject.MISSING
        reference = holder.get("reference")
        if not isinstance(reference, str) or not reference:
            return self._by_identifier(as_object(holder.get("identifier")))
        # A base matters only for relative references between REST servers; a urn: entry has none.
        key = (reference, _base(entry.full_url) if reference.startswith("Patient/") else None)
        found = self._seen.get(key)
        if found is None:
            found = self._seen[key] = self._resolve(*key)
        return found

    def _by_identifier(self, identifier: JsonObject) -> Subject:
        value = as_text(identifier.get("value"))
        if value is None:
            return Subject.MISSING
        known = f"{as_text(identifier.get('system')) or ''}|{value}" in self._identifiers
        return Subject.THIS if known else Subject.UNRESOLVED

    def _resolve(self, reference: str, base: str | None) -> Subject:
        reference = _HISTORY.sub("", reference)
        if reference == self._full_url:
            return Subject.THIS
        if reference in self._other_urls:
            return Subject.OTHER
        if reference.startswith(_CONDITIONAL):
            token = unquote(reference.removeprefix(_CONDITIONAL))
            return Subject.THIS if token in self._identifiers else Subject.UNRESOLVED
        if reference.startswith("urn:uuid:"):
            target = reference.removeprefix("urn:uuid:")
        else:
            head, _, target = reference.rpartition("Patient/")
            if (head and not head.endswith("/")) or not target or "/" in target:
                return Subject.UNRESOLVED
            base = head.rstrip("/") or base
        same_server = base is None or self._base is None or base == self._base
        if target == self._id and same_server:
            return Subject.THIS
        return Subject.OTHER if target in self._other_ids else Subject.UNRESOLVED


def choose_patient(record: Record, patient_id: str | None) -> Entry:
    """The Patient whose record is meant.

    Args:
        record: The grouped Bundle.
        patient_id: Logical id (also as ``Patient/id``, or its fullUrl); None when the Bundle holds one Patient only.

    Raises:
        NoPatientError: No Patient resource.
        SeveralPatientsError: Several, and none chosen.
        PatientNotFoundError: The chosen one is not among them.
    """
    patients = record.of_type("Patient")
    if not patients:
        raise NoPatientError("The Bundle holds no Patient resource.")
    if patient_id is None:
        if len(patients) > 1:
            raise SeveralPatientsError(len(patients))
        return patients[0]
    wanted = patient_id.removeprefix("Patient/").removeprefix("urn:uuid:")
    for patient in patients:
        if patient.resource.get("id") == wanted or patient.full_url in {patient_id, f"urn:uuid:{wanted}"}:
            return patient
    raise PatientNotFoundError("The chosen Patient is not in the Bundle.")


class MedicationIndex:
    """Medication resources of a Bundle by every spelling of their reference."""

    def __init__(self, record: Record) -> None:
        """Index the Medications, which are few in a patient's record."""
        self._found: dict[str, JsonObject] = {}
        for entry in record.of_type("Medication"):
            resource_id = as_text(entry.resource.get("id"))
            if entry.full_url is not None:
                self._found[entry.full_url] = entry.resource
            if resource_id is not None:
                self._found[f"Medication/{resource_id}"] = entry.resource
                self._found[f"urn:uuid:{resource_id}"] = entry.resource

    def resolve(self, holder: JsonObject, reference: object) -> JsonObject | None:
        """The Medication a reference of `holder` points to: contained in it, or an entry of the Bundle."""
        target = as_text(as_object(reference).get("reference"))
        if target is None:
            return None
        if target.startswith("#"):
            return _contained(holder, target[1:])
        target = _HISTORY.sub("", target)
        found = self._found.get(target)
        if found is None and target.startswith("http"):
            found = self._found.get("/".join(target.rsplit("/", 2)[-2:]))
        return found


def _contained(holder: JsonObject, local_id: str) -> JsonObject | None:
    for resource in as_list(holder.get("contained")):
        if isinstance(resource, dict) and resource.get("id") == local_id:
            return resource
    return None


def _base(full_url: str | None) -> str | None:
    """``https://server/fhir`` of ``https://server/fhir/Observation/1``; None for a urn."""
    return full_url.rsplit("/", 2)[0] if full_url is not None and full_url.startswith("http") else None


def _identifiers(patient: JsonObject) -> set[str]:
    """``system|value`` of each business identifier, as conditional references write it."""
    found = set()
    for identifier in as_list(patient.get("identifier")):
        if isinstance(identifier, dict):
            value = as_text(identifier.get("value"))
            if value is not None:
                found.add(f"{as_text(identifier.get('system')) or ''}|{value}")
    return found
