"""``cds export detector`` as a person types it."""

from pathlib import Path

from typer.testing import CliRunner

from cds.entrypoints.cli import app
from cds.entrypoints.export_commands import ExportFormat
from imaging.export.writers import EdgeFormat

runner = CliRunner()


def test_the_command_knows_every_format() -> None:
    assert {one.value for one in ExportFormat} == {one.value for one in EdgeFormat}


def test_int8_without_radiographs_is_explained(model_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["export", "detector", "--format", "onnx", "--int8", "--model", str(model_folder), "--out", str(out)]
    done = runner.invoke(app, command)
    assert done.exit_code == 2
    assert "imaging.export.refused" in done.stderr
    assert "--calibration" in done.stderr
    assert not out.exists()


def test_an_export_shows_its_check(model_folder: Path, labelled: Path, tmp_path: Path) -> None:
    command = ["export", "detector", "--format", "onnx", "--model", str(model_folder), "--out", str(tmp_path)]
    done = runner.invoke(app, [*command, "--calibration", str(labelled), "--size", "64"])
    assert done.exit_code == 0, done.stderr
    assert "check against eager torch" in done.stdout
    assert "AP50 on development" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"detector.onnx", "detector.onnx.json", "edge_reader.py"}
