"""Body part and side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from imaging.dicom.anatomy import TERMS, Scope, anatomy, part_in_words
from imaging.errors import OutsideIntendedUseError
from imaging.labels import BodyRegion


def header(**attributes: object) -> Dataset:
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def coded(value: str, scheme: str = "SCT") -> list[Dataset]:
    return [header(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="x")]


@pytest.mark.parametrize(
    ("term", "region"),
    [
        ("WRIST", BodyRegion.WRIST), ("HAND", BodyRegion.HAND), ("THUMB", BodyRegion.HAND),
        ("FOREARM", BodyRegion.FOREARM), ("LEG", BodyRegion.LOWER_LEG), ("TIBIA FIBULA", BodyRegion.LOWER_LEG),
        ("UPPER_ARM", BodyRegion.HUMERUS), ("CLAVICLE", BodyRegion.CLAVICLE), ("PATELLA", BodyRegion.KNEE),
        ("CALCANEUS", BodyRegion.FOOT), ("PELVIS", BodyRegion.PELVIS), ("HIP", BodyRegion.HIP),
        ("HAND LEFT", BodyRegion.HAND), ("LT FOOT AP", BodyRegion.FOOT),
    ],
)  # fmt: skip
def test_limb_terms(term: str, region: BodyRegion) -> None:
    found = anatomy(header(BodyPartExamined=term))
    assert found.region is region and found.warnings == ()


@pytest.mark.parametrize(
    "term", ["CHEST", "ABDOMEN", "HEAD", "SKULL", "CSPINE", "L SPINE", "RIB", "BREAST", "JAW", "PHANTOM"]
)
def test_parts_outside_the_intended_use(term: str) -> None:
    with pytest.raises(OutsideIntendedUseError) as caught:
        anatomy(header(BodyPartExamined=term))
    assert term not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "scheme", "region"),
    [
        ("74670003", "SCT", BodyRegion.WRIST),
        ("T-D8500", "SRT", BodyRegion.FOREARM),
        ("30021000", "SCT", BodyRegion.LOWER_LEG),
    ],
)
def test_codes(code: str, scheme: str, region: BodyRegion) -> None:
    assert anatomy(header(AnatomicRegionSequence=coded(code, scheme))).region is region


@pytest.mark.parametrize(("code", "scheme"), [("816094009", "SCT"), ("51185008", "SCT"), ("T-D1100", "SRT")])
def test_codes_outside(code: str, scheme: str) -> None:
    with pytest.raises(OutsideIntendedUseError):
        anatomy(header(AnatomicRegionSequence=coded(code, scheme)))


def test_either_field_may_refuse() -> None:
    with pytest.raises(OutsideIntendedUseError):
        anatomy(header(BodyPartExamined="WRIST", AnatomicRegionSequence=coded("816094009")))


def test_two_limb_regions_are_a_conflict() -> None:
    found = anatomy(header(BodyPartExamined="WRIST", AnatomicRegionSequence=coded("30021000")))
    assert found.region is None and found.warnings == ("imaging.region.conflict",)


def test_silence_and_generality() -> None:
    assert anatomy(header()).warnings == ("imaging.region.missing",)
    assert anatomy(header(BodyPartExamined="EXTREMITY")).warnings == ("imaging.region.unspecific",)
    found = anatomy(header(BodyPartExamined="XQ17"))
    assert found.warnings == ("imaging.region.unrecognised", "imaging.region.missing")


def test_description_fills_in_with_a_warning() -> None:
    found = anatomy(header(BodyPartExamined="EXTREMITY", SeriesDescription="Ankle AP"))
    assert found.region is BodyRegion.ANKLE and found.warnings == ("imaging.region.from_description",)
    found = anatomy(header(ProtocolName="Handgelenk", StudyDescription="XR wrist left 2 views"))
    assert found.region is BodyRegion.WRIST


def test_series_is_believed_before_study() -> None:
    found = anatomy(header(SeriesDescription="Knee lateral", StudyDescription="Chest and knee"))
    assert found.region is BodyRegion.KNEE
    with pytest.raises(OutsideIntendedUseError):
        anatomy(header(SeriesDescription="Thorax PA", StudyDescription="Trauma: wrist"))


def test_stated_limb_outweighs_a_description() -> None:
    found = anatomy(header(BodyPartExamined="WRIST", StudyDescription="CHEST"))
    assert found.region is BodyRegion.WRIST and found.warnings == ("imaging.region.conflict",)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("fracture of the femoral neck", BodyRegion.HIP), ("radial head view", BodyRegion.ELBOW),
        ("distal radius", BodyRegion.WRIST), ("lower leg", BodyRegion.LOWER_LEG), ("hand and wrist", Scope.LIMB),
        ("chest", Scope.OUTSIDE), ("chest, left hand", BodyRegion.HAND), ("follow-up", None), ("", None),
        ("arm", Scope.LIMB), ("lumbar spine", Scope.OUTSIDE),
    ],
)  # fmt: skip
def test_words(words: str, part: object) -> None:
    assert part_in_words(words) is part


@given(st.text(max_size=80))
def test_any_text_is_understood_or_not(words: str) -> None:
    assert part_in_words(words) in {None, *BodyRegion, *Scope}


def test_every_term_is_written_as_it_is_looked_up() -> None:
    assert all(term.isupper() and term.isalpha() for term in TERMS)
    assert {part for part in TERMS.values() if isinstance(part, BodyRegion)} == set(BodyRegion)


@pytest.mark.parametrize(
    ("attributes", "side"),
    [
        ({"ImageLaterality": "L"}, "L"), ({"Laterality": "R"}, "R"), ({"ImageLaterality": "B", "Laterality": "R"}, "B"),
        ({"Laterality": "LEFT"}, None), ({}, None), ({"ImageLaterality": "", "Laterality": "L"}, "L"),
    ],
)  # fmt: skip
def test_side(attributes: dict[str, str], side: str | None) -> None:
    assert anatomy(header(**attributes)).laterality == side
