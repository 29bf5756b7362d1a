"""What the patient can do, and what not to take without asking: from actions, agents and rule ids of the advice.

Amounts stand here only where the engine gives a dose and no safety line blocks the agent. Hours between two medicines
are left to the team: a page that is read alone must not space drugs wrongly.
"""

from collections.abc import Iterator

from cds.presenters.patient_page.reader import Group, Line, Reader
from fhir_adapters.patient import ConditionKind
from fusion.contraindications import BOTH
from fusion.facts import OLDER_FROM_YEARS
from fusion.results import Advice, AdviceAction, BoneHealthPathway, Certainty

FOOD = "care.food.bones"
CAST = "care.home.cast"
FALLS = "care.home.falls"
POLICY = "care.policy.no_union_claim"
STOPPING = frozenset({AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY, AdviceAction.CORRECT_FIRST})
WARNING = STOPPING | {AdviceAction.CAUTION}
FOOD_STAYS = frozenset({"safety.stones", "safety.age_or_pregnancy", "safety.hyperparathyroidism"})
"""Rules that leave tablets to a specialist, not calcium from food."""
SAFETY = "safety."
INTERACTION = "safety.interaction."
LIAISON = frozenset({BoneHealthPathway.FRACTURE_LIAISON, BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY})

_CALCIUM: dict[str, str] = {
    "supplementation.calcium.met": "do.calcium_met",
    "supplementation.calcium.ask_diet": "do.calcium_ask",
    "supplementation.calcium.already_taken": "do.calcium_taken",
}
_VITAMIN_D: dict[str, str] = {
    "supplementation.vitamin_d.already_taken": "do.vitamin_d_taken",
    "supplementation.vitamin_d.compare": "do.vitamin_d_taken",
    "supplementation.vitamin_d.sufficient": "do.vitamin_d_enough",
}
_PAIN_DRUGS = frozenset({"nsaid", "cox2_inhibitor"})
_BONE_DRUGS = frozenset({"bisphosphonate", "denosumab"})
_SUPPLEMENTS = frozenset({"calcium", "vitamin_d", BOTH})
_HABITS = frozenset({"smoking", "alcohol"})


def to_do(reader: Reader) -> Group:
    """What the patient can do; never empty."""
    lines = (*_limb(reader), *_habits(reader), *_falls(reader), *_food(reader))
    return Group(lines=lines or (reader.line("do.ask"),), listed=True)


def not_to_take(reader: Reader) -> Group:
    """What not to take without asking; never empty."""
    found = (*_supplements_to_ask(reader), *_medicines_to_ask(reader))
    lines = (*dict.fromkeys(found), reader.line("not_take.always"), reader.line("not_take.never_stop"))
    return Group(lines=lines, listed=True)


def _about(reader: Reader, *agents: str) -> tuple[Advice, ...]:
    return tuple(one for one in reader.result.assessment.supplementation if one.agent in agents)


def _limb(reader: Reader) -> Iterator[Line]:
    if not reader.facts.has_fracture:
        return
    for name in () if reader.castless else ("raise", "move", "dry"):
        yield reader.line(f"do.{name}", (CAST,))
    if not reader.child:
        yield reader.line("do.drive", (CAST,))


def _habits(reader: Reader) -> Iterator[Line]:
    smoking, alcohol = _about(reader, "smoking"), _about(reader, "alcohol")
    for one in smoking[:1]:
        key = "do.smoking_current" if reader.facts.has_fracture else "do.smoking_bones"
        yield reader.line(key, one.statement.evidence)
    if not smoking and reader.facts.has_fracture and not reader.child and reader.facts.smoking is None:
        yield reader.line("do.smoking_unknown", ("care.smoking.cessation",))
    for one in alcohol[:1]:
        yield reader.line("do.alcohol", one.statement.evidence)


def _falls(reader: Reader) -> Iterator[Line]:
    facts = reader.facts
    counted = None if facts.patient is None else facts.patient.falls_last_year
    fell = (counted is not None and counted.value > 0) or facts.condition(ConditionKind.REPEATED_FALLS) is not None
    if fell or facts.at_least(OLDER_FROM_YEARS) or reader.pathway in LIAISON:
        yield reader.line("do.falls_home", (FALLS,))
        yield reader.line("do.falls_tell", (FALLS,))


# --- food


def _stopped(reader: Reader, agent: str) -> tuple[Advice, ...]:
    """Safety lines that leave no room for an agent as a supplement."""
    kidney_unknown = f"{SAFETY}kidney_unknown"
    return tuple(
        one for one in _about(reader, agent, BOTH) if one.action in STOPPING or one.statement.id == kidney_unknown
    )


def _food(reader: Reader) -> tuple[Line, ...]:
    calcium, vitamin_d = tuple(_calcium(reader)), tuple(_vitamin_d(reader))
    protein = tuple(
        reader.line("do.protein", one.statement.evidence)
        for one in _about(reader, "protein")
        if one.action is AdviceAction.CONSIDER
    )
    aim = (reader.line("do.aim", (POLICY,)),) if reader.facts.has_fracture and (calcium or vitamin_d) else ()
    return (*calcium, *vitamin_d, *protein, *aim)


def _calcium(reader: Reader) -> Iterator[Line]:
    advice, stopped = _about(reader, "calcium"), _stopped(reader, "calcium")
    if not advice and not stopped:
        return
    if any(one.statement.id not in FOOD_STAYS for one in stopped):
        return
    yield reader.line("do.calcium_food", (FOOD,))
    for one in advice:
        rule, evidence = one.statement.id, one.statement.evidence
        if rule in _CALCIUM:
            yield reader.line(_CALCIUM[rule], evidence)
        elif not stopped and (amount := _amount(reader, one)):
            yield reader.line("do.calcium_gap", evidence, amount=amount)


def _vitamin_d(reader: Reader) -> Iterator[Line]:
    advice = _about(reader, "vitamin_d")
    if _stopped(reader, "vitamin_d"):
        return
    for one in advice:
        rule, evidence = one.statement.id, one.statement.evidence
        if rule in _VITAMIN_D:
            yield reader.line(_VITAMIN_D[rule], evidence)
        elif amount := _amount(reader, one):
            yield reader.line("do.vitamin_d_dose", evidence, amount=amount)
    if advice and not any(one.statement.id.endswith("vitamin_d.high") for one in advice):
        yield reader.line("do.vitamin_d_food", (FOOD,))


def _amount(reader: Reader, one: Advice) -> str:
    """A dose that the engine advises, in words; empty for anything else, unverified figures among it."""
    advised = one.action is AdviceAction.CONSIDER and one.statement.certainty is not Certainty.UNVERIFIED
    if not advised or one.dose_low is None or one.dose_high is None or one.dose_unit is None:
        return ""
    return reader.localiser.dose(one.dose_low, one.dose_high, one.dose_unit)


# --- what to ask about


def _supplements_to_ask(reader: Reader) -> Iterator[Line]:
    for agent in ("calcium", "vitamin_d"):
        stopped = _stopped(reader, agent)
        avoid = [one for one in stopped if one.action is AdviceAction.AVOID]
        for one in (avoid or stopped)[:1]:
            key = f"not_take.{agent}_{'avoid' if avoid else 'specialist'}"
            yield reader.line(key, one.statement.evidence)
    for one in _about(reader, "vitamin_d"):
        if one.statement.id == "supplementation.vitamin_d.high":
            yield reader.line("not_take.vitamin_d_high", one.statement.evidence)
    refused = any(one.action is AdviceAction.AVOID for one in _stopped(reader, "calcium"))
    for one in _about(reader, *_SUPPLEMENTS):
        rule = one.statement.id
        if not rule.startswith(INTERACTION):
            continue
        apart = f"not_take.apart.{rule.removeprefix(INTERACTION)}"
        if not reader.localiser.has(f"patient.{apart}"):
            yield reader.line("not_take.blood_test")
        elif not refused:
            yield reader.line(apart, one.statement.evidence)


def _medicines_to_ask(reader: Reader) -> Iterator[Line]:
    more = False
    for one in reader.result.assessment.supplementation:
        if one.action not in WARNING or one.agent in _SUPPLEMENTS | _HABITS:
            continue
        if one.agent in _PAIN_DRUGS:
            yield reader.line("not_take.nsaid")
        elif one.agent in _BONE_DRUGS:
            yield reader.line("not_take.bone_drugs")
        elif one.agent in {"vitamin_c", "protein"}:
            yield reader.line(f"not_take.{one.agent}")
        else:
            more = True
    if more:
        yield reader.line("not_take.more")
