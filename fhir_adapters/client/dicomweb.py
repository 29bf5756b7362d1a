"""One DICOM instance from a DICOMweb server: QIDO-RS to find it (if need be), WADO-RS to fetch it (DICOM PS3.18).

Of a study without a chosen series the projection radiographs count (CR, DX, DR, RG); of those the series with the
lowest number, then the lowest UID; within it the instance with the lowest number, then the lowest UID.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from fhir_adapters.client.answers import Reply
from fhir_adapters.client.http import HttpClient
from fhir_adapters.errors import NoServerImageError, ServerContentError, ServerImageFormatError
from fhir_adapters.shapes import JsonObject, as_list, as_object

RADIOGRAPH_MODALITIES = frozenset({"CR", "DX", "DR", "RG"})
"""DICOM modalities of projection radiography."""
DICOM_JSON = "application/dicom+json"
WADO_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_PREAMBLE = 128
_BOUNDARY = re.compile(r'boundary="?([^";,]{1,70})"?', re.IGNORECASE)
_MODALITY, _SERIES_NUMBER, _INSTANCE_NUMBER = "00080060", "00200011", "00200013"
_SERIES_UID, _INSTANCE_UID = "0020000E", "00080018"
_LAST = 2**31


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


async def _query(http: HttpClient, path: str) -> Sequence[JsonObject]:
    """The objects of a QIDO-RS answer; 204 is none."""

    def objects(reply: Reply) -> list[JsonObject]:
        if reply.status == 204 or not reply.body:
            return []
        try:
            value = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            raise ServerContentError("The DICOMweb server's answer is not valid JSON, or was cut short.") from None
        return [as_object(item) for item in as_list(value)]

    return objects(await http.get(path, accept=DICOM_JSON, ok=(200, 204), check=objects))


def _value(item: JsonObject, tag: str) -> str | None:
    values = as_list(as_object(item.get(tag)).get("Value"))
    return str(values[0]) if values and isinstance(values[0], (str, int)) else None


def _order(number_tag: str, uid_tag: str) -> Callable[[JsonObject], Any]:
    def key(item: JsonObject) -> tuple[int, str]:
        number = _value(item, number_tag) or ""
        return (int(number) if number.lstrip("-").isdigit() else _LAST, _value(item, uid_tag) or "")

    return key
