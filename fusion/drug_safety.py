"""Safety of bone drugs and of pain drugs, each line with the resource that triggered it.

As with supplements, unverified safety evidence is shown and marked, because silence is not safer.
"""

from fhir_adapters.patient import ConditionKind, DrugClass
from fusion.advice_lines import safety_line
from fusion.facts import FRAGILITY_FROM_YEARS, CaseFacts, highest, lowest, references, resources
from fusion.kidney import kidney_forbids_bisphosphonate
from fusion.pain_drugs import NSAID_KIDNEY, PAIN_RULES, REASON_TO_STOP, nsaid_avoided, older_or_frail
from fusion.results import Advice, AdviceAction
from fusion.sites import FractureSite
from fusion.statements import CLINICIAN, Writer, plain

SERUM_CALCIUM = "care.calcium.serum_reference"
EGFR_35 = "care.avoid.egfr35_alendronate_zoledronate"
EGFR_30 = "care.avoid.egfr30_risedronate_ibandronate"
EGFR_DENOSUMAB = "care.caution.egfr30_denosumab"
CORRECT_CALCIUM = "care.correct_first.hypocalcaemia_antiresorptive"
CORRECT_VITAMIN_D = "care.correct_first.vitamin_d_antiresorptive"
DEFICIENT = "care.vitamin_d.deficient_nmol_l"
DENOSUMAB_STOP = "care.caution.denosumab_stop"
OESOPHAGUS = "care.caution.oesophagus_bisphosphonate"
NSAID_OLDER = "care.avoid.nsaid_older"


def drug_safety(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Every safety line on bone and pain drugs."""
    return tuple(advice for rule in RULES for advice in rule(facts, writer))


def _bone_drug_is_subject(facts: CaseFacts) -> bool:
    return bool(facts.bone_drugs) or facts.at_least(FRAGILITY_FROM_YEARS) or facts.osteoporosis is not None


# --- bone drugs


def bone_drugs_and_kidney(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Bisphosphonates and denosumab with a low eGFR."""
    egfr = facts.egfr
    if egfr is None or not _bone_drug_is_subject(facts):
        return ()
    clearance = " Labels use creatinine clearance: calculate it."
    bisphosphonates = facts.drugs(DrugClass.ORAL_BISPHOSPHONATE, DrugClass.INTRAVENOUS_BISPHOSPHONATE)
    already = " A bisphosphonate is prescribed: review it now." if bisphosphonates else ""
    record = (*resources(egfr), *references(bisphosphonates))
    limit_35, limit_30 = writer.value(EGFR_35), writer.value(EGFR_30)
    counted = lowest(egfr)
    value = plain(counted)
    lines: list[Advice] = []
    if counted < limit_30:
        text = f"eGFR {value}, below {plain(limit_30)}: no alendronate, zoledronate, risedronate or ibandronate"
        lines.append(
            safety_line(
                writer,
                AdviceAction.AVOID,
                "bisphosphonate",
                "bisphosphonate.egfr30",
                f"{text} without a specialist.{clearance}{already}",
                (EGFR_30, EGFR_35),
                record,
            )
        )
    elif counted < limit_35:
        text = f"eGFR {value}, below {plain(limit_35)}: no alendronate or zoledronate.{clearance}{already}"
        lines.append(
            safety_line(writer, AdviceAction.AVOID, "bisphosphonate", "bisphosphonate.egfr35", text, (EGFR_35,), record)
        )
    limit = writer.value(EGFR_DENOSUMAB)
    if counted < limit:
        text = (
            f"eGFR {value}, below {plain(limit)}: denosumab risks severe hypocalcaemia; specialist, calcium corrected"
            " and monitored."
        )
        record = (*resources(egfr), *references(facts.drugs(DrugClass.DENOSUMAB)))
        rule, evidence = "denosumab.egfr30", (EGFR_DENOSUMAB,)
        lines.append(safety_line(writer, AdviceAction.CAUTION, "denosumab", rule, text, evidence, record))
    return tuple(lines)


def hypocalcaemia(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Low calcium before a bisphosphonate or denosumab."""
    if not _bone_drug_is_subject(facts):
        return ()
    entry = facts.condition(ConditionKind.HYPOCALCAEMIA)
    serum = None if facts.patient is None else facts.patient.calcium_mmol_l
    lower = writer.value(SERUM_CALCIUM, "low")
    low = serum is not None and lowest(serum) < lower
    if entry is None and not low:
        return ()
    why = "Hypocalcaemia"
    evidence: tuple[str, ...] = (CORRECT_CALCIUM,)
    record: tuple[str, ...] = () if entry is None else (entry.resource,)
    if serum is not None and low:
        why = f"Total calcium {lowest(serum):.2f} mmol/L, below {lower:.2f}; check it adjusted for albumin"
        evidence += (SERUM_CALCIUM,)
        record += resources(serum)
    text = f"{why}: correct it before a bisphosphonate or denosumab."
    return (
        safety_line(
            writer,
            AdviceAction.CORRECT_FIRST,
            "bisphosphonate",
            "hypocalcaemia",
            text,
            evidence,
            (*record, *references(facts.bone_drugs)),
        ),
    )


def vitamin_d_first(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """A low 25-hydroxyvitamin D before zoledronate or denosumab, which then lower calcium."""
    level = None if facts.patient is None else facts.patient.vitamin_d_nmol_l
    low = level is not None and not level.conflicting and level.value < writer.value(DEFICIENT)
    if level is None or not low or not facts.bone_health_case or facts.pathological:
        return ()
    if _loading_is_for_a_specialist(facts, writer):
        return ()
    first, last = (plain(writer.value(CORRECT_VITAMIN_D, key)) for key in ("weeks_low", "weeks_high"))
    dose = plain(writer.value(CORRECT_VITAMIN_D, "loading_iu"))
    text = (
        "Vitamin D deficiency: correct it before zoledronate or denosumab. A British guideline loads with up to"
        f" {dose} IU in divided doses over {first} to {last} weeks."
    )
    record = (level.resource, *references(facts.bone_drugs))
    evidence = (CORRECT_VITAMIN_D, DEFICIENT)
    action, agent = AdviceAction.CORRECT_FIRST, "bisphosphonate"
    return (safety_line(writer, action, agent, "vitamin_d_first", text, evidence, record),)


def _loading_is_for_a_specialist(facts: CaseFacts, writer: Writer) -> bool:
    """Whether vitamin D is not to be corrected without a specialist; the supplement lines then say so."""
    patient, egfr = facts.patient, facts.egfr
    kinds = (
        ConditionKind.HYPERCALCAEMIA,
        ConditionKind.PRIMARY_HYPERPARATHYROIDISM,
        ConditionKind.SARCOIDOSIS,
        ConditionKind.KIDNEY_STONES,
        ConditionKind.PREGNANCY,
    )
    if patient is None or any(patient.has_condition(kind, active_only=False) for kind in kinds):
        return True
    calcium = patient.calcium_mmol_l
    high = calcium is not None and highest(calcium) > writer.value(SERUM_CALCIUM, "high")
    return high or (egfr is not None and lowest(egfr) < writer.value(EGFR_30))


def denosumab_without_a_gap(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Denosumab is neither stopped nor delayed without a plan."""
    taken = facts.drugs(DrugClass.DENOSUMAB)
    if not taken:
        return ()
    months = plain(writer.value(DENOSUMAB_STOP, "high"))
    text = (
        "Denosumab: do not stop or delay it without specialist review; several vertebral fractures followed within"
        f" {months} months of a gap."
    )
    action, agent = AdviceAction.CAUTION, "denosumab"
    return (safety_line(writer, action, agent, "denosumab.no_gap", text, (DENOSUMAB_STOP,), references(taken)),)


def oesophagus(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """Disease of the oesophagus, or an ulcer, and a bisphosphonate by mouth."""
    entry = facts.condition(ConditionKind.OESOPHAGEAL_DISEASE, ConditionKind.PEPTIC_ULCER)
    if entry is None or not _bone_drug_is_subject(facts):
        return ()
    taken = facts.drugs(DrugClass.ORAL_BISPHOSPHONATE)
    already = " One is prescribed: review it now." if taken else ""
    text = (
        "Disease of oesophagus or stomach: caution with a bisphosphonate by mouth, none with a stricture, achalasia or"
        f" trouble swallowing; ask for another route.{already}"
    )
    record = (entry.resource, *references(taken))
    action, agent = AdviceAction.CAUTION, "bisphosphonate"
    return (safety_line(writer, action, agent, "bisphosphonate.oesophagus", text, (OESOPHAGUS,), record),)


def early_bisphosphonate(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """A humeral fracture from 50 years: the question of early bisphosphonates is bound to be asked."""
    humerus = {FractureSite.HUMERUS_PROXIMAL, FractureSite.HUMERUS_SHAFT}
    stated = facts.context.site in humerus and not facts.pathological
    if not (facts.has_fracture and stated and facts.at_least(FRAGILITY_FROM_YEARS)):
        return ()
    # Where the kidney forbids a bisphosphonate, when to start one is not the question.
    if kidney_forbids_bisphosphonate(facts, writer):
        return ()
    text = (
        "Humeral fracture: a bisphosphonate soon afterwards went with non-union in one study, at an absolute risk of"
        " 0.4 %; this does not outweigh preventing the next fracture."
    )
    evidence = ("care.caution.early_bisphosphonate_humerus",)
    return (
        safety_line(
            writer,
            AdviceAction.INFORM,
            "bisphosphonate",
            "bisphosphonate.humerus",
            text,
            evidence,
            (CLINICIAN, *references(facts.bone_drugs)),
        ),
    )


# --- pain drugs


def nsaid_older(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """NSAIDs in older people and in people with dementia, who count as frail."""
    taken = facts.drugs(DrugClass.NSAID, DrugClass.COX2_INHIBITOR)
    dementia = facts.condition(ConditionKind.DEMENTIA)
    if not older_or_frail(facts) or not (facts.has_fracture or taken):
        return ()
    already = " One is prescribed: review it now." if taken else ""
    text = f"Older or frail: do not offer an NSAID for fracture pain.{already}"
    why = () if dementia is None else (dementia.resource,)
    record = (*facts.fracture_record, *why, *references(taken))
    return (safety_line(writer, AdviceAction.AVOID, "nsaid", "nsaid.older", text, (NSAID_OLDER,), record),)


def nsaid_kidney(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """NSAIDs with a low eGFR."""
    egfr = facts.egfr
    limit = writer.value(NSAID_KIDNEY)
    taken = facts.drugs(DrugClass.NSAID, DrugClass.COX2_INHIBITOR)
    if egfr is None or lowest(egfr) >= limit or not (facts.has_fracture or taken):
        return ()
    already = " One is prescribed: review it now." if taken else ""
    text = f"eGFR {plain(lowest(egfr))}, below {plain(limit)}: avoid NSAIDs.{already}"
    record = (*resources(egfr), *references(taken))
    return (safety_line(writer, AdviceAction.AVOID, "nsaid", "nsaid.egfr30", text, (NSAID_KIDNEY,), record),)


def nsaid_anticoagulant(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """An NSAID together with an anticoagulant."""
    pain = facts.drugs(DrugClass.NSAID, DrugClass.COX2_INHIBITOR)
    blood = facts.drugs(DrugClass.ANTICOAGULANT)
    if not pain or not blood:
        return ()
    ratio = plain(writer.value("care.caution.nsaid_anticoagulant"))
    ending = REASON_TO_STOP if nsaid_avoided(facts, writer) else "review the need."
    text = f"NSAID together with an anticoagulant: {ratio} times the serious bleeding; {ending}"
    evidence = ("care.caution.nsaid_anticoagulant",)
    record = references((*pain, *blood))
    return (safety_line(writer, AdviceAction.CAUTION, "nsaid", "nsaid.anticoagulant", text, evidence, record),)


def cox2_while_healing(facts: CaseFacts, writer: Writer) -> tuple[Advice, ...]:
    """A COX-2 inhibitor while a fracture heals."""
    taken = facts.drugs(DrugClass.COX2_INHIBITOR)
    if not taken or not facts.has_fracture:
        return ()
    ending = f"; {REASON_TO_STOP}" if nsaid_avoided(facts, writer) else "; keep it short."
    text = f"COX-2 inhibitor while the fracture heals: use after a fracture went with non-union{ending}"
    evidence = ("care.caution.cox2_healing",)
    return (
        safety_line(writer, AdviceAction.CAUTION, "cox2_inhibitor", "cox2.healing", text, evidence, references(taken)),
    )


RULES = (
    bone_drugs_and_kidney,
    hypocalcaemia,
    vitamin_d_first,
    denosumab_without_a_gap,
    oesophagus,
    early_bisphosphonate,
    nsaid_older,
    nsaid_kidney,
    nsaid_anticoagulant,
    cox2_while_healing,
    *PAIN_RULES,
)
"""In the order a report lists them."""
