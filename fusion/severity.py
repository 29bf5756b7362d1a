"""How bad the injury is, how soon somebody must act, and what only an examination can tell."""

from fhir_adapters.patient import ConditionKind, DrugClass
from fusion.context import FractureType
from fusion.facts import ADULT_FROM_YEARS, OLDER_FROM_YEARS, CaseFacts, FracturePresence, references
from fusion.measured import ONE_VIEW, SHOWN_FROM, SYNTHETIC, Against, Finding, measured_findings, not_compared
from fusion.red_flags import most_urgent, red_flags
from fusion.results import Certainty, RedFlag, Severity, SeverityAssessment, Statement, Urgency
from fusion.severity_checks import loaded_bone, same_day_review, surgical_checks
from fusion.sites import SITE_NAMES, FractureSite
from fusion.statements import CLINICIAN, IMAGE, Writer, join, percent, plain, sentence
from fusion.thresholds import limits_to_measure
from imaging.labels import FracturePattern

SEVERE = "severity.grade.severe"
MODERATE = "severity.grade.moderate"
MILD = "severity.grade.mild"
UNDETERMINED = "severity.grade.undetermined"
NOT_SEEN = "severity.imaging.not_seen"
LOADED = "severity.grade.weight_bearing"
_LOADED_JOINTS = frozenset(
    {FractureSite.TIBIAL_PLATEAU, FractureSite.ANKLE, FractureSite.CALCANEUS, FractureSite.PELVIS}
)
"""Sites whose displaced joint fracture is one of a weight-bearing joint."""

BEDSIDE_CHECKS: tuple[tuple[str, str], ...] = (
    ("open_wound", "Wound over the injury: not stated. Look under dressings and splints."),
    ("vascular_deficit", "Perfusion beyond the injury: not stated. Document pulses and capillary refill."),
    ("neurological_deficit", "Sensation and power beyond the injury: not stated. Document nerve by nerve."),
    ("compartment_signs", "Signs of compartment syndrome: not stated. Pain on passive stretch is the early sign."),
    ("skin_threatened", "Skin: not stated. Look for tenting, blanching and blisters."),
    ("dislocation", "Joint congruity: not stated. Look for dislocation above and below."),
)
"""Field of `ClinicalContext` and what to do when it is not stated."""
FRACTURE_CHECKS: tuple[tuple[str, str], ...] = (
    ("site", "Site: not stated. Enter the broken bone and its part."),
    ("displaced", "Displacement: not stated. Enter it; a measurement on one view cannot exclude it."),
    ("intra_articular", "Joint involvement: not stated. Enter whether the fracture line reaches a joint."),
    ("mechanism", "Mechanism: not stated. Enter low-energy, high-energy or pathological."),
)
_FLAG_WORDS = {
    "abuse_pattern": "safeguarding review needed",
    "non_ambulant_infant": "safeguarding review needed",
    "child_hip_fracture": "hip fracture of a child",
    "young_hip_fracture": "hip fracture of a younger adult",
}
"""Flags whose name is no fair reason for a grade."""


def assess_severity(facts: CaseFacts, writer: Writer) -> SeverityAssessment:
    """Grade, urgency, red flags, open questions."""
    flags = red_flags(facts, writer)
    measured = measured_findings(facts, writer)
    grade, reasons = _grade(facts, writer, flags, measured)
    beyond = tuple(one.statement for one in measured if one.against is Against.BEYOND)
    # A red flag already calls somebody sooner.
    same_day = None if flags else same_day_review(facts, writer)
    today = () if same_day is None else (Urgency.WITHIN_HOURS,)
    return SeverityAssessment(
        grade=grade,
        urgency=most_urgent(*(flag.urgency for flag in flags), *today, _base_urgency(facts)),
        reasons=(*reasons, *beyond, *(() if same_day is None else (same_day,))),
        red_flags=flags,
        clinician_must_check=(
            *_must_check(facts, writer),
            *(one.statement for one in measured if one.against is not Against.BEYOND),
            *limits_to_measure(facts, writer),
        ),
        not_judged=_not_judged(facts, writer),
    )


def _base_urgency(facts: CaseFacts) -> Urgency:
    if facts.context.clinical_suspicion_high and not facts.has_fracture:
        # An occult hip fracture is moved only at the price of displacement.
        return Urgency.WITHIN_HOURS if facts.hip_in_view else Urgency.CLINIC
    if facts.has_fracture or facts.presence is FracturePresence.NOT_JUDGED:
        return Urgency.CLINIC
    return Urgency.ROUTINE


def _grade(
    facts: CaseFacts, writer: Writer, flags: tuple[RedFlag, ...], measured: tuple[Finding, ...]
) -> tuple[Severity, tuple[Statement, ...]]:
    if facts.presence is FracturePresence.NOT_JUDGED:
        return _undetermined(writer, "The radiograph is not fit to be judged.", IMAGE)
    if not facts.has_fracture:
        return Severity.NOT_APPLICABLE, _no_fracture(facts, writer)
    # A flag that rests on a suspected finding is no certain reason for a grade.
    certain = [flag for flag in flags if CLINICIAN in flag.statement.record or not facts.only_suspected]
    if certain or facts.gustilo_two_or_more:
        names = [flag.statement.id.rpartition(".")[2] for flag in certain]
        why = [_FLAG_WORDS.get(name, name.replace("_", " ")) for name in names]
        gustilo = [f"Gustilo {facts.context.gustilo}"] if facts.gustilo_two_or_more else []
        more = _moderate_reasons(facts)
        also = f"; also {join(more)}, as stated" if more else ""
        text = f"Severe: {join([*why, *gustilo])}{also}."
        record = tuple(origin for flag in certain for origin in flag.statement.record) or (CLINICIAN,)
        return Severity.SEVERE, (writer.say("severity.grade", text, evidence=(SEVERE,), record=record),)
    if facts.context.site in _LOADED_JOINTS and facts.context.displaced and facts.context.intra_articular:
        text = "Severe: displaced into a weight-bearing joint, as stated."
        evidence = (SEVERE, LOADED)
        return Severity.SEVERE, (writer.say("severity.grade", text, evidence=evidence, record=(CLINICIAN,)),)
    if moderate := _moderate_reasons(facts):
        text = f"Moderate: {join(moderate)}, as stated."
        return Severity.MODERATE, (writer.say("severity.grade", text, evidence=(MODERATE,), record=(CLINICIAN,)),)
    c = facts.context
    if any(one.against is Against.BEYOND for one in measured):
        return _moderate_as_measured(facts, writer)
    if (site := loaded_bone(facts)) is not None and not facts.only_suspected:
        missing = _not_stated(facts)
        still = f"; {join(missing)} not stated" if missing else ""
        text = f"At least moderate: {SITE_NAMES[site]}, a weight-bearing bone{still}."
        evidence = (MODERATE, LOADED)
        record = facts.fracture_record
        return Severity.MODERATE, (writer.say("severity.grade", text, evidence=evidence, record=record),)
    if c.open_wound is False and c.displaced is False and c.intra_articular is False:
        open_items = [name for name, _ in BEDSIDE_CHECKS if getattr(c, name) is None]
        proviso = ", provided the items still to check are negative" if open_items else ""
        text = f"Mild: stated to be closed, undisplaced and outside the joint{proviso}."
        return Severity.MILD, (writer.say("severity.grade", text, evidence=(MILD,), record=(CLINICIAN,)),)
    missing = _not_stated(facts)
    return _undetermined(
        writer,
        f"Not graded: {join(missing)} not stated; a measurement on one view cannot grade an injury as mild.",
        *facts.fracture_record,
    )


def _not_stated(facts: CaseFacts) -> list[str]:
    """What the grade needs and nobody stated."""
    return [
        words
        for field, words in (
            ("displaced", "displacement"),
            ("intra_articular", "joint involvement"),
            ("open_wound", "the skin"),
        )
        if getattr(facts.context, field) is None
    ]


def _moderate_as_measured(facts: CaseFacts, writer: Writer) -> tuple[Severity, tuple[Statement, ...]]:
    """Measured beyond a limit: never mild, whatever was stated."""
    against = " It was stated to be undisplaced: look again." if facts.context.displaced is False else ""
    prefix = "if confirmed, " if facts.only_suspected else ""
    text = sentence(f"{prefix}moderate, as measured on the radiograph: beyond a published limit.{against}")
    evidence = (MODERATE, SYNTHETIC)
    return Severity.MODERATE, (writer.say("severity.grade", text, evidence=evidence, record=(IMAGE,)),)


def _undetermined(writer: Writer, text: str, *record: str) -> tuple[Severity, tuple[Statement, ...]]:
    return Severity.UNDETERMINED, (writer.say("severity.grade", text, evidence=(UNDETERMINED,), record=record),)


def _moderate_reasons(facts: CaseFacts) -> list[str]:
    c = facts.context
    return [
        words
        for words, true in (
            ("displaced", c.displaced is True),
            ("into a joint", c.intra_articular is True),
            ("several parts", c.fracture_type is FractureType.COMMINUTED),
        )
        if true
    ]


def _no_fracture(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    if facts.presence is FracturePresence.NO_IMAGE:
        if not facts.context.clinical_suspicion_high:
            return ()
        text = "High clinical suspicion and no radiograph: take one."
        return (writer.say("severity.radiograph_needed", text, record=(CLINICIAN,)),)
    seen = writer.say(
        "severity.not_seen",
        "No fracture seen on this radiograph; this does not exclude one.",
        evidence=(NOT_SEEN,),
        record=(IMAGE,),
    )
    if not facts.context.clinical_suspicion_high:
        return (seen,)
    return (seen, further_imaging(facts, writer))


def further_imaging(facts: CaseFacts, writer: Writer) -> Statement:
    """What to do when the examination suggests a fracture that the radiograph does not show."""
    record = (CLINICIAN, IMAGE) if facts.findings is not None else (CLINICIAN,)
    if facts.hip_in_view:
        hours = plain(writer.value("severity.imaging.occult_hip", "high"))
        text = f"High clinical suspicion at the hip: offer MRI; CT if MRI is not to be had within {hours} hours."
        return writer.say("severity.further_imaging", text, evidence=("severity.imaging.occult_hip",), record=record)
    low, high = (writer.value("severity.imaging.occult_other", end) for end in ("low", "high"))
    evidence: tuple[str, ...] = ("severity.imaging.occult_other",)
    text = (
        "High clinical suspicion: immobilise and repeat the radiograph after"
        f" {plain(low)} to {plain(high)} days, or use CT or MRI."
    )
    if facts.is_wrist:
        evidence = ("severity.imaging.occult_scaphoid", *evidence)
        text = f"{text} For a suspected scaphoid, consider MRI first."
    return writer.say("severity.further_imaging", text, evidence=evidence, record=record)


def _must_check(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    in_question = facts.has_fracture or facts.presence is FracturePresence.NOT_JUDGED
    if not in_question and not facts.context.clinical_suspicion_high:
        return _ask_for_suspicion(facts, writer)
    asked = BEDSIDE_CHECKS + (FRACTURE_CHECKS if facts.has_fracture else ())
    found = [
        writer.say(f"severity.check.{field}", text, certainty=Certainty.COMPUTED)
        for field, text in asked
        if getattr(facts.context, field) is None
        and not (field == "open_wound" and facts.open_fracture)
        and not (field == "dislocation" and facts.dislocated)
        and not (field == "vascular_deficit" and facts.vascular_deficit)
        # Displacement, not the joint surface, decides at the hip.
        and not (field == "intra_articular" and facts.is_hip)
    ]
    found += [one for rule in _RECORD_CHECKS if (one := rule(facts, writer)) is not None]
    return (*found, *surgical_checks(facts, writer))


def _ask_for_suspicion(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    """No fracture seen, and nobody stated how the limb was on examination: the two injuries that are missed."""
    if facts.presence is not FracturePresence.NOT_SEEN or facts.context.clinical_suspicion_high is not None:
        return ()
    if facts.hip_in_view and not facts.younger_than(OLDER_FROM_YEARS):
        hours = plain(writer.value("severity.imaging.occult_hip", "high"))
        text = (
            "No fracture seen at the hip: if it hurts after a fall or cannot bear weight, offer MRI; CT if MRI is"
            " not to be"
            f" had within {hours} hours."
        )
        return (writer.say("severity.check.occult_hip", text, evidence=("severity.imaging.occult_hip",)),)
    if facts.is_wrist:
        text = (
            "No fracture seen at the wrist: if the snuffbox or the scaphoid tubercle is tender, immobilise and"
            " consider MRI."
        )
        return (writer.say("severity.check.occult_scaphoid", text, evidence=("severity.imaging.occult_scaphoid",)),)
    return ()


def _network_reads(facts: CaseFacts, writer: Writer) -> Statement | None:
    """The network's impression of displacement or comminution, where the clinician stated nothing."""
    detections = () if facts.findings is None or not facts.has_fracture else facts.findings.detections
    pattern = detections[0].pattern if detections else None
    if pattern is None:
        return None
    read = [
        words
        for words, true in (
            (
                f"displaced (probability {percent(pattern.displaced_probability or 0.0)})",
                facts.context.displaced is None and (pattern.displaced_probability or 0.0) >= SHOWN_FROM,
            ),
            (
                "comminuted",
                facts.context.fracture_type is None and pattern.pattern is FracturePattern.COMMINUTED,
            ),
        )
        if true
    ]
    if not read:
        return None
    text = f"The network reads the fracture as {join(read)}: state whether it is; this does not grade it."
    return writer.say("severity.check.network", text, certainty=Certainty.COMPUTED, record=(IMAGE,))


def _infant(facts: CaseFacts, writer: Writer) -> Statement | None:
    if facts.age_years is None or facts.age_years >= 2 or facts.context.non_ambulant_infant is not None:
        return None
    return writer.say(
        "severity.check.infant",
        "Infant: state whether the child walks. A fracture in an infant who does not walk calls for a safeguarding"
        " review.",
        evidence=("severity.red_flag.non_ambulant_infant",),
    )


def _cancer(facts: CaseFacts, writer: Writer) -> Statement | None:
    cancer = facts.condition(ConditionKind.CANCER)
    if cancer is None or facts.pathological:
        return None
    return writer.say(
        "severity.check.cancer",
        "Cancer in the record: look for a lesion at the fracture.",
        evidence=("severity.check.cancer",),
        record=(cancer.resource,),
    )


def _atypical_femur(facts: CaseFacts, writer: Writer) -> Statement | None:
    drugs = facts.drugs(DrugClass.ORAL_BISPHOSPHONATE, DrugClass.INTRAVENOUS_BISPHOSPHONATE, DrugClass.DENOSUMAB)
    adult = not facts.younger_than(ADULT_FROM_YEARS)
    if not drugs or not adult:
        return None
    evidence = ("severity.check.atypical_femur", "severity.check.atypical_femur_pain")
    if facts.has_fracture and FractureSite.FEMORAL_SHAFT in facts.sites:
        text = (
            "Femoral shaft on a bisphosphonate or denosumab: look for the features of an atypical fracture, and image"
            " the other femur."
        )
        return writer.say("severity.check.atypical_femur", text, evidence=evidence, record=references(drugs))
    if not facts.has_fracture and facts.hip_in_view:
        text = (
            "Pain at the hip on a bisphosphonate or denosumab: let the scan take in the whole femur; an incomplete"
            " atypical fracture hurts in groin or thigh."
        )
        return writer.say("severity.check.atypical_femur_pain", text, evidence=evidence[1:], record=references(drugs))
    return None


_RECORD_CHECKS = (_network_reads, _infant, _cancer, _atypical_femur)


def _not_judged(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    if facts.presence is FracturePresence.NOT_JUDGED:
        return (
            writer.say(
                "severity.not_judged.image",
                "The radiograph could not be judged; repeat it or have it read.",
                evidence=(UNDETERMINED,),
                record=(IMAGE,),
            ),
        )
    if not facts.has_fracture:
        return ()
    found = [
        writer.say(
            "severity.not_judged.geometry",
            "Comminution, rotation and joint involvement are not measured. Displacement, angulation and shortening"
            " raise the"
            " grade only when their whole interval lies beyond a limit, and never lower it: they are measured on one"
            " view, and"
            " have been proven on synthetic limbs only.",
            evidence=(UNDETERMINED, SYNTHETIC, ONE_VIEW),
        )
    ]
    if (unlimited := not_compared(facts, writer)) is not None:
        found.append(unlimited)
    if facts.open_fracture and facts.context.gustilo is None:
        found.append(
            writer.say(
                "severity.not_judged.gustilo",
                "The Gustilo grade is set at surgery and was not inferred.",
                evidence=("severity.gustilo.reliability",),
            )
        )
    return tuple(found)
