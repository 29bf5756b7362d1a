"""``$export`` of a real, open FHIR server, screened like the same records from files."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fhir_server import FhirServer, keeping_ids, running_fhir_server
from tests.support.populations import GROUP, group, resources, rows, screen, write_files

POPULATION = resources()
MEMBERS = (1, 3, 6, 11)


@pytest.fixture(scope="module")
def server() -> Iterator[FhirServer]:
    with running_fhir_server([keeping_ids([*POPULATION, group(MEMBERS)])]) as running:
        yield running


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    source = write_files(folder / "in", POPULATION)
    assert screen(folder / "risk.csv", "--input", source).exit_code == 0
    return folder / "risk.csv"


def test_everybody(server: FhirServer, expected: Path, tmp_path: Path) -> None:
    done = screen(tmp_path / "risk.csv", "--fhir-server", server.url)
    assert done.exit_code == 0, done.output
    assert "12 patients in, 12 rows out" in done.output and "12 Patient" in done.output
    assert (tmp_path / "risk.csv").read_bytes() == expected.read_bytes()
    assert "pt3" not in done.output
    # Records do not stay behind, and the report tells nothing of a patient.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "risk.csv",
        "risk.export.json",
        "risk.rejects.csv",
        "risk.report.json",
    ]
    report = json.loads((tmp_path / "risk.export.json").read_text())
    assert report["resources"]["Patient"] == 12 and report["level"] == "system" and "pt3" not in json.dumps(report)
    assert "Encounter" not in report["resources"]


def test_a_group_and_the_drugs_that_belong_to_nobody(server: FhirServer, tmp_path: Path) -> None:
    source = write_files(tmp_path / "in", POPULATION, MEMBERS)
    assert screen(tmp_path / "file.csv", "--input", source).exit_code == 0
    kept = tmp_path / "kept"
    done = screen(tmp_path / "risk.csv", "--fhir-server", server.url, "--group", GROUP, "--keep-export", kept)
    assert done.exit_code == 0, done.output
    assert len(rows(tmp_path / "risk.csv")) == 4
    assert (tmp_path / "risk.csv").read_bytes() == (tmp_path / "file.csv").read_bytes()
    report = json.loads((tmp_path / "risk.export.json").read_text())
    assert report["medications_added"] == 1 and "fhir.export.type_absent:Medication" not in report["warnings"]
    assert (kept / "Patient.1.ndjson").read_bytes().count(b"\n") == 4
    # The folder that was kept is an input like any other, and is not taken for the present state of the server.
    assert screen(tmp_path / "again.csv", "--input", kept).exit_code == 0
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "file.csv").read_bytes()
    refused = screen(tmp_path / "late.csv", "--fhir-server", server.url, "--group", GROUP, "--keep-export", kept)
    assert refused.exit_code == 2 and "--input" in refused.stderr


def test_nothing_new(server: FhirServer, tmp_path: Path) -> None:
    done = screen(tmp_path / "risk.csv", "--fhir-server", server.url, "--since", "2999-01-01")
    assert done.exit_code == 4 and "no patients" in done.stderr


def test_changed_since(server: FhirServer, tmp_path: Path) -> None:
    done = screen(tmp_path / "risk.csv", "--fhir-server", server.url, "--since", "2020-01-01")
    assert done.exit_code == 0 and "earlier diagnoses" in done.output


def test_no_such_group(server: FhirServer, tmp_path: Path) -> None:
    done = screen(tmp_path / "risk.csv", "--fhir-server", server.url, "--group", "nobody")
    assert done.exit_code == 8 and not (tmp_path / "risk.csv").exists()


def test_options_that_do_not_fit(server: FhirServer, tmp_path: Path) -> None:
    assert screen(tmp_path / "r.csv", "--input", tmp_path, "--fhir-server", server.url).exit_code == 2
    assert screen(tmp_path / "r.csv", "--input", tmp_path, "--group", "g").exit_code == 2
    assert screen(tmp_path / "r.txt", "--fhir-server", server.url).exit_code == 2
    assert screen(tmp_path / "r.csv").exit_code == 2
