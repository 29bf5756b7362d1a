"""Is this bone broken now: what the radiograph says, what the patient's facts say, and both together.

    log odds together = log odds before the radiograph + weight * (log odds of the image - log odds of the share of
                        fractures at which the image's probability was calibrated)

(Bayes; the shift of the share after Saerens, Latinne and Decaestecker 2002.) The weight is below 1 because, measured on
radiographs with a known answer, the image's log odds were too large. The sum assumes that, among fractured and among
intact limbs, what the image shows does not depend on the patient's facts.

No data available to this project hold a radiograph and a record of the same person: the image's half was checked alone,
the combination never. It changes no finding, no red flag and no advice.
"""

import math
from collections.abc import Iterator

from fusion.combination_bands import weak_bone
from fusion.combination_odds import Effect, logistic, logit, spread
from fusion.combination_prior import patient_half
from fusion.facts import CaseFacts, FracturePresence
from fusion.results import (
    Certainty,
    CombinedAssessment,
    CombinedEstimate,
    CombinedPart,
    CombinedProbability,
    FragilityAssessment,
    LogOddsContribution,
    Statement,
)
from fusion.statements import CLINICIAN, IMAGE, Writer, percent, sentence
from imaging.results import FractureCall, Measurement

METHOD = "diagnosis.method.combination"
WEIGHT = "diagnosis.image.weight"
NOT_SEEN = "severity.imaging.not_seen"
CLOSEST = 1e-6
"""A probability of the image is kept this far from 0 and 1 before its log odds are taken."""


def combine(
    facts: CaseFacts, writer: Writer, fragility: FragilityAssessment | None, local_share: float | None = None
) -> CombinedAssessment | None:
    """Both questions in which image and patient meet.

    Args:
        facts: the case.
        writer: makes the statements.
        fragility: the verdict of `fusion.fragility`, which stays as it is.
        local_share: the site's own share of limb radiographs with a fracture, strictly between 0 and 1.
    """
    broken = broken_now(facts, writer, local_share)
    weak = weak_bone(facts, writer, fragility)
    return None if broken is None and weak is None else CombinedAssessment(broken_now=broken, weak_bone=weak)


def broken_now(facts: CaseFacts, writer: Writer, local_share: float | None = None) -> CombinedProbability | None:
    """The three probabilities of a fracture; None when nothing asks for them or neither half is known."""
    if not _in_question(facts):
        return None
    half = patient_half(facts, writer, local_share)
    lesion = facts.pathological or facts.context.non_ambulant_infant is True
    patient_steps = () if lesion else half.contributions
    seen = None if facts.findings is None else facts.findings.fracture_probability
    share = None if facts.findings is None else facts.findings.calibration_prevalence
    image = _image(facts, writer, seen, share)
    patient = _patient(facts, writer, patient_steps, lesion)
    if image.absent and patient.absent:
        return None
    steps = _steps(writer, seen, share, patient_steps)
    together = _together(writer, image, patient, steps)
    return CombinedProbability(
        question="broken_now",
        image=image,
        patient=patient,
        together=together,
        contributions=steps,
        not_counted=() if lesion else half.not_counted,
        statement=_headline(writer, image, patient, together),
        remarks=_remarks(facts, writer, image, patient, together),
    )


def _in_question(facts: CaseFacts) -> bool:
    """A radiograph was taken, or the clinician tells of an injury: a record alone asks nothing about today.

    A fracture that the clinician states without a radiograph leaves nothing to combine either.
    """
    context = facts.context
    asked = context.clinical_suspicion_high is not None or context.mechanism is not None
    return facts.findings is not None or (asked and not facts.stated)


# --- the image's step


def image_step(seen: Measurement, share: float, writer: Writer) -> Effect:
    """What the image adds to the log odds, weighted, with its interval.

    Args:
        seen: calibrated probability, 0..1, with its interval.
        share: share of fractures at which it holds, strictly between 0 and 1.
        writer: holds the weight.
    """
    value, low, high = (_log_odds(one) - logit(share) for one in (seen.value, seen.low, seen.high))
    weights = tuple(writer.value(WEIGHT, name) for name in ("low", "value", "high"))
    ends = [weight * end for weight in weights for end in (low, value, high)]
    middle = weights[1] * value
    return Effect(value=middle, low=min(middle, *ends), high=max(middle, *ends))


def _log_odds(probability: float) -> float:
    return logit(min(max(probability, CLOSEST), 1 - CLOSEST))


def _steps(
    writer: Writer, seen: Measurement | None, share: float | None, patient: tuple[LogOddsContribution, ...]
) -> tuple[LogOddsContribution, ...]:
    """Everything that adds up to the number together; empty when it cannot be formed."""
    if seen is None:
        return patient
    if not patient:
        return (_image_alone(writer, seen),)
    if share is None:
        return ()
    step = image_step(seen, share, writer)
    odds = f"odds ×{math.exp(step.value):.2g} ({math.exp(step.low):.2g} to {math.exp(step.high):.2g})"
    statement = writer.say(
        "combination.broken.image_step",
        f"What the radiograph adds: {odds}, with {writer.value(WEIGHT):g} of its log odds.",
        evidence=(METHOD, WEIGHT),
        record=(IMAGE,),
    )
    return (*patient, _image_contribution("Radiograph", step, statement))


def _image_alone(writer: Writer, seen: Measurement) -> LogOddsContribution:
    """The image's own log odds, when nothing else counts: neither moved nor weighted."""
    low, value, high = (_log_odds(one) for one in (seen.low, seen.value, seen.high))
    text = "Radiograph alone, as calibrated."
    statement = writer.say("combination.broken.image_step", text, certainty=Certainty.COMPUTED, record=(IMAGE,))
    return _image_contribution("Radiograph alone", Effect(value=value, low=low, high=high), statement)


def _image_contribution(label: str, step: Effect, statement: Statement) -> LogOddsContribution:
    return LogOddsContribution(
        part=CombinedPart.IMAGE,
        factor="image",
        label=label,
        log_odds=step.value,
        low=step.low,
        high=step.high,
        statement=statement,
    )


# --- the three numbers


def _image(facts: CaseFacts, writer: Writer, seen: Measurement | None, share: float | None) -> CombinedEstimate:
    if seen is not None:
        at = "" if share is None else f", where {percent(share)} of radiographs show a fracture"
        text = f"Radiograph alone: {_range(seen.value, seen.low, seen.high)}{at}."
        statement = writer.say("combination.broken.image", text, certainty=Certainty.COMPUTED, record=(IMAGE,))
        return CombinedEstimate(
            part=CombinedPart.IMAGE, value=seen.value, low=seen.low, high=seen.high, statement=statement
        )
    if facts.findings is None:
        why = "no radiograph was given"
    elif facts.findings.call is FractureCall.CANNOT_JUDGE:
        why = "it could not be judged"
    else:
        why = "the detector gives no calibrated probability"
    statement = writer.say("combination.broken.image", f"Radiograph alone: none, {why}.", certainty=Certainty.COMPUTED)
    return CombinedEstimate(part=CombinedPart.IMAGE, value=None, low=None, high=None, statement=statement)


def _patient(
    facts: CaseFacts, writer: Writer, steps: tuple[LogOddsContribution, ...], lesion: bool
) -> CombinedEstimate:
    if steps:
        value, low, high = (logistic(one) for one in spread(steps))
        text = f"Patient alone, before the radiograph: {_range(value, low, high)}."
        evidence = tuple(one for step in steps for one in step.statement.evidence)
        statement = _computed(writer, "combination.broken.patient", text, evidence)
        return CombinedEstimate(part=CombinedPart.PATIENT, value=value, low=low, high=high, statement=statement)
    if lesion:
        why = "the published shares are those of ordinary injuries"
    elif facts.patient is None:
        why = "no record was given and nothing was stated that counts"
    else:
        why = "neither the record nor the clinician gives a fact that counts"
    statement = writer.say("combination.broken.patient", f"Patient alone: none, {why}.", certainty=Certainty.COMPUTED)
    return CombinedEstimate(part=CombinedPart.PATIENT, value=None, low=None, high=None, statement=statement)


def _together(
    writer: Writer, image: CombinedEstimate, patient: CombinedEstimate, steps: tuple[LogOddsContribution, ...]
) -> CombinedEstimate:
    rule, part = "combination.broken.together", CombinedPart.TOGETHER
    if patient.absent:
        text = "Together: the radiograph alone, since nothing is known of the patient that counts."
        statement = writer.say(rule, text, certainty=Certainty.COMPUTED, record=(IMAGE,))
        return CombinedEstimate(part=part, value=image.value, low=image.low, high=image.high, statement=statement)
    if image.absent:
        text = "Together: the patient alone, since the radiograph gives no probability."
        statement = _computed(writer, rule, text, patient.statement.evidence)
        return CombinedEstimate(part=part, value=patient.value, low=patient.low, high=patient.high, statement=statement)
    if not steps:
        text = "Together: not formed; the share of fractures that the image's probability belongs to is not known."
        statement = writer.say(rule, text, certainty=Certainty.COMPUTED, record=(IMAGE,))
        return CombinedEstimate(part=part, value=None, low=None, high=None, statement=statement)
    value, low, high = (logistic(one) for one in spread(steps))
    text = f"Together: {_range(value, low, high)}."
    statement = _computed(writer, rule, text, (*patient.statement.evidence, METHOD, WEIGHT), (IMAGE,))
    return CombinedEstimate(part=part, value=value, low=low, high=high, statement=statement)


def _computed(
    writer: Writer, rule: str, text: str, evidence: tuple[str, ...], record: tuple[str, ...] = ()
) -> Statement:
    """A number of this engine: no surer than the weakest figure below it."""
    return writer.say(rule, text, evidence=evidence, record=record)


def _range(value: float, low: float, high: float) -> str:
    return f"{percent(value)} ({percent(low)} to {percent(high)})"


# --- words


def _headline(
    writer: Writer, image: CombinedEstimate, patient: CombinedEstimate, together: CombinedEstimate
) -> Statement:
    named = (("radiograph alone", image), ("patient alone", patient), ("together", together))
    parts = [f"{name} {'none' if one.value is None else percent(one.value)}" for name, one in named]
    if together.value is not None and together.low is not None and together.high is not None:
        parts[-1] = f"together {_range(together.value, together.low, together.high)}"
    text = sentence(f"fracture now: {'; '.join(parts)}.")
    return _computed(writer, "combination.broken", text, together.statement.evidence or (METHOD,))


def _remarks(
    facts: CaseFacts, writer: Writer, image: CombinedEstimate, patient: CombinedEstimate, together: CombinedEstimate
) -> tuple[Statement, ...]:
    found: list[Statement] = []
    both = not image.absent and not patient.absent
    if both and together.value is not None:
        text = (
            "The sum assumes that what the image shows does not depend on the patient's facts once it is known whether"
            " the bone is broken. No data at hand hold image and record of the same person: it was not validated."
        )
        found.append(writer.say("combination.broken.assumption", text, evidence=(METHOD, WEIGHT)))
    if not patient.absent:
        text = (
            "The patient's half holds for radiographs taken after an injury; for another reason it is too high. It"
            " counts fractures that radiographs show: one that they cannot show comes on top."
        )
        found.append(writer.say("combination.broken.injury", text, evidence=(METHOD,)))
    if facts.presence is FracturePresence.STATED:
        text = "The clinician states the fracture, and that stands: these numbers leave the statement out."
        found.append(writer.say("combination.broken.stated", text, record=(CLINICIAN,)))
    if not image.absent and facts.findings is not None and facts.findings.call is FractureCall.NOT_SEEN:
        limbs, hips = (percent(writer.value(WEIGHT, f"lowest_quarter_{one}")) for one in ("limbs", "hips"))
        text = (
            "A very low number from the radiograph reassures too much: of the quarter that looked least like a"
            f" fracture, {limbs} of limbs and {hips} of hips were broken."
        )
        found.append(writer.say("combination.broken.overstated", text, evidence=(WEIGHT,), record=(IMAGE,)))
    if facts.findings is not None:
        found += _beside_call(facts, writer, facts.findings.call, together)
    return tuple(found)


def _beside_call(facts: CaseFacts, writer: Writer, call: FractureCall, together: CombinedEstimate) -> list[Statement]:
    """What the numbers do not overrule."""
    if call is FractureCall.DEFINITE:
        text = "The definite finding on the radiograph stands, whatever the numbers say."
        return [writer.say("combination.broken.definite", text, certainty=Certainty.COMPUTED, record=(IMAGE,))]
    if call is FractureCall.CANNOT_JUDGE:
        text = "The radiograph could not be judged; a number from the patient's half does not replace one that can."
        return [writer.say("combination.broken.unfit", text, certainty=Certainty.COMPUTED, record=(IMAGE,))]
    if call is not FractureCall.NOT_SEEN or together.value is None or facts.presence is FracturePresence.STATED:
        return []
    left = "" if together.high is None else f", up to {percent(together.high)}"
    text = f"No fracture seen, and still {percent(together.value)}{left}: this does not exclude one."
    record: tuple[str, ...] = (IMAGE,)
    if facts.context.clinical_suspicion_high is True:
        text = f"{text} The examination suggests one: the further imaging under follow-up applies, whatever the number."
        record = (CLINICIAN, IMAGE)
    return [writer.say("combination.broken.not_excluded", text, evidence=(NOT_SEEN,), record=record)]


def statements_of_combined(combined: CombinedAssessment | None) -> Iterator[Statement]:
    """Every statement of both questions, in the order a report shows them."""
    for one in () if combined is None else (combined.broken_now, combined.weak_bone):
        if one is not None:
            yield one.statement
            yield from (one.image.statement, one.patient.statement, one.together.statement)
            yield from (step.statement for step in one.contributions)
            yield from (*one.not_counted, *one.remarks)
