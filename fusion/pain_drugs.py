"""An NSAID with a disease or drug that makes it dangerous; age, kidney and anticoagulant: `fusion.drug_safety`."""

from fhir_adapters.patient import ConditionEntry, ConditionKind, DrugClass, MedicationEntry
from fusion.advice_lines import safety_line
from fusion.facts import OLDER_FROM_YEARS, CaseFacts, lowest, references
from fusion.results import Advice, AdviceAction
from fusion.statements import Writer, plain, sentence

HEART = "care.avoid.nsaid_heart_failure"
ULCER = "care.avoid.nsaid_ulcer"
TRIPLE = "care.avoid.nsaid_triple"
DUAL = ("care.caution.nsaid_raas_dreischulte2015", "care.caution.nsaid_raas_lapi2013")
ANTIPLATELET = "care.caution.nsaid_antiplatelet"
NSAID_KIDNEY = "care.caution.nsaid_egfr30"
REASON_TO_STOP = "one more reason to stop it."
"""Ends a caution where another line already says that no NSAID is to be taken."""


def _nsaids(facts: CaseFacts) -> tuple[MedicationEntry, ...]:
    return facts.drugs(DrugClass.NSAID, DrugClass.COX2_INHIBITOR)


def older_or_frail(facts: CaseFacts) -> bool:
    """Old age, or dementia, which counts as frailty."""
    return facts.at_least(OLDER_FROM_YEARS) or facts.condition(ConditionKind.DEMENTIA) is not None


def nsaid_avoided(facts: CaseFacts, writer: Writer) -> bool:
    """Whether some line says that no NSAID is to be taken, given that one is; a caution then does not weigh it up."""
    egfr = facts.egfr
    return (
        older_or_frail(facts)
        or (egfr is not None and lowest(egfr) < writer.value(NSAID_KIDNEY))
        or facts.condition(ConditionKind.HEART_FAILURE) is not None
        or _ulcer_ever(facts) is not None
        or (bool(_pressure_drugs(facts)) and bool(_diuretics(facts)))
    )


def _ulcer_ever(facts: CaseFacts) -> ConditionEntry | None:
    kind = ConditionKind.PEPTIC_ULCER
    return None if facts.patient is None else facts.patient.has_condition(kind, active_only=False)


def _pressure_drugs(facts: CaseFacts) -> tuple[MedicationEntry, ...]:
    return facts.drugs(DrugClass.ACE_INHIBITOR_OR_ARB)


def _diuretics(facts: CaseFacts) -> tuple[MedicationEntry, ...]:
    return facts.drugs(DrugClass.DIURETIC, DrugClass.THIAZIDE)


def _avoid(
    facts: CaseFacts, writer: Writer, entry: ConditionEntry | None, why: str, rule: str, evidence: str
) -> tuple[Advice, ...]:
    """No NSAID because of a disease, where one is taken or a fracture hurts."""
    taken = _nsaids(facts)
    if entry is None or not (facts.has_fracture or taken):
        return ()
    already = " One is prescribed: review it now." if taken else ""
    record = (entry.resource, *references(taken))
    text = f"{why}: avoid NSAIDs.{already}"
    return (safety_line(writer, AdviceAction.AVOID, "nsaid", rule, text, (evidence,), record),)


def heart_failure(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Heart failure, whose severity the record does not tell."""
    entry = facts.condition(ConditionKind.HEART_FAILURE)
    return _avoid(facts, writer, entry, "Heart failure", "nsaid.heart_failure", HEART)


def ulcer(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """A peptic ulcer at any time: it comes back."""
    return _avoid(facts, writer, _ulcer_ever(facts), "Peptic ulcer, now or before", "nsaid.ulcer", ULCER)


def kidney_drugs(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """An NSAID with an ACE inhibitor or angiotensin blocker, with a diuretic, or with both."""
    taken, pressure, diuretics = _nsaids(facts), _pressure_drugs(facts), _diuretics(facts)
    if not taken or not (pressure or diuretics):
        return ()
    record = references((*taken, *pressure, *diuretics))
    if pressure and diuretics:
        ratio, early = plain(writer.value(TRIPLE)), plain(writer.value(TRIPLE, "first_30_days"))
        text = (
            f"NSAID with an ACE inhibitor or angiotensin blocker and a diuretic: {ratio} times the acute kidney injury,"
            f" {early} times in the first month; stop the NSAID."
        )
        return (safety_line(writer, AdviceAction.AVOID, "nsaid", "nsaid.triple", text, (TRIPLE,), record),)
    partner = "an ACE inhibitor or angiotensin blocker" if pressure else "a diuretic"
    reason = f" {sentence(REASON_TO_STOP)}" if nsaid_avoided(facts, writer) else ""
    text = (
        f"NSAID with {partner}: acute kidney injury was likelier in one study, not in another; check the creatinine."
        f"{reason}"
    )
    return (safety_line(writer, AdviceAction.CAUTION, "nsaid", "nsaid.kidney_drugs", text, DUAL, record),)


def antiplatelet(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """An NSAID together with an antiplatelet drug."""
    taken, platelets = _nsaids(facts), facts.drugs(DrugClass.ANTIPLATELET)
    if not taken or not platelets:
        return ()
    ending = REASON_TO_STOP if nsaid_avoided(facts, writer) else "review the need."
    text = f"NSAID together with an antiplatelet drug: risk of bleeding; {ending}"
    record = references((*taken, *platelets))
    action = AdviceAction.CAUTION
    return (safety_line(writer, action, "nsaid", "nsaid.antiplatelet", text, (ANTIPLATELET,), record),)


PAIN_RULES = (heart_failure, ulcer, kidney_drugs, antiplatelet)
"""In the order a report lists them."""
