"""What the network estimates and what was measured beside the boxes, as components of FHIR Observations; risk in words.

Every estimate stands with its interval in a component of its own; what was not measured stands in the notes, not as a
zero. A pattern is told in the engine's own codes: a disorder code would claim a diagnosis.
"""

from dataclasses import fields

from cds.presenters import risk_words, wording
from cds.presenters.fhir_transaction import own
from cds.presenters.image_view import geometry_rows, pattern_lines
from fhir_adapters.r4_types import Component, Measured, MeasuredRange, Prediction
from imaging.results import FractureDetection, FractureGeometry, ImageFindings, Measurement
from tabular.results import RiskEstimate

_UNITS: dict[str, tuple[str, str | None]] = {
    "px": ("px", None),
    "mm": ("mm", "mm"),
    "percent": ("%", "%"),
    "deg": ("degree", "deg"),
}
"""Ending of a field to its printed unit and its UCUM code; pixels have none."""


def image_components(findings: ImageFindings) -> tuple[Component, ...]:
    """Probability, scope, limb, views and metal, for the Observation of the whole radiograph."""
    parts: list[Component] = []
    if findings.fracture_probability is not None:
        parts += _with_interval(
            "fracture-probability",
            "Calibrated probability of a fracture",
            "percent",
            _times(findings.fracture_probability, 100.0),
        )
    if findings.scope_score is not None:
        text = "Share of in-scope radiographs that look stranger than this one"
        parts.append(_share("scope-score", text, findings.scope_score))
    attributes = findings.attributes
    if attributes is None:
        return tuple(parts)
    parts += [_share(f"limb-{limb.value}", f"Limb, {wording.words(limb)}", value) for limb, value in attributes.limb]
    parts += [_share(f"view-{view.value}", f"View, {wording.words(view)}", value) for view, value in attributes.views]
    if attributes.hardware_probability is not None:
        parts.append(_share("hardware", "Metal on the radiograph", attributes.hardware_probability))
    return tuple(parts)


def detection_components(detection: FractureDetection) -> tuple[Component, ...]:
    """Pattern, displacement and geometry of one place."""
    parts: list[Component] = []
    pattern = detection.pattern
    if pattern is not None:
        words = wording.words(pattern.pattern)
        parts.append(
            Component(
                code=own("pattern", "Pattern, estimated from the image"),
                value=own(f"pattern-{pattern.pattern.value}", words),
            )
        )
        parts += [
            _share(f"pattern-probability-{name.value}", f"Probability of the pattern, {wording.words(name)}", value)
            for name, value in pattern.probabilities
        ]
        if pattern.displaced_probability is not None:
            parts.append(_share("displaced", "Probability of displacement", pattern.displaced_probability))
    return (*parts, *_geometry(detection.geometry))


def detection_notes(detection: FractureDetection) -> tuple[str, ...]:
    """The pattern in sentences, and what was not measured with the reason."""
    missing = (
        f"{row.label}: {'' if row.values else 'not measured. '}{row.reason}"
        for row in geometry_rows(detection.geometry)
        if row.reason
    )
    return (*pattern_lines(detection.pattern), *missing)


def risk_notes(risk: RiskEstimate) -> tuple[str, ...]:
    """What moved each probability, and the answer that would change it most, in sentences."""
    notes: list[str] = []
    for one in (risk.major_osteoporotic, risk.hip):
        sentences = (*risk_words.moved(one.contributions), *risk_words.changes(one, 1))
        if sentences:
            name = wording.SHORT_OUTCOMES.get(one.outcome, wording.words(one.outcome))
            notes.append(f"{wording.capitalised(name)}. {' '.join(sentences)}")
    if notes:
        notes.append(risk_words.CAVEAT)
    return tuple(notes)


def osteoporosis_prediction(risk: RiskEstimate) -> tuple[Prediction, ...]:
    """Osteoporosis likely though undiagnosed, as one prediction about now; nothing when it was not estimated."""
    found = risk.undiagnosed_osteoporosis
    if found is None:
        return ()
    ends = risk_words.interval(found.low, found.high)
    return (
        Prediction(
            outcome=own(
                "undiagnosed-osteoporosis", "Osteoporosis at the femoral neck (T-score -2.5 or lower), undiagnosed"
            ),
            percent=100 * found.value,
            within_years=0.0,
            rationale=(
                f"Probability in per cent that it is present now. Interval {ends}."
                f" {found.interval_meaning} {risk_words.referral(found)}"
            ),
        ),
    )


def _geometry(geometry: FractureGeometry | None) -> tuple[Component, ...]:
    if geometry is None:
        return ()
    parts: list[Component] = []
    for field in fields(geometry):
        measurement = getattr(geometry, field.name)
        if isinstance(measurement, Measurement):
            quantity, _, unit = field.name.rpartition("_")
            code = field.name.replace("_", "-")
            parts += _with_interval(
                code, f"{wording.capitalised(wording.words(quantity))}, measured on the image", unit, measurement
            )
    return tuple(parts)


def _times(measurement: Measurement, factor: float) -> Measurement:
    return Measurement(value=factor * measurement.value, low=factor * measurement.low, high=factor * measurement.high)


def _share(code: str, text: str, probability: float) -> Component:
    return Component(code=own(code, text), value=Measured(value=100.0 * probability, unit="%", ucum="%"))


def _with_interval(code: str, text: str, unit: str, measurement: Measurement) -> tuple[Component, Component]:
    printed, ucum = _UNITS[unit]
    return (
        Component(code=own(code, text), value=Measured(value=measurement.value, unit=printed, ucum=ucum)),
        Component(
            code=own(f"{code}-interval", f"{text}: 90% interval"),
            value=MeasuredRange(low=measurement.low, high=measurement.high, unit=printed, ucum=ucum),
        ),
    )
