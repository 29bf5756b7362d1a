"""De-identification: planted identifiers are gone, what training needs stays, and the file says what was done."""

import datetime as dt
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import JPEG2000Lossless, RLELossless

from imaging.dicom.burned_in import find_text, mask
from imaging.dicom.deidentify import Deidentified, DeidentifyOptions, deidentify, residue
from imaging.dicom.deidentify_folder import deidentify_folder
from imaging.dicom.reader import read_dicom
from imaging.errors import ImagingError, NoPixelDataError, ResidueError
from tests.support import dicom

KEY = b"a key of the tests' own."
PLANTED = {
    "PatientName": "Plantedsurname^Plantedgiven",
    "PatientID": "PLANT-4711",
    "PatientBirthDate": "19610412",
    "PatientAddress": "Plantedstreet 7, 12345 Plantedtown",
    "PatientTelephoneNumbers": "+49-30-4711081",
    "OtherPatientNames": "Plantedmaiden^Plantedgiven",
    "PatientComments": "plantedcomment of a nurse",
    "AccessionNumber": "PLACC0815",
    "StudyID": "PLSTUDY9",
    "ReferringPhysicianName": "Planteddoctor^Referring",
    "OperatorsName": "Plantedoperator^X",
    "PerformingPhysicianName": "Plantedperformer^Y",
    "InstitutionName": "Plantedhospital",
    "InstitutionAddress": "Plantedavenue 1",
    "StationName": "PLANTSTATION",
    "StudyDescription": "plantedwrist of Plantedsurname",
    "SeriesDescription": "plantedseries",
    "ImageComments": "plantedimagecomment",
    "ProtocolName": "plantedprotocol",
    "DeviceSerialNumber": "PLSN-778899",
    "StudyDate": "20240229",
    "AcquisitionDate": "20240301",
    "StudyTime": "123456.789",
    "RequestedProcedureDescription": "plantedprocedure",
    "BodyPartExamined": "PLANTEDPART",
}


def planted() -> FileDataset:
    made = dicom.dataset()
    for keyword, value in PLANTED.items():
        setattr(made, keyword, value)
    made.ViewPosition = "PLANTEDVIEW"
    block = made.private_block(0x0011, "PLANTEDCREATOR", create=True)
    block.add_new(0x01, "LO", "plantedprivate")
    block.add_new(0x02, "UN", b"plantedbytes\x00")
    inner, outer = Dataset(), Dataset()
    inner.PersonName = "Plantednested^Deep"
    inner.TextValue = "planteddeeptext"
    outer.ContentSequence = [inner]
    outer.CodeMeaning = "plantedmeaning"
    made.RequestAttributesSequence = [outer]
    made.AnatomicRegionSequence[0].CodeMeaning = "plantedregion"
    made.add_new(0x60000022, "LO", "plantedoverlay")
    made.add_new(0x60003000, "OW", b"plantedoverlaydata")
    made.preamble = b"<html>plantedpreamble</html>".ljust(128, b"\x00")
    made.file_meta.SourceApplicationEntityTitle = "PLANTEDAE"
    made.add_new(0xFFFCFFFC, "OB", b"plantedtrailing")
    return made


def run(made: FileDataset, **changed: object) -> tuple[Deidentified, FileDataset]:
    done = deidentify(dicom.to_bytes(made), DeidentifyOptions(key=KEY, **changed))  # type: ignore[arg-type]
    return done, dcmread(BytesIO(done.data))


def test_planted_identifiers_are_gone() -> None:
    assert len(PLANTED) >= 15
    source = planted()
    done, made = run(source)
    hay = done.data.lower()
    assert b"plant" not in hay and "plant".encode("utf-16-le") not in hay
    for value in PLANTED.values():
        for word in value.replace("^", " ").replace(",", " ").split():
            assert len(word) < 4 or word.lower().encode() not in hay, "a planted word is left"
    for old in (source.SOPInstanceUID, source.StudyInstanceUID, source.SeriesInstanceUID):
        assert old.encode() not in done.data
    assert done.residue == 0
    assert not any(element.tag.is_private for element in made.iterall())
    assert not any(element.tag.group in (0x6000, 0xFFFC) for element in made)
    assert "BodyPartExamined" not in made and made.AnatomicRegionSequence[0].CodeMeaning == "Wrist joint"


def test_file_says_what_was_done() -> None:
    _, made = run(planted())
    assert made.PatientIdentityRemoved == "YES" and made.DeidentificationMethod
    codes = {(one.CodeValue, one.CodingSchemeDesignator) for one in made.DeidentificationMethodCodeSequence}
    assert codes == {("113100", "DCM"), ("113103", "DCM")}
    assert made.LongitudinalTemporalInformationModified == "REMOVED" and made.StudyDate == ""
    _, kept = run(planted(), shift_dates=True, keep_characteristics=True)
    assert {"113107", "113108"} <= {one.CodeValue for one in kept.DeidentificationMethodCodeSequence}
    assert kept.LongitudinalTemporalInformationModified == "MODIFIED"


def test_pixels_and_geometry_stay() -> None:
    source = dicom.dataset()
    before = read_dicom(dicom.to_bytes(source), sha256="0" * 64)
    done, made = run(source)
    after = read_dicom(done.data, sha256="0" * 64)
    assert np.array_equal(before.pixels, after.pixels)
    assert (before.spacing, before.region, before.laterality) == (after.spacing, after.region, after.laterality)
    assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID == done.instance_uid


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_compressed_pixels_are_written_plainly(syntax: str) -> None:
    data, values = dicom.compressed(syntax, 12)  # type: ignore[arg-type]
    made = dcmread(BytesIO(deidentify(data, DeidentifyOptions(key=KEY, mask_text=False)).data))
    assert np.array_equal(np.frombuffer(made.PixelData, "<u2").reshape(values.shape), values)


def test_bits_above_the_stored_ones_and_bytes_after_the_frames_go() -> None:
    source = dicom.dataset()
    values = np.frombuffer(source.PixelData, "<u2").copy()
    hidden = (values | 0x8000).astype("<u2")
    source.PixelData = hidden.tobytes() + b"plantedafterthepixels!"
    done, made = run(source, mask_text=False)
    assert np.array_equal(np.frombuffer(made.PixelData, "<u2"), values) and b"planted" not in done.data


def test_same_key_keeps_studies_and_patients_together_and_another_does_not() -> None:
    first, second = dicom.dataset(), dicom.dataset()
    for made, name in ((first, "A^B"), (second, "A^B")):
        made.PatientID, made.PatientName, made.StudyInstanceUID = "77001122", name, "1.2.3.4.5.6789"
    one, two = run(first)[1], run(second)[1]
    assert (one.PatientID, one.StudyInstanceUID) == (two.PatientID, two.StudyInstanceUID)
    assert one.SOPInstanceUID != two.SOPInstanceUID
    other = dcmread(BytesIO(deidentify(dicom.to_bytes(first), DeidentifyOptions(key=KEY[::-1])).data))
    assert other.PatientID != one.PatientID and other.StudyInstanceUID != one.StudyInstanceUID


def test_dates_of_a_patient_move_together() -> None:
    source = dicom.dataset()
    source.PatientID, source.StudyDate, source.AcquisitionDate = "77001122", "20240229", "20240305"
    _, made = run(source, shift_dates=True)
    study, taken = (dt.datetime.strptime(one, "%Y%m%d").date() for one in (made.StudyDate, made.AcquisitionDate))
    assert (taken - study).days == 5
    assert 1 <= (dt.date(2024, 2, 29) - study).days <= 3650
    assert made.StudyTime == ""


@pytest.mark.parametrize(
    ("age", "kept"), [("007Y", "007Y"), ("089Y", "089Y"), ("093Y", "090Y"), ("018M", "018M"), ("x", None)]
)
def test_characteristics(age: str, kept: str | None) -> None:
    source = dicom.dataset()
    source.PatientSex = "F"
    source["PatientSex"].value = "F"
    if kept is not None:
        source.PatientAge = age
    made = run(source, keep_characteristics=True)[1]
    assert (made.PatientSex, made.get("PatientAge")) == ("F", kept)
    assert "PatientAge" not in run(source)[1]


def test_residue_is_found_by_a_search_of_its_own() -> None:
    source = planted()
    done, _ = run(source)
    assert residue(source, done.data) == ()
    leaky = dcmread(BytesIO(done.data))
    leaky.StudyDescription = "see PLANTEDSURNAME"
    stream = BytesIO()
    leaky.save_as(stream)
    assert "(0010,0010)" in residue(source, stream.getvalue())


def test_residue_stops_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imaging.dicom.deidentify.METHOD", "done for Plantedsurname")
    with pytest.raises(ResidueError) as caught:
        run(planted())
    assert "lanted" not in str(caught.value)


def test_what_cannot_be_deidentified_is_refused() -> None:
    options = DeidentifyOptions(key=KEY)
    source = dicom.dataset()
    del source.PixelData
    for data, kind in ((dicom.to_bytes(source), NoPixelDataError), (b"nothing", ImagingError), (b"", ImagingError)):
        with pytest.raises(kind):
            deidentify(data, options)
    with pytest.raises(ValueError, match="16"):
        deidentify(dicom.to_bytes(dicom.dataset()), DeidentifyOptions(key=b"short"))
    assert "tests" not in repr(options)


def film(rows: int = 900, columns: int = 700) -> NDArray[np.uint8]:
    """A soft bone on a dark ground."""
    y, x = np.mgrid[0:rows, 0:columns]
    bone = np.exp(-(((x - columns / 2) / (columns / 9)) ** 2)) * (0.7 + 0.1 * np.sin(y / 40))
    noise = np.random.default_rng(3).normal(0, 0.01, bone.shape)
    return np.clip((0.08 + bone + noise) * 255, 0, 255).astype(np.uint8)


def drawn(text: str, corner: int, scale: float, level: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """An image with text in a corner, and where the ink is."""
    image = film()
    blank = image.copy()
    thick = max(1, round(scale * 1.6))
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    left = 12 if corner % 2 == 0 else image.shape[1] - width - 12
    base = height + 14 if corner < 2 else image.shape[0] - 16
    cv2.putText(image, text, (left, base), cv2.FONT_HERSHEY_SIMPLEX, scale, level, thick, cv2.LINE_AA)
    return image, image != blank


@pytest.mark.parametrize("corner", range(4))
@pytest.mark.parametrize(
    ("text", "scale"), [("DOE JANE 1961-04-12", 0.6), ("MRN 4711-0815", 0.9), ("ST. ELSEWHERE", 0.7)]
)
def test_drawn_text_is_masked(text: str, corner: int, scale: float) -> None:
    image, ink = drawn(text, corner, scale, 255)
    masked = mask(image, find_text(image.astype(np.float64)))
    assert ((masked == image) & ink).sum() <= 0.1 * ink.sum()
    assert find_text(masked.astype(np.float64)) == ()


def test_plain_film_is_left_alone() -> None:
    assert find_text(film().astype(np.float64)) == ()
    assert find_text(np.zeros((50, 50))) == ()


def test_masked_file_says_so_and_unseen_text_needs_review() -> None:
    image, _ = drawn("DOE JANE 1961-04-12", 0, 0.7, 255)
    source = dicom.dataset(image / 255.0)
    source.BurnedInAnnotation = "YES"
    done, made = run(source)
    assert done.masked and made.BurnedInAnnotation == "NO" and not done.needs_review
    assert "113101" in {one.CodeValue for one in made.DeidentificationMethodCodeSequence}
    plain = dicom.dataset()
    plain.BurnedInAnnotation = "YES"
    done, made = run(plain)
    assert done.needs_review and made.BurnedInAnnotation == "YES"


def test_folder(tmp_path: Path) -> None:
    source, out = tmp_path / "Plantedsurname", tmp_path / "out"
    source.mkdir()
    for number in range(2):
        (source / f"Plantedsurname_{number}.dcm").write_bytes(dicom.to_bytes(planted()))
    (source / "zz.txt").write_text("no image")
    mapping = tmp_path / "mapping.csv"
    done = deidentify_folder(source, out, DeidentifyOptions(key=KEY), mapping=mapping)
    assert (done.written, done.patients, [number for number, _ in done.refused]) == (2, 1, [3])
    assert not any(b"lanted" in path.read_bytes() or "lanted" in path.name for path in out.iterdir())
    assert "Plantedsurname_0.dcm" in mapping.read_text() and mapping.stat().st_mode & 0o077 == 0
    for place, table in ((out, None), (source / "inside", None), (tmp_path / "new", tmp_path / "new" / "m.csv")):
        with pytest.raises(ImagingError):
            deidentify_folder(source, place, DeidentifyOptions(key=KEY), mapping=table)
