"""The command: killed at any moment it goes on, and its exit codes are those of the other commands."""

import csv
import os
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

from typer.testing import CliRunner

from cds.entrypoints.cli import app
from tabular.features import RiskFeatures
from tests.unit.cds.batch.conftest import population, write_export

ROOT = Path(__file__).resolve().parents[4]
AS_OF = "2024-06-15T12:00:00+00:00"
SLOW = """
import sys, time
import cds.batch.partition as partition
read = partition._read_record
def slow(*given):
    time.sleep(0.02)
    return read(*given)
partition._read_record = slow
from cds.entrypoints.cli import app
app(sys.argv[1:])
"""


def arguments(source: Path, output: Path, *more: str) -> list[str]:
    return ["screen", "--input", str(source), "--output", str(output), "--as-of", AS_OF, "--workers", "1", *more]


def test_kill_and_resume(tmp_path: Path) -> None:
    source = write_export(tmp_path / "in", population(60))
    output, parts = tmp_path / "risk.csv", tmp_path / ".risk.csv.run"
    process = subprocess.Popen([sys.executable, "-c", SLOW, *arguments(source, output)], cwd=ROOT, env=os.environ)
    deadline = time.monotonic() + 60
    while not list(parts.glob("part-*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not output.exists()
    assert parts.is_dir()
    assert parts.stat().st_mode & 0o077 == 0
    page = tmp_path / "summary.html"
    done = CliRunner().invoke(app, arguments(source, output, "--summary", str(page)))
    assert done.exit_code == 0, done.output
    assert "60 patients in, 60 rows out" in done.output
    assert not parts.exists()
    whole = tmp_path / "whole.csv"
    assert CliRunner().invoke(app, arguments(source, whole)).exit_code == 0
    assert output.read_bytes() == whole.read_bytes()
    assert "Care gaps" in page.read_text()
    assert "p1</td>" in page.read_text()


def test_no_list_names_nobody(tmp_path: Path) -> None:
    source, page = write_export(tmp_path / "in", population(5)), tmp_path / "summary.html"
    done = CliRunner().invoke(app, arguments(source, tmp_path / "r.parquet", "--summary", str(page), "--no-list", "-q"))
    assert (done.exit_code, done.output) == (0, "")
    assert "p1</td>" not in page.read_text()
    assert "<script" not in page.read_text()


def test_exit_codes(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    nobody = write_export(tmp_path / "nobody", {"Observation": population(2)["Observation"]})
    run = CliRunner().invoke
    assert run(app, ["screen"]).exit_code == 2
    assert run(app, arguments(empty, tmp_path / "r.csv")).exit_code == 2
    assert run(app, arguments(nobody, tmp_path / "r.csv")).exit_code == 4
    assert run(app, arguments(nobody, tmp_path / "r.xlsx")).exit_code == 2


def test_describe_lists_every_column(tmp_path: Path) -> None:
    source, output = write_export(tmp_path / "in", population(1)), tmp_path / "r.csv"
    assert CliRunner().invoke(app, arguments(source, output)).exit_code == 0
    with output.open(newline="") as stream:
        header = next(csv.reader(stream))
    told = CliRunner().invoke(app, ["screen", "--describe"]).output
    assert [line.split()[0] for line in told.splitlines() if line][: len(header)] == header
    # The other half: the columns that a table of risk factors may have.
    given = {line.split()[0] for line in told.partition("Columns of a table")[2].splitlines()[1:] if line}
    assert given == {"patient_id", *(one.name for one in fields(RiskFeatures))}
