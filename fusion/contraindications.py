"""What forbids, spaces or cautions calcium and vitamin D, each line with the resource that triggered it.

A rule whose evidence is unverified is still shown here, marked as such, because silence is not safer. Such evidence
never drives a positive recommendation.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_adapters.patient import ConditionEntry, ConditionKind, DrugClass
from fusion.advice_lines import safety_line
from fusion.facts import (
    ADULT_FROM_YEARS,
    FRAGILITY_FROM_YEARS,
    CaseFacts,
    highest,
    lowest,
    references,
    resources,
)
from fusion.intakes import calcium_limit
from fusion.interactions import INTERACTIONS
from fusion.kidney import kidney_forbids_bisphosphonate
from fusion.results import Advice, AdviceAction
from fusion.statements import CLINICIAN, Writer, plain

Rule = Callable[[CaseFacts, Writer], tuple[Advice, ...]]

SERUM_CALCIUM = "care.calcium.serum_reference"
EGFR_SUPPLEMENTS = "care.specialist.egfr30_calcium_vitamin_d"
HYPERCALCAEMIA = "care.avoid.hypercalcaemia_calcium_vitamin_d"
CALCIUM_URGENCY = "care.hypercalcaemia.urgency"
CALCIUM_TESTS = "care.hypercalcaemia.tests"
THIAZIDE_HIGH = "care.avoid.hypercalcaemia_thiazide"
CONFLICT = "care.lab.conflict"
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
    high = _high_calcium(facts, writer)
    if high is None:
        return ()
    lines = []
    for agent, words in _WORDS.items():
        already, taken = _taken(facts, agent)
        text = f"{high.why}: no {words} while calcium is high.{already}"
        rule, record = f"hypercalcaemia.{agent}", high.record + taken
        lines.append(safety_line(writer, AdviceAction.AVOID, agent, rule, text, high.evidence, record))
    return (*_how_urgent(high, writer), *lines, *_drugs_that_raise_or_suffer(facts, high, writer))


@dataclass(frozen=True, slots=True, kw_only=True)
class _HighCalcium:
    """Why calcium counts as high."""

    why: str
    serum: float | None
    """The highest value that counts, mmol/L; None when only a diagnosis says so or the value is not high."""
    evidence: tuple[str, ...]
    record: tuple[str, ...]


def _high_calcium(facts: CaseFacts, writer: Writer) -> _HighCalcium | None:
    entry = facts.condition(ConditionKind.HYPERCALCAEMIA)
    serum = None if facts.patient is None else facts.patient.calcium_mmol_l
    upper = writer.value(SERUM_CALCIUM, "high")
    value = None if serum is None or highest(serum) <= upper else highest(serum)
    if entry is None and value is None:
        return None
    record: tuple[str, ...] = () if entry is None else (entry.resource,)
    if serum is None or value is None:
        return _HighCalcium(why="Hypercalcaemia", serum=None, evidence=(HYPERCALCAEMIA,), record=record)
    contradicted = " (the record also gives another value)" if serum.conflicting else ""
    why = f"Total calcium {value:.2f} mmol/L, above {upper:.2f}{contradicted}; check it adjusted for albumin"
    evidence = (HYPERCALCAEMIA, SERUM_CALCIUM, *((CONFLICT,) if serum.conflicting else ()))
    return _HighCalcium(why=why, serum=value, evidence=evidence, record=(*record, *resources(serum)))


def _how_urgent(high: _HighCalcium, writer: Writer) -> tuple[Advice, ...]:
    """When the calcium itself must be treated, and what finds its cause."""
    prompt, urgent = (writer.value(CALCIUM_URGENCY, key) for key in ("prompt_from", "urgent_above"))
    tests = "repeat adjusted calcium with parathyroid hormone, phosphate, kidney tests and an ECG"
    if high.serum is None or high.serum < prompt:
        text = f"High calcium: find or confirm the cause before an operation; {tests}."
        action = AdviceAction.INFORM
        evidence: tuple[str, ...] = (CALCIUM_TESTS,)
    else:
        when = (
            f"above {plain(urgent)}: correct it urgently, before any operation"
            if high.serum > urgent
            else f"from {plain(prompt)}: treat it promptly, today"
        )
        text = f"Calcium {high.serum:.2f} mmol/L, {when}; {tests}."
        action, evidence = AdviceAction.CORRECT_FIRST, (CALCIUM_URGENCY, CALCIUM_TESTS)
    return (safety_line(writer, action, "calcium", "hypercalcaemia.urgency", text, evidence, high.record),)


def _drugs_that_raise_or_suffer(facts: CaseFacts, high: _HighCalcium, writer: Writer) -> tuple[Advice, ...]:
    lines = []
    if thiazides := facts.drugs(DrugClass.THIAZIDE):
        text = "High calcium on a thiazide: it may be a cause; review stopping it."
        record = (*references(thiazides), *high.record)
        lines.append(
            safety_line(
                writer, AdviceAction.AVOID, "thiazide", "hypercalcaemia.thiazide", text, (THIAZIDE_HIGH,), record
            )
        )
    if digoxin := facts.drugs(DrugClass.DIGOXIN):
        text = "High calcium on digoxin: it makes digoxin toxic; ECG and digoxin level now."
        evidence, record = ("care.caution.digoxin_calcium",), (*references(digoxin), *high.record)
        lines.append(
            safety_line(writer, AdviceAction.CAUTION, "digoxin", "hypercalcaemia.digoxin", text, evidence, record)
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
    text = (
        "Sarcoidosis: vitamin D may raise calcium; leave it to a specialist, with calcium checked in blood and urine."
        f"{already}"
    )
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
    if lowest(egfr) >= limit:
        return ()
    lines = []
    for agent, words in _WORDS.items():
        already, taken = _taken(facts, agent)
        text = f"eGFR {plain(lowest(egfr))}, below {plain(limit)}: {words} only by a specialist.{already}"
        lines.append(
            safety_line(
                writer,
                AdviceAction.SPECIALIST_ONLY,
                agent,
                f"egfr.{agent}",
                text,
                (EGFR_SUPPLEMENTS, *((CONFLICT,) if egfr.conflicting else ())),
                (*resources(egfr), *taken),
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


def interactions(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Drugs that a supplement meets, now or once it is started."""
    if not advises_supplements(facts):
        return ()
    lines = []
    # Where calcium is to be avoided, or the drug itself, hours apart are the wrong advice.
    high = _high_calcium(facts, writer) is not None
    no_bisphosphonate = kidney_forbids_bisphosphonate(facts, writer)
    others = tuple(line for rule in RULES if rule is not interactions for line in rule(facts, writer))
    for name, one in INTERACTIONS.items():
        moot = (high and one.agent == "calcium") or (no_bisphosphonate and name == "oral_bisphosphonate")
        if moot or not (drugs := facts.drugs(*one.drugs)):
            continue
        entry = writer.evidence[one.evidence]
        ends = {end: plain(entry.number(end)) for end in ("low", "high") if getattr(entry, end) is not None}
        words = one.words_if_blocked if one.words_if_blocked and blocked(others, one.agent) else one.words
        text = words.format(**ends)
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
