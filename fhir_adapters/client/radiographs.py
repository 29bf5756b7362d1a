"""Which of a patient's FHIR resources are radiographs of a limb: candidates, and their order.

A resource counts when it says by code that it is projection radiography, or holds a DICOM file:

* ImagingStudy with a series of modality CR, DX, DR or RG;
* Media of such a modality (or SNOMED CT 168537006 plain radiography) with an image, or with a DICOM file;
* DocumentReference of radiology (LOINC 18748-4 imaging study, 18726-0 radiology studies, 68604-8 radiology study) with
  an image, or with a DICOM file. A picture without such a code may be a scanned letter or a portrait: not taken.

One whose coded body site is no limb is left out. Known limbs come before unknown sites, then the newest, then the
greater reference, so that the choice does not depend on the server's order.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from fhir_adapters.client.dicomweb import RADIOGRAPH_MODALITIES, is_uid
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.dates import first_moment
from fhir_adapters.shapes import JsonObject, as_list, as_object, as_text, codings

LIMB_SITES: dict[str, str] = {
    "344001": "ankle",
    "70258002": "ankle joint",
    "40983000": "upper arm",
    "53120007": "upper limb",
    "80144004": "calcaneus",
    "51299004": "clavicle",
    "16953009": "elbow joint",
    "76248009": "elbow",
    "127949000": "elbow region",
    "71341001": "femur",
    "87342007": "fibula",
    "7569003": "finger",
    "56459004": "foot",
    "14975008": "forearm",
    "85562004": "hand",
    "29836001": "hip",
    "24136001": "hip joint",
    "85050009": "humerus",
    "72696002": "knee",
    "49076000": "knee joint",
    "30021000": "lower leg",
    "61685007": "lower limb",
    "64234005": "patella",
    "62413002": "radius",
    "79601000": "scapula",
    "16982005": "shoulder",
    "85537004": "shoulder joint",
    "68367000": "thigh",
    "76505004": "thumb",
    "12611008": "tibia",
    "29707007": "toe",
    "23416004": "ulna",
    "8205005": "wrist",
    "74670003": "wrist joint",
}
"""SNOMED CT body structures of the limbs and their girdles (DICOM PS3.16 Annex L and CID 4031)."""

IMAGE_TYPES = frozenset({"application/dicom", "image/png", "image/jpeg"})
_DICOM = "application/dicom"
_PLAIN_RADIOGRAPHY = "168537006"
_RADIOLOGY_DOCUMENTS = frozenset({"18748-4", "18726-0", "68604-8"})
_GONE = frozenset({"cancelled", "entered-in-error", "preparation", "not-done", "unknown", "superseded"})
_WADO_RS = "dicom-wado-rs"
_REFERENCE_ID = re.compile(r"(?:^|/)Endpoint/([A-Za-z0-9\-.]{1,64})$")
_LONG_AGO = datetime(1, 1, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance that DICOMweb can give."""

    study: str
    series: str
    instance: str | None
    """None: the first of the series."""
    address: str | None = field(repr=False)
    """Base of the DICOMweb server that an Endpoint names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file within or behind a FHIR resource."""

    content_type: str
    data: str | None = field(repr=False)
    """Base64."""
    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One radiograph on the server."""

    reference: str
    """``ImagingStudy/12``."""
    moment: datetime | None
    """When it was taken; timezone-aware."""
    limb: bool
    """Whether a limb is coded; False: the site is not known."""
    source: Instance | Attachment

    def rank(self) -> tuple[bool, bool, datetime, str]:
        """Greatest is best."""
        return self.limb, self.moment is not None, self.moment or _LONG_AGO, self.reference


def candidates(resources: Iterable[JsonObject], *, as_of: datetime) -> list[Candidate]:
    """The radiographs among resources (with the Endpoints they refer to), best first; later ones are left out."""
    listed = list(resources)
    endpoints = {str(item.get("id")): item for item in listed if item.get("resourceType") == "Endpoint"}
    found: list[Candidate] = []
    for resource in listed:
        if as_text(resource.get("status")) in _GONE:
            continue
        if resource.get("resourceType") == "ImagingStudy":
            found.extend(_study(resource, endpoints, as_of))
        elif resource.get("resourceType") == "Media":
            found.extend(_media(resource, as_of))
        elif resource.get("resourceType") == "DocumentReference":
            found.extend(_document(resource, as_of))
    return sorted(found, key=Candidate.rank, reverse=True)


def _study(study: JsonObject, endpoints: dict[str, JsonObject], as_of: datetime) -> Iterator[Candidate]:
    """The first series of radiographs of each site: limb before unknown, lowest number, lowest UID."""
    uid = next((uid for item in as_list(study.get("identifier")) if (uid := _oid(as_object(item))) is not None), None)
    reference = _reference(study)
    if uid is None or reference is None:
        return
    best: tuple[tuple[bool, float, str], JsonObject, bool] | None = None
    for item in as_list(study.get("series")):
        series = as_object(item)
        limb = _is_limb([series.get("bodySite")])
        series_uid = as_text(series.get("uid"))
        if series_uid is None or not is_uid(series_uid) or not _is_radiograph(series.get("modality")) or limb is False:
            continue
        order = (not limb, _number(series.get("number")), series_uid)
        if best is None or order < best[0]:
            best = (order, series, bool(limb))
    if best is None:
        return
    _, series, limb_known = best
    moment = _moment(series, "started") or _moment(study, "started")
    if moment is None or moment <= as_of:
        address = _wado_address([*as_list(series.get("endpoint")), *as_list(study.get("endpoint"))], endpoints)
        source = Instance(study=uid, series=str(series["uid"]), instance=_first_instance(series), address=address)
        yield Candidate(reference=reference, moment=moment, limb=limb_known, source=source)


def _media(media: JsonObject, as_of: datetime) -> Iterator[Candidate]:
    coded = [media.get("modality"), media.get("type"), media.get("view")]
    radiograph = any(_is_radiograph(concept) for concept in coded)
    moment = _moment(media, "createdDateTime", "createdPeriod.end", "createdPeriod.start", "issued")
    yield from _files(media, [media.get("content")], [media.get("bodySite")], moment, radiograph, as_of)


def _document(document: JsonObject, as_of: datetime) -> Iterator[Candidate]:
    concepts = [document.get("type"), *as_list(document.get("category"))]
    radiograph = any(
        system_of(system) is CodeSystem.LOINC and code in _RADIOLOGY_DOCUMENTS
        for concept in concepts
        for system, code in codings(concept)
    )
    context = as_object(document.get("context"))
    files = [as_object(item).get("attachment") for item in as_list(document.get("content"))]
    moment = _moment(context, "period.end", "period.start") or _moment(document, "date")
    yield from _files(document, files, [], moment, radiograph, as_of)


def _files(
    holder: JsonObject,
    attachments: Iterable[object],
    sites: Iterable[object],
    moment: datetime | None,
    radiograph: bool,
    as_of: datetime,
) -> Iterator[Candidate]:
    """The first usable attachment of a resource."""
    reference, limb = _reference(holder), _is_limb(sites)
    if reference is None or limb is False or (moment is not None and moment > as_of):
        return
    for item in attachments:
        attachment = as_object(item)
        content_type = (as_text(attachment.get("contentType")) or "").partition(";")[0].strip().lower()
        data, url = as_text(attachment.get("data")), as_text(attachment.get("url"))
        if content_type in IMAGE_TYPES and (radiograph or content_type == _DICOM) and (data or url):
            source = Attachment(content_type=content_type, data=data, url=url)
            taken = moment or _moment(attachment, "creation")
            yield Candidate(reference=reference, moment=taken, limb=bool(limb), source=source)
            return


def _is_radiograph(concept: object) -> bool:
    """Whether a Coding or a CodeableConcept says projection radiography."""
    found = as_object(concept)
    listed = codings(found) if "coding" in found else codings({"coding": [found]})
    return any(
        code in RADIOGRAPH_MODALITIES or (system_of(system) is CodeSystem.SNOMED_CT and code == _PLAIN_RADIOGRAPHY)
        for system, code in listed
    )


def _is_limb(concepts: Iterable[object]) -> bool | None:
    """Whether a coded site is a limb; None when no site is coded in SNOMED CT."""
    known = [
        code in LIMB_SITES
        for concept in concepts
        for system, code in codings(concept if "coding" in as_object(concept) else {"coding": [concept]})
        if system_of(system) is CodeSystem.SNOMED_CT
    ]
    return any(known) if known else None


def _oid(identifier: JsonObject) -> str | None:
    """The Study Instance UID of an identifier (``urn:oid:1.2.3``)."""
    value = as_text(identifier.get("value")) or ""
    uid = value.removeprefix("urn:oid:")
    return uid if value.startswith("urn:oid:") and is_uid(uid) else None


def _first_instance(series: JsonObject) -> str | None:
    found = [as_object(item) for item in as_list(series.get("instance"))]
    usable = [(_number(item.get("number")), uid) for item in found if (uid := as_text(item.get("uid"))) and is_uid(uid)]
    return min(usable)[1] if usable else None


def _wado_address(references: Iterable[object], endpoints: dict[str, JsonObject]) -> str | None:
    """The base of the first WADO-RS Endpoint, without the ``/studies`` that some servers write into it."""
    for item in references:
        match = _REFERENCE_ID.search(as_text(as_object(item).get("reference")) or "")
        endpoint = endpoints.get(match.group(1), {}) if match is not None else {}
        address = as_text(endpoint.get("address"))
        kind = as_object(endpoint.get("connectionType")).get("code")
        if address is not None and kind == _WADO_RS and endpoint.get("status") in ("active", "test", None):
            return address.partition("/studies")[0]
    return None


def _moment(resource: JsonObject, *names: str) -> datetime | None:
    moment, _ = first_moment(resource, *names)
    return None if moment is None else moment.start


def _number(value: object) -> float:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else float("inf")


def _reference(resource: JsonObject) -> str | None:
    found = as_text(resource.get("id"))
    return None if found is None else f"{resource['resourceType']}/{found}"
