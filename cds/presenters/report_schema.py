"""The JSON Schema of ``report.json``, built from the border types; ``report.schema.json`` is the published copy.

``python -m cds.presenters.report_schema`` writes that copy anew after a border type has changed.
"""

import ast
import inspect
import re
import textwrap
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import orjson

from cds.case import CaseResult
from cds.presenters.json_report import PIXEL_FIELDS, SCHEMA_VERSION, Json
from cds.presenters.wording import NOTICE

SCHEMA_PATH = Path(__file__).with_name("report.schema.json")

_SCALARS: dict[object, dict[str, Json]] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
}
_PROBABILITIES: frozenset[str] = frozenset(
    {
        "BoneAgeEstimate.likeness",
        "CombinedEstimate.high",
        "CombinedEstimate.low",
        "CombinedEstimate.value",
        "DxaThreshold.probability",
        "DxaThreshold.sensitivity",
        "DxaThreshold.sensitivity_high",
        "DxaThreshold.sensitivity_low",
        "DxaThreshold.specificity",
        "DxaThreshold.specificity_high",
        "DxaThreshold.specificity_low",
        "FractureDetection.score",
        "FractureProbability.high",
        "FractureProbability.low",
        "FractureProbability.model_value",
        "FractureProbability.value",
        "FragilityAssessment.high",
        "FragilityAssessment.low",
        "HealingComparison.concordance_learned",
        "HealingComparison.concordance_rules",
        "HealingComparison.coverage_learned",
        "HealingComparison.coverage_rules",
        "HealingEstimate.nonunion_high",
        "HealingEstimate.nonunion_low",
        "HealingWhatIf.nonunion_high",
        "HealingWhatIf.nonunion_low",
        "HeatMap.share_in_box",
        "ImageAttributes.hardware_probability",
        "ImageAttributes.limb",
        "ImageAttributes.views",
        "ImageFindings.calibration_prevalence",
        "ImageFindings.max_score",
        "ImageFindings.scope_score",
        "LearnedHealing.weight",
        "OperatingPoint.sensitivity",
        "OperatingPoint.sensitivity_low",
        "OperatingPoint.specificity",
        "OperatingPoint.specificity_low",
        "OperatingPoint.threshold",
        "OsteoporosisEstimate.high",
        "OsteoporosisEstimate.low",
        "OsteoporosisEstimate.value",
        "PatternEstimate.displaced_probability",
        "PatternEstimate.probabilities",
        "WhatIfCase.high",
        "WhatIfCase.low",
        "WhatIfCase.probability",
        "WhatIfCase.weight",
        "WouldChange.expected_high",
        "WouldChange.expected_low",
    }
)
"""Fields whose numbers lie in 0..1."""


class _Builder:
    """Collects one definition per dataclass and enum."""

    def __init__(self) -> None:
        self.definitions: dict[str, Json] = {}

    def of(self, hint: Any, bounds: dict[str, Json], parameters: dict[Any, Any]) -> dict[str, Json]:
        """The schema of one type hint."""
        hint = parameters.get(hint, hint)
        origin = get_origin(hint)
        if origin in (Union, UnionType):
            members = [one for one in get_args(hint) if one is not NoneType]
            options: list[Json] = [self.of(one, bounds, parameters) for one in members]
            if NoneType in get_args(hint):
                options.append({"type": "null"})
            return {"anyOf": options}
        if origin is tuple:
            return self._tuple(get_args(hint), bounds, parameters)
        if hint in _SCALARS:
            return _SCALARS[hint] | (bounds if hint in (int, float) else {})
        if origin is not None:
            return self._generic(hint, origin)
        return self._named(hint)

    def _tuple(self, members: tuple[Any, ...], bounds: dict[str, Json], parameters: dict[Any, Any]) -> dict[str, Json]:
        """A list of one kind of member, or of a fixed number of members."""
        if members[-1] is Ellipsis:
            return {"type": "array", "items": self.of(members[0], bounds, parameters)}
        fixed: list[Json] = [self.of(one, bounds, parameters) for one in members]
        count = len(fixed)
        return {"type": "array", "prefixItems": fixed, "items": False, "minItems": count, "maxItems": count}

    def _generic(self, hint: Any, origin: Any) -> dict[str, Json]:
        """A parametrised dataclass such as ``Sourced[float]``, as a definition of its own."""
        (argument,) = get_args(hint)
        (parameter,) = (one for one in origin.__parameters__ if isinstance(one, TypeVar))
        name = f"{origin.__name__}_{argument.__name__}"
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = _closed(self.properties(origin, {parameter: argument}), origin)
        return {"$ref": f"#/$defs/{name}"}

    def _named(self, hint: Any) -> dict[str, Json]:
        """A dataclass or an enum."""
        name = hint.__name__
        if name not in self.definitions:
            self.definitions[name] = {}
            if issubclass(hint, Enum):
                self.definitions[name] = {"description": _summary(hint), "enum": [one.value for one in hint]}
            else:
                self.definitions[name] = _closed(self.properties(hint, {}), hint)
        return {"$ref": f"#/$defs/{name}"}

    def properties(self, hint: Any, parameters: dict[Any, Any]) -> dict[str, Json]:
        """The schema of every field of a dataclass, with the words of its docstring."""
        if not is_dataclass(hint):
            raise TypeError(f"{hint!r} is no border type")
        hints, owner = get_type_hints(hint), getattr(hint, "__name__", "")
        told = _field_docstrings(hint)
        properties: dict[str, Json] = {}
        for field in fields(hint):
            if field.name in PIXEL_FIELDS:
                continue
            inside = f"{owner}.{field.name}" in _PROBABILITIES
            bounds: dict[str, Json] = {"minimum": 0, "maximum": 1} if inside else {}
            words: dict[str, Json] = {"description": told[field.name]} if field.name in told else {}
            properties[field.name] = words | self.of(hints[field.name], bounds, parameters)
        return properties


def _in_json_words(text: str) -> str:
    """A docstring on one line, with JSON's name for None."""
    return re.sub(r"\bNone\b", "null", " ".join(text.split()))


def _summary(hint: Any) -> str:
    """The first paragraph of a docstring."""
    return _in_json_words((inspect.getdoc(hint) or "").partition("\n\n")[0])


def _field_docstrings(hint: Any) -> dict[str, str]:
    """The string below each field of a dataclass; only the source holds it."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(hint))).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    told: dict[str, str] = {}
    for field, below in pairwise(body):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            told[field.target.id] = _in_json_words(below.value.value)
    return told


def _closed(properties: dict[str, Json], hint: Any = None) -> dict[str, Json]:
    """An object with all of these properties and no other."""
    words: dict[str, Json] = {"description": _summary(hint)} if hint is not None else {}
    return words | {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def build_schema() -> dict[str, Json]:
    """The schema of ``report.json``, JSON Schema draft 2020-12, strict: no property beyond those named."""
    builder = _Builder()
    properties: dict[str, Json] = {"schema_version": {"const": SCHEMA_VERSION}, "notice": {"const": NOTICE}}
    properties |= builder.properties(CaseResult, {})
    properties["warning_texts"] = {"type": "object", "additionalProperties": {"type": "string"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:fracture-cds:schema:report:{SCHEMA_VERSION}",
        "title": "fracture-cds report",
        "description": (
            "One case: what was concluded, and what it was concluded from."
            " Units are in the names; null means not known."
        ),
        **_closed(properties),
        "$defs": dict(sorted(builder.definitions.items())),
    }


def schema_bytes() -> bytes:
    """The published copy's bytes."""
    return orjson.dumps(build_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    SCHEMA_PATH.write_bytes(schema_bytes())
