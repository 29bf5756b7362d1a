"""The sentence at the head of the report, what could not be judged, and the list of sources."""

from collections.abc import Iterable, Iterator

from fhir_adapters.patient import Sourced
from fusion.contraindications import advises_supplements
from fusion.evidence_base import EvidenceBase
from fusion.facts import ADULT_FROM_YEARS, FRAGILITY_FROM_YEARS, CaseFacts, FracturePresence
from fusion.healing import healing_gap
from fusion.results import (
    Advice,
    Certainty,
    FollowUp,
    FragilityAssessment,
    HealingEstimate,
    Severity,
    SeverityAssessment,
    SourceReference,
    Statement,
    Urgency,
)
from fusion.sites import SITE_NAMES
from fusion.statements import CLINICIAN, IMAGE, MODEL, Writer, join, percent, sentence, weeks
from imaging.results import FractureCall

LAB_AGE = "care.lab.max_age_days"
CONFLICT = "care.lab.conflict"
NOT_SEEN = "severity.imaging.not_seen"
DETECTOR_UNFIT = "severity.grade.undetermined"

_FEATURES = {
    "age_years": "age",
    "female": "sex",
    "bmi_kg_m2": "body mass index",
    "weight_kg": "weight",
    "height_cm": "height",
    "recent_fracture_2y": "a fracture within two years",
    "alcohol_3_or_more_units_per_day": "alcohol intake",
    "diabetes_type_1": "type 1 diabetes",
    "diabetes_type_2": "type 2 diabetes",
    "femoral_neck_t_score": "femoral neck T-score",
    "vitamin_d_nmol_l": "25-hydroxyvitamin D",
    "hba1c_percent": "HbA1c",
}
"""Fields of `RiskFeatures` whose name is not yet plain words."""

# --- summary


def summary(
    facts: CaseFacts, writer: Writer, severity: SeverityAssessment, healing: HealingEstimate | None
) -> Statement:
    """One sentence, the most urgent part first after the finding."""
    parts = [_finding(facts), *_urgency(severity), *_grade(severity)]
    if facts.context.clinical_suspicion_high and not facts.has_fracture:
        parts.append("high clinical suspicion: further imaging asked for")
    # A lesion makes the weeks of sound bone wrong; a hip is often replaced, and then nothing unites.
    if healing is not None and not facts.pathological:
        doubt = " (figures not verified)" if healing.baseline.certainty is Certainty.UNVERIFIED else ""
        condition = "if confirmed " if facts.only_suspected else ""
        condition += "if fixed " if facts.is_hip else ""
        parts.append(
            f"union {condition}expected in {weeks(healing.low_weeks)} to {weeks(healing.high_weeks)} weeks{doubt}"
        )
    if facts.risk is not None and not facts.pathological:
        major = facts.risk.major_osteoporotic
        parts.append(f"ten-year risk of a major osteoporotic fracture {percent(major.value)}")
    record = (*facts.fracture_record, *((MODEL,) if facts.risk is not None else ()))
    return writer.say("summary", sentence("; ".join(parts)) + ".", certainty=Certainty.COMPUTED, record=record)


def _finding(facts: CaseFacts) -> str:
    region = "" if facts.region is None else f" ({facts.region.value.replace('_', ' ')})"
    site = "" if facts.context.site is None else f" of the {SITE_NAMES[facts.context.site]}"
    if facts.presence is FracturePresence.STATED:
        seen = (
            ""
            if facts.findings is None
            else _seen_elsewhere(facts.findings.call, region)
            if facts.site_contradicts_region
            else {
                "definite": ", seen on the radiograph",
                "suspected": ", suspected on the radiograph",
                "not_seen": ", not seen on this radiograph",
                "cannot_judge": "; the radiograph could not be judged",
            }[facts.findings.call.value]
        )
        return f"fracture{site} as stated by the clinician{seen}"
    return {
        FracturePresence.SEEN: f"fracture seen on the radiograph{region}",
        FracturePresence.SUSPECTED: f"fracture suspected on the radiograph{region}, to be confirmed",
        FracturePresence.NOT_SEEN: f"no fracture seen on the radiograph{region}, which does not exclude one",
        FracturePresence.NOT_JUDGED: "the radiograph could not be judged",
        FracturePresence.NO_IMAGE: "no radiograph and no fracture stated",
    }[facts.presence]


def _seen_elsewhere(call: FractureCall, region: str) -> str:
    """What a radiograph of another region shows is not the stated fracture."""
    there = {
        FractureCall.DEFINITE: ", where a fracture is seen",
        FractureCall.SUSPECTED: ", where a fracture is suspected",
        FractureCall.NOT_SEEN: ", where none is seen",
        FractureCall.CANNOT_JUDGE: " and could not be judged",
    }[call]
    return f"; the radiograph is of another region{region}{there}"


def _urgency(severity: SeverityAssessment) -> list[str]:
    if not severity.red_flags:
        return ["act within hours"] if severity.urgency is Urgency.WITHIN_HOURS else []
    words = {Urgency.IMMEDIATE: "act now", Urgency.WITHIN_HOURS: "act within hours"}
    count = len(severity.red_flags)
    return [f"{words.get(severity.urgency, 'act')}: {count} red flag{'s' if count != 1 else ''}"]


def _grade(severity: SeverityAssessment) -> list[str]:
    if severity.grade is Severity.NOT_APPLICABLE:
        return []
    return ["severity not determined" if severity.grade is Severity.UNDETERMINED else f"severity {severity.grade}"]


# --- limitations


def limitations(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    """Everything that was missing or could not be judged."""
    gap = healing_gap(facts, writer)
    return (
        *_image_limits(facts, writer),
        *_input_limits(facts, writer),
        *((gap,) if gap is not None else ()),
        *_record_limits(facts, writer),
        *_risk_limits(facts, writer),
    )


def _limit(writer: Writer, rule: str, text: str, *record: str, evidence: tuple[str, ...] = ()) -> Statement:
    certainty = None if evidence else Certainty.COMPUTED
    return writer.say(f"limitation.{rule}", text, evidence=evidence, record=record, certainty=certainty)


def _image_limits(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    findings = facts.findings
    if findings is None:
        yield _limit(writer, "image.none", "No radiograph was given; nothing was judged from an image.")
        return
    if findings.synthetic:
        yield _limit(writer, "image.synthetic", "The image is a synthetic phantom; it shows no patient.", IMAGE)
    if findings.call.value == "cannot_judge":
        yield _limit(
            writer, "image.unfit", "The radiograph is not fit to be judged.", IMAGE, evidence=(DETECTOR_UNFIT,)
        )
    else:
        yield _limit(
            writer,
            "image.one_view",
            "One radiograph was analysed; other views, the joints above and below and soft tissue were not.",
            IMAGE,
        )
    if findings.call.value == "not_seen":
        text = "No fracture seen does not mean no fracture."
        if facts.presence is FracturePresence.STATED:
            text = "The detector does not see the stated fracture on this radiograph; the clinician's word was used."
        yield _limit(writer, "image.not_seen", text, IMAGE, evidence=(NOT_SEEN,))
    if findings.region is None:
        yield _limit(writer, "image.region", "The body region of the radiograph is not known.", IMAGE)


def _input_limits(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    for name in facts.contradictions():
        words = name.replace("_and_", " and ").replace("_", " ")
        text = f"Contradicting input ({words}); the more serious reading was used."
        yield _limit(writer, f"input.{name}", text, CLINICIAN)
    if facts.site_contradicts_region:
        text = "The stated site does not lie in the body region of the radiograph; check that both belong together."
        yield _limit(writer, "input.site_region", text, CLINICIAN, IMAGE)
    if not facts.plausible_diet:
        text = "The stated dietary calcium is not plausible and was left out."
        yield _limit(writer, "input.diet", text, CLINICIAN)


def _record_limits(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    patient = facts.patient
    if patient is None:
        text = "No patient record was given: no risk, no healing factor and no contraindication could be read from one."
        yield _limit(writer, "record.none", text)
        return
    if patient.age_years is None:
        yield _limit(writer, "record.age", "Age not known: no dose, no age-dependent rule.")
    if facts.sex is None and (patient.age_years is None or facts.at_least(FRAGILITY_FROM_YEARS)):
        yield _limit(writer, "record.sex", "Sex not known: sex-dependent targets are shown as a range.")
    if missing := [words for words, absent in _missing(facts) if absent]:
        yield _limit(writer, "record.missing", f"Not in the record: {join(missing)}.")
    yield from _old_results(facts, writer)
    yield from _conflicts(facts, writer)
    active = tuple(one.resource for one in patient.prior_fractures if one.active)
    if active and not facts.has_fracture:
        text = "The record lists an active fracture; none was seen or stated here. Enter it if it is the present one."
        yield _limit(writer, "record.active_fracture", text, *active)
    if facts.smoking is None and facts.has_fracture and not facts.younger_than(ADULT_FROM_YEARS):
        yield _limit(writer, "record.smoking", "Smoking not known; it would move the time to union.")


def _missing(facts: CaseFacts) -> list[tuple[str, bool]]:
    """Inputs that a rule of this case would have used."""
    patient = facts.patient
    if patient is None:
        return []
    supplements = advises_supplements(facts)
    older = facts.at_least(FRAGILITY_FROM_YEARS)
    return [
        # Below 50 years without a bone disease testing is not advised, so nothing is missing.
        ("25-hydroxyvitamin D", patient.vitamin_d_nmol_l is None and facts.bone_health_case),
        ("serum calcium", patient.calcium_mmol_l is None and supplements and older),
        ("eGFR", patient.egfr_ml_min_1_73m2 is None and older),
        ("a T-score", not facts.t_scores and older and not facts.pathological),
    ]


def old_results(facts: CaseFacts, writer: Writer) -> tuple[Sourced[float], ...]:
    """Laboratory results that are older than the rules trust."""
    patient = facts.patient
    if patient is None:
        return ()
    limit = writer.value(LAB_AGE)
    results = (patient.vitamin_d_nmol_l, patient.calcium_mmol_l, patient.egfr_ml_min_1_73m2)
    return tuple(one for one in results if one is not None and (age := facts.age_of(one)) is not None and age > limit)


def _old_results(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    if old := old_results(facts, writer):
        text = "Laboratory results older than one year were used; repeat them before acting on them."
        yield _limit(writer, "record.old_results", text, *(one.resource for one in old), evidence=(LAB_AGE,))


_RESULTS = (
    ("vitamin_d_nmol_l", "25-hydroxyvitamin D", " nmol/L", 1),
    ("calcium_mmol_l", "total calcium", " mmol/L", 2),
    ("egfr_ml_min_1_73m2", "eGFR", "", 0),
    ("hba1c_percent", "HbA1c", " %", 1),
    ("bmi_kg_m2", "body mass index", "", 1),
    ("t_score_femoral_neck", "T-score of the femoral neck", "", 1),
    ("t_score_total_hip", "T-score of the hip", "", 1),
    ("t_score_spine", "T-score of the spine", "", 1),
    ("t_score_unspecified", "T-score without a site", "", 1),
)
"""Field of the snapshot, its name in a sentence, its unit, and its decimals."""


def _conflicts(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    """Both values where the record holds two of one moment, and which of them was used."""
    for field, words, unit, decimals in _RESULTS:
        value: Sourced[float] | None = getattr(facts.patient, field)
        if value is None or not value.conflicting:
            continue
        both = join([f"{one:.{decimals}f}" for one in (value.value, *(other for other, _ in value.conflicting))])
        text = (
            f"Two results of one moment contradict each other, {words} {both}{unit}: the first is shown as the value,"
            " safety rules took the more dangerous one, and the test is to be repeated."
        )
        evidence = (CONFLICT,)
        record = (value.resource, *(resource for _, resource in value.conflicting))
        yield _limit(writer, "record.conflict", text, *record, evidence=evidence)


def _risk_limits(facts: CaseFacts, writer: Writer) -> Iterator[Statement]:
    if facts.risk is None:
        if facts.patient is not None:
            yield _limit(writer, "risk.none", "The risk of the next fracture was not estimated.")
        return
    if facts.risk.missing:
        names = [_FEATURES.get(one, one.replace("_", " ")) for one in facts.risk.missing]
        yield _limit(writer, "risk.missing", f"The risk model did without: {join(names)}.", MODEL)


# --- sources


def cited_sources(evidence: EvidenceBase, ids: Iterable[str]) -> tuple[SourceReference, ...]:
    """Every cited entry once, in the order of first use."""
    return tuple(evidence.reference(one) for one in dict.fromkeys(ids))


def statements_of(
    severity: SeverityAssessment,
    healing: HealingEstimate | None,
    advice: Iterable[Advice],
    follow_ups: Iterable[FollowUp],
    fragility: FragilityAssessment | None,
) -> Iterator[Statement]:
    """Every statement of these parts, in the order a report shows them."""
    yield from (flag.statement for flag in severity.red_flags)
    yield from (*severity.reasons, *severity.clinician_must_check, *severity.not_judged)
    if healing is not None:
        yield healing.baseline
        yield from (factor.statement for factor in healing.factors)
        if healing.nonunion is not None:
            yield healing.nonunion
        yield from healing.notes
        yield from (one.statement for one in healing.what_if)
    yield from (one.statement for one in advice)
    yield from (one.statement for one in follow_ups)
    if fragility is not None:
        yield from (fragility.statement, *fragility.reasons, *fragility.remarks)
