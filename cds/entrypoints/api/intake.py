"""One case out of a request: ``multipart/form-data`` or JSON, the same fields in both."""

import base64
import json
import re
from typing import Annotated, Any, Final, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from python_multipart.exceptions import FormParserError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from cds.bedside import BEDSIDE_FIELDS, MAX_DIETARY_CALCIUM_MG_PER_DAY, BedsideField, FieldKind
from cds.errors import InputError
from cds.work.requests import RawCase

FILE_FIELDS: Final = frozenset({"image", "bundle"})
TEXT_FIELDS: Final = frozenset({"patient_id", "frame", "as_of"}) | {item.name for item in BEDSIDE_FIELDS}
MULTIPART: Final = "multipart/form-data"
URL_ENCODED: Final = "application/x-www-form-urlencoded"
"""What a form without files sends; it holds nothing to assess, and is told so."""
JSON: Final = "application/json"
MAX_PATIENT_ID: Final = 255
MAX_FRAME: Final = 100_000
MAX_FORM_FIELD_BYTES: Final = 64 * 1024
_BASE64: Final = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_PATIENT_ID: Final = r"^[^\u0000-\u001f\u007f]*$"
_IMAGE_WORDS: Final = "DICOM, PNG or JPEG"
_BUNDLE_WORDS: Final = "FHIR R4 Bundle"
_AS_OF_WORDS: Final = "Time of the assessment, 1900 to 2200; now by default."


def _json_type(item: BedsideField) -> Any:
    if item.kind is FieldKind.FLAG:
        return bool | None
    if item.choices is not None:
        return Literal[tuple(member.value for member in item.choices)] | None
    return Annotated[float, Field(ge=0, le=MAX_DIETARY_CALCIUM_MG_PER_DAY, allow_inf_nan=False)] | None


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    image: Annotated[str, Field(min_length=4, pattern=_BASE64)] | None = Field(
        default=None, description=f"{_IMAGE_WORDS}, in base64."
    )
    bundle: dict[str, Any] | None = Field(default=None, description=f"{_BUNDLE_WORDS}.")
    patient_id: Annotated[str, Field(max_length=MAX_PATIENT_ID, pattern=_PATIENT_ID)] | None = Field(
        default=None, description="Which Patient, when the bundle holds several."
    )
    frame: Annotated[int, Field(ge=1, le=MAX_FRAME)] | None = Field(
        default=None, description="DICOM frame, counted from 1; 1 by default."
    )
    as_of: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = Field(
        default=None, description=_AS_OF_WORDS
    )


_BEDSIDE: Final[dict[str, Any]] = {
    item.name: (_json_type(item), Field(default=None, description=item.explanation)) for item in BEDSIDE_FIELDS
}
AssessRequest: type[_Fields] = create_model(
    "AssessRequest", __base__=_Fields, __doc__="One case; what is left out is 'not stated'.", **_BEDSIDE
)
"""The JSON body."""


async def read_case(request: Request, *, explain: bool) -> RawCase:
    """The case of a request.

    Args:
        request: multipart or JSON.
        explain: whether heat maps are wanted.

    Raises:
        HTTPException: 400 for broken framing, 415 for another media type.
        InputError: a field is unknown, given twice, or of the wrong kind.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == JSON:
        return await run_in_threadpool(_from_json, await request.body(), explain)
    if media_type not in {MULTIPART, URL_ENCODED}:
        raise HTTPException(415)
    limits = {"max_files": len(FILE_FIELDS), "max_fields": len(TEXT_FIELDS), "max_part_size": MAX_FORM_FIELD_BYTES}
    try:
        async with request.form(**limits) as form:
            return await _from_form(form, explain)
    except FormParserError:  # the framework lets the parser's own error through
        raise HTTPException(400) from None


def _from_json(body: bytes, explain: bool) -> RawCase:
    try:
        given = AssessRequest.model_validate_json(body)
        # Only what can be written again: a lone surrogate could not be stored.
        bundle = None if given.bundle is None else json.dumps(given.bundle, allow_nan=False).encode()
        image = None if given.image is None else base64.b64decode(given.image, validate=True)
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in item["loc"][:1]) for item in error.errors(include_input=False)})
        known = [place for place in places if place in FILE_FIELDS | TEXT_FIELDS]
        raise InputError(
            f"These fields cannot be read: {', '.join(known)}." if known else "The body is no JSON of known fields.",
            remedy="Compare with the description at /api/openapi.json.",
        ) from None
    except (ValueError, RecursionError):
        raise InputError(
            "The bundle or the image of the body cannot be read.", remedy="Send a JSON object, and base64."
        ) from None
    return RawCase(
        image=image,
        bundle=bundle,
        patient_id=given.patient_id,
        frame=None if given.frame is None else str(given.frame),
        as_of=given.as_of,
        bedside={item.name: _word(getattr(given, item.name)) for item in BEDSIDE_FIELDS},
        explain=explain,
    )


def _word(value: bool | float | str | None) -> str | None:
    """A bedside finding as a form would send it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else str(value)


async def _from_form(form: FormData, explain: bool) -> RawCase:
    """The fields of a form; an unknown or repeated one is refused, since a misspelled one would be lost."""
    names = [name for name, _ in form.multi_items()]
    if set(names) - FILE_FIELDS - TEXT_FIELDS or len(names) != len(set(names)):
        raise InputError(
            "The request holds a field that is unknown or given twice.",
            remedy=f"Known fields: {', '.join(sorted(FILE_FIELDS | TEXT_FIELDS))}.",
        )
    files: dict[str, bytes] = {}
    texts: dict[str, str] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) != (name in FILE_FIELDS):
            raise InputError(f"The field '{name}' has the wrong kind.", remedy="Send image and bundle as files.")
        if isinstance(value, UploadFile):
            content = await value.read()
            if value.filename or content:  # a browser sends a nameless empty file for a field left blank
                files[name] = content
        else:
            texts[name] = value
    patient_id = texts.get("patient_id", "")
    if len(patient_id) > MAX_PATIENT_ID or re.fullmatch(_PATIENT_ID, patient_id) is None:
        raise InputError("The patient's identifier cannot be one.", remedy="Give the id of a Patient of the bundle.")
    return RawCase(
        image=files.get("image"),
        bundle=files.get("bundle"),
        patient_id=texts.get("patient_id"),
        frame=texts.get("frame"),
        as_of=texts.get("as_of"),
        bedside={item.name: texts.get(item.name) for item in BEDSIDE_FIELDS},
        explain=explain,
    )


def request_body() -> dict[str, Any]:
    """OpenAPI of the body, from the same table that the form is built of."""
    return {
        "required": True,
        "content": {
            MULTIPART: {"schema": _form_schema()},
            JSON: {"schema": _without_titles(AssessRequest.model_json_schema())},
        },
    }


def _form_schema() -> dict[str, Any]:
    properties: dict[str, dict[str, Any]] = {
        "image": {"type": "string", "format": "binary", "description": f"{_IMAGE_WORDS}."},
        "bundle": {"type": "string", "format": "binary", "description": f"{_BUNDLE_WORDS}, JSON or gzip of JSON."},
        "patient_id": {
            "type": "string",
            "maxLength": MAX_PATIENT_ID,
            "pattern": _PATIENT_ID,
            "description": "Which Patient, when the bundle holds several.",
        },
        "frame": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_FRAME,
            "default": 1,
            "description": "DICOM frame, counted from 1.",
        },
        "as_of": {"type": "string", "format": "date-time", "description": _AS_OF_WORDS},
    }
    for item in BEDSIDE_FIELDS:
        schema: dict[str, Any] = {"description": item.explanation, "type": "string"}
        if item.kind is FieldKind.FLAG:
            schema["enum"] = ["yes", "no"]
        elif item.choices is not None:
            schema["enum"] = [member.value for member in item.choices]
        else:
            schema |= {"type": "number", "minimum": 0, "maximum": MAX_DIETARY_CALCIUM_MG_PER_DAY}
        properties[item.name] = schema
    return {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "anyOf": [{"required": ["image"]}, {"required": ["bundle"]}],
    }


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """What pydantic adds for forms, and nobody reads."""
    for one in schema["properties"].values():
        one.pop("title", None)
    schema["anyOf"] = [
        {"required": ["image"], "properties": {"image": {"type": "string"}}},
        {"required": ["bundle"], "properties": {"bundle": {"type": "object"}}},
    ]
    return schema
