"""What the page tells the store, and how an own read is set beside the machine's."""

from pathlib import Path

import pytest

from cds.entrypoints.form.judging import agreement, keep_judgement, keep_outcome, own_read
from cds.errors import InputError
from cds.learning.feedback.outcomes import FollowUp, follow_up
from cds.learning.feedback.places import overlap
from cds.settings import Settings
from cds.store.cases import NamedFile
from cds.store.feedback import FeedbackContent, FeedbackKind
from cds.store.opening import open_store
from fusion.context import FractureType
from tests.support import cases, fakes

VIEW = {"detections": [{"number": 1, "box": [72, 192, 118, 229]}, {"number": 2, "box": [136, 60, 165, 92]}]}


@pytest.mark.parametrize(
    ("read", "fracture", "unsure"), [("yes", True, None), ("no", False, None), ("unsure", None, True)]
)
def test_own_read_keeps_the_answer(read: str, fracture: bool | None, unsure: bool | None) -> None:
    content = own_read({"read": read, "boxes": [], "seconds": 4.5})
    assert content == FeedbackContent(fracture=fracture, unsure=unsure, seconds=4.5)


@pytest.mark.parametrize("said", [{}, {"read": "perhaps"}, {"read": "yes", "boxes": [[1, 2, 3]]}])
def test_a_read_that_cannot_be_understood_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(InputError):
        own_read(said)


@pytest.mark.parametrize(
    ("fracture", "call", "kind"),
    [
        (True, "definite", "agree"),
        (True, "suspected", "agree"),
        (False, "not_seen", "agree"),
        (True, "not_seen", "differ"),
        (False, "suspected", "differ"),
        (None, "definite", "open"),
        (True, "cannot_judge", "open"),
        (True, None, "open"),
    ],
)
def test_agreement_is_about_fracture_or_none(fracture: bool | None, call: str | None, kind: str) -> None:
    assert agreement(FeedbackContent(fracture=fracture), VIEW, call)["kind"] == kind


def test_agreement_names_the_places_that_the_own_boxes_meet() -> None:
    met = agreement(FeedbackContent(fracture=True, boxes=((80, 195, 120, 230),), seconds=12.4), VIEW, "definite")[
        "text"
    ]
    assert "place 1" in met and "12 s" in met
    apart = agreement(FeedbackContent(fracture=True, boxes=((0, 0, 9, 9),)), VIEW, "definite")["text"]
    assert "None of your boxes" in apart


def test_overlap_is_shared_area_over_union() -> None:
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1.0
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (1, 0, 2, 1)) == 0.0


def test_a_judgement_is_stored_and_replaced(tmp_path: Path) -> None:
    store = open_store(Settings(data_dir=tmp_path, audit_log=None))
    try:
        result = cases.full_case()
        report = NamedFile(name="report.html", media_type="text/html", content=b"x")
        store.cases.save(fakes.full_input(), result, actor="a", reports=[report])
        keep_judgement(store, result.case_id, {"kind": "agree", "finding": 0}, author="a", role="clinician")
        (first,) = store.feedback.of_case(result.case_id)
        corrected = {"kind": "correct", "finding": 0, "boxes": [[1, 2, 3, 4]], "type": "oblique"}
        keep_judgement(store, result.case_id, corrected | {"supersedes": first.id}, author="a", role="clinician")
        (second,) = store.feedback.of_case(result.case_id)
        assert (second.kind, second.content.fracture_type) == (FeedbackKind.CORRECT, FractureType.OBLIQUE)
        with pytest.raises(InputError):
            keep_judgement(store, result.case_id, {"kind": "outcome"}, author="a", role="clinician")
    finally:
        store.close()


def test_a_clear_image_can_be_agreed_with_and_every_look_is_kept(tmp_path: Path) -> None:
    store = open_store(Settings(data_dir=tmp_path))
    report = NamedFile(name="report.html", media_type="text/html", content=b"<p></p>")
    case_id = store.cases.save(fakes.full_input(), cases.full_case(), actor="web:anna", reports=[report]).id
    keep_judgement(store, case_id, {"kind": "agree"}, author="anna", role="clinician")
    for weeks, united in ((6.0, False), (12.0, True)):
        keep_outcome(store, case_id, {"weeks": weeks, "united": united}, author="anna", role="clinician")
    (agreed,) = [one for one in store.feedback.of_case(case_id) if one.kind is FeedbackKind.AGREE]
    assert agreed.finding is None
    assert follow_up(store.feedback.of_case(case_id)) == FollowUp(lower=6.0, upper=12.0)
    store.close()
