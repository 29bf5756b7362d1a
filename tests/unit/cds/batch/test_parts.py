"""The small parts: keys read from bytes, lines of ranges, buckets, care gaps."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds.batch import care_gaps as gaps
from cds.batch.care_gaps import GAP_EVIDENCE, GAP_WORDS, CareGapKind, care_gaps
from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.keys import id_of_patient_line, patient_key_of_line, reference_key, subject_reference
from cds.batch.lines import blocks
from cds.batch.sources import BY_CODE
from cds.batch.spill import Records, SpillWriter, bucket_of, read_bucket
from fhir_adapters.patient import (
    BoneDensityScan,
    DrugClass,
    FractureSiteGroup,
    MedicationEntry,
    PatientSnapshot,
    PriorFracture,
    Sourced,
)
from fhir_adapters.reader import relevant_codes, scan_codes
from fusion.evidence_base import EvidenceBase

NOW = datetime(2024, 6, 15, tzinfo=UTC)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
REFERENCE = st.sampled_from(["Patient/1", "urn:uuid:7", "Group/1", "http://s/fhir/Patient/1", 'Patient/"', ""])


@given(
    extra=st.dictionaries(st.sampled_from(["subject", "patient", "note", "contained", "subjec"]), JSON, max_size=3),
    reference=REFERENCE,
    first=st.booleans(),
)
def test_a_key_from_the_bytes_is_the_key_of_the_object(extra: dict[str, object], reference: str, first: bool) -> None:
    own: dict[str, object] = {"subject": {"reference": reference}}
    resource = {"resourceType": "Condition", **(own | extra if first else extra | own)}
    line = orjson.dumps(resource)
    quick = patient_key_of_line(line)
    if quick is not None:
        told = subject_reference(resource)
        assert told is not None
        assert reference_key(told, "Patient") == quick


def test_a_patient_line() -> None:
    assert id_of_patient_line(b'{"resourceType":"Patient","id":"a.b-1","x":1}') == b"a.b-1"
    assert id_of_patient_line(b'{"resourceType":"Condition","id":"a"}') is None
    assert id_of_patient_line(b'{"resourceType":"Patient","meta":{},"id":"a"}') is None


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("Patient/1", b"1"),
        ("https://h/fhir/Patient/1/_history/3", b"1"),
        ("urn:uuid:1", b"1"),
        ("Patient?identifier=x", None),
        ("XPatient/1", None),
        ("Group/1", None),
        ("#p", None),
    ],
)
def test_references(reference: str, key: bytes | None) -> None:
    assert reference_key(reference, "Patient") == key


@given(
    lines=st.lists(st.binary(max_size=9).map(lambda one: one.replace(b"\n", b"")), max_size=9), size=st.integers(1, 20)
)
def test_ranges_share_out_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "x"
    data = b"x" + b"\n".join(lines)
    path.write_bytes(data)
    pieces = [b"".join(blocks(path, start, start + size)) for start in range(0, len(data), size)]
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces if piece and not data.endswith(piece))


def test_codes_are_all_found_and_nothing_else() -> None:
    read = {
        "Observation": relevant_codes(),
        "DiagnosticReport": relevant_codes() | scan_codes(),
        "Procedure": scan_codes(),
    }
    for resource_type, codes in read.items():
        found = BY_CODE[resource_type]
        for code in codes:
            assert found.search(f'"code":"{code}"'.encode())
            assert not found.search(f'"code":"{code}0"'.encode())
            assert not found.search(f'"code":"{code[:-1]}"'.encode()) or code[:-1] in codes


PAYLOAD = st.one_of(st.binary(max_size=30), st.sampled_from([b"\x1e", b"a\x1eb", b"a\tb", b"{}"]))


@given(
    records=st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), PAYLOAD, st.booleans()), max_size=20),
    table=st.integers(0, 1),
)
def test_spilled_records_come_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[bytes, bytes, bool]], table: int
) -> None:
    folder, task = RunFolder(tmp_path_factory.mktemp("spill")), Task(Stage.SCAN, 0)
    records = [(key, payload.replace(b"\n", b"") or b"-", flush) for key, payload, flush in records]
    with SpillWriter(folder, task, 3, tables=2) as spill:
        for number, (key, payload, flush) in enumerate(records):
            spill.add(key, 2, number - 1, payload, b"c", b"d%d" % number, table)
            if flush:
                spill._flush()
    for key in (b"a", b"b", b"c"):
        read = [
            (record.line, record.payload, code, day)
            for found, told in read_bucket(folder.file(task, "spill"), spill.segments, 3 * table + bucket_of(key, 3))
            if found == key
            for lines in [Records.of(0, told)]
            for record, code, day in zip(lines.one_by_one(), lines.codes, lines.days, strict=True)
        ]
        assert read == [
            (number - 1, payload, b"c", b"d%d" % number)
            for number, (own, payload, _) in enumerate(records)
            if own == key
        ]


# --- care gaps


def person(**extra: object) -> PatientSnapshot:
    told = {"patient_id": "p", "as_of": NOW, "birth_date": date(1950, 1, 1), "age_years": 74}
    return PatientSnapshot(**(told | extra))  # type: ignore[arg-type]


def score(value: float, years_ago: float = 1.0) -> Sourced[float]:
    return Sourced(value=value, resource="Observation/t", effective=NOW - timedelta(days=365.25 * years_ago))


def scan(years_ago: float) -> BoneDensityScan:
    return BoneDensityScan(code="x", resource="Procedure/d", performed=NOW - timedelta(days=365.25 * years_ago))


def drug(
    kind: DrugClass, start_days: float | None, *, end_days: float | None = None, active: bool = True
) -> MedicationEntry:
    return MedicationEntry(
        drug_class=kind,
        code="x",
        resource=f"MedicationRequest/{start_days}",
        start=None if start_days is None else NOW - timedelta(days=start_days),
        end=None if end_days is None else NOW - timedelta(days=end_days),
        active=active,
    )


WRIST = PriorFracture(site=FractureSiteGroup.WRIST, code="x", resource="Condition/w", onset=NOW - timedelta(days=900))
ALENDRONATE, PREDNISOLONE = DrugClass.ORAL_BISPHOSPHONATE, DrugClass.SYSTEMIC_GLUCOCORTICOID


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        (person(), ()),
        (person(prior_fractures=(WRIST,)), (CareGapKind.FRACTURE,)),
        (person(prior_fractures=(replace(WRIST, site=FractureSiteGroup.HAND),)), ()),
        (person(prior_fractures=(replace(WRIST, onset=None),)), ()),
        (person(prior_fractures=(replace(WRIST, onset=datetime(1995, 1, 1, tzinfo=UTC)),)), ()),
        (person(prior_fractures=(WRIST,), t_score_spine=score(-1.0, 2.0)), ()),
        (person(prior_fractures=(WRIST,), t_score_spine=score(-1.0, 9.0)), (CareGapKind.FRACTURE,)),
        (person(prior_fractures=(WRIST,), medications=(drug(ALENDRONATE, 100, active=False),)), ()),
        (
            person(prior_fractures=(WRIST,), medications=(drug(ALENDRONATE, 2000, end_days=1500, active=False),)),
            (CareGapKind.FRACTURE,),
        ),
        (person(t_score_total_hip=score(-2.5)), (CareGapKind.T_SCORE,)),
        (person(t_score_total_hip=score(-2.4)), ()),
        (person(t_score_total_hip=score(-2.5), age_years=45), ()),
        (person(t_score_total_hip=score(-2.5), medications=(drug(ALENDRONATE, 10),)), ()),
        (person(medications=(drug(PREDNISOLONE, 90),)), (CareGapKind.GLUCOCORTICOID,)),
        (person(medications=(drug(PREDNISOLONE, 89),)), ()),
        (person(medications=(drug(PREDNISOLONE, None),)), ()),
        (
            person(medications=(drug(PREDNISOLONE, 30), drug(PREDNISOLONE, 100, end_days=70, active=False))),
            (CareGapKind.GLUCOCORTICOID,),
        ),
        (person(medications=(drug(PREDNISOLONE, 10), drug(PREDNISOLONE, 300, end_days=290, active=False))), ()),
        (person(medications=(drug(PREDNISOLONE, 200),), t_score_spine=score(-1.0, 0.2)), ()),
        (person(medications=(drug(ALENDRONATE, 2000),)), (CareGapKind.BISPHOSPHONATE,)),
        (person(medications=(drug(ALENDRONATE, 2000),), t_score_spine=score(-2.6, 1.0)), ()),
        (person(medications=(drug(ALENDRONATE, 1000),)), ()),
        (person(bone_density_scans=(scan(1.0),)), ()),
        (person(prior_fractures=(WRIST,), bone_density_scans=(scan(2.0),)), (CareGapKind.RESULT,)),
        (person(prior_fractures=(WRIST,), bone_density_scans=(scan(9.0),)), (CareGapKind.FRACTURE,)),
        (person(prior_fractures=(WRIST,), bone_density_scans=(scan(2.0),), t_score_spine=score(-1.0, 2.0)), ()),
        (
            person(prior_fractures=(WRIST,), bone_density_scans=(scan(2.0),), t_score_spine=score(-1.0, 9.0)),
            (CareGapKind.RESULT,),
        ),
        (
            person(prior_fractures=(WRIST,), bone_density_scans=(scan(2.0),), medications=(drug(ALENDRONATE, 1000),)),
            (),
        ),
        (person(medications=(drug(PREDNISOLONE, 90),), bone_density_scans=(scan(0.5),)), (CareGapKind.RESULT,)),
        (
            person(medications=(drug(ALENDRONATE, 2000),), bone_density_scans=(scan(3.0),)),
            (CareGapKind.BISPHOSPHONATE,),
        ),
    ],
)
def test_gaps(patient: PatientSnapshot, expected: tuple[CareGapKind, ...]) -> None:
    found = care_gaps(patient, None)
    assert tuple(gap.kind for gap in found) == expected
    assert all(gap.resources for gap in found)


def test_a_scan_without_a_result_is_named_with_its_day() -> None:
    (gap,) = care_gaps(person(prior_fractures=(WRIST,), bone_density_scans=(scan(1.0),)), None)
    assert gap.resources == ("Procedure/d",)
    assert gap.words.endswith(f"without its result: ask for it (scan of {(NOW - timedelta(days=365.25)).date()})")


def test_thresholds_are_those_of_the_evidence() -> None:
    base = EvidenceBase.load()
    assert all(one in base for told in GAP_EVIDENCE.values() for one in told)
    assert base["risk.threshold.bhof_mof"].value == gaps.HIGH_MAJOR
    assert base["risk.threshold.bhof_hip"].value == gaps.HIGH_HIP
    assert base["risk.threshold.bhof_t_score"].value == gaps.OSTEOPOROTIC_T_SCORE
    assert set(GAP_WORDS) == set(GAP_EVIDENCE) == set(CareGapKind)


def test_the_run_folder_keeps_others_out(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "x")
    assert folder.plan() is None
    folder.create(b"{}")
    assert folder.plan() == b"{}"
    assert folder.path.stat().st_mode & 0o077 == 0
