"""Bone density scans that the record says were done, whether or not their result is in it.

Rules
-----
* A Procedure counts when it is completed and bears a code of `fhir_adapters.codes.scans`; a DiagnosticReport when it is
  final or a later correction. An order does not count: it says that a scan was wanted.
* It counts with a date only. Of a period the end is taken, else the start; a report without a time of its own has that
  of its issue.
* A scan that a Procedure and a report record for one day is one scan.
"""

from collections.abc import Iterator

from fhir_adapters.bundle import Entry, Record
from fhir_adapters.codes.scans import is_scan
from fhir_adapters.dates import first_moment
from fhir_adapters.patient import BoneDensityScan
from fhir_adapters.reading import Reading
from fhir_adapters.shapes import as_text, codings
from fhir_adapters.warnings import FhirWarning

_DONE = {
    "Procedure": frozenset({"completed"}),
    "DiagnosticReport": frozenset({"final", "amended", "corrected", "appended"}),
}
_TIMES = {
    "Procedure": ("performedDateTime", "performedPeriod.end", "performedPeriod.start"),
    "DiagnosticReport": ("effectiveDateTime", "effectivePeriod.end", "effectivePeriod.start", "issued"),
}


def read_scans(record: Record, reading: Reading) -> tuple[BoneDensityScan, ...]:
    """The scans of a record, newest first, one for each day."""
    found = sorted(_scans(record, reading), key=lambda one: one.performed, reverse=True)
    by_day: dict[object, BoneDensityScan] = {}
    for scan in found:
        by_day.setdefault(scan.performed.date(), scan)
    return tuple(by_day.values())


def _scans(record: Record, reading: Reading) -> Iterator[BoneDensityScan]:
    for resource_type, done in _DONE.items():
        for entry in record.of_type(resource_type):
            code = _scan_code(entry)
            # The code first: whose the thousand other procedures are is of no interest.
            if code is None or as_text(entry.resource.get("status")) not in done or not reading.is_own(entry):
                continue
            moment, _ = first_moment(entry.resource, *_TIMES[resource_type])
            moment = reading.credible(moment, entry)
            if moment is None:
                reading.notes.add(FhirWarning.SCAN_UNDATED, entry.reference)
            elif not reading.is_future(moment, entry):
                yield BoneDensityScan(code=code, resource=entry.reference, performed=moment.until(reading.as_of))


def _scan_code(entry: Entry) -> str | None:
    """``system|code`` of the scan that a resource is about."""
    return next((f"{uri}|{code}" for uri, code in codings(entry.resource.get("code")) if is_scan(uri, code)), None)
