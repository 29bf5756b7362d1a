"""Patients from the FHIR server and studies from the DICOMweb server, to choose from in the form."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from cds.errors import InputError
from cds.fhir_source import build_dicomweb_client, build_fhir_client
from cds.settings import Settings
from fhir_adapters.client.answers import Reply
from fhir_adapters.client.dicomweb import DICOM_JSON, RADIOGRAPH_MODALITIES, is_uid
from fhir_adapters.errors import ServerContentError
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text

MOST = 20
"""Rows that are shown; a longer answer needs a narrower question."""
_DAY = re.compile(r"\d{8}")
_ASK = "Give a part of the name, an identifier or the date of birth."
_DOT = " \N{MIDDLE DOT} "


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One row to choose."""

    label: str
    value: str
    """Logical id of the patient, or Study Instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The rows, and whether there are more."""

    rows: tuple[Choice, ...]
    more: bool


def find_patients(settings: Settings, *, name: str, identifier: str, birth_date: str) -> Found:
    """Patients on the FHIR server.

    Raises:
        InputError: nothing to search by, a date that is none, or no server.
        FhirError: the server does not answer.
    """
    asked = (("name", name.strip()), ("identifier", identifier.strip()), ("birthdate", _birth_date(birth_date)))
    params = [(key, value) for key, value in asked if value]
    if not params:
        raise InputError("There is nothing to search by.", remedy=_ASK)
    return asyncio.run(_patients(settings, params))


async def _patients(settings: Settings, params: list[tuple[str, str]]) -> Found:
    rows: list[Choice] = []
    async with build_fhir_client(settings, types=("Patient",)) as client:
        async for page in client.search("Patient", params, page_size=MOST + 1):
            rows += [_patient(hit.resource) for hit in page.hits if hit.resource.get("resourceType") == "Patient"]
            if len(rows) > MOST or page.next_url is None:
                break
    return Found(rows=tuple(rows[:MOST]), more=len(rows) > MOST)


async def read_patient(settings: Settings, patient_id: str) -> Choice:
    """One patient of the FHIR server that the settings name.

    Raises:
        FhirError: the server does not give it.
    """
    async with build_fhir_client(settings, types=("Patient",)) as client:
        return _patient(await client.read("Patient", patient_id))


def _patient(resource: JsonObject) -> Choice:
    names = [as_object(one) for one in as_list(resource.get("name"))]
    chosen = next((one for one in names if one.get("use") == "official"), names[0] if names else {})
    given = " ".join(str(one) for one in as_list(chosen.get("given")))
    called = ", ".join(part for part in (as_text(chosen.get("family")), given) if part) or as_text(chosen.get("text"))
    born, logical_id = as_text(resource.get("birthDate")), as_text(resource.get("id")) or ""
    parts = (called or "no name", as_text(resource.get("gender")), born and f"born {born}", f"id {logical_id}")
    return Choice(label=_DOT.join(part for part in parts if part), value=logical_id)


def find_studies(settings: Settings, *, patient_id: str, name: str, study_date: str) -> Found:
    """Studies with radiographs on the DICOMweb server, the newest first.

    Raises:
        InputError: nothing to search by, a date that is none, or no server.
        FhirServerError: the server does not answer.
    """
    day = _birth_date(study_date).replace("-", "")
    asked = {"PatientID": patient_id.strip(), "PatientName": name.strip() and f"*{name.strip()}*", "StudyDate": day}
    params = {key: value for key, value in asked.items() if value}
    if not params:
        raise InputError("There is nothing to search by.", remedy="Give a patient id, a name or the day of the study.")
    return asyncio.run(_studies(settings, params))


async def _studies(settings: Settings, params: Mapping[str, str]) -> Found:
    client = build_dicomweb_client(settings, None)
    if client is None:
        raise InputError("No DICOMweb server is named.", remedy="Set FRACTURE_CDS_DICOMWEB_URL.")
    fields = [("includefield", tag) for tag in ("00080061", "00081030", "00100010", "00100020")]
    async with client:
        reply = await client.get(
            "studies",
            params=[*params.items(), *fields, ("limit", str(5 * MOST))],
            accept=DICOM_JSON,
            ok=(200, 204),
            check=_objects,
        )
    found = [one for one in _objects(reply) if _has_radiograph(one) and is_uid(_value(one, "0020000D"))]
    found.sort(key=lambda one: (_value(one, "00080020"), _value(one, "00080030")), reverse=True)
    return Found(rows=tuple(_study(one) for one in found[:MOST]), more=len(found) > MOST)


def _objects(reply: Reply) -> list[JsonObject]:
    if reply.status == 204 or not reply.body:
        return []
    try:
        return [as_object(item) for item in as_list(orjson.loads(reply.body))]
    except orjson.JSONDecodeError:
        raise ServerContentError("The DICOMweb server's answer is not valid JSON, or was cut short.") from None


def _has_radiograph(study: JsonObject) -> bool:
    """Whether it may hold one: servers need not say which modalities a study has."""
    named = {str(one) for one in as_list(as_object(study.get("00080061")).get("Value"))}
    return not named or bool(named & RADIOGRAPH_MODALITIES)


def _study(one: JsonObject) -> Choice:
    day, name = _value(one, "00080020"), _value(one, "00100010").replace("^", " ").strip()
    shown = f"{day[:4]}-{day[4:6]}-{day[6:]}" if _DAY.fullmatch(day) else day
    patient_id = _value(one, "00100020")
    parts = (shown or "no date", _value(one, "00081030"), name, patient_id and f"patient {patient_id}")
    return Choice(label=_DOT.join(part for part in parts if part), value=_value(one, "0020000D"))


def _value(item: JsonObject, tag: str) -> str:
    values = as_list(as_object(item.get(tag)).get("Value"))
    first: Any = values[0] if values else ""
    if isinstance(first, dict):  # a person's name
        first = first.get("Alphabetic", "")
    return str(first)


def _birth_date(text: str) -> str:
    if not text.strip():
        return ""
    try:
        return date.fromisoformat(text.strip()).isoformat()
    except ValueError:
        raise InputError("The date cannot be read.", remedy="Write it like 1953-06-01.") from None
