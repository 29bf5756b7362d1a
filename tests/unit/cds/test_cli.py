"""The command line as a person meets it: files, messages, exit codes, and patient data in the report only."""

import json
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cds.entrypoints import assess as assess_module
from cds.entrypoints.cli import app
from fusion.context import ClinicalContext, Mechanism
from fusion.sites import FractureSite
from tests.support.fakes import FakeParts
from tests.support.inputs import BROKEN_IMAGES, BROKEN_RECORDS, PLANTED, dicom_file, patient_bundle


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working folder and an audit log inside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", str(tmp_path / "audit" / "audit.jsonl"))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> FakeParts:
    """Fake engines behind the real command."""
    fakes = FakeParts()
    monkeypatch.setattr(assess_module, "build_engines", lambda settings: fakes.engines())
    return fakes


def cds(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def assert_silent_about_patients(*texts: str) -> None:
    for word in PLANTED:
        assert all(word not in text for text in texts), word


def write(name: str, content: bytes) -> Path:
    path = Path(name)
    path.write_bytes(content)
    return path


def case_files() -> list[object]:
    return ["--image", write("x.dcm", b"image"), "--patient", write("p.json", b"record")]


def test_help_lists_the_commands_quickly() -> None:
    clock = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "cds.entrypoints.cli", "--help"], capture_output=True, text=True, cwd=_root(), check=True
    )
    assert time.monotonic() - clock < 5  # 0.25 s on a quiet machine
    for command in ("assess", "serve", "demo", "evidence", "version", "train", "evaluate"):
        assert f"\n  {command} " in done.stdout


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, cds.entrypoints.cli;"
        "print([n for n in ('numpy', 'torch', 'pydantic', 'gradio', 'pandas', 'rich') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=_root(), check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [("train",), ("evaluate",), ("train", "detector"), ("evaluate", "risk")])
def test_help_of_model_commands(words: tuple[str, ...]) -> None:
    assert "Usage" in cds(*words, "--help").output


def test_version() -> None:
    assert cds("version").stdout.startswith("fracture-cds ")


def test_every_bedside_field_has_an_option() -> None:
    text = cds("assess", "--help").output
    for item in fields(ClinicalContext):
        assert f"--{item.name.replace('_', '-')}" in text


@pytest.mark.usefixtures("parts")
def test_files_of_a_whole_case() -> None:
    result = cds("assess", *case_files())
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "bundle.json",
        "patient.html",
        "report.html",
        "report.json",
        "report.pdf",
    ]
    assert json.loads(Path("out/report.json").read_bytes())
    assert "report.html" in result.stdout
    (entry,) = Path("audit/audit.jsonl").read_text().splitlines()
    assert json.loads(entry)["outcome"] == "ok"


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(
    ("name", "files"), [("html", ["report.html"]), ("json", ["report.json"]), ("fhir", ["bundle.json"])]
)
def test_one_format(name: str, files: list[str]) -> None:
    result = cds("assess", *case_files(), "--format", name, "--out", "somewhere", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    assert [path.name for path in Path("somewhere").iterdir()] == files


def test_bedside_options_and_frame_arrive(parts: FakeParts) -> None:
    result = cds(
        "assess", *case_files(), "--site", "distal_radius", "--mechanism", "low_energy", "--open-wound",
        "--no-displaced", "--calcium-diet-mg-per-day", "600", "--frame", "2", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert parts.frames == [2]
    assert parts.contexts == [
        ClinicalContext(
            site=FractureSite.DISTAL_RADIUS,
            mechanism=Mechanism.LOW_ENERGY,
            open_wound=True,
            displaced=False,
            calcium_diet_mg_per_day=600.0,
        )
    ]


@pytest.mark.parametrize(("option", "asked"), [((), 1), (("--no-explain",), 0)])
def test_heat_maps_unless_declined(parts: FakeParts, option: tuple[str, ...], asked: int) -> None:
    assert cds("assess", *case_files(), *option, "--quiet").exit_code == 0
    assert parts.calls.count("explain") == asked


@pytest.mark.usefixtures("parts")
def test_time_of_the_assessment() -> None:
    result = cds("assess", *case_files(), "--as-of", "2024-05-01T08:00:00+02:00", "--quiet")
    assert result.exit_code == 0, result.output
    assert "2024-05-01T08:00:00+02:00" in Path("out/report.json").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--image", "missing.dcm"),
        ("--as-of", "yesterday"),
        ("--site", "left leg"),
        ("--frame", "0"),
        ("--calcium-diet-mg-per-day", "-5"),
        ("--nonsense",),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert cds("assess", *arguments).exit_code == 2
    assert not Path("out").exists()


def test_invalid_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_THREADS", "many")
    result = cds("assess", *case_files())
    assert result.exit_code == 2
    assert "FRACTURE_CDS_THREADS" in result.stderr


def test_nothing_to_assess() -> None:
    result = cds("assess")
    assert result.exit_code == 5
    assert "mend:" in result.stderr
    assert not Path("out").exists()


@pytest.mark.parametrize("name", BROKEN_IMAGES)
def test_broken_image(name: str) -> None:
    path = write(name, BROKEN_IMAGES[name])
    result = cds("assess", "--image", path, "--patient", write("p.json", patient_bundle()))
    assert result.exit_code == 3, result.output
    assert "why:" in result.stderr
    assert "mend:" in result.stderr
    assert_silent_about_patients(result.output, Path("audit/audit.jsonl").read_text())
    assert not Path("out").exists()


@pytest.mark.parametrize("name", BROKEN_RECORDS)
def test_broken_record(name: str) -> None:
    result = cds("assess", "--patient", write(name, BROKEN_RECORDS[name]))
    assert result.exit_code == 4, result.output
    assert_silent_about_patients(result.output, Path("audit/audit.jsonl").read_text())
    assert not Path("out").exists()


@pytest.mark.parametrize(("option", "code"), [("--image", 3), ("--patient", 4)])
def test_too_large(option: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRACTURE_CDS_MAX_IMAGE_MIB", "1")
    monkeypatch.setenv("FRACTURE_CDS_MAX_RECORD_MIB", "1")
    result = cds("assess", option, write("large", b"x" * (2**20 + 1)))
    assert result.exit_code == code
    assert "1 MiB" in result.stderr


def test_chosen_patient_not_in_the_record() -> None:
    result = cds("assess", "--patient", write("p.json", patient_bundle()), "--patient-id", "somebody-else")
    assert result.exit_code == 4
    assert_silent_about_patients(result.output)


@pytest.mark.usefixtures("parts")
def test_destination_cannot_be_written() -> None:
    Path("out").mkdir()
    Path("out/report.html").write_text("somebody else's")
    before = sorted(Path("out").iterdir())
    result = cds("assess", *case_files())
    assert result.exit_code == 7
    assert sorted(Path("out").iterdir()) == before


@pytest.mark.usefixtures("parts")
def test_the_record_given_is_not_overwritten() -> None:
    bundle = write("bundle.json", b'{"resourceType": "Bundle", "by": "fracture-cds"}')
    result = cds("assess", "--patient", bundle, "--out", ".")
    assert result.exit_code == 7
    assert sorted(path.name for path in Path().iterdir()) == ["audit", "bundle.json"]


@pytest.mark.usefixtures("parts")
def test_audit_log_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    write("file", b"")
    monkeypatch.setenv("FRACTURE_CDS_AUDIT_LOG", "file/audit.jsonl")
    result = cds("assess", *case_files())
    assert result.exit_code == 7
    assert "FRACTURE_CDS_AUDIT_LOG" in result.stderr
    assert not Path("out").exists()


def test_broken_model_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FRACTURE_CDS_DETECTOR_DIR", str(tmp_path))
    result = cds("assess", "--image", write("x.dcm", dicom_file()))
    assert result.exit_code == 6, result.output
    assert not Path("out").exists()


def test_internal_error_shows_a_reference_and_no_patient_data(parts: FakeParts) -> None:
    parts.fail_assessment = KeyError("Plantedname, 1958-09-17")
    result = cds("assess", *case_files())
    assert result.exit_code == 70
    assert "reference" in result.stderr
    assert "test_cli" not in result.stdout
    assert_silent_about_patients(result.output)
    assert not Path("out").exists()


def test_as_a_process(tmp_path: Path) -> None:
    """The same through the real interpreter: exit code, both streams, nothing left behind."""
    image = write("truncated.dcm", BROKEN_IMAGES["truncated.dcm"]).absolute()
    done = subprocess.run(
        [sys.executable, "-m", "cds.entrypoints.cli", "assess", "--image", image, "--out", tmp_path / "out"],
        capture_output=True,
        text=True,
        cwd=_root(),
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert_silent_about_patients(done.stdout, done.stderr)
    assert not (tmp_path / "out").exists()


def _root() -> Path:
    return Path(__file__).resolve().parents[3]
