"""The newest limb radiograph of a patient, from wherever the server keeps it.

ImagingStudy (with the DICOMweb Endpoint it names, or a DICOMweb server given beside it), Media and DocumentReference
are searched at once; `radiographs` ranks what they hold; the best is fetched. If that one cannot be fetched, the next
older is not taken in its place: an assessment of last year's film would mislead.
"""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fhir_adapters.client.answers import FHIR_JSON, Reply
from fhir_adapters.client.dicomweb import fetch_instance, is_dicom
from fhir_adapters.client.fetch import PAGE_SIZE
from fhir_adapters.client.fhir import FhirClient, checked_id
from fhir_adapters.client.http import HttpClient
from fhir_adapters.client.radiographs import Attachment, Candidate, Instance, candidates
from fhir_adapters.client.warnings import ClientWarning
from fhir_adapters.errors import (
    ForbiddenError,
    NoServerImageError,
    NotOnServerError,
    ServerImageFormatError,
    ServerOutcomeError,
    ServerRefusalError,
)
from fhir_adapters.shapes import JsonObject, as_object, as_text

IMAGE_SOURCES = ("ImagingStudy", "Media", "DocumentReference")
IMAGE_SCOPE_TYPES = (*IMAGE_SOURCES, "Endpoint", "Binary")
"""Types that need a read scope."""
DEFAULT_MAX_IMAGE = 128 * 1024 * 1024
_NOT_OFFERED = (ForbiddenError, NotOnServerError, ServerRefusalError, ServerOutcomeError)
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedImage:
    """A radiograph as fetched."""

    data: bytes = field(repr=False)
    """A DICOM, PNG or JPEG file."""
    reference: str
    """The resource it came from, ``ImagingStudy/12``, or the SOP Instance UID."""
    warnings: tuple[str, ...]
    """Codes of `fhir_adapters.client.warnings`."""


async def newest_radiograph(
    client: FhirClient,
    patient_id: str,
    *,
    as_of: datetime,
    dicomweb: HttpClient | None = None,
    max_bytes: int = DEFAULT_MAX_IMAGE,
) -> FetchedImage:
    """Fetch the newest radiograph of a limb.

    Args:
        client: of the FHIR server, open.
        patient_id: logical id of the Patient.
        as_of: timezone-aware; later radiographs are left out.
        dicomweb: of the DICOMweb server to use for ImagingStudies; None: the one their Endpoint names.
        max_bytes: a larger file is refused.

    Raises:
        NoServerImageError: there is none, or none that can be fetched from here.
        ServerImageFormatError: what came is no image.
        FhirServerError: a server does not answer, or not as it should.
    """
    wanted = checked_id(patient_id.removeprefix("Patient/"))
    found = await asyncio.gather(*(_search(client, resource_type, wanted) for resource_type in IMAGE_SOURCES))
    unread = [name for name, resources in zip(IMAGE_SOURCES, found, strict=True) if resources is None]
    if len(unread) == len(IMAGE_SOURCES):
        raise NoServerImageError("The server lets none of ImagingStudy, Media and DocumentReference be searched.")
    ranked = candidates((item for resources in found for item in resources or ()), as_of=as_of)
    if not ranked:
        raise NoServerImageError("The server holds no radiograph of a limb of this patient.")
    chosen = ranked[0]
    if isinstance(chosen.source, Instance):
        data = await _from_dicomweb(client, chosen.source, dicomweb, max_bytes)
    else:
        data = await _from_attachment(client, chosen.source, max_bytes)
    return FetchedImage(data=data, reference=chosen.reference, warnings=tuple(_warnings(chosen, unread)))


def _warnings(chosen: Candidate, unread: Sequence[str]) -> list[str]:
    codes = [f"{ClientWarning.IMAGE_CHOSEN}:{chosen.reference}"]
    if not chosen.limb:
        codes.append(f"{ClientWarning.IMAGE_SITE_UNKNOWN}:{chosen.reference}")
    if chosen.moment is None:
        codes.append(f"{ClientWarning.IMAGE_UNDATED}:{chosen.reference}")
    return [*codes, *(f"{ClientWarning.IMAGE_SOURCE_UNREAD}:{name}" for name in unread)]


async def _search(client: FhirClient, resource_type: str, patient_id: str) -> list[JsonObject] | None:
    """The patient's resources of a type, with their Endpoints; None when the server does not offer them."""
    include = ("ImagingStudy:endpoint",) if resource_type == "ImagingStudy" else ()
    for wanted in (include, ()) if include else ((),):
        resources: list[JsonObject] = []
        try:
            async for page in client.search(
                resource_type, [("patient", patient_id)], include=wanted, page_size=PAGE_SIZE
            ):
                resources.extend(hit.resource for hit in page.hits if _is_own(hit.resource, patient_id))
        except ServerRefusalError:
            continue
        except _NOT_OFFERED:
            return None
        return resources
    return None


def _is_own(resource: JsonObject, patient_id: str) -> bool:
    """An Endpoint, or a resource of this patient; a picture of nobody known is not taken."""
    if resource.get("resourceType") == "Endpoint":
        return True
    reference = as_text(as_object(resource.get("subject")).get("reference")) or ""
    return f"/{reference}".endswith(f"/Patient/{patient_id}")


async def _from_dicomweb(client: FhirClient, source: Instance, given: HttpClient | None, max_bytes: int) -> bytes:
    if given is not None:
        data, _ = await fetch_instance(given, source.study, source.series, source.instance, max_bytes=max_bytes)
        return data
    if source.address is None:
        raise NoServerImageError(
            "The newest radiograph is an ImagingStudy without a DICOMweb address.",
            remedy="Give the address of the DICOMweb server with --dicomweb.",
        )
    async with client.beside(source.address) as http:
        data, _ = await fetch_instance(http, source.study, source.series, source.instance, max_bytes=max_bytes)
    return data


async def _from_attachment(client: FhirClient, source: Attachment, max_bytes: int) -> bytes:
    if source.data is not None:
        return _image(_decoded(source.data))
    url = source.url or ""
    accept = f"{source.content_type}, {FHIR_JSON};q=0.5"

    def content(reply: Reply) -> bytes:
        """The file itself, or the one inside a Binary resource."""
        if "json" not in reply.media_type:
            return _image(reply.body)
        return _image(_decoded(as_text(reply.resource().get("data")) or ""))

    return content(await client.get(url, accept=accept, foreign=True, max_body_bytes=max_bytes))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ServerImageFormatError("The image inside a FHIR resource is damaged (Base64).") from None


def _image(data: bytes) -> bytes:
    if is_dicom(data) or data.startswith((_PNG, _JPEG)):
        return data
    raise ServerImageFormatError("What the server gave for the radiograph is neither DICOM nor PNG nor JPEG.")
