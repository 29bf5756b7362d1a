"""What forbids, spaces or cautions calcium and vitamin D, each line with the resource that triggered it.

A rule whose evidence is unverified is still shown here, marked as such, because silence is not safer. Such evidence
never drives a positive recommendation.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_adapters.patient import ConditionEntry, ConditionKind, DrugClass
from fusion.advice_lines import safety_line
from fusion.facts import ADULT_FROM_YEARS, FRAGILITY_FROM_YEARS, CaseFacts, references
from fusion.intakes import calcium_limit
from fusion.results import Advice, AdviceAction
from fusion.statements import CLINICIAN, Writer, plain

Rule = Callable[[CaseFacts, Writer], tuple[Advice, ...]]

SERUM_CALCIUM = "care.calcium.serum_reference"
EGFR_SUPPLEMENTS = "care.specialist.egfr30_calcium_vitamin_d"
HYPERCALCAEMIA = "care.avoid.hypercalcaemia_calcium_vitamin_d"
BOTH = "calcium_and_vitamin_d"
"""Agent of a line on both supplements."""
ABOVE_LIMIT = "care.avoid.total_intake_above_ul"


def supplement_safety(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Every safety line on calcium and vitamin D."""
    return tuple(advice for rule in RULES for advice in rule(facts, writer))


def blocked(advice: tuple[Advice, ...], agent: str) -> bool:
    """Whether some safety line leaves no room for advising an agent: it is to be avoided or left to a specialist."""
    stopping = {AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY}
    return any(one.agent in {agent, BOTH} and one.action in stopping for one in advice)


def advises_supplements(facts: CaseFacts) -> bool:
    """Whether calcium and vitamin D are a subject: a fracture, bone age 50 or more, osteoporosis, or they are taken."""
    return (
        facts.has_fracture
        or facts.at_least(FRAGILITY_FROM_YEARS)
        or facts.osteoporosis is not None
        or facts.dietary_calcium_mg is not None
        or bool(facts.drugs(DrugClass.CALCIUM_SUPPLEMENT, DrugClass.VITAMIN_D_SUPPLEMENT))
    )


_SUPPLEMENTS = {"calcium": DrugClass.CALCIUM_SUPPLEMENT, "vitamin_d": DrugClass.VITAMIN_D_SUPPLEMENT}
_WORDS = {"calcium": "calcium", "vitamin_d": "vitamin D"}


def _taken(facts: CaseFacts, agent: str) -> tuple[str, tuple[str, ...]]:
    """A sentence and references when the supplement is already taken."""
    drugs = facts.drugs(_SUPPLEMENTS[agent])
    return (" Already prescribed: review it now.", references(drugs)) if drugs else ("", ())


# --- calcium and vitamin D


def hypercalcaemia(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Recorded hypercalcaemia, or a total serum calcium above the reference range."""
    entry = facts.condition(ConditionKind.HYPERCALCAEMIA)
    serum = None if facts.patient is None else facts.patient.calcium_mmol_l
    upper = writer.value(SERUM_CALCIUM, "high")
    high = serum is not None and serum.value > upper
    if entry is None and not high:
        return ()
    evidence: tuple[str, ...] = (HYPERCALCAEMIA,)
    record: tuple[str, ...] = () if entry is None else (entry.resource,)
    why = "Hypercalcaemia"
    if serum is not None and high:
        evidence += (SERUM_CALCIUM,)
        record += (serum.resource,)
        why = f"Total calcium {serum.value:.2f} mmol/L, above {upper:.2f}; check it adjusted for albumin"
    lines = []
    for agent, words in _WORDS.items():
        already, taken = _taken(facts, agent)
        text = f"{why}: no {words} until the cause is known.{already}"
        lines.append(
            safety_line(writer, AdviceAction.AVOID, agent, f"hypercalcaemia.{agent}", text, evidence, record + taken)
        )
    return tuple(lines)


def kidney_stones(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Kidney stones at any time, or hypercalciuria."""
    entry = _ever(facts, ConditionKind.KIDNEY_STONES) or facts.condition(ConditionKind.HYPERCALCIURIA)
    if entry is None or not advises_supplements(facts):
        return ()
    already, taken = _taken(facts, "calcium")
    text = f"Kidney stones or hypercalciuria: calcium from the diet; tablets only by a specialist.{already}"
    evidence = ("care.specialist.hypercalciuria_or_stones_calcium",)
    return (
        safety_line(
            writer, AdviceAction.SPECIALIST_ONLY, "calcium", "stones", text, evidence, (entry.resource, *taken)
        ),
    )


def sarcoidosis(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Sarcoidosis at any time."""
    entry = _ever(facts, ConditionKind.SARCOIDOSIS)
    if entry is None or not advises_supplements(facts):
        return ()
    already, taken = _taken(facts, "vitamin_d")
    text = f"Sarcoidosis: vitamin D may raise calcium; leave it to a specialist.{already}"
    evidence = ("care.specialist.sarcoidosis_vitamin_d",)
    return (
        safety_line(
            writer, AdviceAction.SPECIALIST_ONLY, "vitamin_d", "sarcoidosis", text, evidence, (entry.resource, *taken)
        ),
    )


def hyperparathyroidism(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Primary hyperparathyroidism."""
    entry = facts.condition(ConditionKind.PRIMARY_HYPERPARATHYROIDISM)
    if entry is None or not advises_supplements(facts):
        return ()
    already, taken = _taken(facts, "calcium")
    text = f"Primary hyperparathyroidism: calcium tablets only by a specialist.{already}"
    evidence = ("care.specialist.hyperparathyroidism_calcium",)
    return (
        safety_line(
            writer,
            AdviceAction.SPECIALIST_ONLY,
            "calcium",
            "hyperparathyroidism",
            text,
            evidence,
            (entry.resource, *taken),
        ),
    )


def kidney_function(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """An eGFR below 30 leaves calcium and vitamin D to a specialist; kidney disease without an eGFR is named."""
    if not advises_supplements(facts):
        return ()
    egfr = facts.egfr
    if egfr is None:
        disease = facts.condition(ConditionKind.CHRONIC_KIDNEY_DISEASE)
        if disease is None:
            return ()
        text = "Kidney disease without an eGFR in the record: check it before calcium, vitamin D or a bisphosphonate."
        return (
            safety_line(
                writer,
                AdviceAction.CAUTION,
                "calcium",
                "kidney_unknown",
                text,
                (EGFR_SUPPLEMENTS,),
                (disease.resource,),
            ),
        )
    limit = writer.value(EGFR_SUPPLEMENTS)
    if egfr.value >= limit:
        return ()
    lines = []
    for agent, words in _WORDS.items():
        already, taken = _taken(facts, agent)
        text = f"eGFR {plain(egfr.value)}, below {plain(limit)}: {words} only by a specialist.{already}"
        lines.append(
            safety_line(
                writer,
                AdviceAction.SPECIALIST_ONLY,
                agent,
                f"egfr.{agent}",
                text,
                (EGFR_SUPPLEMENTS,),
                (egfr.resource, *taken),
            )
        )
    return tuple(lines)


def intake_above_limit(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Calcium from food alone above the tolerable upper intake."""
    diet, limit = facts.dietary_calcium_mg, calcium_limit(facts, writer)
    if diet is None or limit is None or diet <= limit.high:
        return ()
    already, taken = _taken(facts, "calcium")
    text = f"Calcium from food {plain(diet)} mg a day, above the upper intake of {limit.words}: no tablets.{already}"
    evidence = (ABOVE_LIMIT, *limit.evidence)
    return (safety_line(writer, AdviceAction.AVOID, "calcium", "above_limit", text, evidence, (CLINICIAN, *taken)),)


def pregnancy_or_child(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """In pregnancy and childhood supplements are left to the responsible team."""
    if not advises_supplements(facts):
        return ()
    pregnancy = facts.condition(ConditionKind.PREGNANCY)
    child = facts.younger_than(ADULT_FROM_YEARS)
    if pregnancy is None and not child:
        return ()
    who = "Pregnancy" if pregnancy is not None else "Child"
    team = "obstetric" if pregnancy is not None else "paediatric"
    text = f"{who}: calcium and vitamin D beyond the recommended intake are for the {team} team."
    evidence = ("care.specialist.pregnancy_or_child",)
    record = () if pregnancy is None else (pregnancy.resource,)
    return (safety_line(writer, AdviceAction.SPECIALIST_ONLY, BOTH, "age_or_pregnancy", text, evidence, record),)


def _ever(facts: CaseFacts, kind: ConditionKind) -> ConditionEntry | None:
    """A disease in the record, active or not: stones and sarcoidosis come back."""
    return None if facts.patient is None else facts.patient.has_condition(kind, active_only=False)


# --- interactions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Interaction:
    """A drug that a supplement meets."""

    drugs: tuple[DrugClass, ...]
    action: AdviceAction
    agent: str
    evidence: str
    words: str
    """With ``{low}`` and ``{high}`` where the hours of the entry go."""


_INTERACTIONS: dict[str, _Interaction] = {
    "levothyroxine": _Interaction(
        drugs=(DrugClass.LEVOTHYROXINE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.levothyroxine_calcium",
        words="Levothyroxine: keep calcium at least {low} hours apart.",
    ),
    "oral_bisphosphonate": _Interaction(
        drugs=(DrugClass.ORAL_BISPHOSPHONATE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.oral_bisphosphonate_calcium",
        words="Oral bisphosphonate: take it first, calcium at least {low} hour later.",
    ),
    "iron_zinc_strontium": _Interaction(
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
    "tetracycline": _Interaction(
        drugs=(DrugClass.TETRACYCLINE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.tetracycline_calcium",
        words="Tetracycline: take it at least {low} hours before or 4 to {high} hours after calcium.",
    ),
    "quinolone": _Interaction(
        drugs=(DrugClass.QUINOLONE,),
        action=AdviceAction.SEPARATE,
        agent="calcium",
        evidence="care.separate.quinolone_calcium",
        words="Quinolone: take it at least {low} hours before or {high} hours after calcium.",
    ),
    "thiazide": _Interaction(
        drugs=(DrugClass.THIAZIDE,),
        action=AdviceAction.CAUTION,
        agent="calcium",
        evidence="care.caution.thiazide_calcium",
        words="Thiazide with calcium or vitamin D: monitor serum calcium.",
    ),
    "digoxin": _Interaction(
        drugs=(DrugClass.DIGOXIN,),
        action=AdviceAction.CAUTION,
        agent="calcium",
        evidence="care.caution.digoxin_calcium",
        words="Digoxin with calcium or vitamin D: monitor ECG and serum calcium; hypercalcaemia makes digoxin toxic.",
    ),
    "glucocorticoid": _Interaction(
        drugs=(DrugClass.SYSTEMIC_GLUCOCORTICOID,),
        action=AdviceAction.CAUTION,
        agent="calcium",
        evidence="care.caution.glucocorticoid_calcium",
        words="Glucocorticoid: calcium is absorbed less; review the dose.",
    ),
    "orlistat_cholestyramine": _Interaction(
        drugs=(
            DrugClass.ORLISTAT,
            DrugClass.CHOLESTYRAMINE,
        ),
        action=AdviceAction.CAUTION,
        agent="vitamin_d",
        evidence="care.caution.orlistat_cholestyramine_vitamin_d",
        words="Orlistat or cholestyramine: vitamin D is absorbed less.",
    ),
    "anticonvulsant": _Interaction(
        drugs=(DrugClass.ANTICONVULSANT,),
        action=AdviceAction.CAUTION,
        agent="vitamin_d",
        evidence="care.caution.anticonvulsant_vitamin_d",
        words="Anticonvulsant: phenytoin and barbiturates break vitamin D down faster; the dose may need review.",
    ),
}


def interactions(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Drugs that a supplement meets, now or once it is started."""
    if not advises_supplements(facts):
        return ()
    lines = []
    for name, one in _INTERACTIONS.items():
        if not (drugs := facts.drugs(*one.drugs)):
            continue
        entry = writer.evidence[one.evidence]
        ends = {end: plain(entry.number(end)) for end in ("low", "high") if getattr(entry, end) is not None}
        text = one.words.format(**ends)
        record = references(drugs)
        lines.append(safety_line(writer, one.action, one.agent, f"interaction.{name}", text, (one.evidence,), record))
    return tuple(lines)


RULES: tuple[Rule, ...] = (
    hypercalcaemia,
    intake_above_limit,
    kidney_function,
    kidney_stones,
    hyperparathyroidism,
    sarcoidosis,
    pregnancy_or_child,
    interactions,
)
"""Safety of calcium and vitamin D; bone and pain drugs stand in `fusion.drug_safety`."""
