"""Follow-up: imaging and union; `fusion.rehabilitation` and `fusion.bone_health` add their own lines."""

import math

from fusion.bone_health import bone_health_steps
from fusion.diabetic_foot import complicated_foot
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, FracturePresence
from fusion.growth_plate import growth_follow_up
from fusion.guard import guarded_follow_ups
from fusion.rehabilitation import DAYS_PER_WEEK, conditional, rehabilitation
from fusion.results import FollowUp, HealingEstimate, Statement, Urgency
from fusion.sites import FractureSite
from fusion.statements import CLINICIAN, Writer, plain, sentence, weeks
from fusion.unusual_calendar import DIABETIC

WEEKS_PER_MONTH = 365.25 / 12 / 7
NONUNION = "healing.definition.nonunion_fda"
OCCULT_HIP = "severity.imaging.occult_hip"
OCCULT_OTHER = "severity.imaging.occult_other"
RUST = "healing.score.rust"
RUSHU_6 = "healing.score.rushu_6_weeks"
RUSHU_12 = "healing.score.rushu_12_weeks"
LATE_UNION = "With neuropathy or arterial disease union is often delayed: expect the later part."


def follow_up(facts: CaseFacts, writer: Writer, healing: HealingEstimate | None) -> tuple[FollowUp, ...]:
    """Every appointment and check, by time."""
    found = [
        *_missed_fracture(facts, writer),
        *rehabilitation(facts, writer),
        *_union_checks(facts, writer, healing),
        *bone_health_steps(facts, writer),
        *growth_follow_up(facts, writer),
    ]
    return tuple(sorted(guarded_follow_ups(found, writer.evidence), key=_due))


def _due(one: FollowUp) -> float:
    """The week to sort by: a deadline for what may start at once, the end for what has no date."""
    if one.earliest_week is None and one.latest_week is None:
        return math.inf
    return one.earliest_week or one.latest_week or 0.0


# --- a fracture that the radiograph may have missed


def _missed_fracture(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    if facts.presence is not FracturePresence.NOT_SEEN or facts.context.clinical_suspicion_high is not True:
        return []
    if facts.hip_in_view:
        hours = plain(writer.value(OCCULT_HIP, "high"))
        statement = writer.say(
            "follow_up.occult_hip",
            f"MRI of the hip, or CT if MRI is not to be had within {hours} hours.",
            evidence=(OCCULT_HIP,),
            record=(CLINICIAN,),
        )
        return [
            FollowUp(
                what="Further imaging of the hip",
                earliest_week=0.0,
                latest_week=0.0,
                urgency=Urgency.WITHIN_HOURS,
                statement=statement,
            )
        ]
    low, high = (writer.value(OCCULT_OTHER, end) / DAYS_PER_WEEK for end in ("low", "high"))
    statement = writer.say(
        "follow_up.repeat_imaging",
        "Examine again and repeat the radiograph if pain persists.",
        evidence=(OCCULT_OTHER,),
        record=(CLINICIAN,),
    )
    return [
        FollowUp(
            what="Repeat examination and radiograph",
            earliest_week=low,
            latest_week=high,
            urgency=Urgency.CLINIC,
            statement=statement,
        )
    ]


# --- union


def _union_checks(facts: CaseFacts, writer: Writer, healing: HealingEstimate | None) -> list[FollowUp]:
    found: list[FollowUp] = []
    if facts.pathological:
        # The figures are those of bone without a lesion; `fusion.unusual_calendar` says so in their place.
        return found
    adult = not facts.younger_than(ADULT_FROM_YEARS)
    record = facts.fracture_record
    if facts.context.site is FractureSite.TIBIAL_SHAFT and adult and facts.context.operated is True:
        points = plain(writer.value(RUST))
        text = f"After nailing: RUST at 6 weeks; {points} or more went with union."
        found.append(_check("Radiograph with RUST", 6.0, 6.0, writer.say("follow_up.rust", text, evidence=(RUST,))))
    if facts.context.site is FractureSite.HUMERUS_SHAFT and adult and facts.context.operated is not True:
        for week, name, words in ((6.0, RUSHU_6, "below {}"), (12.0, RUSHU_12, "of {} or less")):
            limit = words.format(plain(writer.value(name)))
            text = f"Without operation: RUSHU at {plain(week)} weeks; {limit} points to non-union."
            rule = f"follow_up.rushu_{plain(week)}"
            found.append(_check("Radiograph with RUSHU", week, week, writer.say(rule, text, evidence=(name,))))
    if healing is None:
        return found
    fixed = "after fixation, " if facts.is_hip else ""
    between = f"between week {weeks(healing.low_weeks)} and week {weeks(healing.high_weeks)} (estimated interval)"
    text = sentence(f"{conditional(facts)}{fixed}examine and take a radiograph for union {between}.")
    # The interval is no surer than the figures below it.
    evidence = healing.baseline.evidence
    if complicated_foot(facts):
        text = f"{text} {LATE_UNION}"
        evidence = (*evidence, DIABETIC)
    statement = writer.say("follow_up.union", text, evidence=evidence, record=record)
    found.append(_check("Radiograph for union", healing.low_weeks, healing.high_weeks, statement))
    if adult:
        months = writer.value(NONUNION)
        text = sentence(
            f"{fixed}not united and no progress for three months at {plain(months)} months is a non-union; refer"
            " earlier if union lags behind the interval."
        )
        statement = writer.say("follow_up.nonunion", text, evidence=(NONUNION,), record=record)
        found.append(_check("Non-union review", months * WEEKS_PER_MONTH, None, statement))
    return found


def _check(
    what: str, earliest: float | None, latest: float | None, statement: Statement, urgency: Urgency = Urgency.CLINIC
) -> FollowUp:
    return FollowUp(what=what, earliest_week=earliest, latest_week=latest, urgency=urgency, statement=statement)
