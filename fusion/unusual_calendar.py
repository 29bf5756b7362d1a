"""Where the usual weeks do not hold: a lesion, an open fracture, a diabetic foot. What stands in their place.

A check of the report may say that the usual times do not hold; the calendar then follows it. It either moves, where a
source gives other weeks, or is left out with the reason.
"""

from fusion.diabetic_foot import complicated_foot, diabetic_foot_fracture, foot_complications
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, references
from fusion.results import Certainty, FollowUp, Statement, Urgency
from fusion.sites import FractureSite
from fusion.statements import CLINICIAN, Writer, plain

DIABETIC = "care.rehab.diabetic_ankle"
DIABETIC_FIXED = "care.rehab.diabetic_ankle_fixed"
DEBRIDED = ("severity.open_fracture.debridement_h", "severity.open_fracture.cover_h")
ONLY_WITH_SENSATION = "Only with protective sensation and pulses."
"""Ends every usual step of a diabetic foot whose nerves and arteries the record does not judge."""
_WEIGHT = "Weight bearing (diabetic foot)"


def usual_calendar_holds(facts: CaseFacts) -> bool:
    """Whether steps without operation may print their weeks."""
    return not (facts.pathological or _open_unless_operated(facts) or complicated_foot(facts))


def in_place_of_the_usual(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """One line for each reason why the usual weeks are not printed; empty where they are."""
    found = []
    if facts.pathological:
        found.append(_lesion(writer))
        return found
    if complicated_foot(facts):
        found += _diabetic(facts, writer)
    if _open_unless_operated(facts):
        found.append(_open(writer))
    return found


def sensation_caveat(facts: CaseFacts) -> bool:
    """A diabetic foot without recorded neuropathy or arterial disease: absence from the record is no proof."""
    return diabetic_foot_fracture(facts) and not foot_complications(facts)


def _open_unless_operated(facts: CaseFacts) -> bool:
    """An open fracture goes to theatre; what is stated as operated already has its own steps."""
    return facts.open_fracture is True and facts.context.operated is not True


def _line(what: str, statement: Statement, earliest: float | None = None, latest: float | None = None) -> FollowUp:
    return FollowUp(what=what, earliest_week=earliest, latest_week=latest, urgency=Urgency.CLINIC, statement=statement)


def _lesion(writer: Writer) -> FollowUp:
    text = (
        "A lesion is suspected: the usual weeks for brace, motion, weight and union do not hold; they are set once the"
        " lesion is known."
    )
    statement = writer.say("follow_up.calendar.lesion", text, record=(CLINICIAN,), certainty=Certainty.COMPUTED)
    return _line("Immobilisation, motion and weight", statement)


def _open(writer: Writer) -> FollowUp:
    text = (
        "Open fracture: debrided and covered in theatre, so the weeks without operation do not hold; the operating"
        " team sets them."
    )
    statement = writer.say("follow_up.calendar.open", text, evidence=DEBRIDED, record=(CLINICIAN,))
    return _line("Immobilisation, motion and weight", statement)


def _diabetic(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """Longer off weight: weeks only where a source gives them, after fixation of the ankle."""
    complications = foot_complications(facts)
    record = (*facts.fracture_record, *references(complications))
    ankle = facts.context.site is FractureSite.ANKLE
    carried = "" if ankle else " The sources are of the ankle."
    text = (
        "Diabetes with neuropathy or arterial disease: the usual weeks do not hold. Longer off weight, then protected"
        f" weight, with and without operation; the foot and ankle specialist sets the weeks.{carried}"
    )
    statement = writer.say("follow_up.calendar.diabetic_foot", text, evidence=(DIABETIC,), record=record)
    lines = [_line(_WEIGHT, statement)]
    if ankle and facts.context.operated is True and not facts.younger_than(ADULT_FROM_YEARS):
        low, high = (writer.value(DIABETIC_FIXED, end) for end in ("low", "high"))
        text = (
            f"Without protective sensation one protocol after transarticular fixation: no weight in a contact cast for"
            f" {plain(low)} weeks, partial weight until week {plain(high)}."
        )
        moved = writer.say("follow_up.calendar.diabetic_ankle_fixed", text, evidence=(DIABETIC_FIXED,), record=record)
        lines.append(_line("Weight bearing (diabetic ankle, after fixation)", moved, low, high))
    return lines
