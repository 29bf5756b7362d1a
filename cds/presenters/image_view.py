"""What the network says of a radiograph and of each place on it, in words and rows. It concludes nothing."""

from collections.abc import Iterable
from dataclasses import dataclass

from cds.presenters import wording
from cds.presenters.messages import WARNING_TEXTS
from fusion.context import ClinicalContext
from imaging.results import (
    FractureCall,
    FractureGeometry,
    ImageAttributes,
    ImageFindings,
    Measurement,
    OperatingPoint,
    PatternEstimate,
)

VIEW_SHOWN_FROM = 0.5
"""A view less probable than this is taken as not on the radiograph."""
RUNNERS_UP = 2
"""Patterns named after the most probable one."""
REASON_PREFIXES = ("imaging.content.", "imaging.quality.", "imaging.scope.outside")
"""Warnings that can be the reason why a radiograph is not judged."""

_NOT_GIVEN = "not given"
_INTERVAL = "90% interval"
_QUANTITIES: dict[str, str] = {
    "displacement": "Displacement across the shaft",
    "angulation": "Angulation in the plane of the image",
    "shortening": "Shortening",
    "line_length": "Length of the fracture line",
    "shaft_width": "Width of the shaft",
}
"""Quantity of `FractureGeometry`, without its unit, to its name; in the order in which a report lists them."""
_UNITS: dict[str, str] = {"mm": "mm", "percent": "% of the shaft's width", "deg": "\N{DEGREE SIGN}", "px": "px"}
"""Ending of a field of `FractureGeometry` to its unit, the most telling first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One line about the radiograph."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRow:
    """One quantity of the geometry: its values, or why there is none."""

    label: str
    values: tuple[str, ...]
    """Each with its interval and its unit, for instance "4.2 mm (3.1 to 5.5)"; empty when it was not measured."""
    reason: str
    """Why it, or one of its units, was not measured; empty when nothing is missing."""


def probability(measured: Measurement | None) -> str:
    """A calibrated probability with its interval; "not given" without one."""
    if measured is None:
        return _NOT_GIVEN
    value, low, high = map(wording.percent, (measured.value, measured.low, measured.high))
    return f"{value} ({_INTERVAL} {low} to {high})"


def reasons_not_judged(findings: ImageFindings) -> tuple[str, ...]:
    """Why the radiograph is not judged, in sentences; empty unless the call is CANNOT_JUDGE."""
    if findings.call is not FractureCall.CANNOT_JUDGE:
        return ()
    codes = (warning.partition(":")[0] for warning in findings.warnings)
    return tuple(dict.fromkeys(_sentence(code) for code in codes if code.startswith(REASON_PREFIXES)))


def _sentence(code: str) -> str:
    return WARNING_TEXTS.get(code.partition(":")[0], code)


def rate(value: float, low: float | None) -> str:
    """A measured rate with its lower bound, where there is one."""
    return wording.percent(value) + (f" (at least {wording.percent(low)})" if low is not None else "")


def operating_point(point: OperatingPoint) -> str:
    """One operating point in a sentence."""
    name = wording.OPERATING_POINTS.get(point.name, wording.words(point.name))
    return (
        f"{name}: score {wording.score(point.threshold)}, sensitivity {rate(point.sensitivity, point.sensitivity_low)},"
        f" specificity {rate(point.specificity, point.specificity_low)}."
    )


def image_facts(findings: ImageFindings, context: ClinicalContext) -> tuple[Fact, ...]:
    """What is known of the radiograph as a whole; what is not known says so."""
    return (
        Fact(
            label="Probability of a fracture",
            value=probability(findings.fracture_probability),
            note="calibrated at the training data's share of fractures, see the model card"
            if findings.fracture_probability is not None
            else "nothing was judged, or this model carries no calibration",
        ),
        _scope(findings.scope_score),
        *_attributes(findings.attributes),
        open_or_closed(context),
    )


def _scope(score: float | None) -> Fact:
    label = "Like the model's own radiographs"
    if score is None:
        return Fact(label=label, value="not checked")
    return Fact(
        label=label,
        value=f"{wording.percent(score)} of them look stranger than this one",
        note="small means strange",
    )


def _attributes(attributes: ImageAttributes | None) -> tuple[Fact, ...]:
    if attributes is None:
        return (Fact(label="Limb, views, metal", value="not judged by this model"),)
    limb, others = attributes.limb[:1], attributes.limb[1:2]
    seen = [(view, value) for view, value in attributes.views if value >= VIEW_SHOWN_FROM]
    metal = attributes.hardware_probability
    return (
        Fact(
            label="Limb on the pixels",
            value=_estimates(limb) if limb else "not judged",
            note=f"then {_estimates(others)}" if others else "",
        ),
        Fact(
            label="Views on the pixels",
            value=_estimates(seen) if seen else "none recognised" if attributes.views else "not judged",
        ),
        Fact(
            label="Metal (plate, screw, nail)",
            value="not judged" if metal is None else f"probability {wording.percent(metal)}",
        ),
    )


def _estimates(named: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{wording.words(name)} {wording.percent(value)}" for name, value in named)


def open_or_closed(context: ClinicalContext) -> Fact:
    """Whether the fracture is open, which only the clinician can state."""
    gustilo = f", Gustilo {context.gustilo.value}" if context.gustilo is not None else ""
    if context.open_wound is None and not gustilo:
        value = "not stated"
    elif context.open_wound is False and not gustilo:
        value = "closed, as stated by the clinician"
    else:
        value = f"open{gustilo}, as stated by the clinician"
    return Fact(
        label="Open or closed (compound or simple)",
        value=value,
        note="not seen on a radiograph: whoever examines the skin must state it; the surgeon sets the Gustilo grade",
    )


def pattern_lines(pattern: PatternEstimate | None) -> tuple[str, ...]:
    """The pattern, its runners-up and displacement, in sentences; empty when no model was asked."""
    if pattern is None:
        return ()
    ranked = [(name, value) for name, value in pattern.probabilities if name != pattern.pattern]
    own = dict(pattern.probabilities).get(pattern.pattern)
    if own is None:
        first = (
            "Pattern undetermined: its ranking is not reliable enough to name one, and follows region and picture more"
            " than the fracture line."
        )
        after = f"Most probable: {_estimates(ranked[: RUNNERS_UP + 1])}." if ranked else ""
    else:
        first = f"Pattern, as the image suggests: {wording.words(pattern.pattern)}, {wording.percent(own)}."
        after = f"Next: {_estimates(ranked[:RUNNERS_UP])}." if ranked else ""
    shifted = pattern.displaced_probability
    displaced = (
        "Displacement was not estimated beside the pattern; where it could be measured, it stands among the measures."
        if shifted is None
        else f"Displaced: probability {wording.percent(shifted)}, as the image suggests."
    )
    return tuple(line for line in (first, after, displaced) if line)


def measured(measurement: Measurement, unit: str) -> str:
    """A measurement with its unit and its 90 % interval, with as many digits as value and unit bear."""
    digits = 1 if unit == "mm" or abs(measurement.value) < 10 else 0
    value, low, high = (
        f"{one:.{digits}f}".replace("-", "\N{MINUS SIGN}")
        for one in (measurement.value, measurement.low, measurement.high)
    )
    space = "" if unit.startswith(("\N{DEGREE SIGN}", "%")) else " "
    return f"{value}{space}{unit} ({low} to {high})"


def geometry_rows(geometry: FractureGeometry | None) -> tuple[MeasuredRow, ...]:
    """Every quantity with its values or the reason why it has none; empty when geometry was not asked for."""
    if geometry is None:
        return ()
    rows = []
    for quantity, label in _QUANTITIES.items():
        named = {ending: getattr(geometry, f"{quantity}_{ending}", None) for ending in _UNITS}
        values = tuple(measured(one, _UNITS[ending]) for ending, one in named.items() if one is not None)
        reasons = dict.fromkeys(
            _sentence(code)
            for name, code in geometry.not_measured
            if name == quantity or (name.startswith(f"{quantity}_") and name[len(quantity) + 1 :] in _UNITS)
        )
        reason = " ".join(reasons) or ("" if values else "No reason was given.")
        rows.append(MeasuredRow(label=label, values=values, reason=reason))
    known = tuple(_QUANTITIES)
    others = [(name, code) for name, code in geometry.not_measured if not name.startswith(known)]
    rows += [
        MeasuredRow(label=wording.capitalised(wording.words(name)), values=(), reason=_sentence(code))
        for name, code in others
    ]
    return tuple(rows)
