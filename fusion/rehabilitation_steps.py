"""The steps of the calendar by site: what happens when, each with the entry that holds its weeks.

Sites without a source that was read have no step. `fusion.rehabilitation` decides which of them a case gets.
"""

from dataclasses import dataclass

from fusion.sites import FractureSite


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
    only_displaced: bool = False
    """Shown only when a displaced fracture is stated."""
    not_comminuted: bool = False
    """Hidden when a comminuted fracture is stated."""


def _conservative(what: str, evidence: str, text: str, *, only_undisplaced: bool = False, days: bool = False) -> Step:
    return Step(what=what, evidence=evidence, text=text, operated=False, only_undisplaced=only_undisplaced, days=days)


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
            "End of cast or brace (stable Weber B)",
            "rehab.ankle_weber_b",
            "Stable, isolated Weber B only: {low} weeks in a cast or brace were no worse than {high}.",
        ),
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
    FractureSite.SCAPHOID_DISTAL: (
        _conservative(
            "End of cast (no operation)",
            "rehab.scaphoid_other_cast",
            "Undisplaced: cast for {low} weeks, then until union is seen; nearly all of the distal third unite.",
            only_undisplaced=True,
        ),
    ),
    FractureSite.SCAPHOID_PROXIMAL: (
        _conservative(
            "End of cast (no operation)",
            "rehab.scaphoid_other_cast",
            "Undisplaced: cast for {low} weeks, then until union is seen. Of the proximal pole {proximal_low} to"
            " {proximal_high} % unite: ask about fixation.",
            only_undisplaced=True,
        ),
    ),
    FractureSite.OLECRANON: (
        _conservative(
            "Radiograph for displacement (no operation)",
            "check.olecranon",
            "Undisplaced: radiograph at {low}, {second_week} and {high} weeks, to find displacement.",
            only_undisplaced=True,
        ),
        _conservative(
            "End of splint (no operation)",
            "rehab.olecranon_splint",
            "Undisplaced, with active extension kept: splint or cast for {low} to {high} weeks, then motion.",
            only_undisplaced=True,
        ),
        _conservative(
            "Bending beyond 90° (no operation)",
            "rehab.olecranon_flexion",
            "Undisplaced: no bending beyond 90° until the radiograph shows union, at {low} to {high} weeks.",
            only_undisplaced=True,
        ),
        Step(
            what="Sling and motion (displaced, no operation)",
            evidence="rehab.olecranon_elderly",
            operated=False,
            only_displaced=True,
            days=True,
            ages=(71, 150),
            text="Displaced, above {above_age_years} years: one series took the cast off after {high} days;"
            " {not_united} of {patients} did not unite and none needed an operation.",
        ),
    ),
    FractureSite.FOREARM_SHAFT: (
        _conservative(
            "End of cast (isolated ulna, no operation)",
            "rehab.ulna_cast",
            "Isolated, little displaced ulna only: below-elbow cast for {low} to {high} weeks. Fractures of both bones"
            " or of the radius are operated on in adults.",
        ),
        _conservative(
            "End of brace (isolated ulna, no operation)",
            "rehab.ulna_brace",
            "Isolated, stable ulna only: a brace was worn until union, after {low} to {high} weeks.",
        ),
        _after_operation(
            "Weight bearing (after plating)",
            "rehab.forearm_plate_weight",
            "After plating of both bones weight bearing at once went with {nonunions} non-unions and"
            " {implant_failures} implant failures in {patients} patients.",
        ),
    ),
    FractureSite.METACARPAL: (
        _conservative(
            "Radiograph for displacement (no operation)",
            "check.metacarpal",
            "Radiograph at {low} to {high} days, to check the position.",
            days=True,
        ),
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
    FractureSite.TIBIAL_PLATEAU: (
        _conservative(
            "Radiograph for displacement (no operation)",
            "check.plateau",
            "Undisplaced: radiograph every week from week {low} to week {high}, to find displacement.",
            only_undisplaced=True,
        ),
        _conservative(
            "Weight bearing (no operation)",
            "rehab.plateau_nwb",
            "Undisplaced: no weight for {low} to {high} weeks, then partial weight until union; sources disagree.",
            only_undisplaced=True,
        ),
        _conservative(
            "End of brace (no operation)",
            "rehab.plateau_brace",
            "Undisplaced: hinged brace for {low} to {high} weeks, until the radiograph shows union.",
            only_undisplaced=True,
        ),
        _after_operation(
            "Weight bearing (after fixation)",
            "rehab.plateau_fixed",
            "After fixation early weight bearing was safe in selected cases ({papers} studies); the surgeon selects.",
        ),
    ),
    FractureSite.TOE: (
        _conservative(
            "Radiograph for displacement (no operation)",
            "check.toe",
            "Radiograph again at {low} to {high} days only if it enters the joint or was reduced.",
            days=True,
        ),
        _conservative(
            "End of strapping (no operation)",
            "rehab.toe_strapping",
            "Stable: strapped to the neighbouring toe for {low} to {high} weeks, in a stiff-soled shoe, and moved"
            " meanwhile; sources disagree.",
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
