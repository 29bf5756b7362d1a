"""Small made-up exports for the tests of the screening."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from cds.batch.local import LocalExecutor
from cds.batch.run import ScreenRequest, ScreenResult, screen

Json = dict[str, Any]

AS_OF = datetime(2024, 6, 15, 12, 0, tzinfo=UTC)
LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"


def patient(number: int, **extra: Any) -> Json:
    born = f"{1930 + number % 60}-03-02"
    sex = "female" if number % 2 else "male"
    return {"resourceType": "Patient", "id": f"p{number}", "gender": sex, "birthDate": born} | extra


def observation(number: int, code: str, value: float, unit: str, **extra: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": f"o{number}-{code}",
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": f"Patient/p{number}"},
        "effectiveDateTime": "2024-05-01T09:00:00Z",
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
    } | extra


def condition(number: int, code: str, **extra: Any) -> Json:
    return {
        "resourceType": "Condition",
        "id": f"c{number}-{code}",
        "clinicalStatus": {"coding": [{"code": "resolved"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": {"coding": [{"system": SNOMED, "code": code}]},
        "subject": {"reference": f"Patient/p{number}"},
        "onsetDateTime": "2021-02-03",
    } | extra


def population(count: int) -> dict[str, list[Json]]:
    """Resources by type; some patients smoke nothing, weigh much or broke a wrist."""
    found: dict[str, list[Json]] = {"Patient": [], "Observation": [], "Condition": []}
    for number in range(count):
        found["Patient"].append(patient(number))
        found["Observation"].append(observation(number, "39156-5", 18.0 + number % 20, "kg/m2"))
        found["Observation"].append(observation(number, "718-7", 14.0, "g/dL"))  # haemoglobin: not read
        if number % 3 == 0:
            found["Condition"].append(condition(number, "263102004"))
    return found


def write_lines(path: Path, resources: list[Json]) -> None:
    path.write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in resources))


def write_export(folder: Path, resources: dict[str, list[Json]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, held in resources.items():
        write_lines(folder / f"{name}.ndjson", held)
    return folder


Screen = Callable[..., ScreenResult]


@pytest.fixture
def run(tmp_path: Path) -> Screen:
    """Screen a folder in this process, or with several workers."""

    def run_it(source: Path, name: str = "risk.csv", *, workers: int = 1, **extra: Any) -> ScreenResult:
        request = ScreenRequest(
            source=source,
            output=tmp_path / "out" / name,
            **({"as_of": AS_OF, "model_id": "test-model@1", "engine_version": "1"} | extra),
        )
        return screen(request, LocalExecutor(workers))

    return run_it
