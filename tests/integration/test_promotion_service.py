"""A running service follows promotion and roll-back that another process makes, without a restart.

The service is a process of its own, with fakes for everything but the choice of the detector; the commands run here,
with the shipped networks on a handful of drawn pictures.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cds.entrypoints.cli import app
from cds.errors import ExitCode
from cds.learning.models import ModelStore
from cds.learning.provenance import Provenance
from imaging.manifest import SHIPPED_WEIGHTS, read_manifest
from tests.support.inputs import png_file

STARTS_WITHIN_S = 600
PICTURES = 12
"""Of as many people."""


def environment(folder: Path) -> dict[str, str]:
    """Settings of the service and of the commands beside it."""
    given = {"DATA_DIR": str(folder / "data"), "AUDIT_LOG": "off", "WORKERS": "1", "RUNTIME": "torch"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FRACTURE_CDS_")}
    return kept | {f"FRACTURE_CDS_{name}": value for name, value in given.items()}


def locked_set(folder: Path) -> Path:
    """Drawn pictures, each of another person, half of them with a box."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, boxes = ["image,has_fracture,group,sex"], ["image,x1,y1,x2,y2"]
    for number in range(PICTURES):
        name = f"{number}.png"
        cv2.imwrite(str(folder / "images" / name), rng.integers(0, 255, (64, 64), dtype=np.uint8))
        images.append(f"{name},{number % 2},person{number},{'fm'[number % 3 == 0]}")
        if number % 2:
            boxes.append(f"{name},20,20,40,40")
    (folder / "images.csv").write_text("\n".join(images) + "\n", encoding="utf-8")
    (folder / "boxes.csv").write_text("\n".join(boxes) + "\n", encoding="utf-8")
    return folder


def candidate_of(folder: Path, version: str, *, digests: frozenset[str] = frozenset()) -> Path:
    """The shipped detector under another version, with its origin."""
    folder.mkdir()
    for file in SHIPPED_WEIGHTS.iterdir():
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps({**document, "version": version}), encoding="utf-8")
    Provenance(kind="detector", parent=None, why="a test", method="copied", digests=digests).write(folder)
    return folder


def cds(*arguments: str) -> Result:
    """A command, in this process: the service is another one."""
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    variables = environment(tmp_path)
    for name in set(os.environ) - set(variables):
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, "-m", "tests.support.followed_service"]
    with subprocess.Popen(command, env=variables | {"FRACTURE_CDS_PORT": str(port)}) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(address, process)
            yield address
        finally:
            process.terminate()


def wait_until_ready(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the service ended before it was ready"
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/readyz", timeout=60).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"the service was not ready within {STARTS_WITHIN_S} s")


def answered_by(address: str) -> str:
    """The model that the next case names."""
    files = {"image": ("x.png", png_file(64, 64), "image/png")}
    answer = httpx.post(f"{address}/api/assess", files=files, timeout=300)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["findings"]["model_id"])


def test_the_next_case_names_the_promoted_model_and_after_a_rollback_the_old_one(service: str, tmp_path: Path) -> None:
    shipped = read_manifest().model_id
    candidate = candidate_of(tmp_path / "candidate", "9.9.9")
    promoted = read_manifest(candidate).model_id
    assert answered_by(service) == shipped

    data = locked_set(tmp_path / "locked")
    margins = tmp_path / "margins.yaml"
    margins.write_text("fewest_each: 6\n", encoding="utf-8")  # there are so few pictures
    compared = ("--kind", "detector", "--locked", str(data), "--margins", str(margins), "--rounds", "200")
    common = (*compared, "--by", "tester")
    done = cds("learn", "promote", str(candidate), *common)
    assert done.exit_code == 0, done.output
    assert f"promoted: {promoted}" in done.stdout
    assert answered_by(service) == promoted

    store = ModelStore(tmp_path / "data" / "models")
    shutil.rmtree(store.folder / "detector" / promoted)  # the model in use is gone from the disk: it answers on
    assert answered_by(service) == promoted

    done = cds("learn", "rollback", "--kind", "detector", "--by", "tester", "--reason", "a test")
    assert done.exit_code == 0, done.output
    assert answered_by(service) == shipped

    again = candidate_of(tmp_path / "again", "9.9.9")
    (again / "provenance.json").unlink()
    done = cds("learn", "promote", str(again), *common)
    assert done.exit_code == ExitCode.REFUSED == 10, done.output
    assert "does not say what it learned from" in done.stdout
    assert [event.action for event in store.state().history] == ["adopt", "promote", "rollback", "refuse"]
    assert len(list(store.reports.glob("*.html"))) == 2
    assert answered_by(service) == shipped
