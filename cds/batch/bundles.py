"""Bundles in the first pass: each patient's entries become one small Bundle, so that full URLs keep their meaning."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import orjson

from cds.batch.keys import reference_key, reference_of, subject_reference, usable_key
from fhir_adapters.bundle import Entry, decode_bundle, group_entries
from fhir_adapters.errors import FhirError
from fhir_adapters.references import MedicationIndex, Subject, SubjectResolver
from fhir_adapters.shapes import JsonObject, as_object


class BundleRouter(Protocol):
    """What a Bundle's parts are handed to; `cds.batch.sources.Router` is one."""

    @property
    def counts(self) -> "BundleCounts":
        """Totals of the unit."""

    def patient(self, key: bytes, line: int, payload: bytes) -> None:
        """Keep something of a patient."""

    def reject(self, line: int, code: str, resource: str = "", *, patients: int = 0) -> None:
        """Note what was left out."""


class BundleCounts(Protocol):
    """The totals that a Bundle adds to."""

    bytes: int
    patients: int


def scan_bundle(path: Path, router: BundleRouter) -> int:
    """Read one Bundle file; a file that cannot be read becomes a reject under the reader's own code."""
    try:
        data = path.read_bytes()
        router.counts.bytes += len(data)
        bundle = decode_bundle(data)
    except FhirError as error:
        router.reject(-1, error.code)
        return 0
    split_bundle(bundle, -1, router)
    return 0


def split_bundle(bundle: JsonObject, line: int, router: BundleRouter) -> None:
    """Hand over each patient's entries, and reject those of nobody known.

    Args:
        bundle: The parsed Bundle.
        line: Its line, counted from 0; -1 for a file that is one Bundle.
        router: What takes the parts.
    """
    record = group_entries(bundle)
    patients = record.of_type("Patient")
    router.counts.patients += len(patients)
    if not patients:
        router.reject(line, "screen.bundle.no_patient")
    entries = [
        entry
        for resource_type, found in record.entries.items()
        if resource_type not in {"Patient", "Medication"}
        for entry in found
    ]
    owned, unowned = _owners(patients, entries)
    medications = MedicationIndex(record)
    for patient, own in zip(patients, owned, strict=True):
        key = _key(patient)
        if key is None:
            router.reject(line, "screen.patient.no_id", patients=1)
            continue
        kept = [patient, *own, *_taken(own, record.of_type("Medication"), medications)]
        router.patient(key, line, _small_bundle(kept))
    for entry in unowned:
        _pass_on(entry, line, router)


def _owners(patients: Iterable[Entry], entries: list[Entry]) -> tuple[list[list[Entry]], list[Entry]]:
    """The entries of each patient, and those of none of them."""
    known = list(patients)
    owned: list[list[Entry]] = [[] for _ in known]
    resolvers = [SubjectResolver(patient, known) for patient in known]
    unowned: list[Entry] = []
    by_reference: dict[str, int] = {}
    for entry in entries:
        reference = subject_reference(entry.resource) or ""
        # Neighbouring entries mostly share their patient; ask that resolver first.
        guess = by_reference.get(reference)
        order = range(len(known)) if guess is None else (guess, *range(len(known)))
        place = next((place for place in order if resolvers[place].whose(entry) is Subject.THIS), None)
        if place is None:
            unowned.append(entry)
        else:
            by_reference[reference] = place
            owned[place].append(entry)
    return owned, unowned


def _pass_on(entry: Entry, line: int, router: BundleRouter) -> None:
    """An entry of a patient who is not in this Bundle may belong to one of another, such as the next page."""
    reference = subject_reference(entry.resource)
    key = reference_key(reference, "Patient") if reference is not None else None
    if key is not None:
        router.patient(key, line, _small_bundle([entry]))
        return
    code = "screen.subject.missing" if reference is None else "screen.subject.unresolved"
    router.reject(line, code, reference_of(entry.resource))


def _taken(own: Iterable[Entry], all_medications: Iterable[Entry], index: MedicationIndex) -> list[Entry]:
    """The Medication entries that a patient's entries refer to."""
    wanted = {
        id(found)
        for entry in own
        if "medicationReference" in entry.resource
        and (found := index.resolve(entry.resource, as_object(entry.resource.get("medicationReference")))) is not None
    }
    return [entry for entry in all_medications if id(entry.resource) in wanted]


def _key(patient: Entry) -> bytes | None:
    """The patient's id; in a transaction it may stand only in the fullUrl."""
    key = usable_key(patient.resource.get("id"))
    if key is not None or patient.full_url is None:
        return key
    return usable_key(patient.full_url.removeprefix("urn:uuid:").rpartition("/")[2])


def _small_bundle(entries: Iterable[Entry]) -> bytes:
    told = [
        {"resource": entry.resource}
        if entry.full_url is None
        else {"fullUrl": entry.full_url, "resource": entry.resource}
        for entry in entries
    ]
    return orjson.dumps({"resourceType": "Bundle", "entry": told})
