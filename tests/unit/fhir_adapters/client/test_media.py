"""The newest limb radiograph, from every place a server may keep it, and DICOMweb."""

import asyncio
import base64
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from fhir_adapters.client.auth import BearerAuth
from fhir_adapters.client.dicomweb import fetch_instance, first_part
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.media import FetchedImage, newest_radiograph
from fhir_adapters.client.radiographs import candidates
from fhir_adapters.errors import FhirError, NoServerImageError, ServerContentError, ServerImageFormatError
from tests.support.fhir_double import BASE, NO_TLS, QUICK, Json, Routes, Sleeper, client, resource, searchset

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
DICOM = b"\0" * 128 + b"DICM" + b"pixels"
PNG = b"\x89PNG\r\n\x1a\nrest"
PACS = "https://pacs.example/dicomweb"
OF_P1: Json = {"subject": {"reference": "Patient/p1"}}
DCM = "http://dicom.nema.org/resources/ontology/DCM"
SNOMED = "http://snomed.info/sct"
WRIST, CHEST = {"system": SNOMED, "code": "8205005"}, {"system": SNOMED, "code": "51185008"}


def study(name: str, started: str, site: Json | None = WRIST, modality: str = "DX", **extra: Any) -> Json:
    series: Json = {
        "uid": "1.2.3",
        "number": 1,
        "modality": {"system": DCM, "code": modality},
        "instance": [{"uid": "1.2.3.2", "number": 2}, {"uid": "1.2.3.1", "number": 1}],
    }
    return {
        "resourceType": "ImagingStudy",
        "id": name,
        "status": "available",
        "started": started,
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2"}],
        "series": [series | ({"bodySite": site} if site else {})],
        **OF_P1,
    } | extra


def media(name: str, created: str, content: Json, **extra: Any) -> Json:
    return {
        "resourceType": "Media",
        "id": name,
        "status": "completed",
        "modality": {"coding": [{"system": DCM, "code": "CR"}]},
        "bodySite": {"coding": [WRIST]},
        "createdDateTime": created,
        "content": content,
        **OF_P1,
    } | extra


def document(name: str, date: str, content: Json, code: str = "18748-4") -> Json:
    return {
        "resourceType": "DocumentReference",
        "id": name,
        "status": "current",
        "date": date,
        "category": [{"coding": [{"system": "http://loinc.org", "code": code}]}],
        "content": [{"attachment": content}],
        **OF_P1,
    }


def inline(data: bytes = PNG, content_type: str = "image/png") -> Json:
    return {"contentType": content_type, "data": base64.b64encode(data).decode()}


ENDPOINT: Json = {
    "resourceType": "Endpoint",
    "id": "e1",
    "status": "active",
    "connectionType": {"code": "dicom-wado-rs"},
    "address": f"{PACS}/studies",
}


def take(routes: Any, **options: Any) -> FetchedImage:
    async def go() -> FetchedImage:
        async with client(routes, auth=BearerAuth.fixed("t0ken")) as fhir:
            return await newest_radiograph(fhir, "p1", as_of=AS_OF, **options)

    return asyncio.run(go())


def chosen(*resources: Json) -> list[str]:
    return [candidate.reference for candidate in candidates(resources, as_of=AS_OF)]


def test_the_order_is_limb_then_newest_then_reference() -> None:
    assert chosen(
        study("old", "2024-01-01"),
        study("nowhere", "2025-12-01", site=None),
        study("twin-a", "2025-06-01"),
        study("twin-b", "2025-06-01"),
        media("undated", "", inline()),
    ) == [f"ImagingStudy/{name}" for name in ("twin-b", "twin-a", "old")] + ["Media/undated", "ImagingStudy/nowhere"]


@pytest.mark.parametrize(
    "other",
    [
        study("x", "2025-01-01", site=CHEST),
        study("x", "2025-01-01", modality="CT"),
        study("x", "2027-01-01"),
        study("x", "2025-01-01", status="cancelled"),
        study("x", "2025-01-01", identifier=[]),
        study("x", "2025-01-01", series=["planted", {"uid": "not a uid"}]),
        media("x", "2025-01-01", inline(), status="entered-in-error"),
        media("x", "2025-01-01", inline(), modality={"coding": [{"system": DCM, "code": "XC"}]}),
        media("x", "2025-01-01", inline(), bodySite={"coding": [CHEST]}),
        media("x", "2025-01-01", inline(content_type="video/mp4")),
        media("x", "2025-01-01", {"contentType": "image/png"}),
        media("x", "2027-01-01", inline()),
        document("x", "2025-01-01", inline(), code="64290-0"),
        {"resourceType": "Media"},
        {"resourceType": "DocumentReference", "content": 7, "category": "planted"},
    ],
)
def test_what_is_no_radiograph_of_a_limb(other: Json) -> None:
    assert chosen(other) == []


def test_an_image_inside_a_media() -> None:
    image = take(Routes({"Media": searchset([media("m1", "2025-01-01", inline())])}))
    assert image.data == PNG
    assert image.reference == "Media/m1"
    assert image.warnings == ("fhir.image.chosen:Media/m1",)
    assert "PNG" not in repr(image)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=PNG, headers={"content-type": "image/png"}),
        resource({"resourceType": "Binary", "id": "b1", **inline()}),
    ],
)
def test_an_image_behind_a_document(answer: httpx.Response) -> None:
    routes = Routes(
        {
            "DocumentReference": searchset(
                [document("d1", "2025-01-01", {"contentType": "image/png", "url": "Binary/b1"})]
            ),
            "Binary": answer,
        }
    )
    assert take(routes).data == PNG
    assert str(routes.requests[-1].url) == f"{BASE}/Binary/b1"
    assert routes.requests[-1].headers["authorization"] == "Bearer t0ken"


def test_an_image_on_another_host_is_fetched_without_the_token() -> None:
    asked: list[httpx.Request] = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if request.url.host == "files.example":
            return httpx.Response(200, content=PNG, headers={"content-type": "image/png"})
        held = media("m1", "2025-01-01", {"contentType": "image/png", "url": "https://files.example/1"})
        return searchset([held] if "Media" in request.url.path else [])

    assert take(serve).data == PNG
    assert "authorization" not in asked[-1].headers


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (inline(b"nonsense"), ServerImageFormatError),
        ({"contentType": "image/png", "data": "!!"}, ServerImageFormatError),
        ({"contentType": "image/png", "url": "file:///etc/passwd"}, FhirError),
    ],
)
def test_an_image_that_is_none(content: Json, error: type[FhirError]) -> None:
    with pytest.raises(error):
        take(Routes({"Media": searchset([media("m1", "2025-01-01", content)])}))


def test_pictures_of_others_are_not_taken() -> None:
    other = media("m1", "2025-01-01", inline(), subject={"reference": "Patient/p2"})
    with pytest.raises(NoServerImageError, match="no radiograph"):
        take(Routes({"Media": searchset([other])}))


def test_a_place_that_cannot_be_searched_is_said() -> None:
    routes = {"Media": searchset([media("m1", "", inline())]), "DocumentReference": httpx.Response(403)}
    assert take(Routes(routes)).warnings == (
        "fhir.image.chosen:Media/m1",
        "fhir.image.undated:Media/m1",
        "fhir.image.source_unread:DocumentReference",
    )
    with pytest.raises(NoServerImageError, match="none of"):
        take(Routes({name: httpx.Response(403) for name in ("ImagingStudy", "Media", "DocumentReference")}))


class Pacs:
    """A FHIR server with an ImagingStudy, and a DICOMweb server."""

    def __init__(self, *, study_extra: Json, endpoints: list[Json]) -> None:
        self.study, self.endpoints = study("s1", "2025-01-01", **study_extra), endpoints
        self.asked: list[httpx.Request] = []
        self.answer = multipart(DICOM)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "pacs.example":
            self.asked.append(request)
            return self.answer
        return searchset([self.study, *self.endpoints] if "ImagingStudy" in request.url.path else [])


def multipart(data: bytes, *, cut: int = 0) -> httpx.Response:
    body = b"--edge\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--edge--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary="edge"'
    return httpx.Response(200, content=body[: len(body) - cut], headers={"content-type": kind})


def test_a_study_is_fetched_from_its_endpoint_without_the_token_of_another_host() -> None:
    pacs = Pacs(study_extra={"endpoint": [{"reference": "Endpoint/e1"}]}, endpoints=[ENDPOINT])
    image = take(pacs)
    assert image.data == DICOM
    assert image.reference == "ImagingStudy/s1"
    (request,) = pacs.asked
    assert str(request.url) == f"{PACS}/studies/1.2/series/1.2.3/instances/1.2.3.1"
    assert "application/dicom" in request.headers["accept"]
    assert "authorization" not in request.headers


def test_a_study_without_endpoint_needs_an_address() -> None:
    pacs = Pacs(study_extra={}, endpoints=[])
    with pytest.raises(NoServerImageError) as caught:
        take(pacs)
    assert "--dicomweb" in caught.value.remedy

    async def go() -> bytes:
        async with client(pacs) as fhir, fhir.beside(PACS) as dicomweb:
            return (await newest_radiograph(fhir, "p1", as_of=AS_OF, dicomweb=dicomweb)).data

    assert asyncio.run(go()) == DICOM


def test_the_limb_series_of_a_study_is_taken() -> None:
    series = [
        {"uid": "1.1", "number": 1, "modality": {"system": DCM, "code": "DX"}, "bodySite": CHEST},
        {"uid": "1.2", "number": 2, "modality": {"system": DCM, "code": "DX"}},
        {"uid": "1.4", "number": 4, "modality": {"system": DCM, "code": "CR"}, "bodySite": WRIST},
        {"uid": "1.3", "number": 3, "modality": {"system": DCM, "code": "CT"}, "bodySite": WRIST},
    ]
    (found,) = candidates([study("s1", "2025-01-01", series=series)], as_of=AS_OF)
    assert getattr(found.source, "series", None) == "1.4"


def fetch(answer: Any, *uids: str) -> tuple[bytes, str]:
    async def go() -> tuple[bytes, str]:
        transport = httpx.MockTransport(answer)
        async with HttpClient(PACS, transport=transport, retries=QUICK, sleep=Sleeper(), verify=NO_TLS) as http:
            return await fetch_instance(http, *uids, max_bytes=2**20)

    return asyncio.run(go())


def item(**tags: Any) -> Json:
    return {tag.removeprefix("t"): {"vr": "UI", "Value": [value]} for tag, value in tags.items()}


def test_series_and_instance_are_looked_up_in_a_fixed_order() -> None:
    def serve(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/dicomweb/")
        if path == "studies/1.2/series":
            rows = [
                item(t0020000E="1.2.9", t00080060="CT", t00200011=1),
                item(t0020000E="1.2.8", t00080060="DX", t00200011=3),
                item(t0020000E="1.2.7", t00080060="CR", t00200011=2),
            ]
        elif path == "studies/1.2/series/1.2.7/instances":
            rows = [item(t00080018="1.2.7.2", t00200013=2), item(t00080018="1.2.7.1", t00200013=1), {"00080018": 7}]
        else:
            assert path == "studies/1.2/series/1.2.7/instances/1.2.7.1"
            return multipart(DICOM)
        return httpx.Response(200, content=json.dumps(rows), headers={"content-type": "application/dicom+json"})

    assert fetch(serve, "1.2") == (DICOM, "1.2.7.1")


def test_a_study_without_radiographs() -> None:
    with pytest.raises(NoServerImageError):
        fetch(lambda request: httpx.Response(204), "1.2")
    with pytest.raises(NoServerImageError):
        fetch(lambda request: httpx.Response(204), "1.2", "1.2.3")


def test_a_single_part_will_do() -> None:
    single = httpx.Response(200, content=DICOM, headers={"content-type": "application/dicom"})
    assert fetch(lambda request: single, "1.2", "1.2.3", "1.2.3.1") == (DICOM, "1.2.3.1")


@pytest.mark.parametrize(
    "answer",
    [
        multipart(DICOM, cut=12),
        multipart(b"no dicom"),
        httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
        httpx.Response(200, content=DICOM, headers={"content-type": "multipart/related"}),
    ],
)
def test_damaged_answers(answer: httpx.Response) -> None:
    with pytest.raises(ServerContentError):
        fetch(lambda request: answer, "1.2", "1.2.3", "1.2.3.1")


def test_uids_are_checked() -> None:
    for uid in ("../1", "1.2/instances", "1" * 65, ""):
        with pytest.raises(ServerImageFormatError):
            fetch(lambda request: multipart(DICOM), uid)


def test_the_first_of_several_parts() -> None:
    body = b"preamble\r\n--e\r\nA: b\r\n\r\nfirst\r\n--e\r\n\r\nsecond\r\n--e--"
    assert first_part("multipart/related; boundary=e", body) == b"first"
