"""Runs the FHIR validators of npm over bundles: ``fhir`` for required value sets, Medplum for invariants.

The packages, pinned in ``package.json``, are installed on demand into ``.cache/fhir_validators`` of the project (about
110 MB) and stay there until a pin changes. Without Node.js, or without a package index, the tests that ask for them
skip on a desk; under ``CI=true`` they fail.
"""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

_HERE = Path(__file__).resolve().parent
_CACHE = _HERE.parents[2] / ".cache" / "fhir_validators"
_FILES = ("package.json", "validate.mjs")
_INSTALL_SECONDS = 300
_RUN_SECONDS = 300


class Complaint(NamedTuple):
    """Something a validator does not accept."""

    validator: str
    entry: str
    """``entry[3] Observation``."""
    severity: str
    message: str


class Validators:
    """Both validators, installed."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder they are installed in."""
        self._folder = folder

    def judge(self, bundles: Iterable[bytes]) -> list[list[Complaint]]:
        """What they say of each bundle; empty lists are what one hopes for."""
        with tempfile.TemporaryDirectory() as name:
            files = []
            for place, bundle in enumerate(bundles):
                files.append(Path(name) / f"{place}.json")
                files[-1].write_bytes(bundle)
            command = ["node", "validate.mjs", *map(str, files)]
            done = subprocess.run(
                command, cwd=self._folder, capture_output=True, text=True, timeout=_RUN_SECONDS, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
            answers = json.loads(done.stdout)
            return [[Complaint(**one) for one in answers[str(file)]] for file in files]


def installed_validators() -> Validators:
    """The validators; installs them first where they are missing.

    Raises:
        pytest.skip.Exception: Node.js or the package index is missing, on a desk.
        pytest.fail.Exception: the same under ``CI=true``.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        _give_up("Node.js and npm are not installed")
    pins = hashlib.sha256((_HERE / "package.json").read_bytes()).hexdigest()[:12]
    folder = _CACHE / pins
    if not folder.is_dir():
        _install(folder)
    shutil.copy(_HERE / "validate.mjs", folder)
    return Validators(folder)


def _install(folder: Path) -> None:
    """Into a folder beside it first, so that a broken installation is never taken for a whole one."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        fresh = Path(name) / "fresh"
        fresh.mkdir()
        for one in _FILES:
            shutil.copy(_HERE / one, fresh)
        command = ["npm", "install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        try:
            done = subprocess.run(
                command, cwd=fresh, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            _give_up("npm did not finish in time")
        if done.returncode != 0:
            _give_up("npm could not install the validators")
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # another test process was quicker
                raise


def _give_up(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip the FHIR validators")
    pytest.skip(reason)
