import json
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError

from cds.presenters.json_report import SCHEMA_VERSION, UnfitValueError, plain, render_json, report_object
from cds.presenters.report_schema import SCHEMA_PATH, build_schema
from tests.support.cases import CREATED, all_cases, full_case


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMA_PATH.read_bytes())
    return schema


def _without_words(schema: Any) -> Any:
    """A schema without the sentences taken from docstrings."""
    if isinstance(schema, dict):
        return {
            key: _without_words(value)
            for key, value in schema.items()
            if not (key == "description" and isinstance(value, str))
        }
    return [_without_words(one) for one in schema] if isinstance(schema, list) else schema


def _validator() -> Draft202012Validator:
    return Draft202012Validator(_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_published_schema_is_in_step_with_the_border_types() -> None:
    Draft202012Validator.check_schema(_schema())
    assert _without_words(_schema()) == _without_words(build_schema()), (
        "a border type changed: run `python -m cds.presenters.report_schema`"
    )


def test_schema_is_strict_everywhere() -> None:
    def objects(node: Any) -> list[dict[str, Any]]:
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        found = [one for child in children for one in objects(child)]
        return [node, *found] if isinstance(node, dict) and "properties" in node else found

    for one in objects(_schema()):
        if "$ref" not in one and isinstance(one.get("properties"), dict) and one.get("type") == "object":
            assert one["additionalProperties"] is False
            assert set(one["required"]) == set(one["properties"])


@pytest.mark.parametrize("name", all_cases())
def test_every_case_fits_the_schema(name: str) -> None:
    _validator().validate(json.loads(render_json(all_cases()[name])))


def test_schema_refuses_what_is_not_in_it() -> None:
    report = json.loads(render_json(full_case()))
    changes: tuple[dict[str, Any], ...] = (
        {"extra": 1},
        {"schema_version": "2.0.0"},
        {"findings": {}},
        {"assessment": None},
    )
    for change in changes:
        with pytest.raises(ValidationError):
            _validator().validate(report | change)
    report["risk"]["hip"]["value"] = 1.5
    with pytest.raises(ValidationError):
        _validator().validate(report)


def test_report_holds_everything_but_the_pixels() -> None:
    report = json.loads(render_json(full_case()))
    assert report["schema_version"] == SCHEMA_VERSION
    assert list(report)[:5] == ["schema_version", "notice", "case_id", "engine_version", "assessment"]
    assert "pixels" not in report["radiograph"]
    assert report["radiograph"]["dicom"]["frame"] == 1
    assert report["assessment"]["created"] == "2026-03-04T09:30:00+00:00"
    assert report["findings"]["detections"][0]["call"] == "definite"
    assert report["patient"]["vitamin_d_nmol_l"]["resource"] == "Observation/vitd-1"
    assert report["patient"]["alcohol_units_per_week"] is None
    assert report["risk"]["major_osteoporotic"]["adjustments"][0]["ratio"] == 1.19
    assert set(report["warning_texts"]) == {"imaging.spacing.detector_plane", "fhir.unit.unknown"}


def test_same_case_gives_the_same_bytes() -> None:
    assert render_json(full_case()) == render_json(full_case())
    assert render_json(full_case()).endswith(b"}\n")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    full = full_case()
    assert full.findings is not None
    with pytest.raises(UnfitValueError):
        render_json(replace(full, findings=replace(full.findings, max_score=value)))


def test_times_without_zone_are_refused() -> None:
    full = full_case()
    naive = replace(full.assessment, created=CREATED.replace(tzinfo=None))
    with pytest.raises(UnfitValueError):
        render_json(replace(full, assessment=naive))


def test_numbers_of_numpy_become_plain() -> None:
    assert plain(np.float32(0.5)) == 0.5
    assert type(plain(np.float32(0.5))) is float
    assert type(plain(np.int64(3))) is int


def test_only_border_types_pass() -> None:
    with pytest.raises(TypeError):
        plain({1, 2})
    with pytest.raises(TypeError):
        plain(b"bytes")


@dataclass(frozen=True)
class _Pair:
    one: tuple[float, ...]
    two: datetime | None


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False)), st.none() | st.datetimes(timezones=st.timezones()))
def test_numbers_and_times_survive(numbers: list[float], moment: datetime | None) -> None:
    back = json.loads(json.dumps(plain(_Pair(one=tuple(numbers), two=moment))))
    assert back["one"] == numbers
    if moment is not None and moment.utcoffset() is not None:
        assert datetime.fromisoformat(back["two"]).utcoffset() == moment.utcoffset()


def test_report_object_is_json() -> None:
    assert json.loads(json.dumps(report_object(full_case()))) == json.loads(render_json(full_case()))
