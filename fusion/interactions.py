"""Drugs that calcium or vitamin D meets: what each asks for; `fusion.contraindications` decides when it is said."""

from dataclasses import dataclass

from fhir_adapters.patient import DrugClass
from fusion.results import AdviceAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """A drug that a supplement meets."""

    drugs: tuple[DrugClass, ...]
    action: AdviceAction
    agent: str
    evidence: str
    words: str
    """With ``{low}`` and ``{high}`` where the hours of the entry go."""
    words_if_blocked: str | None = None
    """The words where another line forbids the agent or leaves it to a specialist, if they are others."""


INTERACTIONS: dict[str, Interaction] = {
    "levothyroxine": Interaction(
        drugs=(DrugClass.LEVOTHYROXINE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.levothyroxine_calcium",
        words="Levothyroxine: keep calcium at least {low} hours apart.",
    ),
    "oral_bisphosphonate": Interaction(
        drugs=(DrugClass.ORAL_BISPHOSPHONATE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.oral_bisphosphonate_calcium",
        words="Oral bisphosphonate: take it first, calcium at least {low} hour later.",
    ),
    "iron_zinc_strontium": Interaction(
        drugs=(
            DrugClass.IRON,
            DrugClass.ZINC,
            DrugClass.STRONTIUM,
        ),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.iron_zinc_strontium_calcium",
        words="Iron, zinc or strontium: keep calcium at least {low} hours apart.",
    ),
    "tetracycline": Interaction(
        drugs=(DrugClass.TETRACYCLINE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.tetracycline_calcium",
        words="Tetracycline: take it at least {low} hours before or 4 to {high} hours after calcium.",
    ),
    "quinolone": Interaction(
        drugs=(DrugClass.QUINOLONE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.quinolone_calcium",
        words="Quinolone: take it at least {low} hours before or {high} hours after calcium.",
    ),
    "thiazide": Interaction(
        drugs=(DrugClass.THIAZIDE,),
        action=AdviceAction.CAUTION,
        agent="calcium",
        evidence="care.caution.thiazide_calcium",
        words="Thiazide with calcium or vitamin D: monitor serum calcium.",
    ),
    "digoxin": Interaction(
        drugs=(DrugClass.DIGOXIN,),
        action=AdviceAction.CAUTION,
        agent="calcium",
        evidence="care.caution.digoxin_calcium",
        words="Digoxin with calcium or vitamin D: monitor ECG and serum calcium; hypercalcaemia makes digoxin toxic.",
    ),
    "glucocorticoid": Interaction(
        drugs=(DrugClass.SYSTEMIC_GLUCOCORTICOID,),
        action=AdviceAction.CAUTION,
        agent="calcium",
        evidence="care.caution.glucocorticoid_calcium",
        words="Glucocorticoid: calcium is absorbed less; review the dose.",
        words_if_blocked="Glucocorticoid: calcium is absorbed less; tell the team that decides on calcium.",
    ),
    "orlistat_cholestyramine": Interaction(
        drugs=(
            DrugClass.ORLISTAT,
            DrugClass.CHOLESTYRAMINE,
        ),
        action=AdviceAction.CAUTION,
        agent="vitamin_d",
        evidence="care.caution.orlistat_cholestyramine_vitamin_d",
        words="Orlistat or cholestyramine: vitamin D is absorbed less.",
    ),
    "anticonvulsant": Interaction(
        drugs=(DrugClass.ANTICONVULSANT,),
        action=AdviceAction.CAUTION,
        agent="vitamin_d",
        evidence="care.caution.anticonvulsant_vitamin_d",
        words="Anticonvulsant: phenytoin and barbiturates break vitamin D down faster; the dose may need review.",
    ),
}
