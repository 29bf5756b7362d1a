"""Follow-up: imaging, immobilisation and rehabilitation by site; `fusion.bone_health` adds its own lines."""

import math
from dataclasses import dataclass

from fusion.bone_health import bone_health_steps
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, FracturePresence
from fusion.growth_plate import growth_follow_up
from fusion.guard import guarded_follow_ups
from fusion.results import FollowUp, HealingEstimate, Statement, Urgency
from fusion.sites import FractureSite
from fusion.statements import CLINICIAN, Writer, plain, sentence, weeks

DAYS_PER_WEEK = 7.0
WEEKS_PER_MONTH = 365.25 / 12 / 7
NONUNION = "healing.definition.nonunion_fda"
OCCULT_HIP = "severity.imaging.occult_hip"
OCCULT_OTHER = "severity.imaging.occult_other"
RUST = "healing.score.rust"
RUSHU_6 = "healing.score.rushu_6_weeks"
RUSHU_12 = "healing.score.rushu_12_weeks"


def follow_up(facts: CaseFacts, writer: Writer, healing: HealingEstimate | None) -> tuple[FollowUp, ...]:
    """Every appointment and check, by time."""
    found = [
        *_missed_fracture(facts, writer),
        *_rehabilitation(facts, writer),
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


def _conditional(facts: CaseFacts) -> str:
    return "If confirmed: " if facts.only_suspected else ""


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


# --- rehabilitation by site


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One step of rehabilitation; the weeks are those of its evidence."""

    what: str
    evidence: str
    text: str
    days: bool = False
    """The entry counts days."""
    operated: bool | None = None
    """True for a step after an operation, shown only when one is stated; False for one without, hidden then."""


_ADULT_STEPS: dict[FractureSite, tuple[_Step, ...]] = {
    FractureSite.DISTAL_RADIUS: (
        _Step(
            what="End of cast (no operation)",
            evidence="care.rehab.distal_radius_cast",
            text="Without operation the wrist is immobilised for {low} to {high} weeks.",
            operated=False,
        ),
        _Step(
            what="Wrist motion (after plating)",
            evidence="care.rehab.distal_radius_plate_motion",
            text="After plating active wrist motion starts at {low} to {high} weeks.",
            operated=True,
        ),
        _Step(
            what="Loading (after plating)",
            evidence="care.rehab.distal_radius_plate_load",
            text="After plating strengthening starts at week {low} and full load at week {high}.",
            operated=True,
        ),
    ),
    FractureSite.ANKLE: (
        _Step(
            what="Weight bearing (no operation)",
            evidence="care.rehab.ankle_nwb",
            text="Without operation the ankle is kept off weight for {low} to {high} weeks.",
            operated=False,
        ),
        _Step(
            what="Full weight (no operation)",
            evidence="care.rehab.ankle_full_weight",
            text="Without operation full weight is reached at {low} to {high} weeks; a reduced fracture needs longer.",
            operated=False,
        ),
    ),
}
_CHILD_STEPS: dict[FractureSite, tuple[_Step, ...]] = {
    FractureSite.DISTAL_RADIUS: (
        _Step(
            what="End of cast",
            evidence="care.rehab.child_forearm_cast",
            text="A child's distal forearm fracture is kept in a cast for {low} to {high} days.",
            days=True,
        ),
    ),
}


def _rehabilitation(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """Steps for a stated site; a region alone does not say which bone is to be immobilised."""
    if not facts.has_fracture:
        return []
    if facts.is_hip and not facts.younger_than(ADULT_FROM_YEARS):
        return _hip(facts, writer)
    site = facts.context.site
    if site is None or facts.age_years is None:
        return []
    steps = (_CHILD_STEPS if facts.younger_than(ADULT_FROM_YEARS) else _ADULT_STEPS).get(site, ())
    return [_follow_step(step, facts, writer) for step in steps if _fits(step, facts)]


def _fits(step: _Step, facts: CaseFacts) -> bool:
    """A step after an operation needs a stated one; a step without one is left out after an operation only."""
    operated = facts.context.operated is True
    return step.operated is None or step.operated is operated


def _follow_step(step: _Step, facts: CaseFacts, writer: Writer) -> FollowUp:
    low, high = writer.value(step.evidence, "low"), writer.value(step.evidence, "high")
    per_week = DAYS_PER_WEEK if step.days else 1.0
    return FollowUp(
        what=step.what,
        earliest_week=low / per_week,
        latest_week=high / per_week,
        urgency=Urgency.CLINIC,
        statement=writer.say(
            f"follow_up.{step.evidence.removeprefix('care.')}",
            step.text.format(low=plain(low), high=plain(high)),
            evidence=(step.evidence,),
            record=facts.fracture_record,
        ),
    )


def _hip(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    prefix, record = _conditional(facts), facts.fracture_record
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


# --- union


def _union_checks(facts: CaseFacts, writer: Writer, healing: HealingEstimate | None) -> list[FollowUp]:
    found: list[FollowUp] = []
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
    text = sentence(f"{_conditional(facts)}{fixed}examine and take a radiograph for union {between}.")
    # The interval is no surer than the figures below it.
    statement = writer.say("follow_up.union", text, evidence=healing.baseline.evidence, record=record)
    found.append(_check("Radiograph for union", healing.low_weeks, healing.high_weeks, statement))
    if adult:
        months = writer.value(NONUNION)
        text = (
            f"Not united and no progress for three months at {plain(months)} months is a non-union; refer earlier if"
            " union lags behind the interval."
        )
        statement = writer.say("follow_up.nonunion", text, evidence=(NONUNION,), record=record)
        found.append(_check("Non-union review", months * WEEKS_PER_MONTH, None, statement))
    return found


def _check(
    what: str, earliest: float | None, latest: float | None, statement: Statement, urgency: Urgency = Urgency.CLINIC
) -> FollowUp:
    return FollowUp(what=what, earliest_week=earliest, latest_week=latest, urgency=urgency, statement=statement)
