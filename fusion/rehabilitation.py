"""Immobilisation, radiographs in between, weight and exercise by site, and what is left to the clinician.

The weeks are those of the cited entries, counted from the injury or the operation. A step is shown for a stated site
only: a region alone does not say which bone is to be immobilised. Sites without a source that was read have no step.
"""

from dataclasses import dataclass

from fusion.context import FractureType
from fusion.facts import ADULT_FROM_YEARS, CHILD_BELOW_YEARS, CaseFacts
from fusion.results import Certainty, FollowUp, Urgency
from fusion.sites import FractureSite
from fusion.statements import Writer, plain, sentence

DAYS_PER_WEEK = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of rehabilitation; the weeks are those of its evidence."""

    what: str
    evidence: str
    """Entry below ``care.``."""
    text: str
    """May use ``{low}``, ``{high}`` and the keys of the entry's table."""
    days: bool = False
    """The entry counts days."""
    operated: bool | None = None
    """True for a step after an operation, shown only when one is stated; False for one without, hidden then."""
    ages: tuple[int, int] | None = None
    """First and last completed year of age that the source studied."""
    only_undisplaced: bool = False
    """Hidden when a displaced fracture is stated."""
    not_comminuted: bool = False
    """Hidden when a comminuted fracture is stated."""


def _conservative(what: str, evidence: str, text: str, *, only_undisplaced: bool = False) -> Step:
    return Step(what=what, evidence=evidence, text=text, operated=False, only_undisplaced=only_undisplaced)


def _after_operation(what: str, evidence: str, text: str) -> Step:
    return Step(what=what, evidence=evidence, text=text, operated=True)


ADULT_STEPS: dict[FractureSite, tuple[Step, ...]] = {
    FractureSite.DISTAL_RADIUS: (
        _conservative(
            "Radiograph for displacement (no operation)",
            "check.distal_radius",
            "If the fracture is thought unstable and displacement would lead to an operation: repeat the radiograph"
            " {low} to {high} weeks after injury or manipulation.",
        ),
        _conservative(
            "End of cast (no operation)",
            "rehab.distal_radius_cast",
            "Without operation the wrist is immobilised for {low} to {high} weeks.",
        ),
        _conservative(
            "Cast off to be considered (no operation)",
            "rehab.distal_radius_boast",
            "Consider removing the cast and starting motion {low} weeks after the injury.",
        ),
        _after_operation(
            "Wrist motion (after plating)",
            "rehab.distal_radius_plate_motion",
            "After plating active wrist motion starts at {low} to {high} weeks.",
        ),
        _after_operation(
            "Loading (after plating)",
            "rehab.distal_radius_plate_load",
            "After plating strengthening starts at week {low} and full load at week {high}.",
        ),
    ),
    FractureSite.ANKLE: (
        _conservative(
            "Weight bearing (no operation)",
            "rehab.ankle_nwb",
            "Without operation the ankle is kept off weight for {low} to {high} weeks.",
        ),
        _conservative(
            "Full weight (no operation)",
            "rehab.ankle_full_weight",
            "Without operation full weight is reached at {low} to {high} weeks; a reduced fracture needs longer.",
        ),
        _after_operation(
            "Weight bearing (after fixation)",
            "rehab.ankle_fixed_weight",
            "After fixation walking from {low} weeks was at least as good as waiting until {high}; not studied without"
            " protective sensation or with a hindfoot nail.",
        ),
    ),
    FractureSite.HUMERUS_PROXIMAL: (
        _conservative(
            "Exercises (no operation)",
            "rehab.proximal_humerus_exercise",
            "Without operation pendulum exercises are done out of the sling in the first {high} weeks, then light use.",
        ),
        _conservative(
            "Clinic and radiograph (no operation)",
            "check.proximal_humerus",
            "Without operation: clinic at {low} to {high} weeks, with a radiograph if needed.",
        ),
        _conservative(
            "End of sling (no operation)",
            "rehab.proximal_humerus_sling",
            "Without operation the arm is kept in a sling for {low} to {high} weeks; sources disagree.",
        ),
    ),
    FractureSite.HUMERUS_SHAFT: (
        _conservative(
            "Motion in the brace (no operation)",
            "rehab.humerus_shaft_motion",
            "In a brace unloaded motion and physiotherapy start within {high} weeks.",
        ),
        _conservative(
            "Test of stability in the brace (no operation)",
            "rehab.humerus_shaft_brace",
            "In a brace stability is tested at {low} weeks below 65 years and at {high} weeks from 65; the brace may be"
            " needed for up to {longest_weeks} weeks.",
        ),
    ),
    FractureSite.CLAVICLE: (
        _conservative(
            "End of sling (no operation)",
            "rehab.clavicle_sling",
            "Without operation the arm is usually immobilised for {low} to {high} weeks, then moved gently.",
        ),
        _conservative(
            "Loading (no operation)",
            "rehab.clavicle_load",
            "Without operation the arm carries no weight for about {low} weeks; load builds up until week {high}.",
        ),
    ),
    FractureSite.SCAPHOID_WAIST: (
        _conservative(
            "End of cast (no operation)",
            "rehab.scaphoid_waist_cast",
            "Displaced by 2 mm or less and without operation: below-elbow cast for {low} to {high} weeks.",
        ),
        _conservative(
            "Radiograph or CT for union (no operation)",
            "check.scaphoid_waist",
            "Without operation union is judged by radiograph or CT at {low} to {high} weeks; consider early fixation if"
            " it has failed.",
        ),
    ),
    FractureSite.METACARPAL: (
        _conservative(
            "End of strapping or splint (no operation)",
            "rehab.metacarpal_support",
            "A stable fracture is strapped or splinted for {low} to {high} weeks; sources disagree.",
        ),
    ),
    FractureSite.HAND_PHALANX: (
        _conservative(
            "Radiograph for displacement (no operation)",
            "check.phalanx",
            "Undisplaced: repeat the radiograph after about {low} week.",
            only_undisplaced=True,
        ),
        _conservative(
            "End of strapping (no operation)",
            "rehab.phalanx_strapping",
            "Undisplaced: strapped to the neighbouring finger for {low} to {high} weeks and moved meanwhile.",
            only_undisplaced=True,
        ),
    ),
    FractureSite.TIBIAL_SHAFT: (
        Step(
            what="Weight bearing (after nailing)",
            evidence="rehab.tibia_nail_weight",
            operated=True,
            not_comminuted=True,
            text="After nailing of a simple fracture (AO/OTA 42-A or 42-B) weight as tolerated at once was as safe as"
            " none for {high} weeks, with no difference in the time to union.",
        ),
    ),
    FractureSite.FEMORAL_SHAFT: (
        _after_operation(
            "Weight bearing (after nailing)",
            "rehab.femur_nail_weight",
            "After nailing immediate weight bearing made no difference to union or to failure of the implant; complex"
            " fractures were more often kept off weight.",
        ),
    ),
    FractureSite.METATARSAL: (
        _conservative(
            "End of boot (no operation)",
            "rehab.metatarsal5_boot",
            "Base of the fifth metatarsal only: weight as pain allows, in a boot for {low} to {high} weeks. A Jones"
            " fracture is kept off weight for longer.",
        ),
    ),
    FractureSite.PATELLA: (
        _conservative(
            "Knee in extension (no operation)",
            "rehab.patella_brace",
            "Undisplaced, with active extension kept: the knee is held straight for {low} to {high} weeks.",
            only_undisplaced=True,
        ),
    ),
}
"""Steps of adults; bones that are missing here have no source that was read."""
CHILD_STEPS: dict[FractureSite, tuple[Step, ...]] = {
    FractureSite.DISTAL_RADIUS: (
        Step(
            what="Torus fracture",
            evidence="rehab.child_torus",
            text="A torus (buckle) fracture needs no rigid cast and usually no further appointment.",
        ),
        _conservative(
            "Radiograph for displacement (complete fracture)",
            "check.child_distal_radius",
            "Complete fracture: radiograph within {low} week, again at {high} weeks if it was displaced.",
        ),
        Step(
            what="End of cast",
            evidence="rehab.child_forearm_cast",
            text="A child's distal forearm fracture is kept in a cast for {low} to {high} days.",
            days=True,
        ),
        _conservative(
            "End of cast (complete fracture)",
            "rehab.child_distal_radius_complete",
            "The cast of a complete fracture comes off at {low} weeks.",
        ),
    ),
    FractureSite.FOREARM_SHAFT: (
        _conservative(
            "Radiograph in the cast",
            "check.child_forearm_shaft",
            "Radiograph in the cast within {low} week and again at {high} weeks, to find displacement.",
        ),
        _conservative(
            "End of cast", "rehab.child_forearm_shaft_cast", "The above-elbow cast comes off at {low} weeks."
        ),
        _conservative(
            "Contact sports",
            "rehab.child_forearm_shaft_sport",
            "No contact sports for at least six weeks after the cast, to week {low} at the earliest; one in twenty"
            " breaks again.",
        ),
    ),
    FractureSite.CLAVICLE: (
        _conservative(
            "End of sling",
            "rehab.child_clavicle_sling",
            "Sling for comfort for {low} to {high} weeks; no contact sports for {contact_sport_weeks} weeks.",
        ),
    ),
    FractureSite.FEMORAL_SHAFT: (
        Step(
            what="End of spica (1 to 3 years)",
            evidence="rehab.child_femur_spica",
            text="At 1 to 3 years the hip spica came off after {low} weeks (single leg) or {high} weeks (both legs) on"
            " average.",
            operated=False,
            ages=(1, 3),
        ),
    ),
}


def rehabilitation(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """Steps for a stated site and, for every fracture, the line on what only the clinician can judge."""
    if not facts.has_fracture:
        return []
    return [*_steps(facts, writer), _left_to_clinician(facts, writer)]


def conditional(facts: CaseFacts) -> str:
    """How a sentence about a fracture begins that is only suspected."""
    return "If confirmed: " if facts.only_suspected else ""


def _steps(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
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
    if step.only_undisplaced and facts.context.displaced is True:
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
    return FollowUp(
        what=step.what,
        earliest_week=None if entry.low is None else entry.low / per_week,
        latest_week=None if entry.high is None else entry.high / per_week,
        urgency=Urgency.CLINIC,
        statement=writer.say(
            f"follow_up.{step.evidence}",
            step.text.format(**numbers),
            evidence=(name,),
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
