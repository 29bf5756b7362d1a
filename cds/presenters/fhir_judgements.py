"""What the engine concludes of the injury, as FHIR Observations: severity, weak bone or force, time to union, and the
probabilities of image and patient together.

All of them are ``preliminary`` and coded in the engine's own system: no code of LOINC or SNOMED CT means a grade, a
band or a window that a rule proposed.
"""

from cds.presenters import wording
from cds.presenters.fhir_transaction import Transaction, own, site_of, texts
from fhir_adapters import builders
from fhir_adapters.r4_types import (
    Component,
    Concept,
    JsonObject,
    Measured,
    MeasuredRange,
    ObservationCategory,
    ObservationStatus,
    data_absent_unknown,
)
from fusion.results import (
    BoneHealthPathway,
    CombinedAssessment,
    CombinedEstimate,
    CombinedProbability,
    FragilityAssessment,
    FragilityLikelihood,
    FragilityVerdict,
    HealingEstimate,
    SeverityAssessment,
)

_LIKELIHOODS: dict[FragilityLikelihood, str] = {
    FragilityLikelihood.UNLIKELY: "Unlikely",
    FragilityLikelihood.POSSIBLE: "Possible",
    FragilityLikelihood.LIKELY: "Likely",
    FragilityLikelihood.VERY_LIKELY: "Very likely",
}
_VERDICTS: dict[FragilityVerdict, str] = {
    FragilityVerdict.JUDGED: "Judged",
    FragilityVerdict.CANNOT_BE_JUDGED: "Cannot be judged from what is known",
    FragilityVerdict.CHILD: "Not judged: adults' rules do not apply to a child",
    FragilityVerdict.LESION: "Not judged: a bone lesion is suspected",
    FragilityVerdict.NOT_COUNTED: "Not judged: no guideline counts this fracture as a sign of osteoporosis",
}
PATHWAYS: dict[BoneHealthPathway, str] = {
    BoneHealthPathway.FRACTURE_LIAISON: "Fracture liaison",
    BoneHealthPathway.FRACTURE_LIAISON_IF_LOW_ENERGY: "Fracture liaison if the injury was low-energy",
    BoneHealthPathway.BONE_DENSITY: "Bone density after a high-energy injury",
    BoneHealthPathway.YOUNG_ADULT: "Search for a cause in a young adult",
    BoneHealthPathway.PAEDIATRIC: "Paediatric bone service",
    BoneHealthPathway.LESION: "Work-up of a suspected lesion",
    BoneHealthPathway.NONE: "None",
}


def add_severity(bundle: Transaction, severity: SeverityAssessment) -> JsonObject:
    """The grade with its urgency, reasons and open questions."""
    resource = builders.observation(
        business_id=bundle.business_id("severity"),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.EXAM,
        code=own("injury-severity", "Severity of the injury, graded by rule"),
        subject=bundle.subject,
        issued=bundle.created,
        effective=bundle.created,
        value=own(f"severity-{severity.grade.value}", wording.SEVERITIES[severity.grade]),
        device_reference=bundle.device,
        body_site=site_of(bundle.result),
        method=_method(bundle),
        components=(
            Component(
                code=own("urgency", "Urgency"),
                value=own(f"urgency-{severity.urgency.value}", wording.URGENCIES[severity.urgency]),
            ),
        ),
        notes=(
            *(f"Red flag: {text}" for text in texts(flag.statement for flag in severity.red_flags)),
            *texts(severity.reasons),
            *(f"To be checked: {text}" for text in texts(severity.clinician_must_check)),
            *(f"Not judged: {text}" for text in texts(severity.not_judged)),
        ),
    )
    return bundle.add("severity", resource, f"Severity: {wording.SEVERITIES[severity.grade]}")


def _method(bundle: Transaction) -> str:
    return f"Cited rules, evidence base {bundle.result.assessment.evidence_version}"


def add_healing(bundle: Transaction, healing: HealingEstimate) -> JsonObject:
    """Weeks to union with the 80 % interval, the median and the range of non-union."""
    parts = [
        Component(
            code=own("union-median", "Median time to union"),
            value=Measured(value=healing.median_weeks, unit="weeks", ucum="wk"),
        )
    ]
    if healing.nonunion_low is not None and healing.nonunion_high is not None:
        chance = MeasuredRange(low=100 * healing.nonunion_low, high=100 * healing.nonunion_high, unit="%", ucum="%")
        parts.append(Component(code=own("nonunion", "Probability of non-union"), value=chance))
    told = (healing.baseline, *(factor.statement for factor in healing.factors), *healing.notes)
    resource = builders.observation(
        business_id=bundle.business_id("union"),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.EXAM,
        code=own("time-to-union", "Expected time to union, 80 % interval (10th to 90th percentile)"),
        subject=bundle.subject,
        issued=bundle.created,
        effective=bundle.created,
        value=MeasuredRange(low=healing.low_weeks, high=healing.high_weeks, unit="weeks", ucum="wk"),
        device_reference=bundle.device,
        body_site=site_of(bundle.result),
        method=_method(bundle),
        components=tuple(parts),
        notes=texts((*told, healing.nonunion) if healing.nonunion is not None else told),
    )
    return bundle.add("union", resource, "Expected time to union")


def add_fragility(bundle: Transaction, fragility: FragilityAssessment) -> JsonObject:
    """Whether weak bone or force alone broke the bone; a verdict that was not reached is absent with its reason."""
    band = _band(fragility)
    resource = builders.observation(
        business_id=bundle.business_id("fragility"),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.EXAM,
        code=own("fragility", "Weak bone rather than force alone as the cause of the fracture"),
        subject=bundle.subject,
        issued=bundle.created,
        effective=bundle.created,
        value=band,
        absent_reason=data_absent_unknown(_VERDICTS[fragility.verdict]) if band is None else None,
        device_reference=bundle.device,
        body_site=site_of(bundle.result),
        method=_method(bundle),
        components=_fragility_components(fragility),
        notes=(fragility.statement.text, *texts(fragility.reasons), *texts(fragility.remarks)),
    )
    return bundle.add("fragility", resource, "Weak bone or force alone")


def _band(fragility: FragilityAssessment) -> Concept | None:
    low, high = fragility.lowest, fragility.highest
    if fragility.verdict is not FragilityVerdict.JUDGED or low is None or high is None:
        return None
    if low is high:
        return own(f"fragility-{low.value}", _LIKELIHOODS[low])
    text = f"{_LIKELIHOODS[low]} to {_LIKELIHOODS[high].lower()}"
    return own(f"fragility-{low.value}-to-{high.value}", text)


def _fragility_components(fragility: FragilityAssessment) -> tuple[Component, ...]:
    parts = [
        Component(
            code=own("fragility-verdict", "Verdict"),
            value=own(f"fragility-verdict-{fragility.verdict.value}", _VERDICTS[fragility.verdict]),
        )
    ]
    if fragility.low is not None and fragility.high is not None:
        parts.append(
            Component(
                code=own("fragility-band", "How the band is read, an order of magnitude and no measured probability"),
                value=MeasuredRange(low=100 * fragility.low, high=100 * fragility.high, unit="%", ucum="%"),
            )
        )
    if fragility.meets_definition is not None:
        met = "met" if fragility.meets_definition else "not met"
        parts.append(
            Component(
                code=own("fragility-definition", "Definition of a fragility fracture"),
                value=own(f"fragility-definition-{met.replace(' ', '-')}", wording.capitalised(met)),
            )
        )
    parts.append(
        Component(
            code=own("bone-health-pathway", "Bone-health pathway"),
            value=own(f"pathway-{fragility.pathway.value}", PATHWAYS[fragility.pathway]),
        )
    )
    return tuple(parts)


def add_combined(bundle: Transaction, combined: CombinedAssessment) -> tuple[JsonObject, ...]:
    """One Observation per question that image and patient answer together; a part that is absent has no number."""
    questions = (
        ("combined-fracture", "Fracture at present, image and patient together", combined.broken_now),
        ("combined-weak-bone", "Weak bone as the cause, image and patient together", combined.weak_bone),
    )
    return tuple(_combination(bundle, name, text, one) for name, text, one in questions if one is not None)


def _combination(bundle: Transaction, name: str, text: str, one: CombinedProbability) -> JsonObject:
    value = _share(one.together)
    parts = (one.image, one.patient, one.together)
    resource = builders.observation(
        business_id=bundle.business_id(name),
        status=ObservationStatus.PRELIMINARY,
        category=ObservationCategory.EXAM,
        code=own(name, text),
        subject=bundle.subject,
        issued=bundle.created,
        value=value,
        absent_reason=data_absent_unknown(one.together.statement.text) if value is None else None,
        device_reference=bundle.device,
        body_site=site_of(bundle.result),
        method=_method(bundle),
        components=tuple(component for part in parts for component in _combined_part(name, part)),
        notes=(
            one.statement.text,
            *texts(part.statement for part in parts),
            *(f"{item.label}: {item.log_odds:+.2f} log odds." for item in one.contributions),
            *(f"Not counted: {said}" for said in texts(one.not_counted)),
            *texts(one.remarks),
        ),
    )
    return bundle.add(name, resource, text)


def _share(estimate: CombinedEstimate) -> Measured | MeasuredRange | None:
    """A probability in per cent, or the band where only a band is known."""
    if estimate.value is not None:
        return Measured(value=100 * estimate.value, unit="%", ucum="%")
    return _interval(estimate)


def _interval(estimate: CombinedEstimate) -> MeasuredRange | None:
    if estimate.low is None or estimate.high is None:
        return None
    return MeasuredRange(low=100 * estimate.low, high=100 * estimate.high, unit="%", ucum="%")


def _combined_part(name: str, estimate: CombinedEstimate) -> list[Component]:
    """The number of one part and its interval."""
    part = estimate.part.value
    words = "together" if part == "together" else f"{part} alone"
    value, interval = _share(estimate), _interval(estimate)
    found: list[Component] = []
    if value is not None:
        found.append(Component(code=own(f"{name}-{part}", f"Probability, {words}"), value=value))
    if interval is not None and interval != value:
        found.append(Component(code=own(f"{name}-{part}-interval", f"Probability, {words}: interval"), value=interval))
    return found
