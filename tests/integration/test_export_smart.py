"""``$export`` of a real FHIR server that wants SMART Backend Services: a full round with the command."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_adapters.client.bulk import ExportLevel, export
from fhir_adapters.client.fhir import FhirClient
from fhir_adapters.reader import READ_TYPES
from tests.support.fhir_server import CLIENT_ID, LOADER_TOKEN, FhirServer, keeping_ids, running_fhir_server
from tests.support.populations import AS_OF, resources, screen, write_files

ROOT = Path(__file__).resolve().parents[2]
POPULATION = resources()
KILLED_WHILE_FETCHING = """
import os, sys
from fhir_adapters.client.bulk_state import ExportState
add = ExportState.add
def dying(self, file):
    add(self, file)
    if len(self.files) == 2:
        os._exit(9)
ExportState.add = dying
from cds.entrypoints.cli import app
app(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def server() -> Iterator[FhirServer]:
    with running_fhir_server([keeping_ids(POPULATION)], smart=True) as running:
        yield running


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    source = write_files(folder / "in", POPULATION)
    assert screen(folder / "risk.csv", "--input", source).exit_code == 0
    return folder / "risk.csv"


def credentials(server: FhirServer) -> list[str]:
    return ["--fhir-server", server.url, "--fhir-client-id", CLIENT_ID, "--fhir-key", str(server.key_file)]


def test_a_registered_client_killed_half_way(server: FhirServer, expected: Path, tmp_path: Path) -> None:
    output, work = tmp_path / "risk.csv", tmp_path / ".risk.csv.export"
    command = ["screen", "--output", str(output), "--as-of", AS_OF, "--workers", "1", *credentials(server)]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_FETCHING, *command], cwd=ROOT, env=os.environ, capture_output=True
    )
    assert killed.returncode == 9, killed.stderr.decode()[-2000:]
    assert len(list(work.glob("*.ndjson"))) >= 2 and not output.exists()
    assert work.stat().st_mode & 0o077 == 0
    state = b"".join(path.read_bytes() for path in work.glob(".export*"))
    assert b"eyJ" not in state and b"bulk-files" not in state  # neither a token nor the address of a file
    done = screen(output, *credentials(server))
    assert done.exit_code == 0, done.output
    assert "continued" in done.output
    report = json.loads((tmp_path / "risk.export.json").read_text())
    assert report["files_from_before"] == 2 and report["resources"]["Patient"] == 12
    assert output.read_bytes() == expected.read_bytes()
    assert not work.exists()


def test_a_token_from_a_file(server: FhirServer, expected: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(LOADER_TOKEN)
    done = screen(tmp_path / "risk.csv", "--fhir-server", server.url, "--fhir-token-file", token, "-q")
    assert done.exit_code == 0 and done.output == ""
    assert (tmp_path / "risk.csv").read_bytes() == expected.read_bytes()


def test_nobody_without_credentials(server: FhirServer, tmp_path: Path) -> None:
    done = screen(tmp_path / "risk.csv", "--fhir-server", server.url)
    assert done.exit_code == 8 and "fhir.server.unauthorised" in done.stderr


def test_the_library_at_the_level_of_patients(server: FhirServer, tmp_path: Path) -> None:
    async def go() -> dict[str, int]:
        async with FhirClient(server.url, auth=server.authenticator(use_rsa=True)) as client:
            result = await export(client, folder=tmp_path / "x", types=READ_TYPES, level=ExportLevel.PATIENT)
        return result.counts

    counts = asyncio.run(go())
    assert counts["Patient"] == 12 and "Medication" not in counts and "Encounter" not in counts
