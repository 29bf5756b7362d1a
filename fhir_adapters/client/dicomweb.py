"""DICOMweb (DICOM PS3.18): QIDO-RS to find instances, WADO-RS to fetch one, STOW-RS to store results.

Of a study without a chosen series the projection radiographs count (CR, DX, DR, RG); of those the series with the
lowest number, then the lowest UID; within it the instance with the lowest number, then the lowest UID.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import uuid4

import orjson

from fhir_adapters.client.answers import Reply
from fhir_adapters.client.http import HttpClient, Params
from fhir_adapters.errors import (
    NoServerImageError,
    ServerBusyError,
    ServerContentError,
    ServerImageFormatError,
    ServerRefusalError,
)
from fhir_adapters.shapes import JsonObject, as_list, as_object

RADIOGRAPH_MODALITIES = frozenset({"CR", "DX", "DR", "RG"})
"""DICOM modalities of projection radiography."""
DICOM_JSON = "application/dicom+json"
WADO_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_PREAMBLE = 128
_BOUNDARY = re.compile(r'boundary="?([^";,]{1,70})"?', re.IGNORECASE)
_MODALITY, _SERIES_NUMBER, _INSTANCE_NUMBER = "00080060", "00200011", "00200013"
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = "0020000D", "0020000E", "00080018"
_FAILED, _REASON = "00081198", "00081197"
_OUT_OF_RESOURCES, _PROCESSING_FAILURE = 0xA700, 0x0110
_LAST = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePlace:
    """Where an image is on a DICOMweb server, in UIDs."""

    study: str
    series: str
    instance: str


async def fetch_instance(
    http: HttpClient, study: str, series: str | None = None, instance: str | None = None, *, max_bytes: int
) -> tuple[bytes, str]:
    """One instance as a DICOM file.

    Args:
        http: of the DICOMweb server; its base is what ``/studies`` follows.
        study: Study Instance UID.
        series: Series Instance UID; None: the first series of radiographs.
        instance: SOP Instance UID; None: the first of the series.
        max_bytes: a larger file is refused.

    Returns:
        The file, and its SOP Instance UID.

    Raises:
        NoServerImageError: the study holds no radiograph.
        ServerImageFormatError: a UID that is none, or an answer that is no DICOM file.
        FhirServerError: as in `HttpClient.get`.
    """
    for uid in (study, series, instance):
        if uid is not None and not is_uid(uid):
            raise ServerImageFormatError("A DICOM UID is not valid: digits and dots, at most 64 characters.")
    if series is None:
        series = await _first_series(http, study)
    path = f"studies/{study}/series/{series}/instances"
    if instance is None:
        found = await _query(http, path)
        chosen = min(found, key=_order(_INSTANCE_NUMBER, _INSTANCE_UID), default=None)
        instance = None if chosen is None else _value(chosen, _INSTANCE_UID)
        if not instance or not is_uid(instance):
            raise NoServerImageError("The series holds no instance.")
    reply = await http.get(f"{path}/{instance}", accept=WADO_ACCEPT, check=dicom_of, max_body_bytes=max_bytes)
    return dicom_of(reply), instance


async def find_radiographs(
    http: HttpClient, *, patient_id: str | None = None, study: str | None = None, since: date | None = None
) -> tuple[ImagePlace, ...]:
    """Every projection radiograph of the studies that match (QIDO-RS), in the order of the server.

    Args:
        http: of the DICOMweb server.
        patient_id: Patient ID.
        study: Study Instance UID.
        since: earliest Study Date.

    Raises:
        ServerImageFormatError: a UID that is none.
        FhirServerError: as in `HttpClient.get`.
    """
    params: list[tuple[str, str]] = []
    if study is not None:
        if not is_uid(study):
            raise ServerImageFormatError("A DICOM UID is not valid: digits and dots, at most 64 characters.")
        params.append(("StudyInstanceUID", study))
    if patient_id is not None:
        params.append(("PatientID", patient_id))
    if since is not None:
        params.append(("StudyDate", f"{since:%Y%m%d}-"))
    found: list[ImagePlace] = []
    for one in await _query(http, "studies", params):
        study_uid = _value(one, _STUDY_UID) or ""
        if not is_uid(study_uid):
            continue
        for series in await _query(http, f"studies/{study_uid}/series"):
            series_uid = _value(series, _SERIES_UID) or ""
            if _value(series, _MODALITY) not in RADIOGRAPH_MODALITIES or not is_uid(series_uid):
                continue
            for image in await _query(http, f"studies/{study_uid}/series/{series_uid}/instances"):
                instance_uid = _value(image, _INSTANCE_UID) or ""
                if is_uid(instance_uid):
                    found.append(ImagePlace(study=study_uid, series=series_uid, instance=instance_uid))
    return tuple(found)


async def store_instances(http: HttpClient, contents: Sequence[bytes]) -> None:
    """Store DICOM files (STOW-RS, PS3.18 10.5); storing the same file again does no harm.

    Args:
        http: of the DICOMweb server.
        contents: the files.

    Raises:
        ServerBusyError: the server is out of room for at least one (failure reason A7xx); try again later.
        ServerRefusalError: it refuses at least one for good.
        FhirServerError: as in `HttpClient.get`.
    """
    boundary = uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join((*(head + one + b"\r\n" for one in contents), f"--{boundary}--\r\n".encode()))
    reply = await http.post_bytes(
        "studies",
        body,
        content_type=f'multipart/related; type="application/dicom"; boundary={boundary}',
        accept=DICOM_JSON,
        ok=(200, 202, 409),
    )
    reasons = _failure_reasons(reply)
    if reasons and all(reason & 0xFF00 == _OUT_OF_RESOURCES for reason in reasons):
        raise ServerBusyError("The DICOMweb server has no room for the files.")
    if reasons or reply.status == 409:
        told = ", ".join(sorted({f"{reason:04X}" for reason in reasons})) or "none given"
        raise ServerRefusalError(
            f"The DICOMweb server refuses {len(reasons) or len(contents)} of {len(contents)} files (reason {told})."
        )


def _failure_reasons(reply: Reply) -> tuple[int, ...]:
    """Failure Reason of every file that was not stored; a server may leave the body out."""
    try:
        answer = as_object(orjson.loads(reply.body)) if reply.body else {}
    except orjson.JSONDecodeError:
        answer = {}
    failed = [as_object(item) for item in as_list(as_object(answer.get(_FAILED)).get("Value"))]
    reasons = (as_list(as_object(item.get(_REASON)).get("Value")) for item in failed)
    return tuple(values[0] if values and isinstance(values[0], int) else _PROCESSING_FAILURE for values in reasons)


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def is_dicom(data: bytes) -> bool:
    """Whether bytes begin as a DICOM file does (PS3.10)."""
    return data[_PREAMBLE : _PREAMBLE + 4] == b"DICM"


def dicom_of(reply: Reply) -> bytes:
    """The DICOM file in an answer, alone or as the first part of several.

    Raises:
        ServerContentError: neither; it may have been cut short.
    """
    data = reply.body
    if reply.media_type == "multipart/related":
        data = first_part(reply.headers.get("content-type", ""), data)
    if not is_dicom(data):
        raise ServerContentError("The DICOMweb server's answer holds no DICOM file.")
    return data


def first_part(content_type: str, body: bytes) -> bytes:
    """The content of the first part of a multipart body (RFC 2046).

    Raises:
        ServerContentError: no boundary, or a body that does not keep to it.
    """
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise ServerContentError("The DICOMweb server's answer has several parts and no boundary.")
    delimiter = b"--" + match.group(1).encode()
    _, opened, rest = body.partition(delimiter)
    header, separated, content = rest.partition(b"\r\n\r\n")
    if not opened or not separated or len(header) > 8192:
        raise ServerContentError("The DICOMweb server's answer has several parts but no first one.")
    end = content.find(b"\r\n" + delimiter)
    if end < 0:
        raise ServerContentError("The DICOMweb server's answer was cut short.")
    return content[:end]


async def _first_series(http: HttpClient, study: str) -> str:
    found = await _query(http, f"studies/{study}/series")
    radiographs = [item for item in found if _value(item, _MODALITY) in RADIOGRAPH_MODALITIES]
    chosen = min(radiographs, key=_order(_SERIES_NUMBER, _SERIES_UID), default=None)
    uid = None if chosen is None else _value(chosen, _SERIES_UID)
    if not uid or not is_uid(uid):
        raise NoServerImageError("The study holds no projection radiograph (CR or DX).")
    return uid


async def _query(http: HttpClient, path: str, params: Params = ()) -> Sequence[JsonObject]:
    """The objects of a QIDO-RS answer; 204 is none."""

    def objects(reply: Reply) -> list[JsonObject]:
        if reply.status == 204 or not reply.body:
            return []
        try:
            value = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            raise ServerContentError("The DICOMweb server's answer is not valid JSON, or was cut short.") from None
        return [as_object(item) for item in as_list(value)]

    return objects(await http.get(path, params=params, accept=DICOM_JSON, ok=(200, 204), check=objects))


def _value(item: JsonObject, tag: str) -> str | None:
    values = as_list(as_object(item.get(tag)).get("Value"))
    return str(values[0]) if values and isinstance(values[0], (str, int)) else None


def _order(number_tag: str, uid_tag: str) -> Callable[[JsonObject], Any]:
    def key(item: JsonObject) -> tuple[int, str]:
        number = _value(item, number_tag) or ""
        return (int(number) if number.lstrip("-").isdigit() else _LAST, _value(item, uid_tag) or "")

    return key
