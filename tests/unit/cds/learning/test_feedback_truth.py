"""Feedback of one case to one truth: nothing guessed, readers who disagree listed, order without effect."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cds.learning.feedback import reasons
from cds.learning.feedback.outcomes import FollowUp, follow_up
from cds.learning.feedback.places import Place, joined, overlap, paired
from cds.learning.feedback.readers import MachineRead, current
from cds.learning.feedback.truth import Agreement, CaseTruth, Dispute, truth_of
from cds.store.feedback import Box, Feedback, FeedbackContent, FeedbackKind, check
from fusion.context import FractureType

START = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
ONE: Box = (10, 10, 50, 50)
TWO: Box = (100, 100, 140, 150)
NEAR_ONE: Box = (14, 12, 56, 54)
MACHINE = MachineRead(call="definite", boxes=(ONE, TWO))
CLEAR = MachineRead(call="not_seen")


def said(kind: str, who: str = "anna", at: int = 0, **details: Any) -> Feedback:
    """One feedback; `details` are its content, `finding`, `role`, `id` and `supersedes` stand beside it."""
    finding, role = details.pop("finding", None), details.pop("role", "clinician")
    supersedes = details.pop("supersedes", None)
    name = details.pop("id", f"{kind}-{who}-{at}-{finding}-{sorted(details.items())}")
    content = FeedbackContent(**details)
    check(FeedbackKind(kind), content, finding)
    return Feedback(
        id=name,
        case_id="case",
        created=START + timedelta(minutes=at),
        author=who,
        role=role,
        kind=FeedbackKind(kind),
        finding=finding,
        content=content,
        supersedes=supersedes,
        model_versions=("detector@1",),
    )


def truth(*feedback: Feedback, machine: MachineRead = MACHINE) -> CaseTruth:
    return truth_of(feedback, machine)


def boxes(found: CaseTruth) -> list[Box]:
    return [one.box for one in found.places]


# --- one reader


def test_agreeing_with_every_finding_makes_the_machines_boxes_labels() -> None:
    found = truth(said("agree", finding=0), said("agree", finding=1, fracture_type=FractureType.SPIRAL))
    assert found.fracture is True and found.places_known
    assert boxes(found) == [ONE, TWO]
    assert [one.drawn for one in found.places] == [False, False]
    assert found.agreement is Agreement.ONE_READER and found.fracture_type is FractureType.SPIRAL


def test_what_is_not_said_of_a_finding_leaves_the_places_open() -> None:
    found = truth(said("agree", finding=0))
    assert found.fracture is True
    assert not found.places_known and found.places == ()
    assert reasons.PLACE_UNKNOWN in found.reasons


def test_rejecting_everything_is_negative_and_rejecting_a_part_is_nothing() -> None:
    both = truth(said("reject", finding=0), said("reject", finding=1))
    assert both.fracture is False and both.places == () and both.places_known
    one = truth(said("reject", finding=0))
    assert one.fracture is None and one.reasons == (reasons.UNDETERMINED,)
    assert truth(said("reject")).fracture is False


def test_a_missed_fracture_stands_beside_rejected_findings() -> None:
    missed: Box = (200, 20, 230, 60)
    found = truth(said("reject", finding=0), said("reject", finding=1), said("missed", boxes=(missed,)))
    assert found.fracture is True and boxes(found) == [missed] and found.places[0].drawn


def test_a_correction_replaces_box_or_type() -> None:
    found = truth(
        said("correct", finding=0, boxes=(NEAR_ONE,)),
        said("correct", finding=1, fracture_type=FractureType.OBLIQUE),
    )
    assert boxes(found) == [NEAR_ONE, TWO]
    assert [one.drawn for one in found.places] == [True, False]
    assert found.fracture_type is FractureType.OBLIQUE


@pytest.mark.parametrize(
    ("machine", "fracture", "places"),
    [(MACHINE, True, [ONE, TWO]), (CLEAR, False, []), (MachineRead(call="cannot_judge"), None, [])],
)
def test_agreeing_with_the_whole(machine: MachineRead, fracture: bool | None, places: list[Box]) -> None:
    found = truth(said("agree"), machine=machine)
    assert found.fracture is fracture and boxes(found) == places


def test_a_missed_fracture_on_an_image_that_the_machine_called_clear() -> None:
    found = truth(said("missed", boxes=(ONE,)), machine=CLEAR)
    assert found.fracture is True and found.places_known and boxes(found) == [ONE]


def test_feedback_on_a_finding_that_is_not_there_says_nothing() -> None:
    found = truth(said("agree", finding=7))
    assert found.fracture is None
    assert set(found.reasons) == {reasons.FINDING_UNKNOWN, reasons.UNDETERMINED}


def test_nobody_and_the_wrong_role() -> None:
    assert truth().reasons == (reasons.NOBODY,)
    assert truth(said("reject", role="viewer")).reasons == (reasons.NOBODY, reasons.ROLE)


# --- own reads


def test_an_own_read_is_independent_and_an_agreement_after_it_is_not() -> None:
    alone = truth(said("own_read", fracture=True, boxes=(ONE,)))
    assert alone.fracture is True and alone.independent_readers == 1 and alone.places_known
    after = truth(said("agree", finding=0), said("agree", finding=1))
    assert after.independent_readers == 0
    kept = truth(said("own_read", fracture=True), said("agree", at=1, finding=0), said("agree", at=1, finding=1))
    assert kept.independent_readers == 1 and boxes(kept) == [ONE, TWO]


def test_an_own_read_that_was_recorded_after_a_judgement_is_no_independent_one() -> None:
    found = truth(said("agree", finding=0), said("own_read", at=1, fracture=True, boxes=(ONE,)))
    assert found.fracture is True and found.independent_readers == 0
    replaced = truth(
        said("agree", finding=0, id="first"),
        said("own_read", at=1, fracture=True),
        said("agree", at=2, finding=0, supersedes="first"),
        said("agree", at=2, finding=1),
    )
    assert replaced.independent_readers == 0


def test_a_reader_who_changes_to_the_machines_answer_is_dependent() -> None:
    found = truth(said("own_read", fracture=False), said("agree", at=1))
    assert found.fracture is True and found.independent_readers == 0


def test_an_own_read_stands_where_the_findings_are_not_all_judged() -> None:
    found = truth(said("own_read", fracture=False), said("reject", at=1, finding=0))
    assert found.fracture is False and found.independent_readers == 1


def test_a_fracture_read_where_every_finding_is_rejected_is_elsewhere_or_a_contradiction() -> None:
    rejected = (said("reject", at=1, finding=0), said("reject", at=1, finding=1))
    elsewhere: Box = (200, 20, 230, 60)
    found = truth(said("own_read", fracture=True, boxes=(elsewhere,)), *rejected)
    assert found.fracture is True and boxes(found) == [elsewhere]
    for own in ((), (ONE,)):
        same = truth(said("own_read", fracture=True, boxes=own), *rejected)
        assert same.fracture is None and reasons.SELF_CONTRADICTION in same.reasons


def test_a_box_drawn_first_stays_where_the_reader_then_agrees() -> None:
    found = truth(said("own_read", fracture=True, boxes=(NEAR_ONE,)), said("agree", at=1, finding=0))
    assert boxes(found) == [NEAR_ONE] and found.places[0].drawn and found.places_known


def test_an_unsure_read_says_nothing() -> None:
    assert truth(said("own_read", unsure=True)).fracture is None
    later = truth(said("own_read", unsure=True), said("reject", at=1))
    assert later.fracture is False and later.independent_readers == 0


# --- versions


def test_what_was_superseded_does_not_count() -> None:
    first = said("agree", finding=0, id="first")
    found = truth(first, said("reject", at=1, finding=0, supersedes="first"), said("reject", finding=1))
    assert found.fracture is False
    assert [one.id for one in current((first, said("reject", at=1, supersedes="first", id="second")))] == ["second"]


def test_the_newest_word_on_a_finding_stands() -> None:
    found = truth(said("agree", finding=0), said("reject", at=1, finding=0), said("reject", finding=1))
    assert found.fracture is False
    whole = truth(said("reject", at=0), said("agree", at=1, finding=0))
    assert whole.fracture is True and boxes(whole) == [ONE] and whole.places_known


def test_two_words_of_one_moment_that_differ_are_a_contradiction() -> None:
    found = truth(said("agree", finding=0), said("reject", finding=0), said("reject", finding=1))
    assert found.fracture is None and reasons.SELF_CONTRADICTION in found.reasons


# --- several readers


def test_readers_who_agree_share_their_boxes() -> None:
    found = truth(
        said("own_read", "anna", fracture=True, boxes=((10, 10, 50, 50),)),
        said("own_read", "ben", 1, fracture=True, boxes=((12, 14, 52, 54),), role="radiologist"),
    )
    assert found.agreement is Agreement.READERS_AGREE and found.independent_readers == 2
    assert boxes(found) == [(11.0, 12.0, 51.0, 52.0)]


def test_a_drawn_box_counts_more_than_one_agreed_with() -> None:
    found = truth(
        said("agree", "anna", finding=0),
        said("reject", "anna", finding=1),
        said("own_read", "ben", fracture=True, boxes=(NEAR_ONE,)),
    )
    assert boxes(found) == [NEAR_ONE]


def test_readers_who_disagree_on_the_fracture_need_an_adjudication() -> None:
    found = truth(said("reject", "anna"), said("agree", "ben"))
    assert found.fracture is None and found.disputes == (Dispute.FRACTURE,)
    assert found.needs_adjudication and found.agreement is Agreement.DISAGREE


def test_readers_who_name_different_places_agree_on_the_fracture_alone() -> None:
    found = truth(
        said("own_read", "anna", fracture=True, boxes=(ONE,)), said("own_read", "ben", fracture=True, boxes=(TWO,))
    )
    assert found.fracture is True and not found.places_known and found.disputes == (Dispute.PLACE,)
    rejected = truth(
        said("agree", "anna", finding=0), said("reject", "ben", finding=0), said("agree", "ben", finding=1)
    )
    assert rejected.disputes == (Dispute.PLACE,)


def test_readers_who_each_judge_a_part_settle_it_together() -> None:
    found = truth(said("agree", "anna", finding=0), said("agree", "ben", finding=1))
    assert found.places_known and boxes(found) == [ONE, TWO] and not found.disputes


def test_two_patterns_of_one_place_are_a_disagreement() -> None:
    found = truth(
        said("own_read", "anna", fracture=True, boxes=(ONE,), fracture_type=FractureType.SPIRAL),
        said("own_read", "ben", fracture=True, boxes=(ONE,), fracture_type=FractureType.OBLIQUE),
    )
    assert found.fracture is True and boxes(found) == [ONE]
    assert found.fracture_type is None and found.disputes == (Dispute.TYPE,)


# --- adjudication


def test_an_adjudication_is_the_last_word() -> None:
    dispute = (said("reject", "anna"), said("agree", "ben"))
    yes = truth(*dispute, said("adjudication", "cleo", 5, fracture=True, boxes=(NEAR_ONE,), role="radiologist"))
    assert yes.fracture is True and boxes(yes) == [NEAR_ONE] and not yes.disputes
    assert yes.adjudicated_by == "radiologist" and yes.agreement is Agreement.ADJUDICATED
    no = truth(*dispute, said("adjudication", "cleo", 5, fracture=False), said("agree", "dora", 9))
    assert no.fracture is False and no.places == () and not no.needs_adjudication


def test_an_adjudication_without_a_place_takes_that_of_the_readers_on_its_side() -> None:
    found = truth(said("reject", "anna"), said("agree", "ben"), said("adjudication", "cleo", 5, fracture=True))
    assert boxes(found) == [ONE, TWO] and found.places_known
    alone = truth(said("reject", "anna"), said("adjudication", "cleo", 5, fracture=True))
    assert alone.fracture is True and not alone.places_known and reasons.PLACE_UNKNOWN in alone.reasons


def test_adjudications_of_one_moment_that_differ_settle_nothing() -> None:
    found = truth(said("adjudication", "cleo", 5, fracture=True), said("adjudication", "dora", 5, fracture=False))
    assert found.fracture is None and found.disputes == (Dispute.ADJUDICATION,)
    newer = truth(said("adjudication", "cleo", 5, fracture=True), said("adjudication", "dora", 6, fracture=False))
    assert newer.fracture is False


# --- order, and what boxes are


_KINDS: Sequence[Feedback] = (
    *(said("own_read", who, at, fracture=True, boxes=(ONE,)) for who in "ab" for at in (0, 1)),
    *(said("own_read", who, at, fracture=False) for who in "ab" for at in (0, 1)),
    *(said("agree", who, at, finding=one) for who in "abc" for at in (0, 1) for one in (0, 1)),
    *(said("reject", who, at, finding=one) for who in "abc" for at in (0, 1) for one in (0, 1)),
    *(said(kind, who, 1) for kind in ("agree", "reject") for who in "ab"),
    *(said("correct", who, 1, finding=0, boxes=(NEAR_ONE,)) for who in "ab"),
    *(said("correct", who, 2, boxes=(NEAR_ONE, TWO), fracture_type=FractureType.SPIRAL) for who in "bc"),
    *(said("missed", who, at, boxes=((200, 20, 230, 60),)) for who in "ab" for at in (0, 2)),
    *(said("adjudication", who, 3, fracture=yes) for who in "xy" for yes in (True, False)),
    *(said("outcome", "a", 9, weeks=6.0, united=yes) for yes in (True, False)),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(_KINDS), unique_by=lambda one: one.id, max_size=9), st.randoms(use_true_random=False))
def test_the_order_of_feedback_does_not_matter(feedback: list[Feedback], random: Any) -> None:
    found = truth_of(feedback, MACHINE)
    shuffled = list(feedback)
    random.shuffle(shuffled)
    assert truth_of(shuffled, MACHINE) == found
    assert follow_up(shuffled) == follow_up(feedback)
    # Never a guess: places belong to a fracture, and only where all are known; what is open has a reason.
    assert found.fracture or not found.places
    assert found.places_known or not found.places
    assert (found.fracture is not None and found.places_known) or found.reasons
    assert found.needs_adjudication <= (found.adjudicated_by is None)


def test_boxes_pair_the_nearest_first() -> None:
    reference = [Place(box=ONE, drawn=True), Place(box=(40, 40, 80, 80), drawn=True)]
    others = [Place(box=(41, 41, 81, 81), drawn=True), Place(box=ONE, drawn=True)]
    assert paired(reference, others) == ((0, 1), (1, 0))
    assert paired(reference[:1], others) is None
    assert overlap(ONE, TWO) == 0.0 and overlap(ONE, ONE) == 1.0
    assert joined([reference[0], Place(box=TWO, drawn=False)]).box == ONE


# --- outcomes


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([], None),
        ([(12.0, True)], FollowUp(lower=0.0, upper=12.0)),
        ([(6.0, False), (12.0, True)], FollowUp(lower=6.0, upper=12.0)),
        ([(6.0, False), (9.0, False)], FollowUp(lower=9.0, upper=None)),
        ([(12.0, True), (16.0, True)], FollowUp(lower=0.0, upper=12.0)),
        ([(6.0, True), (12.0, False)], reasons.OUTCOMES_CONTRADICT),
        ([(6.0, True), (6.0, False)], reasons.OUTCOMES_CONTRADICT),
        ([(0.0, False)], reasons.NO_TIME),
    ],
)
def test_follow_ups_say_between_which_checks_the_bone_united(
    looks: list[tuple[float, bool]], expected: FollowUp | str | None
) -> None:
    feedback = [said("outcome", at=number, weeks=weeks, united=united) for number, (weeks, united) in enumerate(looks)]
    assert follow_up(feedback) == expected


def test_every_reason_has_a_sentence() -> None:
    codes = {value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)}
    assert codes == set(reasons.REASONS)
    assert reasons.sentence(f"{reasons.IMAGE_UNUSABLE}:imaging.file.truncated").endswith("[imaging.file.truncated]")
