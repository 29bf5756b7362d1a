"""A small population for a FHIR server: the same resources as files, and what screening them must give."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from cds.entrypoints.cli import app

Json = dict[str, Any]
AS_OF = "2026-01-01T00:00:00+00:00"
GROUP = "ward-7"
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
RXNORM, UCUM = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://unitsofmeasure.org"
_FRACTURE, _RHEUMATOID = "263102004", "69896004"
_PREDNISONE = "312617"


def resources(count: int = 12) -> list[Json]:
    """Patients of 52 to 90 years; some broke a wrist, have rheumatoid arthritis, or take prednisone by reference."""
    made: list[Json] = [{"resourceType": "Medication", "id": "prednisone", "code": _coded(RXNORM, _PREDNISONE)}]
    for number in range(count):
        own: Json = {"subject": {"reference": f"Patient/pt{number}"}}
        sex = "female" if number % 2 else "male"
        made.append(
            {"resourceType": "Patient", "id": f"pt{number}", "gender": sex, "birthDate": f"{1935 + 3 * number}-03-02"}
        )
        for code, value, unit in (("39156-5", 19.0 + number, "kg/m2"), ("718-7", 14.0, "g/dL")):
            made.append(
                {
                    "resourceType": "Observation",
                    "id": f"ob{number}-{code}",
                    "status": "final",
                    "code": _coded(LOINC, code),
                    "effectiveDateTime": "2025-11-01T09:00:00Z",
                    "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
                    **own,
                }
            )
        if number % 3 == 0:
            made.append(_condition(number, _FRACTURE, "2024-02-03", own))
        if number % 4 == 0:
            made.append(_condition(number, _RHEUMATOID, "2015-02-03", own))
        if number % 5 == 1:
            made.append(
                {
                    "resourceType": "MedicationRequest",
                    "id": f"rx{number}",
                    "status": "active",
                    "intent": "order",
                    "authoredOn": "2025-06-01",
                    "medicationReference": {"reference": "Medication/prednisone"},
                    **own,
                }
            )
        made.append(
            {"resourceType": "Encounter", "id": f"en{number}", "status": "finished", "class": {"code": "AMB"}, **own}
        )
    return made


def group(members: Iterable[int]) -> Json:
    """A Group of some of them."""
    member = [{"entity": {"reference": f"Patient/pt{number}"}} for number in members]
    return {"resourceType": "Group", "id": GROUP, "type": "person", "actual": True, "member": member}


def write_files(folder: Path, made: Iterable[Json], members: Iterable[int] | None = None) -> Path:
    """The resources as Bulk Data files, of all patients or of some."""
    folder.mkdir()
    names = None if members is None else {f"Patient/pt{number}" for number in members}
    for item in made:
        owner = item.get("subject", {}).get("reference") or f"{item['resourceType']}/{item['id']}"
        if names is None or item["resourceType"] == "Medication" or owner in names:
            with (folder / f"{item['resourceType']}.ndjson").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(item) + "\n")
    return folder


def screen(output: Path, *options: str | Path) -> Result:
    """``cds screen`` in this process."""
    told = [str(option) for option in options]
    command = ["screen", "--output", str(output), "--as-of", AS_OF, "--workers", "1", *told]
    return CliRunner().invoke(app, command, catch_exceptions=False)


def rows(path: Path) -> list[dict[str, str]]:
    """The list, row by row."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def _condition(number: int, code: str, onset: str, own: Json) -> Json:
    return {
        "resourceType": "Condition",
        "id": f"co{number}-{code}",
        "clinicalStatus": {"coding": [{"code": "active"}]},
        "verificationStatus": {"coding": [{"code": "confirmed"}]},
        "code": _coded(SNOMED, code),
        "onsetDateTime": onset,
        **own,
    }
