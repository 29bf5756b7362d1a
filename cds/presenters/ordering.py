"""The order in which a report lists advice and appointments: what may harm, and what is due, comes first."""

from collections.abc import Iterable

from cds.presenters.wording import ACTIONS
from fusion.results import Advice, AdviceAction, FollowUp, Urgency

_ACTION_RANK: dict[AdviceAction, int] = {action: rank for rank, action in enumerate(ACTIONS)}
_PRESSING: dict[Urgency, int] = {Urgency.IMMEDIATE: 0, Urgency.WITHIN_HOURS: 1}


def advice_by_harm(advice: Iterable[Advice]) -> list[Advice]:
    """Advice by action, as `wording.ACTIONS` lists them; equal actions keep their order."""
    return sorted(advice, key=lambda one: _ACTION_RANK[one.action])


def follow_up_by_due_week(appointments: Iterable[FollowUp]) -> list[FollowUp]:
    """Pressing appointments first, then by the week in which they are due; those without a week come last."""

    def due(one: FollowUp) -> tuple[int, float, float]:
        last = one.latest_week if one.latest_week is not None else one.earliest_week
        return (
            _PRESSING.get(one.urgency, len(_PRESSING)),
            last if last is not None else float("inf"),
            one.earliest_week or 0.0,
        )

    return sorted(appointments, key=due)
