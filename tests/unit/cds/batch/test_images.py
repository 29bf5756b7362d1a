"""A work list of radiographs: ranked rows, rejects, patients, resume; the engines answer from what the file says."""

import csv
import json
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cds.batch import image_cases
from cds.batch.image_cases import CasesSpec, Outcome, assess_cases, one_case
from cds.batch.image_plan import ImagePlan
from cds.batch.image_rejects import IMAGE_REJECTS, ImageReject, Part
from cds.batch.image_rows import COLUMNS, RANKING, SIDE_CONFLICT
from cds.batch.image_units import CASES_A_UNIT
from cds.batch.images import ImageRequest, ImageResult, screen_images
from cds.batch.journal import RunFolder, Task
from cds.batch.local import LocalExecutor
from cds.batch.worklist import Entry
from cds.bootstrap import load_settings
from cds.entrypoints.cli import app
from cds.errors import InputError, ResumeRefusedError, ScreeningInputError
from cds.warnings import WARNINGS
from fhir_adapters.errors import NotJsonError
from fusion.context import ClinicalContext, Mechanism
from fusion.results import Assessment, Severity, Urgency
from imaging.errors import CorruptFileError, ModelFilesError
from imaging.radiograph import Radiograph
from imaging.results import FractureCall, ImageFindings, Measurement
from tests.support.fakes import FakeParts, RememberingAuditTrail
from tests.unit.cds.batch.conftest import AS_OF

Run = Callable[..., ImageResult]
Rows = list[dict[str, str]]


class SayingParts(FakeParts):
    """Parts whose radiographs say what is found on them: ``definite 0.9 immediate``."""

    said: tuple[str, str, str] = ("definite", "0.9", "clinic")
    records: list[tuple[bytes, str | None]]

    def read_image(self, source: bytes, *, frame: int = 1) -> Radiograph:
        words = source.decode().split()
        if words == ["corrupt"]:
            raise CorruptFileError("The file is damaged.")
        if words == ["fault"]:
            raise KeyError("Plantedname")
        if words == ["model"]:
            raise ModelFilesError("The weights are missing.")
        call, probability, urgency = words
        self.said = (call, probability, urgency)
        return FakeParts.read_image(self, source, frame=frame)

    def analyse(self, radiograph: Radiograph) -> ImageFindings:
        found = FakeParts.analyse(self, radiograph)
        value = float(self.said[1])
        probability = Measurement(value=value, low=value - 0.05, high=value + 0.05)
        return replace(found, call=FractureCall(self.said[0]), fracture_probability=probability, laterality="R")

    def read_record(self, data: bytes, *, as_of: datetime, patient_id: str | None = None) -> Any:
        if data == b"broken":
            raise NotJsonError("The record is no JSON.")
        return FakeParts.read_record(self, data, as_of=as_of, patient_id=patient_id)

    def assess(self, **given: Any) -> Assessment:
        told = FakeParts.assess(self, **given)
        severity = replace(told.severity, urgency=Urgency(self.said[2]), grade=Severity.MODERATE)
        return replace(told, severity=severity)


@pytest.fixture
def parts() -> SayingParts:
    return SayingParts()


@pytest.fixture
def trail() -> RememberingAuditTrail:
    return RememberingAuditTrail()


@pytest.fixture(autouse=True)
def _fake_engines(monkeypatch: pytest.MonkeyPatch, parts: SayingParts, trail: RememberingAuditTrail) -> None:
    made = image_cases._Parts(
        engines=replace(parts.engines(), bone_age=None), audit=trail, max_image_bytes=1000, max_record_bytes=1000
    )
    monkeypatch.setattr(image_cases, "_parts", lambda settings: made)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run_it(worklist: Path, name: str = "list.csv", **extra: Any) -> ImageResult:
        given: dict[str, Any] = {"settings": load_settings(audit_log=None), "as_of": AS_OF, "actor": "cli:test"}
        output = tmp_path / "out" / name
        request = ImageRequest(worklist=worklist, output=output, **({"engine_version": "1"} | given | extra))
        return screen_images(request, LocalExecutor(1))

    return run_it


def write_list(folder: Path, rows: list[dict[str, str]], images: dict[str, str] | None = None) -> Path:
    """The list, and a file for each image it names; by default of a definite fracture."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with (folder / "list.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        words = (images or {}).get(row["image"], "definite 0.9 clinic")
        if row["image"] and words:
            (folder / row["image"]).write_text(words)
    return folder / "list.csv"


def read(path: Path) -> Rows:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_most_pressing_come_first(tmp_path: Path, run: Run, trail: RememberingAuditTrail) -> None:
    said = [
        "not_seen 0.05 routine",
        "definite 0.8 clinic",
        "suspected 0.3 immediate",
        "definite 0.9 clinic",
        "cannot_judge 0.5 routine",
        "definite 0.9 within_hours",
        "suspected 0.4 clinic",
    ]
    files = {f"{number}.png": words for number, words in enumerate(said, 1)}
    result = run(write_list(tmp_path, [{"image": name} for name in files], files))
    rows = read(result.output)
    assert [row["row"] for row in rows] == ["3", "6", "4", "2", "7", "5", "1"]
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 8)]
    assert list(rows[0]) == [column.name for column in COLUMNS]
    assert rows[0]["case_id"] == "row-3"
    assert rows[0]["fracture_probability_percent"] == "30.0"
    assert (rows[0]["boxes"], bool(rows[0]["best_box_x1_px"])) == ("2", True)
    assert {entry.case_id for entry in trail.entries} == {row["assessment_id"] for row in rows}
    assert all("urgency" in rule for rule in (RANKING, json.dumps(result.report)))


def test_every_case_is_a_row_or_a_reject(tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    rows = [
        {"image": "good.png", "mechanism": "low_energy"},
        {"image": "corrupt.png"},
        {"image": "gone.png"},
        {"image": "fault.png"},
        {"image": ""},
        {"image": "good.png", "laterality": "sideways"},
        {"image": "good.png", "mechanism": "Plantedname"},
        {"image": "good.png", "frame": "0"},
        {"image": "large.png"},
    ]
    said = {"corrupt.png": "corrupt", "gone.png": "", "fault.png": "fault", "large.png": "x" * 2000}
    result = run(write_list(tmp_path, rows, said))
    assert [row["image"] for row in read(result.output)] == ["good.png"]
    told = {row["row"]: (row["part"], row["error_code"]) for row in read(result.rejects_file)}
    assert told == {
        "2": ("image", "imaging.file.corrupt"),
        "3": ("image", "screen.image.missing"),
        "4": ("image", "screen.case.failed"),
        "5": ("row", "screen.row.no_image"),
        "6": ("row", "screen.row.value:laterality"),
        "7": ("row", "screen.row.value:mechanism"),
        "8": ("row", "screen.row.value:frame"),
        "9": ("image", "cds.input.too_large.radiograph"),
    }
    assert all(row["explanation"] and row["in_list"] == "no" for row in read(result.rejects_file))
    counts = result.report["cases"]
    assert counts["in_list"] == counts["rows"] + counts["rejected"] == 9
    assert "KeyError" in caplog.text
    assert "Plantedname" not in caplog.text + result.report_file.read_text() + result.rejects_file.read_text()


def test_bedside_findings_and_side_reach_the_case(tmp_path: Path, run: Run, parts: SayingParts) -> None:
    rows = [
        {"image": "a.png", "mechanism": "low_energy", "site": "distal_radius", "laterality": "left"},
        {"image": "b.png", "laterality": "R", "ward": "7"},
    ]
    result = run(write_list(tmp_path, rows))
    first, second = sorted(read(result.output), key=lambda row: row["row"])
    assert parts.contexts[0].mechanism is Mechanism.LOW_ENERGY
    assert parts.contexts[1] == ClinicalContext()
    assert first["site"] == "distal_radius"
    assert SIDE_CONFLICT in first["warnings"]
    assert SIDE_CONFLICT not in second["warnings"]
    assert result.report["columns_not_used"] == ["ward"]
    assert {SIDE_CONFLICT, image_cases.RECORD_UNUSABLE} <= set(WARNINGS)


def bundle(*patients: str) -> bytes:
    entry = [{"resource": {"resourceType": "Patient", "id": one}} for one in patients]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entry}).encode()


def test_patients_are_found_by_path_name_and_id(tmp_path: Path, run: Run, parts: SayingParts) -> None:
    records = tmp_path / "records"
    records.mkdir()
    (records / "x1.json").write_bytes(bundle("inside", "twice"))
    (records / "x2.json").write_bytes(bundle("twice"))
    (records / "named.json").write_bytes(b"{}")
    (records / "x3.json").write_bytes(b"no bundle")
    (tmp_path / "own.json").write_bytes(b"{}")
    (tmp_path / "broken.json").write_bytes(b"broken")
    wanted = ["own.json", "named", "Patient/inside", "", "twice", "nobody", "broken.json"]
    rows = [{"image": f"{number}.png", "patient": patient} for number, patient in enumerate(wanted)]
    result = run(write_list(tmp_path / "", rows), bundles=records)
    told = {row["patient"]: row for row in read(result.output)}
    assert [name for name, row in told.items() if row["major_osteoporotic_fracture_10y_percent"]] == wanted[:3]
    assert told[""]["no_risk_because"] == "No patient record was given, so the fracture risk was not estimated."
    assert "rejects file" in told["twice"]["no_risk_because"]
    assert image_cases.RECORD_UNUSABLE in told["broken.json"]["warnings"]
    assert image_cases.RECORD_UNUSABLE not in told["own.json"]["warnings"]
    assert [(row["error_code"], row["part"], row["in_list"]) for row in read(result.rejects_file)] == [
        ("screen.patient.ambiguous", "patient", "yes"),
        ("screen.patient.not_found", "patient", "yes"),
        (NotJsonError.code, "patient", "yes"),
    ]
    assert result.report["cases"]["without_their_patient"] == 3
    assert result.report["bundles_unreadable"] == 2
    without = run(write_list(tmp_path / "alone", [{"image": "a.png", "patient": "inside"}]), "alone.csv")
    assert read(without.rejects_file)[0]["error_code"] == "screen.patient.no_input"


def test_parquet_in_and_out_is_the_same(tmp_path: Path, run: Run) -> None:
    rows = [{"image": "a.png", "case_id": "A", "open_wound": "yes"}, {"image": "b.png", "case_id": "B"}]
    text = write_list(tmp_path, rows)
    table = tmp_path / "list.parquet"
    pq.write_table(pa.table({"image": ["a.png", "b.png"], "case_id": ["A", "B"], "open_wound": [True, None]}), table)
    plain, other = read(run(text).output), pq.read_table(run(table, "list.parquet").output)
    ids = {"assessment_id"}
    assert [{key: value for key, value in row.items() if key not in ids} for row in plain] == [
        {key: "" if value is None else str(value) for key, value in row.items() if key not in ids}
        for row in other.to_pylist()
    ]
    assert other.schema.metadata[b"fracture_cds.ranking"].decode() == RANKING


def test_a_stopped_run_goes_on(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, parts: SayingParts) -> None:
    names = [f"{number}.png" for number in range(3 * CASES_A_UNIT)]
    worklist = write_list(tmp_path, [{"image": name} for name in names])
    whole = run(worklist, "whole.csv").output.read_bytes()
    finish = RunFolder.finish

    def stop(self: RunFolder, task: Task, result: dict[str, object]) -> Path:
        if task.number == 1:
            raise KeyboardInterrupt
        return finish(self, task, result)

    monkeypatch.setattr(RunFolder, "finish", stop)
    with pytest.raises(KeyboardInterrupt):
        run(worklist)
    monkeypatch.setattr(RunFolder, "finish", finish)
    monkeypatch.setattr(image_cases, "_apart", one_case)
    folder = tmp_path / "out" / ".list.csv.run"
    assert folder.stat().st_mode & 0o077 == 0
    parts.calls.clear()
    result = run(worklist, as_of=None)
    assert result.output.read_bytes() == whole
    assert parts.calls.count("read_image") == 2 * CASES_A_UNIT
    assert result.report["tasks_done_before"] == 1
    assert not folder.exists()


def test_many_parts_are_merged_in_steps(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {f"{number}.png": f"suspected 0.{number:02d} clinic" for number in range(10, 10 + 5 * CASES_A_UNIT)}
    worklist = write_list(tmp_path, [{"image": name} for name in said], said)
    whole = run(worklist, "whole.csv").output.read_bytes()
    monkeypatch.setattr("cds.batch.merging.MOST_OPEN", 2)
    assert run(worklist).output.read_bytes() == whole


def test_another_list_does_not_go_on(tmp_path: Path, run: Run) -> None:
    worklist = write_list(tmp_path, [{"image": "a.png"}, {"image": "model.png"}], {"model.png": "model"})
    with pytest.raises(ModelFilesError):
        run(worklist)
    write_list(tmp_path, [{"image": "a.png"}])
    with pytest.raises(ResumeRefusedError, match="changed work list"):
        run(worklist)
    assert len(read(run(worklist, fresh=True).output)) == 1


def die(entry: Entry, plan: ImagePlan) -> Outcome:
    os._exit(9)


def test_a_radiograph_that_ends_the_process_is_a_reject(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    worklist = write_list(tmp_path, [{"image": "a.png"}, {"image": "b.png"}, {"image": "c.png"}])
    begun = image_cases.one_case

    def crash(entry: Entry, plan: ImagePlan) -> Outcome:
        if entry.image == "b.png":
            raise KeyboardInterrupt  # stands for the end of this process
        return begun(entry, plan)

    monkeypatch.setattr(image_cases, "one_case", crash)
    with pytest.raises(KeyboardInterrupt):
        run(worklist)
    # The second time it is tried in a process of its own, which really ends.
    apart = image_cases._apart

    def in_a_child(entry: Entry, plan: ImagePlan) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(image_cases, "one_case", die)
            return apart(entry, plan)

    monkeypatch.setattr(image_cases, "_apart", in_a_child)
    result = run(worklist)
    assert [row["image"] for row in read(result.output)] == ["a.png", "c.png"]
    (told,) = read(result.rejects_file)
    assert (told["image"], told["error_code"]) == ("b.png", "screen.case.crashed")


def test_reports_bear_the_name_in_the_audit_trail(tmp_path: Path, run: Run, trail: RememberingAuditTrail) -> None:
    worklist = write_list(tmp_path, [{"image": "a.png", "case_id": "Case / one"}])
    (row,) = read(run(worklist, reports=tmp_path / "reports").output)
    report = json.loads((tmp_path / "reports" / row["report_file"]).read_text())
    assert report["case_id"] == row["assessment_id"] == trail.entries[0].case_id
    assert row["case_id"] == "Case / one"


@pytest.mark.parametrize(
    ("text", "kind"),
    [("patient\nx\n", ScreeningInputError), ("image,image\na,b\n", ScreeningInputError), ("\xff\xfe", None)],
)
def test_a_list_that_is_none(tmp_path: Path, run: Run, text: str, kind: type[Exception] | None) -> None:
    worklist = tmp_path / "list.csv"
    worklist.write_bytes(text.encode("latin-1"))
    with pytest.raises(kind or ScreeningInputError) as caught:
        run(worklist)
    assert getattr(caught.value, "remedy", "")
    with pytest.raises(InputError):
        run(tmp_path / "list.xlsx", "x.csv")


def test_the_command(tmp_path: Path) -> None:
    worklist = write_list(tmp_path, [{"image": "a.png"}, {"image": "gone.png"}], {"gone.png": ""})
    given = ["screen", "--images", str(worklist), "--output", str(tmp_path / "out.csv"), "--workers", "1"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0, done.output
    assert "2 radiographs in, 1 rows out, 1 rejected" in done.output
    described = CliRunner().invoke(app, [*given, "--describe"]).output
    assert all(column.name in described for column in COLUMNS)
    assert "laterality" in described
    assert CliRunner().invoke(app, given[:3]).exit_code == 2
    assert CliRunner().invoke(app, [*given, "--summary", str(tmp_path / "x.html")]).exit_code == 2
    assert CliRunner().invoke(app, ["screen", "--export-reports", str(tmp_path)]).exit_code == 2


def test_specs_travel_without_secrets(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    specs: list[CasesSpec] = []

    def note(spec: CasesSpec) -> Path:
        specs.append(spec)
        return assess_cases(spec)

    monkeypatch.setattr("cds.batch.images.assess_cases", note)
    settings = load_settings(audit_log=None, fhir_token="Plantedsecret")
    run(write_list(tmp_path, [{"image": "a.png"}]), settings=settings)
    assert b"Plantedsecret" not in pickle.dumps(specs)
    assert specs[0].plan.settings.settings().threads == 1


def test_every_code_has_words() -> None:
    for code in IMAGE_REJECTS:
        assert ImageReject(row=1, case_id="c", image="i", part=Part.ROW, code=code).fields()[-1]
