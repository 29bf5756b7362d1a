"""`CaseResult` to ``report.json``: every border type as it is, without pixels, as `report.schema.json` describes it.

Every field of every border type is present, null where the value is None, so that "not known" is never confused with
"not asked for". The birth date is there when the snapshot holds one: treat the file as patient data.
"""

import math
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from numbers import Integral, Real
from typing import TypeAlias

import orjson

from cds.case import CaseResult
from cds.presenters.messages import case_warnings, explain
from cds.presenters.wording import NOTICE

SCHEMA_VERSION = "1.1.0"
"""Version of the report's layout; the major number changes when a reader of the old layout would fail."""

PIXEL_FIELDS = frozenset({"pixels", "heat", "source_image"})
"""The fields that are left out: `Radiograph.pixels`, `HeatMap.heat` and `CaseResult.source_image`."""

_ORDER: tuple[str, ...] = (
    "case_id",
    "engine_version",
    "assessment",
    "findings",
    "explanations",
    "bone_age",
    "bone_age_unavailable",
    "bone_age_expected",
    "risk",
    "risk_unavailable",
    "features",
    "patient",
    "context",
    "radiograph",
)
"""Fields of `CaseResult`: the answer first, then what it was concluded from."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class UnfitValueError(ValueError):
    """A value cannot stand in a report: a fault of the engine, which should have refused it where it was computed."""


def plain(value: object) -> Json:
    """A border type as JSON values.

    Args:
        value: A dataclass, enum, time, number, text, tuple or None.

    Returns:
        Objects for dataclasses, lists for tuples, values for enums, ISO 8601 text for times.

    Raises:
        UnfitValueError: For NaN, an infinity or a time without a zone.
        TypeError: For anything that is no border type.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, bool | str):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value) if one.name not in PIXEL_FIELDS}
    if isinstance(value, tuple | list):
        return [plain(one) for one in value]
    return _scalar(value)


def _scalar(value: object) -> Json:
    """Times and numbers."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise UnfitValueError("A time without a zone reached the report.")
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        if not math.isfinite(value):
            raise UnfitValueError("A number that is not finite reached the report.")
        return float(value)
    raise TypeError(f"{type(value).__name__} has no place in a report")


def _bone_age_codes(result: CaseResult) -> tuple[str, ...]:
    """Codes of skeletal age: why there is none, or what to mind about it."""
    compared = result.bone_age.discrepancy if result.bone_age is not None else None
    codes = (
        result.bone_age_unavailable,
        *(result.bone_age.warnings if result.bone_age is not None else ()),
        compared.not_judged if compared is not None else None,
    )
    return tuple(code for code in codes if code is not None)


def report_object(result: CaseResult) -> dict[str, Json]:
    """The report as JSON values, in the order in which it is written."""
    report: dict[str, Json] = {"schema_version": SCHEMA_VERSION, "notice": NOTICE}
    report.update((name, plain(getattr(result, name))) for name in _ORDER)
    codes = (*case_warnings(result), *_bone_age_codes(result))
    report["warning_texts"] = {message.code: message.text for message in explain(codes)}
    return report


def render_json(result: CaseResult) -> bytes:
    """One case as ``report.json``.

    Args:
        result: The case; any part of it may be missing.

    Returns:
        UTF-8, indented, ending in a newline.

    Raises:
        UnfitValueError: For NaN, an infinity or a time without a zone anywhere in the case.
    """
    return orjson.dumps(report_object(result), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
