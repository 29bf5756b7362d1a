"""Follow-up: imaging, immobilisation and rehabilitation by site, and the fracture liaison timeline."""

import math
from dataclasses import dataclass

from fhir_adapters.patient import ConditionKind
from fusion.facts import ADULT_FROM_YEARS, FRAGILITY_FROM_YEARS, CaseFacts, FracturePresence, references
from fusion.prognosis import T_SCORE_THRESHOLD
from fusion.results import Certainty, FollowUp, HealingEstimate, Statement, Urgency
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
        *_fracture_liaison(facts, writer),
        *_bone_health_review(facts, writer),
    ]
    return tuple(sorted(found, key=_due))


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
    if facts.is_hip:
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
        "Examine again and repeat the radiograph if pain persists. (Common practice; source not verified.)",
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


_ADULT_STEPS: dict[FractureSite, tuple[_Step, ...]] = {
    FractureSite.DISTAL_RADIUS: (
        _Step(
            what="End of cast (no operation)",
            evidence="care.rehab.distal_radius_cast",
            text="Without operation the wrist is immobilised for {low} to {high} weeks.",
        ),
        _Step(
            what="Wrist motion (after plating)",
            evidence="care.rehab.distal_radius_plate_motion",
            text="After plating active wrist motion starts at {low} to {high} weeks.",
        ),
        _Step(
            what="Loading (after plating)",
            evidence="care.rehab.distal_radius_plate_load",
            text="After plating strengthening starts at week {low} and full load at week {high}.",
        ),
    ),
    FractureSite.ANKLE: (
        _Step(
            what="Weight bearing (no operation)",
            evidence="care.rehab.ankle_nwb",
            text="Without operation the ankle is kept off weight for {low} to {high} weeks.",
        ),
        _Step(
            what="Full weight (no operation)",
            evidence="care.rehab.ankle_full_weight",
            text="Without operation full weight is reached at {low} to {high} weeks; a reduced fracture needs longer.",
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
    return [_follow_step(step, facts, writer) for step in steps]


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
    if facts.context.site is FractureSite.TIBIAL_SHAFT and adult:
        points = plain(writer.value(RUST))
        text = f"After nailing: RUST at 6 weeks; {points} or more went with union."
        found.append(_check("Radiograph with RUST", 6.0, 6.0, writer.say("follow_up.rust", text, evidence=(RUST,))))
    if facts.context.site is FractureSite.HUMERUS_SHAFT and adult:
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
    statement = writer.say("follow_up.union", text, certainty=Certainty.COMPUTED, record=record)
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


# --- fracture liaison


def _fracture_liaison(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """The fracture liaison timeline; conditional while mechanism or confirmation is open."""
    if not facts.has_fracture or facts.fragility is False or not facts.at_least(FRAGILITY_FROM_YEARS):
        return []
    unclear = facts.fragility is None
    steps = (
        ("Fracture risk assessment", "risk_assessed", "refer to the fracture liaison service", ()),
        ("Bone density (DXA)", "dxa", *_dxa(facts)),
        ("Falls assessment", "falls_assessment", *_falls(facts)),
        ("Strength and balance training", "strength_balance", "start strength and balance training", ()),
        ("Bone-protecting treatment", "drug_started", *_treatment(facts)),
        ("First monitoring", "monitoring", "follow up adherence and side effects", ()),
        ("Still on treatment?", "on_drug_check", "check whether treatment is still taken", ()),
    )
    found: list[FollowUp] = []
    for what, name, action, record in steps:
        evidence = f"care.fls.{name}"
        week = writer.value(evidence, "high")
        at = "at" if name == "on_drug_check" else "within"
        prefix = _fragility_prefix(facts, unclear, first=not found)
        statement = writer.say(
            f"follow_up.fls.{name}",
            sentence(f"{prefix}{action} {at} {plain(week)} weeks."),
            evidence=(evidence,),
            record=(*facts.fracture_record, *record),
        )
        earliest = week if name == "on_drug_check" else 0.0
        found.append(_check(what, earliest, week, statement, Urgency.ROUTINE))
    return found


def _fragility_prefix(facts: CaseFacts, unclear: bool, *, first: bool) -> str:
    """The condition in front of each step; spelled out in the first only."""
    if not unclear:
        return _conditional(facts)
    meaning = " (fall from standing height or less)" if first else ""
    return f"If {'confirmed as ' if facts.only_suspected else ''}a fragility fracture{meaning}: "


def _dxa(facts: CaseFacts) -> tuple[str, tuple[str, ...]]:
    if not facts.t_scores:
        return "measure bone density", ()
    _, score = facts.t_scores[0]
    return f"review bone density (T-score {score.value:.1f} in the record) and repeat it if old", (score.resource,)


def _falls(facts: CaseFacts) -> tuple[str, tuple[str, ...]]:
    counted = None if facts.patient is None else facts.patient.falls_last_year
    entry = facts.condition(ConditionKind.REPEATED_FALLS)
    if counted is not None and counted.value > 0:
        times = "once" if counted.value == 1 else f"{counted.value} times"
        return f"assess falls (fell {times} in the last year)", (counted.resource,)
    if entry is not None:
        return "assess falls (repeated falls in the record)", (entry.resource,)
    return "assess the risk of falls", ()


def _treatment(facts: CaseFacts) -> tuple[str, tuple[str, ...]]:
    drugs = facts.bone_drugs
    if drugs:
        return "review the bone-protecting treatment already prescribed", references(drugs)
    return "start bone-protecting treatment if indicated", ()


def _bone_health_review(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """No fracture today, but osteoporosis in the record: a review without a date."""
    resource = facts.osteoporosis
    if facts.has_fracture or resource is None:
        return []
    drugs = facts.bone_drugs
    action = "review adherence and duration of treatment" if drugs else "ask whether treatment is indicated"
    statement = writer.say(
        "follow_up.bone_health",
        f"Osteoporosis in the record: {action}.",
        evidence=(T_SCORE_THRESHOLD,),
        record=(resource, *references(drugs)),
    )
    return [_check("Bone health review", None, None, statement, Urgency.ROUTINE)]
