from dataclasses import replace

from cds.presenters.ordering import advice_by_harm, follow_up_by_due_week
from fusion.results import AdviceAction, Urgency
from tests.support.cases import assessment


def test_what_may_harm_comes_first_and_equals_keep_their_order() -> None:
    given = assessment().supplementation
    first, second = (replace(given[0], action=AdviceAction.AVOID, agent=agent) for agent in ("one", "two"))
    listed = advice_by_harm((*given, first, second))
    assert [one.action for one in listed][:3] == [AdviceAction.AVOID] * 3
    assert [one.agent for one in listed][:3] == ["nsaid", "one", "two"]
    assert listed[-1].action is AdviceAction.CONSIDER


def test_appointments_come_as_they_fall_due() -> None:
    base = assessment().follow_up[1]
    weeks = ((None, None), (39.0, None), (6.0, 12.0), (0.0, 12.0), (4.0, 6.0))
    dated = [replace(base, earliest_week=early, latest_week=late) for early, late in weeks]
    pressing = replace(base, earliest_week=None, latest_week=None, urgency=Urgency.WITHIN_HOURS)
    listed = follow_up_by_due_week([*dated, pressing])
    assert listed[0] is pressing
    assert [(one.earliest_week, one.latest_week) for one in listed[1:]] == [
        (4.0, 6.0),
        (0.0, 12.0),
        (6.0, 12.0),
        (39.0, None),
        (None, None),
    ]
