"""Calcium and vitamin D: what intake is advised, what the gap is, and when nothing may be advised.

The aim is bone health: to correct a deficiency and to meet the intake. Nothing here is said to change union.
A block from `fusion.contraindications` always wins over advice. No age, no dose.
"""

from fhir_adapters.patient import DrugClass, Sourced
from fusion.contraindications import BOTH, advises_supplements, blocked
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, references, resources
from fusion.healing_factors import vitamin_d_deficient
from fusion.intakes import Intake, calcium_limit, calcium_target, vitamin_d_limit, vitamin_d_target
from fusion.results import Advice, AdviceAction
from fusion.statements import CLINICIAN, Writer, plain

POLICY = "care.policy.no_union_claim"
DEFICIENT = "care.vitamin_d.deficient_nmol_l"
SEVERE = "care.vitamin_d.severe_nmol_l"
TARGET = "care.vitamin_d.bhof_target_nmol_l"
BONE_DOSE = "care.vitamin_d.bhof_dose"
DEFICIENCY_DOSE = "care.vitamin_d.es2011_dose"
MULTIPLIER = "care.vitamin_d.es2011_multiplier"
EMPIRIC = "care.vitamin_d.es2024_empiric"
NO_ROUTINE_TEST = "care.vitamin_d.es2024_no_routine_test"
LAB_AGE = "care.lab.max_age_days"
CONFLICT = "care.lab.conflict"
_KIDNEY = "safety.egfr.calcium"
EMPIRIC_FROM_YEARS = 75


def supplement_advice(facts: CaseFacts, writer: Writer, safety: tuple[Advice, ...]) -> tuple[Advice, ...]:
    """Advice on calcium and vitamin D.

    Args:
        facts: the case.
        writer: checks the evidence.
        safety: the safety lines, which may block an agent.
    """
    if not advises_supplements(facts) or facts.age_years is None:
        return ()
    lines = (*_calcium(facts, writer, safety), *_vitamin_d(facts, writer, safety))
    # To meet the intake is no aim while a line above forbids both.
    forbidden = {one.agent for one in safety if one.action is AdviceAction.AVOID} >= {"calcium", "vitamin_d"}
    aim = "" if forbidden else "The aim is bone health: correct deficiency and meet the intake. "
    neither = "Neither calcium nor vitamin D" if forbidden else "Neither"
    policy = Advice(
        action=AdviceAction.INFORM,
        agent=BOTH,
        statement=writer.say(
            "supplementation.policy",
            f"{aim}{neither} is shown to change union. For clinician confirmation.",
            evidence=(POLICY,),
        ),
    )
    return (*lines, policy) if lines else ()


def _line(
    writer: Writer,
    action: AdviceAction,
    agent: str,
    rule: str,
    text: str,
    evidence: tuple[str, ...],
    record: tuple[str, ...] = (),
    dose: tuple[float, float, str] | None = None,
) -> Advice:
    low, high, unit = dose if dose is not None else (None, None, None)
    return Advice(
        action=action,
        agent=agent,
        statement=writer.say(f"supplementation.{rule}", text, evidence=evidence, record=record),
        dose_low=low,
        dose_high=high,
        dose_unit=unit,
    )


# --- calcium


def _calcium(facts: CaseFacts, writer: Writer, safety: tuple[Advice, ...]) -> tuple[Advice, ...]:
    target, limit = calcium_target(facts, writer), calcium_limit(facts, writer)
    if (
        target is None
        or limit is None
        or any(one.agent == "calcium" and one.action is AdviceAction.AVOID for one in safety)
        # With failing kidneys the usual intake is itself a question for the specialist.
        or any(one.statement.id == _KIDNEY for one in safety)
    ):
        return ()
    diet = facts.dietary_calcium_mg
    if blocked(safety, "calcium"):
        text = f"Calcium intake for this age: {target.words} from the diet."
        evidence = target.evidence
        if facts.younger_than(ADULT_FROM_YEARS):
            text, evidence = f"{text} {_at_most(limit)}", (*evidence, *limit.evidence)
        return (_line(writer, AdviceAction.INFORM, "calcium", "calcium.target", text, evidence),)
    taken = facts.drugs(DrugClass.CALCIUM_SUPPLEMENT)
    if diet is None:
        already = " A supplement is prescribed: count it in." if taken else ""
        text = (
            f"Calcium target {target.words} from all sources. Ask for dietary calcium before advising tablets.{already}"
        )
        return (
            _line(writer, AdviceAction.INFORM, "calcium", "calcium.ask_diet", text, target.evidence, references(taken)),
        )
    return (_calcium_gap(diet, target, writer, references(taken)),)


def _at_most(limit: Intake) -> str:
    """The upper limit, said to those who look after a child; disease lowers an adult's, so it is not printed there."""
    return f"Upper limit from food and tablets together: {limit.words}."


def _calcium_gap(diet: float, target: Intake, writer: Writer, taken: tuple[str, ...]) -> Advice:
    gap_low, gap_high = max(0.0, target.low - diet), max(0.0, target.high - diet)
    record = (CLINICIAN, *taken)
    if gap_high == 0:
        text = f"Calcium from food {plain(diet)} mg a day meets the target of {target.words}: no tablets needed."
        return _line(writer, AdviceAction.INFORM, "calcium", "calcium.met", text, target.evidence, record)
    amount = plain(gap_high) if gap_low == gap_high else f"{plain(gap_low)} to {plain(gap_high)}"
    opening = f"Calcium from food {plain(diet)} mg a day, target {target.words}:"
    if taken:
        text = f"{opening} a supplement is prescribed; compare it with the gap of {amount} mg before adding any."
        return _line(writer, AdviceAction.CAUTION, "calcium", "calcium.already_taken", text, target.evidence, record)
    text = f"{opening} improve the diet first, supplement only the gap of {amount} mg a day."
    dose = (gap_low, gap_high, "mg/d")
    return _line(writer, AdviceAction.CONSIDER, "calcium", "calcium.gap", text, target.evidence, record, dose)


# --- vitamin D


def _vitamin_d(facts: CaseFacts, writer: Writer, safety: tuple[Advice, ...]) -> tuple[Advice, ...]:
    target = vitamin_d_target(facts, writer)
    level = None if facts.patient is None else facts.patient.vitamin_d_nmol_l
    if target is None:
        return ()
    if level is not None and level.conflicting:
        return (_contradicted(writer, level),)
    if any(one.agent == "vitamin_d" and one.action is AdviceAction.AVOID for one in safety):
        return _low_level_for_specialist(facts, writer, level)
    if blocked(safety, "vitamin_d"):
        return (_vitamin_d_for_specialist(facts, writer, target, level),)
    if level is not None:
        return (_vitamin_d_by_level(facts, writer, level),)
    deficient = vitamin_d_deficient(facts, writer)
    if deficient is not None:
        return (_correct(facts, writer, "Vitamin D deficiency in the record, no level", (), (deficient,)),)
    return (_vitamin_d_without_level(facts, writer, target),)


def _low_level_for_specialist(facts: CaseFacts, writer: Writer, level: Sourced[float] | None) -> tuple[Advice, ...]:
    """A deficiency beside high calcium: told, because it must not be forgotten, and left to the specialist."""
    if level is None or level.value >= writer.value(DEFICIENT):
        return ()
    words = _level_words(facts, writer, level)
    text = f"{words}: low. Whether and how to correct it beside high calcium is for a specialist."
    evidence, record = (DEFICIENT,), (level.resource,)
    return (_line(writer, AdviceAction.INFORM, "vitamin_d", "vitamin_d.low_told", text, evidence, record),)


def _contradicted(writer: Writer, level: Sourced[float]) -> Advice:
    """Two levels of one moment: no dose rests on either."""
    values = " and ".join(_nmol(value) for value in sorted((level.value, *(one for one, _ in level.conflicting))))
    text = f"25-hydroxyvitamin D {values} nmol/L at one moment in the record: no dose rests on either; repeat the test."
    record = resources(level)
    return _line(writer, AdviceAction.CAUTION, "vitamin_d", "vitamin_d.contradicted", text, (CONFLICT,), record)


def _nmol(value: float) -> str:
    """A concentration to one decimal, which no assay exceeds."""
    return plain(round(value, 1))


def _vitamin_d_for_specialist(facts: CaseFacts, writer: Writer, target: Intake, level: Sourced[float] | None) -> Advice:
    """The reference intake and the level, without a dose: the specialist decides."""
    text = f"Vitamin D intake for this age: {target.words}."
    evidence = target.evidence
    limit = vitamin_d_limit(facts, writer)
    if limit is not None and facts.younger_than(ADULT_FROM_YEARS):
        text, evidence = f"{text} {_at_most(limit)}", (*evidence, *limit.evidence)
    record: tuple[str, ...] = ()
    if level is not None:
        text = f"{_level_words(facts, writer, level)}. {text}"
        record = (level.resource,)
        if level.value < writer.value(DEFICIENT):
            text = f"{text} The level is low: tell the team."
            evidence = (*evidence, DEFICIENT)
    return _line(writer, AdviceAction.INFORM, "vitamin_d", "vitamin_d.target", text, evidence, record)


def _level_words(facts: CaseFacts, writer: Writer, level: Sourced[float]) -> str:
    days = facts.age_of(level)
    old = days is not None and days > writer.value(LAB_AGE)
    return f"25-hydroxyvitamin D {_nmol(level.value)} nmol/L" + (" (older than one year: repeat)" if old else "")


def _vitamin_d_by_level(facts: CaseFacts, writer: Writer, level: Sourced[float]) -> Advice:
    words, record = _level_words(facts, writer, level), (level.resource,)
    deficient, severe = writer.value(DEFICIENT), writer.value(SEVERE)
    target_low, target_high = writer.value(TARGET, "low"), writer.value(TARGET, "high")
    if level.value < deficient:
        return _correct(facts, writer, words, (SEVERE,) if level.value < severe else (), record)
    if level.value > target_high:
        text = f"{words}, above {plain(target_high)}: add no vitamin D and check serum calcium."
        return _line(writer, AdviceAction.CAUTION, "vitamin_d", "vitamin_d.high", text, (TARGET,), record)
    if facts.bone_health_case and level.value < target_low:
        opening = f"{words}, below the target of {plain(target_low)} to {plain(target_high)}:"
        return _bone_dose(facts, writer, opening, (TARGET, BONE_DOSE), record)
    evidence = (TARGET,) if facts.bone_health_case else (DEFICIENT,)
    text = f"{words}: sufficient; keep the usual intake."
    return _line(writer, AdviceAction.INFORM, "vitamin_d", "vitamin_d.sufficient", text, evidence, record)


def _correct(facts: CaseFacts, writer: Writer, opening: str, more: tuple[str, ...], record: tuple[str, ...]) -> Advice:
    """A deficiency: the maintenance dose of deficient adults, more with obesity or the drugs that raise the need."""
    low, high = writer.value(DEFICIENCY_DOSE, "low"), writer.value(DEFICIENCY_DOSE, "high")
    evidence = (DEFICIENT, *more, DEFICIENCY_DOSE)
    raised = _raised_need(facts)
    if raised:
        low, high = low * writer.value(MULTIPLIER, "low"), high * writer.value(MULTIPLIER, "high")
        evidence = (*evidence, MULTIPLIER)
        record = (*record, *raised)
    limit = vitamin_d_limit(facts, writer)
    capped = ""
    if limit is not None and high > limit.high:
        low, high = min(low, limit.high), limit.high
        evidence = (*evidence, *limit.evidence)
        capped = " More than this only under supervision."
    severe = "severe deficiency" if SEVERE in more else "deficiency"
    need = " (need raised by obesity or a drug)" if raised else ""
    amount = f"{plain(low)} to {plain(high)} IU a day{need}"
    taken = facts.drugs(DrugClass.VITAMIN_D_SUPPLEMENT)
    if taken:
        text = f"{opening}: {severe} despite a prescription. Check adherence and dose against {amount}.{capped}"
        record = (*record, *references(taken))
        return _line(writer, AdviceAction.CAUTION, "vitamin_d", "vitamin_d.already_taken", text, evidence, record)
    text = f"{opening}: {severe}. Correct it, for instance with {amount}; recheck the level.{capped}"
    dose = (low, high, "[iU]/d")
    return _line(writer, AdviceAction.CONSIDER, "vitamin_d", "vitamin_d.deficient", text, evidence, record, dose)


def _raised_need(facts: CaseFacts) -> tuple[str, ...]:
    drugs = facts.drugs(DrugClass.SYSTEMIC_GLUCOCORTICOID, DrugClass.ANTICONVULSANT)
    obese = facts.obese
    return (*((obese,) if obese is not None else ()), *references(drugs))


def _bone_dose(
    facts: CaseFacts, writer: Writer, opening: str, evidence: tuple[str, ...], record: tuple[str, ...] = ()
) -> Advice:
    low, high = writer.value(BONE_DOSE, "low"), writer.value(BONE_DOSE, "high")
    amount = f"{plain(low)} to {plain(high)} IU a day"
    taken = facts.drugs(DrugClass.VITAMIN_D_SUPPLEMENT)
    if taken:
        text = f"{opening} vitamin D is prescribed; compare its dose with {amount}."
        return _line(
            writer, AdviceAction.INFORM, "vitamin_d", "vitamin_d.compare", text, evidence, (*record, *references(taken))
        )
    text = f"{opening} consider vitamin D {amount}."
    dose = (low, high, "[iU]/d")
    return _line(writer, AdviceAction.CONSIDER, "vitamin_d", "vitamin_d.bone_health", text, evidence, record, dose)


def _vitamin_d_without_level(facts: CaseFacts, writer: Writer, target: Intake) -> Advice:
    if facts.bone_health_case:
        opening = "Fracture or osteoporosis from 50 years, 25-hydroxyvitamin D not in the record:"
        return _bone_dose(facts, writer, opening, (BONE_DOSE,))
    if facts.at_least(EMPIRIC_FROM_YEARS) and not facts.drugs(DrugClass.VITAMIN_D_SUPPLEMENT):
        text = f"From {EMPIRIC_FROM_YEARS} years: consider vitamin D {target.words} without testing."
        dose = (target.low, target.high, target.unit)
        evidence = (EMPIRIC, *target.evidence)
        return _line(writer, AdviceAction.CONSIDER, "vitamin_d", "vitamin_d.empiric", text, evidence, (), dose)
    testing = " Routine testing is not advised." if facts.at_least(ADULT_FROM_YEARS) else ""
    text = f"Vitamin D intake for this age: {target.words}.{testing}"
    evidence = (*target.evidence, NO_ROUTINE_TEST) if testing else target.evidence
    return _line(writer, AdviceAction.INFORM, "vitamin_d", "vitamin_d.target", text, evidence)
