"""Whole screenings of small exports: every patient in is a row out or a reject, whatever the shape of the input."""

import csv
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import orjson
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds.batch import plan
from cds.batch.journal import RunFolder, Stage, Task
from cds.batch.local import LocalExecutor
from cds.batch.opening import run_folder
from cds.batch.rows import COLUMNS
from cds.batch.run import S, ScreenRequest, screen
from cds.errors import InputError, ResumeRefusedError, ScreeningInputError
from tabular.comorbidities import COMORBIDITIES
from tests.unit.cds.batch.conftest import (
    AS_OF,
    Screen,
    condition,
    observation,
    patient,
    population,
    write_export,
    write_lines,
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_ndjson_to_csv(tmp_path: Path, run: Screen) -> None:
    result = run(write_export(tmp_path / "in", population(30)))
    rows = rows_of(result.output)
    assert {row["patient_id"] for row in rows} == {f"p{number}" for number in range(30)}
    assert list(rows[0]) == [column.name for column in COLUMNS]
    ranks = [int(row["rank"]) for row in rows if row["rank"]]
    assert ranks == list(range(1, len(ranks) + 1))
    majors = [float(row["major_osteoporotic_fracture_10y_percent"]) for row in rows if row["rank"]]
    assert majors == sorted(majors, reverse=True)
    assert result.report["patients"] == {"in_input": 30, "rows": 30, "rejected": 0}
    assert not run_folder(result.output).path.exists()


def test_parquet_and_csv_hold_the_same(tmp_path: Path, run: Screen) -> None:
    source = write_export(tmp_path / "in", population(12))
    told = pq.read_table(run(source, "risk.parquet").output)
    rows = rows_of(run(source).output)
    assert [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in told.to_pylist()
    ] == rows
    assert told.schema.metadata[b"fracture_cds.model_id"] == b"test-model@1"
    assert len(told.schema.metadata[b"fracture_cds.run_id"]) == 16


class Backwards:
    """An engine that runs tasks in another order, and each of them twice, as a cluster may."""

    name, workers = "local", 1

    def run(self, function: Callable[[S], Path], specs: Sequence[S]) -> Iterator[S]:
        for spec in reversed([*specs, *specs]):
            function(spec)
        yield from reversed(specs)


def test_the_order_of_tasks_does_not_change_the_result(
    tmp_path: Path, run: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "UNIT_BYTES", 2000)
    source = write_export(tmp_path / "in", population(40))
    alone = run(source, "one.parquet")
    assert alone.report["units"] > 3
    request = ScreenRequest(
        source=source, output=tmp_path / "two.parquet", as_of=AS_OF, model_id="test-model@1", engine_version="1"
    )
    assert screen(request, Backwards()).output.read_bytes() == alone.output.read_bytes()


def test_processes_finish_every_task() -> None:
    tasks = ["a", "b", "c"]  # the pool takes whatever can be sent to another process
    assert sorted(LocalExecutor(2).run(Path, tasks)) == tasks  # type: ignore[type-var]


def test_bundles_and_ndjson_agree(tmp_path: Path, run: Screen) -> None:
    resources = population(8)
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    for number in range(8):
        own = [one for held in resources.values() for one in held if f"p{number}" in orjson.dumps(one).decode()]
        entries = [{"fullUrl": f"http://s/fhir/{one['resourceType']}/{one['id']}", "resource": one} for one in own]
        text = orjson.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries})
        (bundles / f"{number}.json.gz").write_bytes(gzip.compress(text))
    from_bundles = run(bundles, "b.csv").output.read_text()
    assert from_bundles == run(write_export(tmp_path / "in", resources), "n.csv").output.read_text()


def test_one_bundle_with_several_patients_and_one_patient_in_several(tmp_path: Path, run: Screen) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    first = [patient(1), patient(2), condition(2, "263102004")]
    second = [observation(1, "39156-5", 19.0, "kg/m2")]
    for name, held in (("a", first), ("b", second)):
        entries = [{"resource": one} for one in held]
        (folder / f"{name}.json").write_bytes(
            orjson.dumps({"resourceType": "Bundle", "type": "searchset", "entry": entries})
        )
    result = run(folder)
    assert len(rows_of(result.output)) == 2
    assert result.report["rejects"] == {"screen.bundle.no_patient": 1}
    assert "body mass index" not in next(row["missing"] for row in rows_of(result.output) if row["patient_id"] == "p1")


def test_tables(tmp_path: Path, run: Screen) -> None:
    source = tmp_path / "rows.csv"
    source.write_text(
        "patient_id,age_years,female,bmi_kg_m2,femoral_neck_t_score\n"
        "a,70,true,22.5,-2.1\nb,71,0,,\nb,71,0,,\nc,x,1,20,\n,60,1,,\nd,60\ne,30,1,,\n"
    )
    result = run(source)
    rows = {row["patient_id"]: row for row in rows_of(result.output)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "a": "estimated",
        "b": "estimated",
        "e": "not_estimated",
    }
    assert "cds.screen.care_gaps_not_judged" in rows["a"]["warnings"]
    told = [(row["line"], row["error_code"]) for row in rows_of(result.rejects_file)]
    assert told == [
        ("4", "screen.patient.repeated"),
        ("5", "screen.row.value:age_years"),
        ("6", "screen.row.no_id"),
        ("7", "screen.row.columns"),
    ]
    counts = result.report["patients"]
    assert counts["in_input"] == counts["rows"] + counts["rejected"] == 7


def test_published_diseases_act_from_records_and_from_tables(tmp_path: Path, run: Screen) -> None:
    resources = population(3)
    resources["Condition"] = [condition(1, "26929004")]  # dementia
    (row,) = [row for row in rows_of(run(write_export(tmp_path / "in", resources)).output) if row["patient_id"] == "p1"]
    assert "dementia x" in row["adjustments"] and "clinrisk2012" in row["adjustments"]
    text = tmp_path / "rows.csv"
    names = sorted(COMORBIDITIES)
    text.write_text(f"patient_id,age_years,female,{','.join(names)}\na,75,true{',yes' * len(names)}\n")
    (row,) = rows_of(run(text, "c.csv").output)
    assert [name for name in names if f"{COMORBIDITIES[name].words} x" not in row["adjustments"]] == []
    import pyarrow as pa

    source = tmp_path / "rows.parquet"
    columns = {"patient_id": ["a"], "age_years": [75.0], "female": [True], **{name: [True] for name in names}}
    pq.write_table(pa.table(columns), source)
    assert rows_of(run(source, "p.csv").output) == [row]


def test_a_scan_recorded_as_a_procedure_stands_in_for_the_gap(tmp_path: Path, run: Screen) -> None:
    resources = population(1)
    resources["Condition"] = [condition(0, "263102004")]
    (gap,) = rows_of(run(write_export(tmp_path / "before", resources)).output)
    assert gap["care_gaps"].startswith("fragility_fracture_without_dxa_or_treatment")
    scan = condition(0, "312681000") | {"resourceType": "Procedure", "status": "completed"}
    other = condition(0, "80146002") | {"resourceType": "Procedure", "status": "completed"}
    resources["Procedure"] = [one | {"performedDateTime": "2023-05-06"} for one in (other, scan)]
    (row,) = rows_of(run(write_export(tmp_path / "after", resources), "after.csv").output)
    assert row["care_gaps"].split("; ")[0] == "dxa_without_result"
    assert "ask for it (scan of 2023-05-06)" in row["care_gaps_in_words"]
    assert "dxa_without_result=Procedure/c0-312681000" in row["care_gap_resources"]


def test_parquet_input_gives_the_same_as_csv(tmp_path: Path, run: Screen) -> None:
    import pyarrow as pa

    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"patient_id": ["a", "b"], "age_years": [70.0, None], "female": [True, None]}), source)
    text = tmp_path / "rows.csv"
    text.write_text("patient_id,age_years,female\na,70,true\nb,,\n")
    assert rows_of(run(source, "p.csv").output) == rows_of(run(text, "c.csv").output)


def test_medications_reach_those_who_take_them(tmp_path: Path, run: Screen) -> None:
    resources = population(6)
    alendronate = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "904419"}]}
    resources["Medication"] = [{"resourceType": "Medication", "id": "m1", "code": alendronate}]
    resources["MedicationRequest"] = [
        {
            "resourceType": "MedicationRequest",
            "id": f"r{number}",
            "status": "active",
            "intent": "order",
            "medicationReference": {"reference": "Medication/m1"},
            "subject": {"reference": f"Patient/p{number}"},
            "authoredOn": "2024-01-01",
        }
        for number in (1, 4)
    ]
    rows = rows_of(run(write_export(tmp_path / "in", resources)).output)
    assert {row["patient_id"] for row in rows if "cds.screen.on_treatment" in row["warnings"]} == {"p1", "p4"}


def test_nothing_is_lost_silently(tmp_path: Path, run: Screen) -> None:
    folder = write_export(tmp_path / "in", population(3))
    write_lines(folder / "Patient.2.ndjson", [patient(1), {"resourceType": "Patient"}])
    text = [
        b'{"resourceType":"Condition","id":"x1","subject":{"reference":"Patient/gone"},"code":{}}',
        b'{"resourceType":"Condition","id":"x2","code":{}}',
        b'{"resourceType":"Condition","id":"x3","subject":{"reference":"Patient?identifier=1"}}',
        b'{"resourceType":"Condition","id":"x4","subject":',
    ]
    (folder / "Condition.2.ndjson").write_bytes(b"\n".join(text))
    result = run(folder)
    told = [
        (row["source_file"], row["line"], row["resource"], row["error_code"]) for row in rows_of(result.rejects_file)
    ]
    assert told == [
        ("Condition.2.ndjson", "1", "Condition/x1", "screen.patient.absent"),
        ("Condition.2.ndjson", "2", "Condition/x2", "screen.subject.missing"),
        ("Condition.2.ndjson", "3", "Condition/x3", "screen.subject.unresolved"),
        ("Condition.2.ndjson", "4", "", "screen.line.incomplete"),
        ("Patient.2.ndjson", "2", "", "screen.patient.no_id"),
        ("Patient.ndjson", "2", "Patient/p1", "screen.patient.repeated"),
    ]
    counts = result.report["patients"]
    assert counts["in_input"] == counts["rows"] + counts["rejected"] == 5


def test_the_deceased_get_no_letter(tmp_path: Path, run: Screen) -> None:
    resources = population(4)
    resources["Patient"][0]["deceasedDateTime"] = "2023-01-01"
    (row,) = [row for row in rows_of(run(write_export(tmp_path / "in", resources)).output) if row["patient_id"] == "p0"]
    assert (row["status"], row["rank"], row["care_gaps"]) == ("deceased", "", "")


def test_a_cut_gzip_stops_the_run(tmp_path: Path, run: Screen) -> None:
    folder = write_export(tmp_path / "in", population(3))
    text = gzip.compress(b'{"resourceType":"Condition","id":"1"}\n' * 500)
    (folder / "Condition.2.ndjson.gz").write_bytes(text[: len(text) // 2])
    with pytest.raises(ScreeningInputError, match="cut short"):
        run(folder)


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("a.ndjson", "b.json"), ("Observation.ndjson",)])
def test_input_that_cannot_be_screened(tmp_path: Path, run: Screen, names: tuple[str, ...]) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        write_lines(folder / name, [observation(1, "39156-5", 20, "kg/m2")])
    with pytest.raises((InputError, ScreeningInputError)) as caught:
        run(folder)
    assert caught.value.remedy


def test_output_in_the_input_is_refused(tmp_path: Path, run: Screen) -> None:
    write_export(tmp_path / "out", population(1))
    with pytest.raises(InputError, match="lies in the input"):
        run(tmp_path / "out")


def test_a_resumed_run_does_only_the_rest(tmp_path: Path, run: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_export(tmp_path / "in", population(20))
    expected = run(source, "whole.csv").output.read_bytes()
    seen: list[Task] = []
    finish = RunFolder.finish

    def stop_in_the_middle(self: RunFolder, task: Task, result: dict[str, object]) -> Path:
        if task == Task(Stage.PART, 2):
            raise KeyboardInterrupt
        seen.append(task)
        return finish(self, task, result)

    monkeypatch.setattr(RunFolder, "finish", stop_in_the_middle)
    with pytest.raises(KeyboardInterrupt):
        run(source)
    monkeypatch.undo()
    assert seen == [Task(Stage.SCAN, 0), Task(Stage.PART, 0), Task(Stage.PART, 1)]
    with pytest.raises(ResumeRefusedError, match="model"):
        run(source, model_id="other@2")
    result = run(source, as_of=None)
    assert result.report["tasks_done_before"] == 3
    assert result.report["as_of"] == AS_OF.isoformat()
    assert result.output.read_bytes() == expected


def test_another_populations_risk_moves_everyone(tmp_path: Path, run: Screen) -> None:
    source = write_export(tmp_path / "in", population(5))
    anchor = tmp_path / "anchor.json"
    table = {"schema": "fracture-cds.risk-anchor/1", "name": "here", "source": "a register"}
    anchor.write_text(json.dumps(table | {"outcomes": {"major_osteoporotic": 0.02}}))
    plain = {row["patient_id"]: row for row in rows_of(run(source, "plain.csv").output)}
    moved = {row["patient_id"]: row for row in rows_of(run(source, "moved.csv", risk_anchor=anchor).output)}
    column = "major_osteoporotic_fracture_10y_percent"
    estimated = [name for name, row in plain.items() if row[column]]
    assert estimated and all(float(moved[name][column]) < float(plain[name][column]) for name in estimated)
    make = partial(plan.make_plan, source, as_of=AS_OF, model_id="m", engine_version="1", risk_dir=None)
    with pytest.raises(ResumeRefusedError, match="another population"):
        plan.refuse_changed(make().to_bytes(), make(risk_anchor=anchor))


def test_a_resumed_run_refuses_changed_files_unless_fresh(tmp_path: Path, run: Screen) -> None:
    source = write_export(tmp_path / "in", population(5))
    folder = run_folder(tmp_path / "out" / "risk.csv")
    folder.create(b'{"schema": 0}')
    with pytest.raises(ResumeRefusedError) as caught:
        run(source)
    assert "--fresh" in caught.value.remedy
    assert len(rows_of(run(source, fresh=True).output)) == 5


def test_no_patient_data_in_report_and_logs(tmp_path: Path, run: Screen, caplog: pytest.LogCaptureFixture) -> None:
    resources = population(3)
    resources["Patient"][1]["name"] = [{"family": "Quimby"}]
    result = run(write_export(tmp_path / "in", resources))
    told = result.report_file.read_text() + caplog.text
    assert "Quimby" not in told
    assert "p1" not in told


RESOURCE = st.sampled_from(
    [
        patient(1),
        patient(2),
        {"resourceType": "Patient", "id": "p3"},
        {"resourceType": "Patient"},
        {"resourceType": "Patient", "id": "a b"},
        {"id": "p1", "resourceType": "Patient", "contained": [{"resourceType": "Patient", "id": "p2"}]},
        condition(1, "263102004"),
        condition(9, "263102004"),
        observation(2, "39156-5", 20, "kg/m2"),
        observation(2, "39156-5", 20, "kg/m2", subject=None),
        {"resourceType": "Condition", "subject": {"identifier": {"value": "1"}}},
        {"resourceType": 3},
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(resources=st.lists(RESOURCE, max_size=12), cut=st.integers(0, 30), spaced=st.booleans())
def test_every_patient_is_a_row_or_a_reject(
    tmp_path_factory: pytest.TempPathFactory, run: Screen, resources: list[dict[str, object]], cut: int, spaced: bool
) -> None:
    folder = tmp_path_factory.mktemp("in")
    option = orjson.OPT_APPEND_NEWLINE
    text = b"".join(orjson.dumps(one, option=option).replace(b":", b": " if spaced else b":") for one in resources)
    (folder / "all.ndjson").write_bytes(text[: len(text) - cut] if cut else text)
    result = run(folder)
    counts = result.report["patients"]
    assert counts["in_input"] == counts["rows"] + counts["rejected"]
    assert counts["rows"] == len(rows_of(result.output)) == len({row["patient_id"] for row in rows_of(result.output)})
