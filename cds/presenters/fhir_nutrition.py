"""Calcium, vitamin D and protein as NutritionOrders: drafts, and only where the engine advises an amount.

A line that only informs, or leaves the agent to somebody else, makes no order. As a second lock, a safety line that
says avoid, specialist only or correct first keeps any order for its agent out, whatever else the assessment says.
"""

from collections.abc import Sequence

from cds.presenters import wording
from cds.presenters.fhir_transaction import Transaction
from fhir_adapters import proposals
from fhir_adapters.proposals import Nutrient, Supplement
from fhir_adapters.r4_types import SNOMED_CT, Code, Concept, JsonObject, Measured
from fusion.results import Advice, AdviceAction

AGENTS: dict[str, Code] = {
    "calcium": Code(system=SNOMED_CT, code="5540006", display="Calcium"),
    "vitamin_d": Code(system=SNOMED_CT, code="30178006", display="Vitamin D"),
    "protein": Code(system=SNOMED_CT, code="88878007", display="Protein"),
}
"""Agents that food or a supplement brings, with the SNOMED CT substance."""
_BOTH = "calcium_and_vitamin_d"
_BLOCKING = frozenset({AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY, AdviceAction.CORRECT_FIRST})
_CARE = frozenset({AdviceAction.SEPARATE, AdviceAction.CAUTION})
_UNITS: dict[str, str] = {"mg/d": "mg per day", "ug/d": "ug per day", "[iU]/d": "IU per day"}
"""UCUM of a daily amount to its printed unit."""
_CONFIRM = "For the clinician to confirm; no order was placed."


def _about(advice: Sequence[Advice], agent: str, actions: frozenset[AdviceAction]) -> list[Advice]:
    names = {agent} if agent == "protein" else {agent, _BOTH}
    return [one for one in advice if one.agent in names and one.action in actions]


def is_blocked(advice: Sequence[Advice], agent: str) -> bool:
    """Whether a safety line leaves no room for advising an agent."""
    return bool(_about(advice, agent, _BLOCKING))


def ordered(advice: Sequence[Advice]) -> tuple[Advice, ...]:
    """The lines that become a NutritionOrder."""
    return tuple(
        one
        for one in advice
        if one.action is AdviceAction.CONSIDER
        and one.agent in AGENTS
        and one.dose_high is not None
        and one.dose_unit is not None
        and not is_blocked(advice, one.agent)
    )


def add_nutrition(bundle: Transaction, advice: Sequence[Advice]) -> dict[str, JsonObject]:
    """One NutritionOrder per line of `ordered`; references to them by statement id."""
    made: dict[str, JsonObject] = {}
    for place, one in enumerate(ordered(advice), start=1):
        name = f"nutrition-{place}"
        care = tuple(other.statement.text for other in _about(advice, one.agent, _CARE))
        notes = (one.statement.text, *care, *bundle.sources(one.statement), _CONFIRM)
        order = _diet if one.agent == "protein" else _supplement
        words = f"Proposed: {wording.words(one.agent)} {wording.dose(one.dose_low, one.dose_high, one.dose_unit)}"
        made[one.statement.id] = bundle.add(name, order(bundle, name, one, notes), words)
    return made


def _diet(bundle: Transaction, name: str, advice: Advice, notes: tuple[str, ...]) -> JsonObject:
    """Protein from food, per kg of body weight."""
    code = AGENTS[advice.agent]
    unit = advice.dose_unit or ""
    amount = advice.dose_low if advice.dose_low is not None else advice.dose_high
    words = wording.dose(advice.dose_low, advice.dose_high, unit)
    return proposals.nutrition_order(
        business_id=bundle.business_id(name),
        patient=bundle.subject,
        proposed=bundle.created,
        diet_type=Concept(text="Diet rich enough in protein"),
        nutrients=(
            Nutrient(
                modifier=Concept(text="Protein", codes=(code,)),
                amount=Measured(value=amount or 0.0, unit="g per kg of body weight per day", ucum=unit),
            ),
        ),
        diet_instruction=f"Protein {words}; the amount stated is the lower end.",
        notes=notes,
    )


def _supplement(bundle: Transaction, name: str, advice: Advice, notes: tuple[str, ...]) -> JsonObject:
    """Calcium or vitamin D beside food; of a range, the quantity is the lower end and the words tell both."""
    code = AGENTS[advice.agent]
    low, high = advice.dose_low, advice.dose_high
    ucum = advice.dose_unit or ""
    daily = Measured(value=low, unit=_UNITS.get(ucum, ucum), ucum=ucum) if low else None
    words = f"{wording.capitalised(wording.words(advice.agent))} {wording.dose(low, high, advice.dose_unit)}"
    if daily is not None and low != high:
        words = f"{words}; the quantity stated is the lower end"
    words = f"{words}. Product, and how the amount is divided over the day, are left to the clinician"
    return proposals.nutrition_order(
        business_id=bundle.business_id(name),
        patient=bundle.subject,
        proposed=bundle.created,
        supplements=(
            Supplement(
                type=Concept(text=f"{wording.capitalised(wording.words(advice.agent))} supplement", codes=(code,)),
                daily=daily,
                instruction=f"{words}.",
            ),
        ),
        notes=notes,
    )
