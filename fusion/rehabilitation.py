"""Immobilisation, radiographs in between, weight and exercise by site, and what is left to the clinician.

The weeks are those of the cited entries, counted from the injury or the operation. A step is shown for a stated site
only: a region alone does not say which bone is to be immobilised.
"""

from fusion.context import FractureType
from fusion.diabetic_foot import complicated_foot
from fusion.facts import ADULT_FROM_YEARS, CHILD_BELOW_YEARS, CaseFacts
from fusion.rehabilitation_steps import ADULT_STEPS, CHILD_STEPS, Step
from fusion.results import Certainty, FollowUp, Urgency
from fusion.statements import Writer, plain, sentence
from fusion.unusual_calendar import (
    DIABETIC,
    ONLY_WITH_SENSATION,
    in_place_of_the_usual,
    sensation_caveat,
    usual_calendar_holds,
)

DAYS_PER_WEEK = 7.0


def rehabilitation(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """Steps for a stated site and, for every fracture, the line on what only the clinician can judge."""
    if not facts.has_fracture:
        return []
    return [*_steps(facts, writer), *in_place_of_the_usual(facts, writer), _left_to_clinician(facts, writer)]


def conditional(facts: CaseFacts) -> str:
    """How a sentence about a fracture begins that is only suspected."""
    return "If confirmed: " if facts.only_suspected else ""


def _steps(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    if facts.pathological:
        return []
    if facts.is_hip and not facts.younger_than(ADULT_FROM_YEARS):
        return _hip(facts, writer)
    site = facts.context.site
    if site is None or facts.age_years is None:
        return []
    steps = (CHILD_STEPS if facts.younger_than(ADULT_FROM_YEARS) else ADULT_STEPS).get(site, ())
    return [_follow_step(step, facts, writer) for step in steps if _fits(step, facts)]


def _fits(step: Step, facts: CaseFacts) -> bool:
    """A step after an operation needs a stated one; a step without one is left out after an operation only."""
    operated = facts.context.operated is True
    if step.operated is not None and step.operated is not operated:
        return False
    if step.operated is not True and not usual_calendar_holds(facts):
        return False
    if complicated_foot(facts):
        return False
    if step.only_undisplaced and facts.context.displaced is True:
        return False
    if step.only_displaced and facts.context.displaced is not True:
        return False
    if step.not_comminuted and facts.context.fracture_type is FractureType.COMMINUTED:
        return False
    if step.ages is None or facts.age_years is None:
        return step.ages is None
    first, last = step.ages
    return first <= facts.age_years <= last


def _follow_step(step: Step, facts: CaseFacts, writer: Writer) -> FollowUp:
    name = f"care.{step.evidence}"
    entry = writer.evidence[name]
    per_week = DAYS_PER_WEEK if step.days else 1.0
    numbers = {key: plain(value) for key, value in (("low", entry.low), ("high", entry.high)) if value is not None}
    numbers |= {key: plain(float(value)) for key, value in entry.table.items()}
    text = step.text.format(**numbers)
    evidence: tuple[str, ...] = (name,)
    if sensation_caveat(facts):
        text, evidence = f"{text} {ONLY_WITH_SENSATION}", (name, DIABETIC)
    return FollowUp(
        what=step.what,
        earliest_week=None if entry.low is None else entry.low / per_week,
        latest_week=None if entry.high is None else entry.high / per_week,
        urgency=Urgency.CLINIC,
        statement=writer.say(
            f"follow_up.{step.evidence}",
            text,
            evidence=evidence,
            record=facts.fracture_record,
        ),
    )


def _left_to_clinician(facts: CaseFacts, writer: Writer) -> FollowUp:
    """Fitness to drive and to work depends on what no rule here sees; no date is given."""
    if facts.younger_than(CHILD_BELOW_YEARS):
        what, text = "School and sport", "When the child returns to school and to sport is left to the clinician."
        statement = writer.say("follow_up.school_sport", text, certainty=Certainty.COMPUTED)
    else:
        what, text = "Driving and work", "Fitness to drive and to work is left to the clinician; no date is given here."
        statement = writer.say("follow_up.driving_work", text, certainty=Certainty.COMPUTED)
    return FollowUp(what=what, earliest_week=None, latest_week=None, urgency=Urgency.ROUTINE, statement=statement)


def _hip(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    prefix, record = conditional(facts), facts.fracture_record
    surgery = writer.say(
        "follow_up.hip.surgery",
        sentence(f"{prefix}surgery on the day of admission or the day after."),
        evidence=("care.rehab.hip_surgery",),
        record=record,
    )
    mobilise = writer.say(
        "follow_up.hip.mobilise",
        sentence(f"{prefix}physiotherapy and mobilisation on the day after surgery, unless contraindicated."),
        evidence=("care.rehab.hip_mobilise",),
        record=record,
    )
    return [
        FollowUp(
            what="Hip surgery", earliest_week=0.0, latest_week=0.0, urgency=Urgency.WITHIN_HOURS, statement=surgery
        ),
        FollowUp(
            what="Mobilisation",
            earliest_week=0.0,
            latest_week=0.5,
            urgency=Urgency.WITHIN_HOURS,
            statement=mobilise,
        ),
    ]
