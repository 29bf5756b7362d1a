"""Is this weak bone: what the radiograph alone, the patient alone and both together leave open.

The bands are those of the cited rule in `fusion.fragility`, asked again with one half taken away; the band together is
its verdict, unchanged. The ten-year probability stands beside them as what it is: it tells of fractures to come, and
the rule does not read it.
"""

from dataclasses import replace

from fusion.context import ClinicalContext
from fusion.facts import CaseFacts
from fusion.fragility import BANDS, LEVELS, RULE, Span, likelihood
from fusion.fragility_causes import find_causes
from fusion.fragility_sites import SiteClass, site_classes
from fusion.measured import SHOWN_FROM
from fusion.results import (
    Certainty,
    CombinedEstimate,
    CombinedPart,
    CombinedProbability,
    FragilityAssessment,
    FragilityVerdict,
    Statement,
)
from fusion.statements import CLINICIAN, IMAGE, MODEL, Writer, percent, sentence

_ALL = Span(0, len(LEVELS) - 1)
_NAMES = {CombinedPart.IMAGE: "Radiograph alone", CombinedPart.PATIENT: "Patient alone"}


def weak_bone(facts: CaseFacts, writer: Writer, fragility: FragilityAssessment | None) -> CombinedProbability | None:
    """The three bands; None where the rule judges nothing, since a half of it would then judge less still."""
    if fragility is None or fragility.verdict is not FragilityVerdict.JUDGED:
        return None
    image = _image(facts, writer)
    patient = _patient(facts, writer)
    together = CombinedEstimate(
        part=CombinedPart.TOGETHER,
        value=None,
        low=fragility.low,
        high=fragility.high,
        statement=replace(
            fragility.statement,
            id="combination.weak_bone.together",
            text=f"Together: {_words(Span(_place(fragility.lowest), _place(fragility.highest)), writer)}.",
        ),
    )
    parts = [f"{name} {_short(one)}" for name, one in (("radiograph alone", image), ("patient alone", patient))]
    text = sentence(f"weak bone rather than force: {'; '.join(parts)}; together {_short(together)}.")
    return CombinedProbability(
        question="weak_bone",
        image=image,
        patient=patient,
        together=together,
        statement=writer.say("combination.weak_bone", text, evidence=(RULE, BANDS)),
        remarks=_beside(facts, writer),
    )


def _place(level: object) -> int:
    return next((place for place, one in enumerate(LEVELS) if one is level), 0)


def _image(facts: CaseFacts, writer: Writer) -> CombinedEstimate:
    """What the site in view leaves open: of age, force and record it knows nothing."""
    if facts.findings is None:
        return _absent(CombinedPart.IMAGE, "no radiograph was given", writer)
    if facts.findings.region is None:
        return _absent(CombinedPart.IMAGE, "the region it shows is not known", writer)
    alone = replace(facts, patient=None, risk=None, bone_age=None, context=ClinicalContext())
    span = likelihood(alone, site_classes(alone), find_causes(alone))
    return _band(CombinedPart.IMAGE, span, writer, (IMAGE,))


def _patient(facts: CaseFacts, writer: Writer) -> CombinedEstimate:
    """What record and clinician leave open without the radiograph: any site that they do not name."""
    alone = replace(facts, findings=None)
    if alone.patient is None and alone.context == ClinicalContext():
        return _absent(CombinedPart.PATIENT, "no record was given and nothing was stated", writer)
    classes = site_classes(alone) - ({SiteClass.NOT_COUNTED} if alone.context.site is None else set())
    span = likelihood(alone, classes, find_causes(alone))
    record = (CLINICIAN,) if alone.context != ClinicalContext() else ()
    return _band(CombinedPart.PATIENT, span, writer, record)


def _band(part: CombinedPart, span: Span, writer: Writer, record: tuple[str, ...]) -> CombinedEstimate:
    low, high = _ends(span, writer)
    text = f"{_NAMES[part]}: {_words(span, writer)}."
    statement = writer.say(f"combination.weak_bone.{part.value}", text, evidence=(RULE, BANDS), record=record)
    return CombinedEstimate(part=part, value=None, low=low, high=high, statement=statement)


def _absent(part: CombinedPart, why: str, writer: Writer) -> CombinedEstimate:
    statement = writer.say(
        f"combination.weak_bone.{part.value}", f"{_NAMES[part]}: none, {why}.", certainty=Certainty.COMPUTED
    )
    return CombinedEstimate(part=part, value=None, low=None, high=None, statement=statement)


def _ends(span: Span, writer: Writer) -> tuple[float, float]:
    edges = (0.0, *(writer.value(BANDS, f"{level.value}_from") for level in LEVELS[1:]), 1.0)
    return edges[span.low], edges[span.high + 1]


def _words(span: Span, writer: Writer) -> str:
    if span == _ALL:
        return "everything from unlikely to very likely, it decides nothing alone"
    low, high = (LEVELS[one].value.replace("_", " ") for one in (span.low, span.high))
    start, end = _ends(span, writer)
    band = f"up to {percent(end)}" if start == 0 else f"{percent(start)} to {percent(end)}"
    return f"{low if low == high else f'{low} to {high}'} (read as {band})"


def _short(one: CombinedEstimate) -> str:
    if one.low is None or one.high is None:
        return "none"
    if one.low == 0.0:
        return "undecided" if one.high == 1.0 else f"up to {percent(one.high)}"
    return f"{percent(one.low)} to {percent(one.high)}"


def _beside(facts: CaseFacts, writer: Writer) -> tuple[Statement, ...]:
    """Facts of either half that the rule does not read."""
    found: list[Statement] = []
    if facts.risk is not None:
        one = facts.risk.major_osteoporotic
        text = (
            f"Beside it, from the patient: ten-year probability of a major osteoporotic fracture {percent(one.value)}"
            f" ({percent(one.low)} to {percent(one.high)}). It tells of fractures to come; the rule does not read it."
        )
        found.append(writer.say("combination.weak_bone.ten_year", text, certainty=Certainty.COMPUTED, record=(MODEL,)))
    attributes = None if facts.findings is None else facts.findings.attributes
    metal = None if attributes is None else attributes.hardware_probability
    if metal is not None and metal >= SHOWN_FROM:
        text = (
            f"Beside it, from the radiograph: metal in view (probability {percent(metal)}). A fracture beside an"
            " implant has causes of its own, and the rule does not read them."
        )
        found.append(writer.say("combination.weak_bone.metal", text, certainty=Certainty.COMPUTED, record=(IMAGE,)))
    return tuple(found)
