"""The risk of the next fracture in words: probabilities, what moved them, and the thresholds of the guidelines."""

from fhir_adapters.patient import FractureSiteGroup, PriorFracture
from fusion.facts import FRAGILITY_FROM_YEARS, HIP_OLDER_FROM_YEARS, CaseFacts, references
from fusion.fragility import bone_health_pathway
from fusion.kidney import EGFR_BISPHOSPHONATE, forbidden_bisphosphonate_taken
from fusion.results import BoneHealthPathway, Certainty, Statement
from fusion.sites import HIP_SITES, SITE_NAMES, FractureSite
from fusion.statements import MODEL, Writer, iso_day, join, percent, plain, sentence
from tabular.results import Contribution, FractureProbability

HIP_THRESHOLD = "risk.threshold.bhof_hip"
MAJOR_THRESHOLD = "risk.threshold.bhof_mof"
T_SCORE_THRESHOLD = "risk.threshold.bhof_t_score"
OSTEOPENIA = "risk.threshold.bhof_osteopenia"
FRACTURE_RULE = "risk.threshold.bhof_fracture"
FRACTURE_AND_OSTEOPENIA = "risk.fragility.diagnosis_by_fracture"
RECENT = "risk.recent_mof_1y_second_mof.johansson2017"
ANY_FRACTURE = "care.fls.any_fracture_50"
HIP_MORTALITY = "care.rehab.hip_mortality"
TOP_CONTRIBUTIONS = 3
_OUTCOMES = {"major_osteoporotic": "major osteoporotic fracture", "hip": "hip fracture"}
_OSTEOPENIA_SITES = frozenset({FractureSite.HUMERUS_PROXIMAL, FractureSite.PELVIS, FractureSite.DISTAL_RADIUS})
_MAJOR_SITES = HIP_SITES | {FractureSite.HUMERUS_PROXIMAL, FractureSite.DISTAL_RADIUS, FractureSite.FOREARM_SHAFT}
"""Limb sites of a major osteoporotic fracture."""
SURROGATE = "The guideline uses its own tool; this model is a surrogate for it."


def risk_statements(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    """Everything on the next fracture."""
    found: list[Statement] = []
    if facts.risk is not None:
        for outcome in (facts.risk.major_osteoporotic, facts.risk.hip):
            found += _probability(outcome, writer)
    found += [one for rule in (_threshold, _treated, _imminent, _hip_mortality) if (one := rule(facts, writer))]
    return tuple(found)


def _probability(outcome: FractureProbability, writer: Writer) -> list[Statement]:
    name = _OUTCOMES.get(outcome.outcome, outcome.outcome.replace("_", " "))
    years = plain(outcome.horizon_years)
    rule = f"risk.{outcome.outcome}"
    found = [
        writer.say(
            f"{rule}.probability",
            f"Risk of a {name} within {years} years: {percent(outcome.value)}"
            f" (interval {percent(outcome.low)} to {percent(outcome.high)}).",
            certainty=Certainty.COMPUTED,
            record=(MODEL,),
        )
    ]
    if outcome.adjustments:
        factors = join([f"{one.factor.replace('_', ' ')} (× {plain(one.ratio)})" for one in outcome.adjustments])
        known = tuple(one.evidence_id for one in outcome.adjustments if one.evidence_id in writer.evidence)
        found.append(
            writer.say(
                f"{rule}.adjustments",
                f"The model alone says {percent(outcome.model_value)}; added from published studies: {factors}.",
                evidence=known,
                certainty=Certainty.COMPUTED,
                record=(MODEL,),
            )
        )
    if words := _contributions(outcome.contributions):
        found.append(
            writer.say(
                f"{rule}.contributions",
                f"The model's {name} risk is {words}. These are associations, not causes.",
                certainty=Certainty.COMPUTED,
                record=(MODEL,),
            )
        )
    return found


def _contributions(contributions: tuple[Contribution, ...]) -> str:
    """The strongest known features in words; a missing value explains nothing to a reader."""
    known = [one for one in contributions if one.value is not None and one.log_odds != 0]
    strongest = sorted(known, key=lambda one: -abs(one.log_odds))[:TOP_CONTRIBUTIONS]
    raised = [_named(one) for one in strongest if one.log_odds > 0]
    lowered = [_named(one) for one in strongest if one.log_odds < 0]
    parts = [f"{verb} most by {join(labels)}" for verb, labels in (("raised", raised), ("lowered", lowered)) if labels]
    return join(parts)


def _named(one: Contribution) -> str:
    """The feature in words; "no current smoking" where the answer that moved the number is no."""
    label = one.label or one.feature.replace("_", " ")
    answered_no = one.value == 0.0 and one.feature != "female" and "t_score" not in one.feature
    return f"no {label[:1].lower()}{label[1:]}" if answered_no else label


# --- thresholds


def _threshold(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Whether what is known reaches a threshold at which treatment is considered."""
    if not facts.at_least(FRAGILITY_FROM_YEARS) or bone_health_pathway(facts) is BoneHealthPathway.LESION:
        # Whether to treat osteoporosis is not the question while a lesion is looked for.
        return None
    reasons, evidence, record = _certain_reasons(facts, writer)
    high = _high_probability(facts, writer)
    if high and _osteopenic(facts, writer):
        reasons.append(f"osteopenia with {join(high)}")
        evidence += [OSTEOPENIA, HIP_THRESHOLD, MAJOR_THRESHOLD]
        record += [facts.t_scores[0][1].resource, MODEL]
    if reasons:
        surrogate = f" {SURROGATE}" if MODEL in record else ""
        action = "review the present treatment" if facts.bone_drugs else "consider bone-protecting treatment"
        text = f"Reaches a treatment threshold ({join(reasons)}): {action}.{surrogate}"
        return writer.say("risk.threshold.reached", text, evidence=tuple(evidence), record=tuple(record))
    thresholds = (HIP_THRESHOLD, MAJOR_THRESHOLD, T_SCORE_THRESHOLD)
    scan = () if facts.scan_without_result is None else (facts.scan_without_result.resource,)
    if high and not facts.t_scores:
        text = (
            f"{sentence(join(high))}: treatment would be considered with a T-score between -1 and -2.5."
            f" {_no_t_score(facts)} {SURROGATE}"
        )
        origin = (MODEL, *scan)
        return writer.say("risk.threshold.needs_t_score", text, evidence=(*thresholds, OSTEOPENIA), record=origin)
    if (site := _typical_fracture(facts)) and not facts.t_scores:
        text = (
            f"Low-energy fracture of the {site}: with a T-score of -1 or lower osteoporosis may be diagnosed and"
            f" treatment considered. {_no_t_score(facts)}"
        )
        origin = (*facts.fracture_record, *scan)
        return writer.say("risk.threshold.needs_t_score", text, evidence=(FRACTURE_AND_OSTEOPENIA,), record=origin)
    if facts.risk is None:
        return None
    text = f"No treatment threshold is reached on what is known. {SURROGATE}"
    return writer.say("risk.threshold.not_reached", text, evidence=thresholds, record=(MODEL,))


def _no_t_score(facts: CaseFacts) -> str:
    """What to do about a T-score that the record does not hold."""
    scan = facts.scan_without_result
    if scan is None:
        return "The record holds none: measure bone density."
    return f"The record holds none: ask for the result of the bone density scan of {iso_day(scan.performed)}."


def _certain_reasons(facts: CaseFacts, writer: Writer) -> tuple[list[str], list[str], list[str]]:
    """Reasons that need no probability: a hip or spine fracture, or a T-score of -2.5 or lower."""
    reasons: list[str] = []
    evidence: list[str] = []
    record: list[str] = []
    earlier = _earlier_hip_or_spine(facts)
    liaison = {BoneHealthPathway.FRACTURE_LIAISON, BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY}
    present = not facts.only_suspected and facts.is_hip and bone_health_pathway(facts) in liaison
    if present or earlier:
        reasons.append("hip fracture" if present else "earlier hip or spine fracture")
        evidence.append(FRACTURE_RULE)
        record += [*(facts.fracture_record if present else ()), *(one.resource for one in earlier)]
    if (site := _typical_fracture(facts)) and _osteopenic(facts, writer):
        reasons.append(f"low-energy fracture of the {site} with osteopenia")
        evidence.append(FRACTURE_AND_OSTEOPENIA)
        record += [*facts.fracture_record, facts.t_scores[0][1].resource]
    limit = writer.value(T_SCORE_THRESHOLD)
    recorded = facts.osteoporosis
    if not facts.t_scores and recorded is not None:
        reasons.append("osteoporosis in the record")
        evidence.append(T_SCORE_THRESHOLD)
        record.append(recorded)
    if facts.t_scores and facts.t_scores[0][1].value <= limit:
        site, score = facts.t_scores[0]
        reasons.append(f"T-score {score.value:.1f}, {site}")
        evidence.append(T_SCORE_THRESHOLD)
        record.append(score.resource)
    return reasons, evidence, record


def _typical_fracture(facts: CaseFacts) -> str | None:
    """The stated site when osteopenia is enough to diagnose osteoporosis after its low-energy fracture."""
    site = facts.context.site
    low_energy = bone_health_pathway(facts) is BoneHealthPathway.FRACTURE_LIAISON
    return SITE_NAMES[site] if low_energy and site is not None and site in _OSTEOPENIA_SITES else None


def _earlier_hip_or_spine(facts: CaseFacts) -> tuple[PriorFracture, ...]:
    if facts.patient is None:
        return ()
    sites = {FractureSiteGroup.HIP, FractureSiteGroup.SPINE}
    return tuple(one for one in facts.patient.prior_fractures if one.site in sites and not one.active)


def _high_probability(facts: CaseFacts, writer: Writer) -> list[str]:
    """The probabilities that reach their threshold, in words."""
    if facts.risk is None:
        return []
    hip, major = writer.value(HIP_THRESHOLD), writer.value(MAJOR_THRESHOLD)
    return [
        f"{words} risk {percent(risk.value)} (threshold {plain(100 * limit)} %)"
        for words, risk, limit in (
            ("hip fracture", facts.risk.hip, hip),
            ("major fracture", facts.risk.major_osteoporotic, major),
        )
        if risk.value >= limit
    ]


def _osteopenic(facts: CaseFacts, writer: Writer) -> bool:
    low, high = writer.value(OSTEOPENIA, "low"), writer.value(OSTEOPENIA, "high")
    return bool(facts.t_scores) and low < facts.t_scores[0][1].value <= high


# --- further statements


def _treated(facts: CaseFacts, writer: Writer) -> Statement | None:
    """Bone protection is already prescribed."""
    drugs = facts.bone_drugs
    if not drugs:
        return None
    names = join(sorted({drug.drug_class.value.replace("_", " ") for drug in drugs}))
    action = (
        "check adherence; a fracture on treatment is a reason to ask a specialist"
        if facts.has_fracture
        else ("check adherence and duration")
    )
    evidence: tuple[str, ...] = ("care.fls.on_drug_check",)
    if forbidden_bisphosphonate_taken(facts, writer):
        # To check adherence to a drug that is to be stopped would contradict the safety line.
        action = "the kidney speaks against it; review it now with a specialist"
        evidence = (*evidence, EGFR_BISPHOSPHONATE)
    return writer.say(
        "risk.treatment.given",
        f"Bone protection is already prescribed ({names}): {action}.",
        evidence=evidence,
        record=references(drugs),
    )


def _imminent(facts: CaseFacts, writer: Writer) -> Statement | None:
    """The next fracture is likeliest in the first year."""
    if not facts.has_fracture or not facts.at_least(FRAGILITY_FROM_YEARS) or facts.pathological:
        return None
    if facts.context.site is not None and facts.context.site not in _MAJOR_SITES:
        text = "Any new fracture from 50 years raises the risk of the next one, even after considerable trauma."
        text = f"If confirmed: {text[:1].lower()}{text[1:]}" if facts.only_suspected else text
        return writer.say("risk.imminent", text, evidence=(ANY_FRACTURE,), record=facts.fracture_record)
    ratio = plain(writer.value(RECENT))
    low, high = plain(writer.value(RECENT, "low")), plain(writer.value(RECENT, "high"))
    conditional = "If confirmed as a major fracture: the" if facts.only_suspected else "After a major fracture the"
    return writer.say(
        "risk.imminent",
        f"{conditional} risk of a second one is highest in the first year, {ratio} times ({low} to {high}) that of the"
        " population; from 50 years this holds even after considerable trauma.",
        evidence=(RECENT, ANY_FRACTURE),
        record=facts.fracture_record,
    )


def _hip_mortality(facts: CaseFacts, writer: Writer) -> Statement | None:
    """What a hip fracture means for survival, so that its urgency is understood."""
    if not (facts.has_fracture and facts.is_hip and facts.at_least(HIP_OLDER_FROM_YEARS)):
        return None
    month, year = writer.value(HIP_MORTALITY, "low"), writer.value(HIP_MORTALITY, "high")
    prefix = "If confirmed: after" if facts.only_suspected else "After"
    return writer.say(
        "risk.hip.mortality",
        f"{prefix} a hip fracture about {percent(month)} die within one month and {percent(year)} within a year.",
        evidence=(HIP_MORTALITY,),
        record=facts.fracture_record,
    )
