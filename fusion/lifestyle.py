"""Protein, vitamin C, smoking and alcohol."""

from fhir_adapters.patient import ConditionKind, Sex, SmokingStatus
from fusion.facts import ADULT_FROM_YEARS, OLDER_FROM_YEARS, CaseFacts
from fusion.results import Advice, AdviceAction
from fusion.statements import Writer, plain

PROTEIN = "care.protein.healthy_older"
PROTEIN_ILL = "care.protein.ill_older"
PROTEIN_HIP = "care.protein.hip_fracture_ons"
PROTEIN_KIDNEY = "care.protein.kidney"
EGFR_LIMIT = "care.specialist.egfr30_calcium_vitamin_d"
VITAMIN_C = (
    "care.vitamin_c.aim2017",
    "care.vitamin_c.meena2015",
    "care.vitamin_c.evaniew2015",
    "care.vitamin_c.bssh2018",
)
VITAMIN_C_AVOID = "care.vitamin_c.avoid"
CESSATION = "care.smoking.cessation"
FRACTURE_RISK = "risk.smoking_current_any.vestergaard2003"
ALCOHOL_WOMEN = "care.alcohol.units_week_f"
ALCOHOL_MEN = "care.alcohol.units_week_m"


def lifestyle_advice(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Every line on food and habits."""
    return tuple(one for rule in RULES if (one := rule(facts, writer)) is not None)


def protein(facts: CaseFacts, writer: Writer) -> Advice | None:
    """Protein for older people with a fracture; a severe kidney disease leaves it to the renal team."""
    if not (facts.has_fracture and facts.at_least(OLDER_FROM_YEARS)):
        return None
    egfr = facts.egfr
    if egfr is not None and egfr.value < writer.value(EGFR_LIMIT):
        return Advice(
            action=AdviceAction.SPECIALIST_ONLY,
            agent="protein",
            statement=writer.warn(
                "lifestyle.protein.kidney",
                f"eGFR {plain(egfr.value)}: the protein target is for the renal team.",
                evidence=(PROTEIN_KIDNEY,),
                record=(egfr.resource,),
            ),
        )
    low, high = writer.value(PROTEIN, "low"), writer.value(PROTEIN, "high")
    ill_low, ill_high = writer.value(PROTEIN_ILL, "low"), writer.value(PROTEIN_ILL, "high")
    evidence: tuple[str, ...] = (PROTEIN, PROTEIN_ILL)
    text = (
        f"Protein at least {plain(low)} to {plain(high)} g per kg a day,"
        f" {plain(ill_low)} to {plain(ill_high)} if ill or malnourished."
    )
    if facts.is_hip:
        grams = plain(writer.value(PROTEIN_HIP, "low"))
        text = f"{text} Hip fracture: offer oral supplements with at least {grams} g of protein a day."
        evidence = (*evidence, PROTEIN_HIP)
    return Advice(
        action=AdviceAction.CONSIDER,
        agent="protein",
        statement=writer.say("lifestyle.protein", text, evidence=evidence, record=facts.fracture_record),
        dose_low=low,
        dose_high=high,
        dose_unit="g/kg/d",
    )


def vitamin_c(facts: CaseFacts, writer: Writer) -> Advice | None:
    """Vitamin C after a wrist fracture: contested, so told and not advised."""
    if not (facts.has_fracture and facts.is_wrist and facts.at_least(ADULT_FROM_YEARS)):
        return None
    stones = (
        None if facts.patient is None else facts.patient.has_condition(ConditionKind.KIDNEY_STONES, active_only=False)
    )
    if stones is not None:
        statement = writer.warn(
            "lifestyle.vitamin_c.stones",
            "Kidney stones: no vitamin C supplement after the wrist fracture.",
            evidence=(VITAMIN_C_AVOID,),
            record=(stones.resource,),
        )
        return Advice(action=AdviceAction.AVOID, agent="vitamin_c", statement=statement)
    dose, days = (plain(writer.value(VITAMIN_C[0], key)) for key in ("dose_mg_d", "days"))
    text = (
        f"Vitamin C {dose} mg a day for {days} days against complex regional pain syndrome is contested: the"
        " meta-analyses disagree, and a British guideline advises against it."
    )
    statement = writer.say("lifestyle.vitamin_c", text, evidence=VITAMIN_C, record=facts.fracture_record)
    return Advice(action=AdviceAction.INFORM, agent="vitamin_c", statement=statement)


def vitamin_c_caution(facts: CaseFacts, writer: Writer) -> Advice | None:
    """Who should not take it, beside the line that mentions it."""
    told = vitamin_c(facts, writer)
    if told is None or told.action is not AdviceAction.INFORM:
        return None
    text = "Vitamin C supplement: not with oxalate stones, iron overload or G6PD deficiency."
    statement = writer.warn("lifestyle.vitamin_c.caution", text, evidence=(VITAMIN_C_AVOID,))
    return Advice(action=AdviceAction.CAUTION, agent="vitamin_c", statement=statement)


def smoking(facts: CaseFacts, writer: Writer) -> Advice | None:
    """Current smoking."""
    status = facts.smoking
    if status is None or status.value is not SmokingStatus.CURRENT:
        return None
    evidence, why = (CESSATION, "goes with slower union and more non-union")
    if not facts.has_fracture:
        evidence, why = (FRACTURE_RISK, "goes with more fractures")
    text = f"Current smoking {why}: offer support to stop."
    return Advice(
        action=AdviceAction.CONSIDER,
        agent="smoking",
        statement=writer.say("lifestyle.smoking", text, evidence=(evidence,), record=(status.resource,)),
    )


def alcohol(facts: CaseFacts, writer: Writer) -> Advice | None:
    """Alcohol above the level that counts as a risk factor; without a sex, the lower level of women."""
    drunk = None if facts.patient is None else facts.patient.alcohol_units_per_week
    name = ALCOHOL_MEN if facts.sex is Sex.MALE else ALCOHOL_WOMEN
    limit = writer.value(name)
    if drunk is None or drunk.value <= limit:
        return None
    text = f"Alcohol {plain(drunk.value)} units a week, above {plain(limit)}: advise less; it raises fracture risk."
    return Advice(
        action=AdviceAction.CONSIDER,
        agent="alcohol",
        statement=writer.say("lifestyle.alcohol", text, evidence=(name,), record=(drunk.resource,)),
    )


RULES = (protein, vitamin_c, vitamin_c_caution, smoking, alcohol)
