"""A case as it came over the wire, nothing checked, and as a document that a job or a kept case carries."""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any, Final

from cds.bedside import BEDSIDE_FIELDS
from cds.errors import DamagedBlobError
from cds.store.tables import KEY_LENGTH

ASSESS: Final = "assess"
"""The kind of job."""
REQUEST_FILE: Final = "request.json"
"""Name of the document among the files of a case."""
_LOOK_BYTES: Final = 64 * 1024 * 1024
"""No more of a compressed record is unpacked to look for the patient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawCase:
    """A case as it came over the wire: bytes and text, nothing checked."""

    image: bytes | None
    bundle: bytes | None
    patient_id: str | None
    frame: str | None
    as_of: str | None
    bedside: Mapping[str, str | None]
    explain: bool = False
    """Whether heat maps are wanted."""
    source_warnings: tuple[str, ...] = ()
    """What fetching the inputs left to say to the reader, as in `cds.case.CaseInput`."""


def to_document(raw: RawCase) -> dict[str, Any]:
    """What was asked for, without the files; fields that were not given are left out."""
    document: dict[str, Any] = {"patient_id": raw.patient_id, "frame": raw.frame, "as_of": raw.as_of}
    document["bedside"] = {name: text for name, text in sorted(raw.bedside.items()) if text}
    document["explain"] = raw.explain or None
    document["source_warnings"] = list(raw.source_warnings)
    return {name: value for name, value in document.items() if value}


def from_document(document: Mapping[str, Any], *, image: bytes | None, bundle: bytes | None) -> RawCase:
    """The case of a document and its files."""
    bedside = document.get("bedside", {})
    return RawCase(
        image=image,
        bundle=bundle,
        patient_id=document.get("patient_id"),
        frame=document.get("frame"),
        as_of=document.get("as_of"),
        bedside={item.name: bedside.get(item.name) for item in BEDSIDE_FIELDS},
        explain=bool(document.get("explain")),
        source_warnings=tuple(document.get("source_warnings", ())),
    )


def request_file(raw: RawCase, as_of: datetime) -> bytes:
    """The document as it is kept with a case: with the time that was meant, so that it can be assessed again."""
    document = to_document(raw) | {"assessed_as_of": as_of.isoformat()}
    return json.dumps(document, sort_keys=True, ensure_ascii=False).encode()


def read_request_file(data: bytes) -> tuple[dict[str, Any], str]:
    """The document that was given, and the time that was meant.

    Raises:
        DamagedBlobError: it is no such document.
    """
    try:
        document = json.loads(data)
        return document, str(document.pop("assessed_as_of"))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise DamagedBlobError(
            "The stored request cannot be read.", remedy="Restore the data folder from its backup."
        ) from None


def patient_key_of(raw: RawCase) -> str | None:
    """The logical id of the patient a request is about, for erasure of a job that never became a case.

    Only looks; a record that cannot be read is the pipeline's to refuse.
    """
    if raw.patient_id:
        return raw.patient_id
    if raw.bundle is None:
        return None
    try:
        resources = [one["resource"] for one in json.loads(_unpacked(raw.bundle))["entry"]]
        ids = [str(one["id"]) for one in resources if one["resourceType"] == "Patient"]
    except (ValueError, TypeError, KeyError, RecursionError, OSError, EOFError, zlib.error):
        return None
    return ids[0] if len(ids) == 1 and len(ids[0]) <= KEY_LENGTH else None


def _unpacked(bundle: bytes) -> bytes:
    if not bundle.startswith(b"\x1f\x8b"):
        return bundle
    with gzip.GzipFile(fileobj=BytesIO(bundle)) as packed:
        return packed.read(_LOOK_BYTES)
