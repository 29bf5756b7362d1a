"""Reasons to act at once. Deterministic: each rule reads stated facts, and no model score can override it."""

from collections.abc import Callable
from dataclasses import replace

from fhir_adapters.patient import ConditionKind
from fusion.context import Mechanism
from fusion.facts import ADULT_FROM_YEARS, HIP_OLDER_FROM_YEARS, CaseFacts
from fusion.results import RedFlag, Urgency
from fusion.sites import FractureSite
from fusion.statements import CLINICIAN, Writer, join, percent, plain
from imaging.labels import BodyRegion

Rule = Callable[[CaseFacts, Writer], RedFlag | None]

OPEN = "severity.red_flag.open_wound"
ANTIBIOTICS = "severity.open_fracture.antibiotics_min"
DEBRIDEMENT = "severity.open_fracture.debridement_h"
NO_IRRIGATION = "severity.open_fracture.no_irrigation"
TETANUS = "severity.open_fracture.tetanus"
COVER = "severity.open_fracture.cover_h"
COMPARTMENT = "severity.red_flag.compartment_syndrome"
FASCIOTOMY = "severity.compartment.fasciotomy_h"
OBSERVE = "severity.compartment.observe"
HIP_DISLOCATION = "severity.red_flag.hip_dislocation"
YOUNG_NECK = "severity.red_flag.displaced_femoral_neck_lt60"
OLD_HIP = "severity.red_flag.hip_fracture_older"
CHILD_NECK = "severity.red_flag.femoral_neck_child"
ABUSE = "severity.red_flag.abuse_pattern"
LESION = "severity.red_flag.pathological_fracture"
LESION_TESTS = "severity.pathological.work_up"
_ABUSE_SITES = frozenset({FractureSite.FEMORAL_SHAFT, FractureSite.HUMERUS_SHAFT})


def _flag(
    writer: Writer,
    urgency: Urgency,
    rule: str,
    text: str,
    evidence: tuple[str, ...],
    facts: CaseFacts,
    *,
    image: bool = False,
) -> RedFlag:
    record = facts.fracture_record if image else (CLINICIAN,)
    return RedFlag(urgency=urgency, statement=writer.say(rule, text, evidence=evidence, record=record))


def open_fracture(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """A wound over the fracture, or a Gustilo grade."""
    if facts.open_fracture is not True:
        return None
    minutes, hours = writer.value(ANTIBIOTICS, "high"), writer.value(DEBRIDEMENT, "high")
    high_energy = writer.value(DEBRIDEMENT, "high_energy_iiia_iiib")
    cover = writer.value(COVER, "high")
    return _flag(
        writer,
        Urgency.IMMEDIATE,
        "severity.red_flag.open_fracture",
        f"Open wound: treat as an open fracture. Intravenous antibiotics within {plain(minutes)} minutes, tetanus"
        " immunisation checked, sterile dressing, no irrigation in the emergency department; debridement at once if"
        f" highly contaminated, within {plain(high_energy)} h if high-energy, otherwise within {plain(hours)} h; fixed"
        f" and covered within {plain(cover)} h.",
        (OPEN, ANTIBIOTICS, TETANUS, DEBRIDEMENT, COVER, NO_IRRIGATION),
        facts,
    )


def vascular_deficit(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """Perfusion beyond the injury is impaired, or the open fracture is graded Gustilo IIIC."""
    if facts.vascular_deficit is not True:
        return None
    evidence: tuple[str, ...] = ("severity.red_flag.vascular_deficit",)
    text = "Vascular deficit: refer to surgery now and document pulses before and after any reduction."
    elbow = facts.region is BodyRegion.ELBOW or facts.context.site is FractureSite.HUMERUS_SHAFT
    if elbow and facts.younger_than(ADULT_FROM_YEARS):
        evidence += ("severity.red_flag.supracondylar_child",)
        text += " In a child, think of a displaced supracondylar fracture."
    return _flag(writer, Urgency.IMMEDIATE, "severity.red_flag.vascular_deficit", text, evidence, facts)


def neurological_deficit(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """New loss of sensation or power beyond the injury."""
    if facts.context.neurological_deficit is not True:
        return None
    return _flag(
        writer,
        Urgency.IMMEDIATE,
        "severity.red_flag.neurological_deficit",
        "Neurological deficit: urgent surgical review; document nerve by nerve before and after any reduction.",
        ("severity.red_flag.neurological_deficit",),
        facts,
    )


def compartment_syndrome(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """Signs of acute compartment syndrome."""
    if facts.context.compartment_signs is not True:
        return None
    hours = writer.value(FASCIOTOMY, "high")
    return _flag(
        writer,
        Urgency.IMMEDIATE,
        "severity.red_flag.compartment_syndrome",
        "Suspected compartment syndrome: release all circular dressings, keep the limb at heart level, senior surgeon"
        f" now; decompress within {plain(hours)} h of the decision. Normal pulses do not exclude it.",
        (COMPARTMENT, FASCIOTOMY, OBSERVE),
        facts,
    )


def threatened_skin(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """Tented, blanched or blistered skin."""
    if facts.context.skin_threatened is not True:
        return None
    return _flag(
        writer,
        Urgency.WITHIN_HOURS,
        "severity.red_flag.threatened_skin",
        "Threatened skin: reduce promptly and check the skin again.",
        ("severity.red_flag.threatened_skin",),
        facts,
    )


def dislocation(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """A dislocated joint, or a fracture-dislocation."""
    if facts.dislocated is not True:
        return None
    if facts.is_hip or facts.context.site is FractureSite.PELVIS or facts.region is BodyRegion.PELVIS:
        hours = writer.value(HIP_DISLOCATION, "high")
        return _flag(
            writer,
            Urgency.IMMEDIATE,
            "severity.red_flag.dislocation",
            f"Dislocation at the hip: reduce within {plain(hours)} h of injury to protect the femoral head.",
            (HIP_DISLOCATION,),
            facts,
        )
    return _flag(
        writer,
        Urgency.IMMEDIATE,
        "severity.red_flag.dislocation",
        "Dislocation: reduce promptly; check pulses and nerves before and after.",
        ("severity.red_flag.other_dislocation",),
        facts,
    )


def hip_fracture(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """A hip fracture: theatre by the next day in an older person, urgent fixation in a younger one."""
    if not (facts.has_fracture and facts.is_hip):
        return None
    prefix = "If confirmed: hip" if facts.only_suspected else "Hip"
    if facts.younger_than(ADULT_FROM_YEARS):
        return _child_hip(facts, writer, prefix)
    if facts.pathological:
        return _hip_with_lesion(facts, writer, prefix)
    if facts.younger_than(HIP_OLDER_FROM_YEARS):
        return _young_hip(facts, writer, prefix)
    age = "" if facts.age_years is not None else " (age not known: read this for an adult)"
    return _flag(
        writer,
        Urgency.WITHIN_HOURS,
        "severity.red_flag.hip_fracture",
        f"{prefix} fracture{age}: surgery on the day of admission or the day after; treat pain now and correct what"
        " would delay theatre.",
        (OLD_HIP,),
        facts,
        image=True,
    )


def _hip_with_lesion(facts: CaseFacts, writer: Writer, prefix: str) -> RedFlag:
    """A deadline for theatre would contradict the work-up that comes before fixation."""
    return _flag(
        writer,
        Urgency.WITHIN_HOURS,
        "severity.red_flag.hip_fracture",
        f"{prefix} fracture with a suspected lesion: refer to the on-call surgeon now and treat pain; work-up and"
        " imaging of the whole bone come before fixation.",
        (LESION, LESION_TESTS),
        facts,
        image=True,
    )


def _young_hip(facts: CaseFacts, writer: Writer, prefix: str) -> RedFlag | None:
    if facts.context.site is FractureSite.INTERTROCHANTERIC:
        return _flag(
            writer,
            Urgency.WITHIN_HOURS,
            "severity.red_flag.hip_fracture",
            f"{prefix} fracture below {HIP_OLDER_FROM_YEARS} years: refer to the on-call surgeon now; surgery by the"
            " day after admission.",
            (OLD_HIP,),
            facts,
            image=True,
        )
    displaced = facts.context.displaced is True
    whether = "A displaced femoral neck" if displaced else "If the femoral neck is displaced, it"
    return _flag(
        writer,
        Urgency.IMMEDIATE if displaced else Urgency.WITHIN_HOURS,
        "severity.red_flag.young_hip_fracture",
        f"{prefix} fracture below {HIP_OLDER_FROM_YEARS} years: refer to the on-call surgeon now. {whether} needs"
        " urgent reduction and fixation to keep the femoral head; after fixation one in three was operated on again.",
        (YOUNG_NECK,),
        facts,
        image=True,
    )


def _child_hip(facts: CaseFacts, writer: Writer, prefix: str) -> RedFlag:
    """A child's proximal femur: rare, and the femoral head is at stake."""
    rate = percent(writer.value(CHILD_NECK))
    displaced = facts.context.displaced is True
    return _flag(
        writer,
        Urgency.IMMEDIATE if displaced else Urgency.WITHIN_HOURS,
        "severity.red_flag.child_hip_fracture",
        f"{prefix} fracture of a child: refer to the on-call surgeon now for anatomical reduction and stable"
        " fixation; after"
        f" femoral neck fractures in childhood the head died in {rate}, more often after displacement.",
        (CHILD_NECK,),
        facts,
        image=True,
    )


def high_energy_pelvis(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """A pelvic fracture after high-energy trauma."""
    pelvis = facts.context.site is FractureSite.PELVIS or (
        facts.context.site is None and facts.region is BodyRegion.PELVIS
    )
    if not (facts.has_fracture and pelvis and facts.context.mechanism is Mechanism.HIGH_ENERGY):
        return None
    return _flag(
        writer,
        Urgency.IMMEDIATE,
        "severity.red_flag.high_energy_pelvis",
        "High-energy pelvic fracture: manage as major trauma; look for bleeding and visceral injury.",
        ("severity.red_flag.high_energy_pelvis",),
        facts,
    )


def non_ambulant_infant(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """A fracture in an infant who does not walk."""
    if facts.context.non_ambulant_infant is not True or not facts.has_fracture:
        return None
    return _flag(
        writer,
        Urgency.IMMEDIATE,
        "severity.red_flag.non_ambulant_infant",
        "Fracture in an infant who does not walk: senior paediatric and safeguarding review before the child leaves.",
        ("severity.red_flag.non_ambulant_infant",),
        facts,
    )


def abuse_pattern(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """A pattern that occurs in abuse: an infant's fracture, a toddler's femur or humerus, several fractures."""
    infant_months = writer.value(ABUSE, "infant_months")
    toddler_years = int(writer.value(ABUSE, "toddler_years"))
    small = facts.younger_than(toddler_years) and facts.has_fracture
    if not small or facts.context.non_ambulant_infant is True:
        return None
    explained = facts.context.mechanism is Mechanism.HIGH_ENERGY
    infant = facts.age_years == 0 and (facts.age_months is None or facts.age_months < infant_months)
    earlier = [] if facts.patient is None else [one for one in facts.patient.prior_fractures if not one.active]
    found = [
        words
        for words, true in (
            ("a fracture below one year", infant and not explained and facts.context.non_ambulant_infant is None),
            (
                f"a shaft fracture of femur or humerus below {toddler_years} years",
                bool(facts.sites) and set(facts.sites) <= _ABUSE_SITES and not explained,
            ),
            ("an earlier fracture in the record", bool(earlier)),
        )
        if true
    ]
    if not found:
        return None
    prefix = "If confirmed: " if facts.only_suspected else ""
    flag = _flag(
        writer,
        Urgency.IMMEDIATE,
        "severity.red_flag.abuse_pattern",
        f"{prefix}{join(found)[:1].upper()}{join(found)[1:]}: a pattern that occurs in abuse. Senior paediatric and"
        " safeguarding review before the child leaves; this is a reason to ask, not a finding.",
        (ABUSE,),
        facts,
        image=True,
    )
    record = (*flag.statement.record, *(one.resource for one in earlier))
    return replace(flag, statement=replace(flag.statement, record=record))


def pathological_fracture(facts: CaseFacts, writer: Writer) -> RedFlag | None:
    """No adequate trauma; a lesion is suspected."""
    if not facts.pathological:
        return None
    centre = plain(writer.value(LESION_TESTS, "sarcoma_centre_h"))
    flag = _flag(
        writer,
        Urgency.WITHIN_HOURS,
        "severity.red_flag.pathological_fracture",
        "Suspected pathological fracture: urgent oncological work-up before fixation is planned. Without a known"
        f" primary, or with signs of a primary bone tumour: sarcoma centre within {centre} h, no biopsy elsewhere.",
        (LESION, LESION_TESTS),
        facts,
    )
    cancer = facts.condition(ConditionKind.CANCER)
    record = flag.statement.record if cancer is None else (*flag.statement.record, cancer.resource)
    return replace(flag, statement=replace(flag.statement, record=record))


RULES: tuple[Rule, ...] = (
    compartment_syndrome,
    vascular_deficit,
    open_fracture,
    neurological_deficit,
    dislocation,
    high_energy_pelvis,
    non_ambulant_infant,
    abuse_pattern,
    hip_fracture,
    threatened_skin,
    pathological_fracture,
)
"""In the order a report lists them within one urgency."""

_ORDER = (Urgency.IMMEDIATE, Urgency.WITHIN_HOURS, Urgency.CLINIC, Urgency.ROUTINE)


def red_flags(facts: CaseFacts, writer: Writer) -> tuple[RedFlag, ...]:
    """Every red flag of a case, the most urgent first."""
    raised = [flag for rule in RULES if (flag := rule(facts, writer)) is not None]
    return tuple(sorted(raised, key=lambda flag: _ORDER.index(flag.urgency)))


def most_urgent(*urgencies: Urgency) -> Urgency:
    """The most urgent of some; ROUTINE for none."""
    return min(urgencies, key=_ORDER.index, default=Urgency.ROUTINE)
