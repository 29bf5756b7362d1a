import asyncio
import json
from pathlib import Path
from urllib.parse import parse_qsl

import httpx

from fhir_adapters.client.bulk_medications import ADDED, AddedMedications, add_medications
from tests.support.fhir_double import client, outcome, resource, searchset


def line(resource_type: str, name: str, drug: str | None = None) -> str:
    told: dict[str, object] = {"resourceType": resource_type, "id": name}
    if drug is not None:
        told["medicationReference"] = {"reference": drug}
    return json.dumps(told) + "\n"


def add(folder: Path, held: set[str]) -> tuple[AddedMedications, list[list[str]]]:
    asked: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        ids = dict(parse_qsl(request.content.decode()))["_id"].split(",")
        asked.append(ids)
        if "forbidden" in ids:
            return resource(outcome("error"), 403)
        others = [{"resourceType": "Medication", "id": "unasked"}, {"resourceType": "Patient", "id": ids[0]}]
        found = [{"resourceType": "Medication", "id": name} for name in ids if name in held]
        return searchset([*found, *others])

    async def go() -> AddedMedications:
        async with client(answer) as fhir:
            return await add_medications(fhir, folder)

    return asyncio.run(go()), asked


def test_missing_medications_are_searched_for(tmp_path: Path) -> None:
    drugs = [f"Medication/m{number:03}" for number in range(120)]
    requests = [line("MedicationRequest", f"r{number}", drug) for number, drug in enumerate(drugs)]
    other = ["#contained", "https://ehr.example/fhir/Medication/far/_history/2", "urn:uuid:1"]
    (tmp_path / "MedicationRequest.1.ndjson").write_text("".join(requests) + '{"medicationReference"\n')
    (tmp_path / "MedicationStatement.1.ndjson").write_text(
        "".join(line("MedicationStatement", f"s{number}", drug) for number, drug in enumerate(other))
    )
    (tmp_path / "Medication.1.ndjson").write_text(line("Medication", "m000"))
    held = {"far", *(f"m{number:03}" for number in range(110))}
    result, asked = add(tmp_path, held)
    assert result == AddedMedications(added=110, missing=10)
    assert sorted(map(len, asked)) == [20, 50, 50] and not any("m000" in ids for ids in asked)
    written = [json.loads(text)["id"] for text in (tmp_path / ADDED).read_text().splitlines()]
    assert written == sorted(held - {"m000"})
    assert add(tmp_path, set()) == (AddedMedications(added=110, missing=0), [])


def test_nothing_is_asked_when_nothing_is_missing(tmp_path: Path) -> None:
    (tmp_path / "MedicationRequest.1.ndjson").write_text(line("MedicationRequest", "r"))
    assert add(tmp_path, set()) == (AddedMedications(added=0, missing=0), [])
    assert not (tmp_path / ADDED).exists()


def test_a_refusal_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "MedicationRequest.1.ndjson").write_text(line("MedicationRequest", "r", "Medication/forbidden"))
    result, _ = add(tmp_path, set())
    assert result == AddedMedications(added=0, missing=1)
