"""What a growing skeleton changes, and what skeletal age adds to it: growth left, remodelling, the growth plate.

Skeletal age is used where it was read from a hand; otherwise chronological age stands in, and the words say so. All
comparisons are made with the whole 90 % interval of skeletal age: inside of it a statement becomes a possibility.
"""

from dataclasses import dataclass

from fhir_adapters.patient import Sex
from fusion.facts import ADULT_FROM_YEARS, CaseFacts
from fusion.results import FollowUp, Statement, Urgency
from fusion.sites import FractureSite
from fusion.statements import CLINICIAN, IMAGE, Writer, percent, plain
from imaging.results import AgeDiscrepancyVerdict

END = {Sex.FEMALE: "growth.end.girls", Sex.MALE: "growth.end.boys"}
CLOSE_FOLLOW_UP = "growth.remaining.close_follow_up"
REMODELLING = {
    FractureSite.DISTAL_RADIUS: "growth.remodelling.distal_forearm",
    FractureSite.FOREARM_SHAFT: "growth.remodelling.forearm_shaft",
}
ARREST_RATE = "growth.plate.arrest_rate"
ARREST_DISTAL_FEMUR = "growth.plate.distal_femur"
RECHECK = "growth.plate.recheck"
DISCREPANCY = "growth.discrepancy.limit_sd"
WEEKS_PER_MONTH = 365.25 / 12 / 7
_MONTHS = 12

_DISCREPANCY_WORDS = {
    AgeDiscrepancyVerdict.DELAYED: "is delayed",
    AgeDiscrepancyVerdict.ADVANCED: "is advanced",
    AgeDiscrepancyVerdict.MAY_BE_DELAYED: "may be delayed",
    AgeDiscrepancyVerdict.MAY_BE_ADVANCED: "may be advanced",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Maturity:
    """The age that counts for growth, in years, and where it comes from."""

    low: float
    high: float
    skeletal: bool
    """From a hand's skeletal age; otherwise chronological."""

    @property
    def words(self) -> str:
        """Which age is meant."""
        return "skeletal age" if self.skeletal else "chronological age"

    @property
    def record(self) -> tuple[str, ...]:
        """Where it comes from."""
        return (IMAGE,) if self.skeletal else ()


def maturity(facts: CaseFacts) -> Maturity | None:
    """Skeletal age where it was read, else completed chronological years to the next birthday; None for neither."""
    if facts.bone_age is not None:
        return Maturity(low=facts.bone_age.low / _MONTHS, high=facts.bone_age.high / _MONTHS, skeletal=True)
    if facts.age_years is None:
        return None
    return Maturity(low=float(facts.age_years), high=facts.age_years + 1.0, skeletal=False)


def growth_ended(facts: CaseFacts, writer: Writer) -> bool | None:
    """Whether skeletal age says that growth has ended: None where it was not read, lacks the sex, or leaves it open."""
    if facts.bone_age is None or facts.sex is None:
        return None
    end = _MONTHS * writer.value(END[facts.sex])
    if facts.bone_age.low >= end:
        return True
    return False if facts.bone_age.high < end else None


def growth_statements(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    """What to keep in mind with a growing skeleton; empty for adults.

    The discrepancy of skeletal age is told whether or not there is a fracture; the rest needs one.
    """
    found = [_discrepancy(facts, writer)]
    if facts.has_fracture and facts.younger_than(ADULT_FROM_YEARS):
        found += [
            _remaining(facts, writer),
            _little_left(facts, writer),
            _remodelling(facts, writer),
            _plate(facts, writer),
            _healing(facts, writer),
        ]
    return tuple(one for one in found if one is not None)


def growth_follow_up(facts: CaseFacts, writer: Writer) -> list[FollowUp]:
    """The late radiograph after an injury of a growth plate that the clinician stated."""
    if facts.context.growth_plate is not True or not facts.has_fracture or not facts.younger_than(ADULT_FROM_YEARS):
        return []
    low, high = (writer.value(RECHECK, end) for end in ("low", "high"))
    text = (
        f"Radiograph at about {plain(low)} months for an arrest of growth, and until {plain(high)} months if"
        " displaced or articular."
    )
    return [
        FollowUp(
            what="Growth plate check",
            earliest_week=low * WEEKS_PER_MONTH,
            latest_week=high * WEEKS_PER_MONTH,
            urgency=Urgency.CLINIC,
            statement=writer.say("follow_up.growth_plate", text, evidence=(RECHECK,), record=(CLINICIAN,)),
        )
    ]


def _discrepancy(facts: CaseFacts, writer: Writer) -> Statement | None:
    compared = None if facts.bone_age is None else facts.bone_age.discrepancy
    words = None if compared is None or compared.verdict is None else _DISCREPANCY_WORDS.get(compared.verdict)
    if words is None:
        return None
    limit = plain(writer.value(DISCREPANCY))
    text = (
        f"Skeletal age {words} (beyond {limit} standard deviations of chronological age). Have a radiologist confirm"
        " it; if confirmed, look at growth, puberty, nutrition and long-term disease, and consider a paediatrician."
    )
    return writer.say("growth.discrepancy", text, evidence=(DISCREPANCY,), record=(IMAGE,))


def _remaining(facts: CaseFacts, writer: Writer) -> Statement | None:
    age = maturity(facts)
    if age is None or facts.sex is None:
        return None
    name = END[facts.sex]
    end = writer.value(name)
    whose = "girls" if facts.sex is Sex.FEMALE else "boys"
    low, high = max(0.0, end - age.high), max(0.0, end - age.low)
    if high == 0:
        text = (
            f"By {age.words} growth has ended (about {plain(end)} years in {whose}): expect no remodelling, and judge"
            " position as in an adult."
        )
        return writer.say("growth.ended", text, evidence=(name,), record=age.record)
    left = "at most a year" if high <= 1 else f"{_years(low)} to {_years(high)} years"
    text = f"By {age.words} {left} of growth remain, if it ends at about {plain(end)} years in {whose}."
    return writer.say("growth.remaining", text, evidence=(name,), record=age.record)


def _little_left(facts: CaseFacts, writer: Writer) -> Statement | None:
    age = maturity(facts)
    if age is None or facts.sex is None or FractureSite.DISTAL_RADIUS not in facts.sites:
        return None
    bound = writer.value(CLOSE_FOLLOW_UP)
    end = writer.value(END[facts.sex])
    least, most = end - age.high, end - age.low
    if least >= bound or most <= 0:
        return None
    verb = "remain" if most < bound else "may remain"
    text = (
        f"Less than {plain(bound)} years of growth {verb}: a displaced fracture remodels less; review its position"
        " closely."
    )
    return writer.say(
        "growth.little_left",
        text,
        evidence=(CLOSE_FOLLOW_UP, END[facts.sex]),
        record=(*age.record, *facts.fracture_record),
    )


def _remodelling(facts: CaseFacts, writer: Writer) -> Statement | None:
    age = maturity(facts)
    name = None if facts.context.site is None else REMODELLING.get(facts.context.site)
    if age is None or name is None:
        return None
    bound = writer.value(name)
    where = "distal radius" if facts.context.site is FractureSite.DISTAL_RADIUS else "forearm shaft"
    if age.low > bound:
        text = (
            f"Above {plain(bound)} years (by {age.words}) an angulated fracture of the {where} was not seen to realign"
            " reliably: do not count on remodelling."
        )
        rule = "growth.remodelling_poor"
    else:
        text = (
            f"Up to {plain(bound)} years (by {age.words}) an angulated fracture of the {where} realigned well in the"
            " plane of wrist flexion; radio-ulnar angulation did so poorly at every age."
        )
        rule = "growth.remodelling_good"
    return writer.say(rule, text, evidence=(name,), record=(*age.record, CLINICIAN))


def _plate(facts: CaseFacts, writer: Writer) -> Statement | None:
    if facts.context.growth_plate is False or growth_ended(facts, writer) is True:
        return None
    if facts.context.growth_plate is None:
        text = (
            "Look for a line into the growth plate (Salter-Harris) and enter it: it decides on late checks for arrest."
        )
        return writer.say("growth.ask_plate", text, record=facts.fracture_record)
    usual, worst = percent(writer.value(ARREST_RATE)), percent(writer.value(ARREST_DISTAL_FEMUR))
    text = (
        f"Growth plate injured: growth arrests after up to {usual} of such fractures over all sites; at the distal"
        f" femur it was disturbed after {worst}."
    )
    return writer.say("growth.plate", text, evidence=(ARREST_RATE, ARREST_DISTAL_FEMUR), record=(CLINICIAN,))


def _healing(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Whose union figures skeletal age chose, between children's and adults'."""
    ended = growth_ended(facts, writer)
    if ended is None or facts.sex is None or facts.age_years is None:
        return None
    if not facts.between_child_and_adult:
        return None
    whose = "adults'" if ended else "children's"
    text = f"Of this age, whose union figures are usually mixed, skeletal age chose the {whose}."
    return writer.say("growth.union_figures", text, evidence=(END[facts.sex],), record=(IMAGE,))


def _years(value: float) -> str:
    return f"{round(2 * value) / 2:g}"
