"""Feedback to training data: complete, without an identifier, the same every time, all of it or nothing."""

import csv
import hashlib
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from cds.audit import AccessRecord, AuditRecord
from cds.errors import ConflictError, ForbiddenError, InputError, NotStoredError
from cds.learning.feedback import reasons
from cds.learning.feedback.adjudication import adjudicate
from cds.learning.feedback.cases import judged_case, judged_cases, open_disagreements
from cds.learning.feedback.export import ExportOptions, export_feedback
from cds.learning.feedback.pseudonyms import Pseudonyms, groups_of, read_key
from cds.learning.feedback.rows import COLUMNS, age_band
from cds.learning.feedback.truth import Dispute
from cds.settings import Settings
from cds.store.feedback import FeedbackContent
from cds.store.opening import Store, open_store
from fusion.context import FractureType
from imaging.dicom.burned_in import TextRegion
from imaging.results import FractureCall
from imaging.training.audit import audit as check_data
from imaging.training.datasets import read_collection
from imaging.training.importers.coco import read_coco
from tabular.healing.outcomes import read_outcomes
from tests.support import dicom as dicom_files
from tests.support.feedback_cases import ONE, TWO, engines, keep_case, limb, png, say
from tests.support.inputs import patient_bundle

KEY = b"k" * 32


class Trail:
    """Remembers what was audited; fails when told to."""

    def __init__(self) -> None:
        self.accesses: list[AccessRecord] = []
        self.fail: Exception | None = None

    def record(self, entry: AuditRecord) -> None:
        """Not asked for here."""

    def record_access(self, entry: AccessRecord) -> None:
        """Keep one record."""
        if self.fail is not None:
            raise self.fail
        self.accesses.append(entry)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(Settings(data_dir=tmp_path / "data", audit_log=None))
    yield opened
    opened.close()


def exported(store: Store, out: Path, trail: Trail | None = None, **options: Any) -> dict[str, Any]:
    made = ExportOptions(**{"key": KEY, "site": "General Hospital", **options})
    return export_feedback(store, out, made, engines=engines(), audit=trail or Trail(), actor="cli:lead")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def small_hospital(store: Store) -> dict[str, str]:
    """A case of every kind."""
    made = {
        "agreed": keep_case(store, png(limb(1)), bundle=patient_bundle(), bedside={"site": "tibial_shaft"}),
        "healthy": keep_case(store, png(limb(2)), boxes=(ONE,), patient_key="p2"),
        "missed": keep_case(store, png(limb(3)), boxes=(), call=FractureCall.NOT_SEEN, patient_key="p2"),
        "place_open": keep_case(store, png(limb(4)), patient_key="p4"),
        "disputed": keep_case(store, png(limb(5)), patient_key="p5"),
        "settled": keep_case(store, png(limb(6)), patient_key="p6"),
        "unsaid": keep_case(store, png(limb(7)), patient_key="p7"),
        "phantom": keep_case(store, png(limb(8)), synthetic=True),
        "no_image": keep_case(store, None, bundle=patient_bundle(id="other"), bedside={"site": "ankle"}),
    }
    say(store, made["agreed"], "own_read", fracture=True)
    say(store, made["agreed"], "agree", finding=0, fracture_type=FractureType.SPIRAL)
    say(store, made["agreed"], "agree", finding=1, fracture_type=FractureType.SPIRAL)
    say(store, made["agreed"], "outcome", weeks=6.0, united=False)
    say(store, made["agreed"], "outcome", weeks=14.0, united=True)
    say(store, made["healthy"], "reject", finding=0)
    say(store, made["missed"], "missed", boxes=(ONE,), role="radiologist")
    say(store, made["place_open"], "own_read", fracture=True)
    for name in ("disputed", "settled"):
        say(store, made[name], "agree")
        say(store, made[name], "reject", author="key:ben", role="radiologist")
    adjudicate(
        store, made["settled"], FeedbackContent(fracture=True, boxes=(TWO,)), author="key:cleo", role="radiologist"
    )
    say(store, made["unsaid"], "reject", finding=0)
    say(store, made["phantom"], "agree")
    say(store, made["no_image"], "outcome", weeks=9.0, united=True)
    return made


def test_an_export_holds_what_was_said_and_no_more(store: Store, tmp_path: Path) -> None:
    made = small_hospital(store)
    out = tmp_path / "out"
    manifest = exported(store, out)
    names = Pseudonyms(key=KEY)
    images = {row["image"]: row for row in table(out / "images.csv")}
    by_case = {name: images.get(names.image(case_id)) for name, case_id in made.items()}
    assert {name for name, row in by_case.items() if row} == {"agreed", "healthy", "missed", "place_open", "settled"}
    flags = {name: (row["has_fracture"], row["boxes_known"], row["type"]) for name, row in by_case.items() if row}
    assert flags == {
        "agreed": ("1", "1", "spiral"),
        "healthy": ("0", "1", "healthy"),
        "missed": ("1", "1", ""),
        "place_open": ("1", "0", ""),
        "settled": ("1", "1", ""),
    }
    agreed = by_case["agreed"]
    assert agreed is not None
    assert (agreed["age_band"], agreed["sex"], agreed["region"]) == ("60-69", "female", "wrist")
    assert (agreed["hardware"], agreed["source"], agreed["split"]) == ("none", "General Hospital", "")
    boxes = table(out / "boxes.csv")
    settled = [row for row in boxes if row["image"] == names.image(made["settled"])]
    assert [[float(row[side]) for side in ("x1", "y1", "x2", "y2")] for row in settled] == [list(TWO)]
    assert {row["drawn"] for row in boxes if row["image"] == names.image(made["agreed"])} == {"0"}
    assert manifest["counts"] == {
        "cases": 6,
        "groups": 5,
        "images": 5,
        "fractured": 4,
        "healthy": 1,
        "boxes": 4,
        "images_without_known_boxes": 1,
        "outcomes": 2,
        "independent": 2,
        "agreement": {"adjudicated": 1, "one_reader": 4},
        "readers_by_role": {"clinician": 4, "radiologist": 2},
    }
    assert manifest["left_out"]["counts"] == {
        reasons.DISPUTED: 1,
        reasons.UNDETERMINED: 1,
        reasons.SYNTHETIC: 1,
        reasons.NOBODY: 1,
    }
    assert manifest["as_of"] and set(manifest["left_out"]["words"]) == set(manifest["left_out"]["counts"])


def test_rows_tell_who_said_it_and_never_by_name(store: Store, tmp_path: Path) -> None:
    made = small_hospital(store)
    exported(store, tmp_path / "out")
    frame = pd.read_parquet(tmp_path / "out" / "rows.parquet").set_index("case")
    assert [frame.index.name, *frame.columns] == list(COLUMNS)
    row = {name: frame.loc[Pseudonyms(key=KEY).case(case_id)] for name, case_id in made.items() if name in
           ("agreed", "healthy", "missed", "settled", "no_image")}  # fmt: skip
    assert [row[name]["independence"] for name in ("agreed", "healthy", "settled")] == [
        "independent", "dependent", "dependent"]  # fmt: skip
    assert [bool(row[name]["machine_right"]) for name in ("agreed", "healthy", "missed")] == [True, False, False]
    assert row["settled"]["adjudicated"] and row["settled"]["adjudicated_by_role"] == "radiologist"
    assert (row["settled"]["readers_clinician"], row["settled"]["readers_radiologist"]) == (1, 1)
    assert pd.isna(row["no_image"]["image"]) and pd.isna(row["no_image"]["label"])
    assert row["no_image"]["outcome_united"] and row["no_image"]["outcome_weeks_upper"] == 9.0
    assert list(row["agreed"]["model_versions"])
    assert row["healthy"]["group"] == row["missed"]["group"] != row["agreed"]["group"]


def test_the_tools_that_learn_read_it(store: Store, tmp_path: Path) -> None:
    small_hospital(store)
    out = tmp_path / "out"
    exported(store, out)
    collection = read_collection(out)
    assert not collection.problems
    assert sorted((one.fractured, one.boxes_known, len(one.boxes)) for one in collection.samples) == [
        (False, True, 0), (True, False, 0), (True, True, 1), (True, True, 1), (True, True, 2)]  # fmt: skip
    assert len({one.group for one in collection.samples}) == 4
    found = read_coco(out)
    labelled = [one for one in found.images if one.labelled]
    assert len(labelled) == 4 and sum(len(one.boxes) for one in labelled) == 4
    assert not check_data(out).findings
    outcomes = read_outcomes(out / "healing_outcomes.csv")
    told = {
        row.site: (row.pattern, low, high)
        for row, low, high in zip(outcomes.rows, outcomes.lower, outcomes.upper, strict=True)
    }
    assert told == {"tibial_shaft": ("spiral", 6.0, 14.0), "ankle": (None, 0.0, 9.0)}


def test_the_same_key_gives_the_same_bytes(store: Store, tmp_path: Path) -> None:
    small_hospital(store)
    exported(store, tmp_path / "a")
    exported(store, tmp_path / "b")
    assert files(tmp_path / "a") == files(tmp_path / "b")
    exported(store, tmp_path / "c", key=b"x" * 32)
    assert not set(files(tmp_path / "a")) & {name for name in files(tmp_path / "c") if name.startswith("images/")}
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    written = files(tmp_path / "a")
    assert manifest["files"] == {
        name: hashlib.sha256(content).hexdigest() for name, content in written.items() if name != "manifest.json"
    }


def test_pixels_are_those_that_the_reader_saw(store: Store, tmp_path: Path) -> None:
    pixels = limb(11)
    case_id = keep_case(store, png(pixels))
    say(store, case_id, "agree")
    exported(store, tmp_path / "out")
    written = tmp_path / "out" / "images" / Pseudonyms(key=KEY).image(case_id)
    assert np.array_equal(np.asarray(Image.open(written)), pixels)


# --- identifiers


def planted_dicom(seed: int, name: str, number: str, study: str) -> bytes:
    def plant(made: FileDataset) -> None:
        made.StudyInstanceUID = study
        made.AccessionNumber = number[::-1][:16]
        made.ReferringPhysicianName = f"Dr^{name}"
        made.InstitutionName = f"{name} Hospital"
        made.PatientBirthDate = "19580917"
        made.ImageComments = f"{name} fell"
        made.add_new(0x00110010, "LO", "ACME")
        made.add_new(0x00111001, "LO", number)

    pixels = limb(seed).astype(np.float64) / 255.0
    made = dicom_files.dataset(pixels, patient_name=f"{name}^Given", patient_id=number)
    plant(made)
    return dicom_files.to_bytes(made)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text("BCDFGHJKLMNPQRSTVWXZ", min_size=6, max_size=12).map(str.title),
    number=st.from_regex(r"MRN-[0-9]{7}", fullmatch=True),
    study=st.from_regex(r"1\.2\.826\.0\.1\.[1-9][0-9]{11}", fullmatch=True),
)
def test_no_planted_identifier_is_in_any_byte(
    tmp_path_factory: pytest.TempPathFactory, name: str, number: str, study: str
) -> None:
    folder = tmp_path_factory.mktemp("planted")
    store = open_store(Settings(data_dir=folder / "data", audit_log=None))
    author, reader = f"oidc:{name.lower()}-author", f"key:{name.lower()}-second"
    image = planted_dicom(1, name, number, study)
    record = patient_bundle(id=f"{number}-fhir", name=[{"family": name, "given": ["Given"]}], birthDate="1958-09-17")
    case_id = keep_case(store, image, bundle=record, bedside={"site": "ankle"})
    say(store, case_id, "agree", author=author)
    say(store, case_id, "outcome", author=author, weeks=9.0, united=True)
    disputed = keep_case(store, planted_dicom(2, name, number, study))
    say(store, disputed, "agree", author=author)
    say(store, disputed, "reject", author=reader)
    broken = keep_case(store, png(limb(3)), patient_key=f"{number}-key")
    say(store, broken, "agree", author=reader)
    out = folder / "out"
    exported(store, out)
    digest = hashlib.sha256(image).hexdigest()
    header = dcmread(BytesIO(image))
    generated = [str(header[keyword].value) for keyword in ("SOPInstanceUID", "SeriesInstanceUID")]
    planted = [
        name,
        number,
        number[4:],
        study,
        author,
        reader,
        case_id,
        disputed,
        digest,
        "1958-09-17",
        "19580917",
        *generated,
    ]
    assert json.loads((out / "manifest.json").read_text())["counts"]["images"] == 2
    written = files(out)
    frame = pd.read_parquet(out / "rows.parquet").to_json()
    hay = b"\n".join([*written.values(), *(one.encode() for one in written), frame.encode()]).lower()
    pixels = b"".join(np.asarray(Image.open(path)).tobytes() for path in (out / "images").iterdir())
    for word in planted:
        for encoding in ("utf-8", "utf-16-le"):
            assert word.lower().encode(encoding) not in hay
            assert word.encode(encoding) not in pixels
    store.close()


def test_burned_in_text_is_painted_over(store: Store, tmp_path: Path) -> None:
    pixels = limb(21, rows=400, columns=360)
    cv2.putText(pixels, "SMITH JOHN 4711", (8, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    for number, image in enumerate((png(pixels), dicom_files.to_bytes(dicom_files.dataset(pixels / 255.0)))):
        case_id = keep_case(store, image, boxes=((150.0, 200.0, 200.0, 260.0),))
        say(store, case_id, "agree", finding=0)
        out = tmp_path / f"out{number}"
        exported(store, out)
        shown = np.asarray(Image.open(out / "images" / Pseudonyms(key=KEY).image(case_id)))
        assert (pixels[8:36, 8:200] > 240).sum() > 500 and (shown[8:36, 8:200] > 240).sum() == 0


def test_a_label_under_text_or_outside_is_left_out(store: Store, tmp_path: Path) -> None:
    pixels = limb(22, rows=400, columns=360)
    cv2.putText(pixels, "SMITH JOHN 4711", (8, 30), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    hidden = keep_case(store, png(pixels), boxes=((10.0, 10.0, 60.0, 34.0),))
    outside = keep_case(store, png(limb(23)), boxes=((100.0, 100.0, 300.0, 300.0),))
    damaged = keep_case(store, png(limb(24)), patient_key="p")
    for case_id in (hidden, outside, damaged):
        say(store, case_id, "agree", finding=0)
    manifest = exported(store, tmp_path / "out")
    told = manifest["left_out"]["counts"]
    assert told[reasons.LABEL_MASKED] == 1 and told[reasons.BOX_OUTSIDE] == 1


def test_an_image_that_is_mostly_text_waits_for_a_person(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = (TextRegion(left=0, top=0, width=128, height=40),)
    monkeypatch.setattr("cds.learning.feedback.pictures.find_text", lambda _: half)
    case_id = keep_case(store, png(limb(1)))
    say(store, case_id, "reject")
    assert exported(store, tmp_path / "out")["left_out"]["counts"] == {reasons.MUCH_MASKED: 1}


def test_a_file_that_says_text_is_burned_in_waits_for_a_person(store: Store, tmp_path: Path) -> None:
    def says(made: FileDataset) -> None:
        made.BurnedInAnnotation = "YES"

    case_id = keep_case(store, dicom_files.file(says))
    say(store, case_id, "reject")
    assert exported(store, tmp_path / "out")["left_out"]["counts"] == {reasons.TEXT_LEFT: 1}


# --- patients


def test_one_patient_is_one_group_however_the_cases_came(store: Store, tmp_path: Path) -> None:
    same = planted_dicom(1, "Quxley", "MRN-7654321", "1.2.826.0.1.1")
    other = planted_dicom(2, "Quxley", "MRN-7654321", "1.2.826.0.1.2")
    made = [
        keep_case(store, same, patient_key="p1"),
        keep_case(store, other),
        keep_case(store, png(limb(3)), patient_key="p1"),
        keep_case(store, png(limb(4))),
    ]
    for case_id in made:
        say(store, case_id, "reject")
    exported(store, tmp_path / "out")
    frame = pd.read_parquet(tmp_path / "out" / "rows.parquet").set_index("case")
    groups = [frame.loc[Pseudonyms(key=KEY).case(one), "group"] for one in made]
    assert len(set(groups[:3])) == 1 and len(set(groups)) == 2


def test_an_erased_patient_is_never_exported(store: Store, tmp_path: Path) -> None:
    first = keep_case(store, png(limb(1)), patient_key="p1")
    kept = keep_case(store, png(limb(2)), patient_key="p2")
    for case_id in (first, kept):
        say(store, case_id, "reject")
    store.privacy.erase_patient("p1", actor="cli:lead")
    back = keep_case(store, planted_dicom(5, "Quxley", "MRN-1", "1.2.826.0.1.3"), patient_key="p1")
    linked = keep_case(store, planted_dicom(6, "Quxley", "MRN-1", "1.2.826.0.1.4"))
    for case_id in (back, linked):
        say(store, case_id, "reject")
    manifest = exported(store, tmp_path / "out")
    assert manifest["counts"]["images"] == 1
    assert manifest["left_out"]["counts"] == {reasons.ERASED: 2}
    assert [path.name for path in (tmp_path / "out" / "images").iterdir()] == [Pseudonyms(key=KEY).image(kept)]


def test_a_radiograph_that_came_twice_is_exported_once(store: Store, tmp_path: Path) -> None:
    twice = [keep_case(store, png(limb(1))) for _ in range(2)]
    contradicting = [keep_case(store, png(limb(2))) for _ in range(2)]
    for case_id in (*twice, contradicting[0]):
        say(store, case_id, "reject")
    say(store, contradicting[1], "agree")
    manifest = exported(store, tmp_path / "out")
    assert manifest["counts"]["images"] == 1
    assert manifest["left_out"]["counts"] == {reasons.DUPLICATE: 1, reasons.DUPLICATE_CONTRADICTS: 2}


# --- all or nothing, and audited


def test_every_case_that_leaves_is_audited(store: Store, tmp_path: Path) -> None:
    made = small_hospital(store)
    trail = Trail()
    exported(store, tmp_path / "out", trail)
    targets = {one.target: one for one in trail.accesses}
    assert f"case/{made['agreed']}" in targets and f"case/{made['disputed']}" not in targets
    assert targets[f"case/{made['missed']}"].patient_key == "p2"
    assert {one.kind.value for one in trail.accesses} == {"export"} and len(targets) == 7
    assert any(str(target).startswith("feedback-export/") for target in targets)


def test_a_failure_leaves_nothing(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = keep_case(store, png(limb(1)), patient_key="p1")
    say(store, case_id, "reject")
    place = tmp_path / "place"
    trail = Trail()
    trail.fail = RuntimeError("no audit")
    with pytest.raises(RuntimeError):
        exported(store, place / "out", trail)
    assert list(place.iterdir()) == []
    real = store.cases.get
    seen: list[str] = []

    def gone(one: str) -> Any:
        seen.append(one)
        if len(seen) > 2:  # read once with its feedback and once for its frame; then somebody erases it
            raise NotStoredError("gone", remedy="none")
        return real(one)

    monkeypatch.setattr(type(store.cases), "get", lambda self, one: gone(one))
    with pytest.raises(ConflictError):
        exported(store, place / "out")
    assert list(place.iterdir()) == []


def test_what_cannot_be_used_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").write_text("mine")
    with pytest.raises(InputError):
        exported(store, tmp_path / "used")
    for wrong in ({"site": "a/b"}, {"site": "x" * 65}, {"key": b"short"}):
        with pytest.raises(InputError):
            exported(store, tmp_path / "out", **wrong)
    empty = exported(store, tmp_path / "out")
    assert empty["counts"]["cases"] == 0 and (tmp_path / "out" / "images.csv").is_file()


# --- adjudication, lists, names


def test_an_adjudication_takes_a_third_person(store: Store) -> None:
    case_id = keep_case(store, png(limb(1)))
    say(store, case_id, "agree")
    say(store, case_id, "reject", author="key:ben", role="radiologist")
    (found,) = open_disagreements(store)
    assert found.case.id == case_id and found.truth.disputes == (Dispute.FRACTURE,)
    content = FeedbackContent(fracture=False)
    with pytest.raises(ConflictError):
        adjudicate(store, case_id, content, author="key:anna", role="clinician")
    with pytest.raises(ForbiddenError):
        adjudicate(store, case_id, content, author="key:cleo", role="viewer")
    with pytest.raises(InputError):
        adjudicate(store, case_id, FeedbackContent(), author="key:cleo", role="admin")
    with pytest.raises(NotStoredError):
        adjudicate(store, "nothing", content, author="key:cleo", role="admin")
    first = adjudicate(store, case_id, content, author="key:cleo", role="radiologist")
    assert open_disagreements(store) == () and judged_case(store, case_id).truth.fracture is False
    changed = FeedbackContent(fracture=True)
    adjudicate(store, case_id, changed, author="key:cleo", role="radiologist", supersedes=first.id)
    assert judged_case(store, case_id).truth.fracture is True
    assert [one.case.id for one in judged_cases(store)] == [case_id]


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "export.key"
    key = read_key(path, make=True)
    assert len(key) == 32 and read_key(path, make=True) == key and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError):
        read_key(tmp_path / "none", make=False)
    (tmp_path / "short").write_bytes(b"short")
    with pytest.raises(InputError):
        read_key(tmp_path / "short", make=False)


def test_groups_join_over_other_cases() -> None:
    groups = groups_of(
        {"a": [("patient", "1")], "b": [("patient", "1"), ("study", "s")], "c": [("study", "s")], "d": [], "e": []}
    )
    assert groups["a"] == groups["b"] == groups["c"] == "patient\x1f1"
    assert len({groups["a"], groups["d"], groups["e"]}) == 3


@pytest.mark.parametrize(("years", "band"), [(None, None), (0, "0-9"), (49, "40-49"), (89, "80-89"), (104, "90+")])
def test_ages_are_told_in_bands(years: int | None, band: str | None) -> None:
    assert age_band(years) == band
