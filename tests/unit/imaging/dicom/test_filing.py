"""What every result shares: identity, patient and study; nothing of them in logs or errors."""

import logging
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom.dataset import Dataset, FileDataset

from imaging.dicom.capture import build_capture
from imaging.dicom.filing import (
    Filing,
    copy_patient_and_study,
    derived_uid,
    file_bytes,
    instance_number,
    local_moment,
    read_source,
)
from imaging.dicom.presentation import build_presentation
from imaging.dicom.reader import read_dicom
from imaging.dicom.sr import build_report
from imaging.errors import ImagingError
from imaging.results import ImageFindings
from tests.support import dicom as files
from tests.support.filed import CREATED, FILING, finding_sets, image


def _all(data: bytes, filing: Filing = FILING, **changes: object) -> list[Dataset]:
    source, radiograph = read_source(data), read_dicom(data, sha256="0" * 64)
    findings: ImageFindings = replace(finding_sets(radiograph)["several"], **changes)  # type: ignore[arg-type]
    state = build_presentation(source, findings, filing)
    assert state is not None
    return [build_report(source, findings, filing), state, build_capture(source, radiograph, findings, filing)]


def test_same_result_same_files() -> None:
    data = files.file(uid_seed="one")
    assert [file_bytes(one) for one in _all(data)] == [file_bytes(one) for one in _all(data)]


@pytest.mark.parametrize(
    ("filing", "changes"),
    [
        (replace(FILING, content_key="b" * 64), {}),
        (replace(FILING, software_version="0.2.0"), {}),
        (FILING, {"model_id": "other@1.0.0+00000000"}),
    ],
)
def test_another_result_has_another_identity(filing: Filing, changes: dict[str, object]) -> None:
    data = files.file(uid_seed="one")
    before, after = _all(data), _all(data, filing, **changes)
    assert all(a.SOPInstanceUID != b.SOPInstanceUID for a, b in zip(before, after, strict=True))
    assert len({one.SOPInstanceUID for one in (*before, *after)}) == 6


def test_a_later_run_with_the_same_result_keeps_the_identity() -> None:
    data = files.file(uid_seed="one")
    later = replace(FILING, created=CREATED.replace(hour=23))
    assert [one.SOPInstanceUID for one in _all(data)] == [one.SOPInstanceUID for one in _all(data, later)]


def test_images_of_one_study_share_the_series_of_results() -> None:
    def sibling(made: FileDataset) -> None:
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "2.25.77"
        made.InstanceNumber = 2

    first, second = _all(files.file(uid_seed="one")), _all(files.file(sibling, uid_seed="one"))
    for a, b in zip(first, second, strict=True):
        assert a.SeriesInstanceUID == b.SeriesInstanceUID
        assert a.SOPInstanceUID != b.SOPInstanceUID
        assert (a.InstanceNumber, b.InstanceNumber) == (1, 2)
    assert len({one.SeriesInstanceUID for one in first}) == 3


def test_uids_are_valid() -> None:
    for one in _all(files.file()):
        assert one.SOPInstanceUID.is_valid
        assert str(one.SOPInstanceUID).startswith("2.25.")
        assert len(one.SOPInstanceUID) <= 64
    assert derived_uid("a", "b") == derived_uid("a", "b") != derived_uid("b", "a")


def test_the_source_is_not_altered() -> None:
    data = files.file(uid_seed="one")
    source, radiograph = read_source(data), read_dicom(data, sha256="0" * 64)
    before = source.dataset.to_json()
    findings = finding_sets(radiograph)["several"]
    build_report(source, findings, FILING)
    build_presentation(source, findings, FILING)
    build_capture(source, radiograph, findings, FILING)
    assert source.dataset.to_json() == before


def test_patient_and_study_are_copied_in_any_character_set() -> None:
    def bend(made: FileDataset) -> None:
        made.SpecificCharacterSet = "ISO_IR 100"
        made.PatientName = "Müller^Zoë"
        made.PatientBirthDate, made.PatientSex = "19530601", "F"
        made.StudyDescription, made.AccessionNumber = "Radius re. präop", "A-1"
        made.OtherPatientNames = "Left^Behind"
        made.InstitutionName = "Left behind"

    for one in _all(files.file(bend)):
        made = type(one)
        back = read_source(file_bytes(one) if "Rows" in one else _with_size(one)).dataset
        assert made is not None
        assert str(back.PatientName) == "Müller^Zoë"
        assert (back.PatientBirthDate, back.PatientSex, back.AccessionNumber) == ("19530601", "F", "A-1")
        assert back.StudyDescription == "Radius re. präop"
        assert back.SpecificCharacterSet == "ISO_IR 192"
        assert "OtherPatientNames" not in back
        assert "InstitutionName" not in back


def _with_size(made: Dataset) -> bytes:
    """`read_source` wants an image: size is added so that the same reader reads every object."""
    copy = Dataset(made)
    copy.file_meta = made.file_meta
    copy.SeriesInstanceUID = made.SeriesInstanceUID
    copy.Rows = copy.Columns = 1
    return file_bytes(copy)


def test_invalid_values_are_left_out_and_nothing_is_logged(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    strange = "Very^Odd=Name^^^^^of^a^Person"

    def bend(made: FileDataset) -> None:
        made.add_new("PatientBirthDate", "LO", "1 June 1953")
        made.add_new("PatientSex", "LO", "female")
        made.add_new("StudyTime", "LO", "noon")
        made.PatientName = strange

    data = files.file(bend)
    with caplog.at_level(logging.DEBUG):
        made = _all(data)
    for one in made:
        assert [str(one[word].value or "") for word in ("PatientBirthDate", "PatientSex", "StudyTime")] == [""] * 3
        assert str(one.PatientName) == strange
    said = caplog.text + " ".join(str(one.message) for one in recwarn)
    assert strange not in said
    assert "1953" not in said
    assert "Odd" not in said


def test_time_is_that_of_the_source() -> None:
    def bend(made: FileDataset) -> None:
        made.TimezoneOffsetFromUTC = "-0430"

    source = read_source(files.file(bend))
    assert local_moment(source, CREATED) == ("20260304", "050000")
    assert local_moment(image("cr")[0], CREATED) == ("20260304", "093000")
    target = Dataset()
    copy_patient_and_study(source, target)
    assert target.TimezoneOffsetFromUTC == "-0430"


@pytest.mark.parametrize(("stated", "number"), [(None, 1), ("0", 1), ("17", 17)])
def test_instance_number(stated: str | None, number: int) -> None:
    def bend(made: FileDataset) -> None:
        made.InstanceNumber = stated

    assert instance_number(read_source(files.file(bend))) == number


def test_deidentification_is_carried_on() -> None:
    def bend(made: FileDataset) -> None:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "113100", "DCM", "Basic Profile"
        made.PatientIdentityRemoved = "YES"
        made.DeidentificationMethodCodeSequence = [item]

    for one in _all(files.file(bend)):
        assert one.PatientIdentityRemoved == "YES"
        assert one.DeidentificationMethodCodeSequence[0].CodeValue == "113100"


@pytest.mark.parametrize("data", [b"", b"junk", files.file(lambda made: made.__delitem__("StudyInstanceUID"))])
def test_what_cannot_be_referred_to_is_refused(data: bytes) -> None:
    with pytest.raises(ImagingError) as caught:
        read_source(data)
    assert files.PATIENT_NAME not in str(caught.value)


def test_bytes_are_a_dicom_file() -> None:
    for one in _all(files.file()):
        content = file_bytes(one)
        assert content[128:132] == b"DICM"
        assert b"fracture-cds" in content
        assert BytesIO(content).read(4) == bytes(4)
