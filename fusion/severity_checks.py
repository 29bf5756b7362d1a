"""Who is seen the same day, and what is checked before an operation or a plaster that only the record gives away."""

from fhir_adapters.patient import ConditionKind, DrugClass, Sex
from fusion.context import Mechanism
from fusion.diabetic_foot import diabetic_foot_fracture, foot_complications
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, references
from fusion.results import Statement
from fusion.sites import LOWER_LIMB_SITES, SITE_NAMES, FractureSite
from fusion.statements import CLINICIAN, Writer, join, percent, plain

SAME_DAY = "severity.urgency.same_day"
THEATRE = "severity.hip.correct_before_theatre"
HIP_CLOTS = "severity.hip.thromboprophylaxis"
LEG_CLOTS = "severity.immobilised_leg.thromboprophylaxis"
HEAD = "severity.head_injury.anticoagulant"
DIABETIC_ANKLE = "severity.check.diabetic_ankle"
DIABETIC_DISPLACED = "severity.check.diabetic_ankle_displaced"
DIABETIC_OLDER = "severity.check.diabetic_ankle_older"
LESION_TESTS = "severity.pathological.work_up"
COMPARTMENT_RATE = "severity.compartment.tibia_rate"
OBSERVE = "severity.compartment.observe"
_IF_DISPLACED = frozenset(
    {
        FractureSite.FOREARM_SHAFT,
        FractureSite.OLECRANON,
        FractureSite.DISTAL_RADIUS,
        FractureSite.HUMERUS_SHAFT,
        FractureSite.PATELLA,
        FractureSite.ANKLE,
        FractureSite.CALCANEUS,
    }
)
_COMPLICATIONS = {
    ConditionKind.DIABETIC_NEUROPATHY: "neuropathy",
    ConditionKind.PERIPHERAL_ARTERY_DISEASE: "arterial disease",
}


def loaded_bone(facts: CaseFacts) -> FractureSite | None:
    """The stated weight-bearing bone that is never a mild injury: femoral shaft, tibial plateau, an adult's tibia."""
    site = facts.context.site
    if site in {FractureSite.FEMORAL_SHAFT, FractureSite.TIBIAL_PLATEAU}:
        return site
    # A toddler's undisplaced tibia is treated in a clinic.
    adult = not facts.younger_than(ADULT_FROM_YEARS)
    return site if site is FractureSite.TIBIAL_SHAFT and adult else None


def same_day_review(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Why a fracture without a red flag does not wait for a clinic."""
    site = facts.context.site
    displaced = facts.context.displaced is True
    also_child = site is FractureSite.TIBIAL_SHAFT and displaced
    if site is None or not (loaded_bone(facts) or also_child or (displaced and site in _IF_DISPLACED)):
        return None
    words = f"{'displaced ' if displaced else ''}{SITE_NAMES[site]}"
    text = f"Orthopaedic review on the same day: {words}; reduction and splintage do not wait for a clinic."
    return writer.say("severity.same_day", text, evidence=(SAME_DAY,), record=(CLINICIAN,))


def surgical_checks(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    """Every check of this module that the case calls for."""
    return tuple(one for rule in RULES if (one := rule(facts, writer)) is not None)


def compartment_risk(facts: CaseFacts, writer: Writer) -> Statement | None:
    """A high-energy fracture of the tibial shaft, while nobody has stated compartment signs."""
    high = facts.context.mechanism is Mechanism.HIGH_ENERGY
    if facts.context.compartment_signs is True or not high or facts.context.site is not FractureSite.TIBIAL_SHAFT:
        return None
    low, top = (percent(writer.value(COMPARTMENT_RATE, end)) for end in ("low", "high"))
    text = f"High-energy tibial shaft: {low} to {top} develop a compartment syndrome; examine the leg every hour."
    evidence = (COMPARTMENT_RATE, OBSERVE)
    return writer.say("severity.check.compartment_risk", text, evidence=evidence, record=(CLINICIAN,))


def before_theatre(facts: CaseFacts, writer: Writer) -> Statement | None:
    """What delays hip surgery."""
    if not facts.has_fracture or facts.younger_than(ADULT_FROM_YEARS):
        return None
    if not facts.is_hip:
        return None
    failure = facts.condition(ConditionKind.HEART_FAILURE)
    heart = "" if failure is None else " Heart failure is in the record."
    text = (
        "Before theatre, at once: anaemia, volume, electrolytes, glucose, heart failure, rhythm, chest infection,"
        f" anticoagulation, so that none of them delays surgery.{heart}"
    )
    record = (*facts.fracture_record, *(() if failure is None else (failure.resource,)))
    return writer.say("severity.check.before_theatre", text, evidence=(THEATRE,), record=record)


def anticoagulant(facts: CaseFacts, writer: Writer) -> Statement | None:
    """An anticoagulant before any operation or nerve block."""
    drugs, egfr = facts.drugs(DrugClass.ANTICOAGULANT), facts.egfr
    if not drugs or not (facts.has_fracture or facts.context.clinical_suspicion_high):
        return None
    kidney = "" if egfr is None else f" (eGFR {plain(egfr.value)})"
    text = (
        "On an anticoagulant, before an operation or a nerve block: note the drug and the last dose. Warfarin is"
        " reversed with vitamin K; the wait after a direct anticoagulant depends on renal function"
        f"{kidney}; no bridging."
    )
    record = (*references(drugs), *(() if egfr is None else (egfr.resource,)))
    return writer.say("severity.check.anticoagulant", text, evidence=(THEATRE,), record=record)


def lesion_work_up(facts: CaseFacts, writer: Writer) -> Statement | None:
    """What finds the lesion behind a suspected pathological fracture."""
    if not facts.pathological:
        return None
    hours = plain(writer.value(LESION_TESTS, "ct_h"))
    men = "" if facts.sex is Sex.FEMALE else ", PSA in men"
    text = (
        "Suspected lesion: radiographs of the whole bone in two planes; CT of chest, abdomen and pelvis within"
        f" {hours} h; blood count, kidney and liver tests, calcium, myeloma screen{men}."
    )
    return writer.say("severity.check.lesion_work_up", text, evidence=(LESION_TESTS,), record=(CLINICIAN,))


def head_injury(facts: CaseFacts, writer: Writer) -> Statement | None:
    """A fall or crash on an anticoagulant: the head matters more than the limb."""
    drugs = facts.drugs(DrugClass.ANTICOAGULANT)
    injured = facts.has_fracture or facts.context.clinical_suspicion_high is True
    if not drugs or not injured or facts.pathological:
        return None
    hours = plain(writer.value(HEAD, "high"))
    text = f"On an anticoagulant: if the head was hit, CT of the head within {hours} hours even without other signs."
    return writer.say("severity.check.head_injury", text, evidence=(HEAD,), record=references(drugs))


def thrombosis(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Thromboprophylaxis after a hip fracture, and the question for any other immobilised leg."""
    if not facts.has_fracture or facts.younger_than(ADULT_FROM_YEARS) or facts.drugs(DrugClass.ANTICOAGULANT):
        return None
    record = facts.fracture_record
    if facts.is_hip:
        low, high = (plain(writer.value(HIP_CLOTS, end)) for end in ("low", "high"))
        text = f"Hip fracture: thromboprophylaxis for {low} to {high} days, unless bleeding forbids it."
        return writer.say("severity.check.thrombosis_hip", text, evidence=(HIP_CLOTS,), record=record)
    if facts.context.site not in LOWER_LIMB_SITES:
        return None
    text = "If the leg is immobilised or kept off weight: assess the risk of thrombosis and of bleeding."
    return writer.say("severity.check.thrombosis_leg", text, evidence=(LEG_CLOTS,), record=record)


def diabetic_foot(facts: CaseFacts, writer: Writer) -> Statement | None:
    """A fracture of ankle or foot in diabetes: sensation, pulses, Charcot, a longer time off weight."""
    diabetes = facts.diabetes
    if diabetes is None or not diabetic_foot_fracture(facts):
        return None
    complications = foot_complications(facts)
    sugar = None if facts.patient is None else facts.patient.hba1c_percent
    words = join([_COMPLICATIONS[one.kind] for one in complications])
    known = [
        *((f"{words} {'is' if len(complications) == 1 else 'are'} in the record",) if complications else ()),
        *(() if sugar is None else (f"HbA1c {sugar.value:.1f} %",)),
    ]
    record = (diabetes.resource, *references(complications), *(() if sugar is None else (sugar.resource,)))
    aside = f" ({', '.join(known)})" if known else ""
    text = (
        f"Diabetes{aside}: test protective sensation and pulses of the foot; warmth and swelling may be Charcot"
        " neuroarthropathy. With neuropathy or arterial disease: specialist foot and ankle review, and no weight by the"
        " usual calendar."
    )
    return writer.say("severity.check.diabetic_foot", text, evidence=(DIABETIC_ANKLE,), record=record)


def diabetic_ankle_displaced(facts: CaseFacts, writer: Writer) -> Statement | None:
    """A displaced ankle in diabetes: with or without operation, on which the sources disagree."""
    displaced = facts.context.site is FractureSite.ANKLE and facts.context.displaced is True
    if not displaced or not diabetic_foot_fracture(facts) or facts.context.operated is True:
        return None
    closed, fixed = (percent(writer.value(DIABETIC_DISPLACED, key)) for key in ("closed", "fixed"))
    text = (
        f"Displaced ankle in diabetes: complications in {closed} without and {fixed} with fixation in one series; an"
        " older one preferred no operation where demand is low."
    )
    evidence = (DIABETIC_DISPLACED, DIABETIC_OLDER)
    record = () if facts.diabetes is None else (facts.diabetes.resource,)
    return writer.say("severity.check.diabetic_ankle_displaced", text, evidence=evidence, record=(CLINICIAN, *record))


RULES = (
    compartment_risk,
    lesion_work_up,
    before_theatre,
    anticoagulant,
    head_injury,
    thrombosis,
    diabetic_foot,
    diabetic_ankle_displaced,
)
"""In the order a report lists them."""
