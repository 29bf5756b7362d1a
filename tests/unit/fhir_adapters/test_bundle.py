import gzip
import json

import orjson
import pytest

from fhir_adapters.bundle import decode_bundle, group_entries
from fhir_adapters.errors import (
    BundleTypeError,
    CompressionError,
    EmptyInputError,
    FhirError,
    InputTooLargeError,
    NotABundleError,
    NotJsonError,
)
from fhir_adapters.reader import read_bundle
from tests.unit.fhir_adapters.records import AS_OF, bundle, observation, patient, read


def as_bytes(value: object) -> bytes:
    return orjson.dumps(value)


@pytest.mark.parametrize("kind", ["transaction", "batch", "collection", "searchset", "document"])
def test_reads_every_type_that_describes_a_record(kind: str) -> None:
    assert decode_bundle(as_bytes(bundle(patient(), type=kind)))["type"] == kind


def test_gzip_with_several_members_padding_and_bom() -> None:
    text = b"\xef\xbb\xbf" + as_bytes(bundle(patient()))
    packed = gzip.compress(text[:40]) + gzip.compress(text[40:]) + b"\x00" * 8
    assert decode_bundle(packed)["resourceType"] == "Bundle"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyInputError),
        (b" \n ", EmptyInputError),
        (gzip.compress(b"", mtime=0), EmptyInputError),
        (b"\x1f\x8b and no more", CompressionError),
        (gzip.compress(as_bytes(bundle(patient())), mtime=0)[:-12], CompressionError),
        (b"<Bundle xmlns='http://hl7.org/fhir'/>", NotJsonError),
        (b"PK\x03\x04zip", NotJsonError),
        (b"{'single': 'quotes'}", NotJsonError),
        (json.dumps(bundle(patient())).encode("utf-16"), NotJsonError),
        (b'{"resourceType":"Patient"}\n{"resourceType":"Condition"}\n', NotJsonError),
        (b"[" * 100_000, NotJsonError),
        (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, NotJsonError),
        (b"[]", NotABundleError),
        (b"42", NotABundleError),
        (b"null", NotABundleError),
        (b"{}", NotABundleError),
        (b'{"resourceType":"Patient","id":"p1"}', NotABundleError),
        (b'{"resourceType":"Bundle","type":"history"}', BundleTypeError),
        (b'{"resourceType":"Bundle","type":["collection"]}', BundleTypeError),
    ],
)
def test_refuses_what_is_no_bundle_by_a_named_error(data: bytes, error: type[FhirError]) -> None:
    with pytest.raises(error) as caught:
        decode_bundle(data)
    assert caught.value.code.startswith("fhir.")
    assert caught.value.remedy.endswith(".")


def test_names_the_resource_type_that_was_found_but_never_free_text() -> None:
    with pytest.raises(NotABundleError, match="a Patient resource"):
        decode_bundle(b'{"resourceType":"Patient"}')
    with pytest.raises(NotABundleError) as caught:
        decode_bundle(b'{"resourceType":"Ms Jane Doe 1954"}')
    assert "Doe" not in str(caught.value)


def test_says_that_ndjson_is_ndjson() -> None:
    with pytest.raises(NotJsonError, match="NDJSON"):
        decode_bundle(b'{"resourceType":"Patient"}\n{"resourceType":"Patient"}')


def test_parser_error_does_not_carry_the_text() -> None:
    with pytest.raises(NotJsonError) as caught:
        decode_bundle(b'{"family": "Doe", ')
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_decompression_stops_at_the_limit() -> None:
    bomb = gzip.compress(b" " * 3_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(InputTooLargeError):
        decode_bundle(bomb, max_bytes=1_000_000)
    halves = gzip.compress(b" " * 600_000) * 2
    with pytest.raises(InputTooLargeError):
        decode_bundle(halves, max_bytes=1_000_000)
    with pytest.raises(InputTooLargeError):
        decode_bundle(b" " * 1_000_001, max_bytes=1_000_000)


def test_groups_by_type_and_opens_bundles_within_the_bundle() -> None:
    inner = bundle(observation("8302-2", 160, "cm"), type="searchset")
    record = group_entries(bundle(patient(), inner, {"resourceType": "Claim"}, type="batch-response"))
    assert {name: len(entries) for name, entries in record.entries.items()} == {"Patient": 1, "Observation": 1}


def test_a_resource_that_comes_twice_is_read_once_in_its_newest_version() -> None:
    old = observation("29463-7", 60, "kg", meta={"lastUpdated": "2024-05-01T10:00:00Z"})
    new = observation("29463-7", 61, "kg", meta={"lastUpdated": "2024-05-02T10:00:00Z"})
    for order in ((old, new), (new, old)):
        record = group_entries(bundle(patient(), *order))
        assert [entry.resource["meta"] for entry in record.of_type("Observation")] == [new["meta"]]


def test_entries_that_are_no_resources_are_counted() -> None:
    broken = bundle(patient(), {"no": "resourceType"})
    broken["entry"] += ["text", {"resource": 3}, {"request": {"method": "DELETE", "url": "Patient/2"}}]
    snapshot = read_bundle(as_bytes(broken), as_of=AS_OF)
    assert "fhir.bundle.entry_unreadable:3" in snapshot.warnings


def test_one_page_of_a_search_is_not_taken_for_the_whole() -> None:
    page = bundle(patient(), type="searchset", link=[{"relation": "next", "url": "https://server/?page=2"}])
    assert "fhir.bundle.paged" in read_bundle(as_bytes(page), as_of=AS_OF).warnings


def test_reference_of_an_entry_never_repeats_a_strange_id() -> None:
    snapshot = read(observation("8302-2", 160, "cm", id="Jane Doe, born 1954"))
    assert snapshot.height_cm is not None
    assert snapshot.height_cm.resource == "Bundle.entry[1]"


def test_observations_contained_in_a_report_count_with_the_reports_subject() -> None:
    held = {"resourceType": "Observation", "id": "v", "status": "final", "code": observation("1989-3")["code"]}
    held["valueQuantity"] = {"value": 20, "code": "ng/mL"}
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2024-01-02",
        "contained": [held],
    }
    found = read(report).vitamin_d_nmol_l
    assert found is not None
    assert found.resource == "DiagnosticReport/r1#v"
    assert found.value == pytest.approx(49.92)
    assert read(report | {"status": "entered-in-error"}).vitamin_d_nmol_l is None
