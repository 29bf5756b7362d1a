"""The wheel holds everything that the program reads, and runs from a folder of its own, without rights and home."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.needs import missing

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cds", "fhir_adapters", "fusion", "imaging", "tabular")
LEFT_OUT = frozenset({".pyc", ".pyo"})


def sources() -> set[str]:
    """Every file of the packages; what is ignored (caches) left out."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in LEFT_OUT
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that nothing is left in the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = folder / "source"
    copy.mkdir()
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('..'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {one for one in archive.namelist() if ".dist-info/" not in one}
    assert held == sources()
    for kind in (
        "cds/store/migrations/versions/v0001_first.py",
        "cds/localisation/report/de.yaml",
        "cds/presenters/templates/report.html",
        "cds/presenters/report.schema.json",
        "cds/presenters/viewer/viewer.js",
        "fusion/evidence/healing.yaml",
        "imaging/weights/manifest.json",
        "tabular/weights/manifest.json",
    ):
        assert kind in held or not (ROOT / kind).exists(), kind


def test_the_wheel_runs_the_demo_on_a_disk_that_cannot_be_written(wheel: Path, tmp_path: Path) -> None:
    """As in the container: no capabilities, a home that is read-only, one folder to write to."""
    target = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    out = tmp_path / "out"
    out.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "TMPDIR": str(out),
        "PYTHONPATH": str(target),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2"),
    }
    # Without capabilities, even root may not write where the rights say so.
    bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"] if os.geteuid() == 0 else []
    if bare and shutil.which("setpriv") is None:
        missing("setpriv is not installed")
    home.chmod(0o555)

    def run(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [*bare, sys.executable, *command], env=environment, cwd=target, capture_output=True, text=True, check=False
        )

    found = run("-c", "import cds; print(cds.__file__)")
    assert found.stdout.strip() == str(target / "cds" / "__init__.py"), found.stderr
    done = run("-m", "cds.entrypoints.cli", "demo", "--out", str(out / "demo"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert {"report.html", "report.pdf", "bundle.json", "sr.dcm"} <= {one.name for one in (out / "demo").iterdir()}
    assert list(home.iterdir()) == []
