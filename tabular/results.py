"""What the tabular branch tells the rest of the engine: `RiskEstimate` and its parts. Imports no framework."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """How far one feature moved one probability, in log-odds; the contributions and the base add up to the margin."""

    feature: str
    """Field name of `RiskFeatures`."""
    label: str
    """The field's name in words."""
    value: float | None
    """The value the model saw; None when missing."""
    log_odds: float
    """Exact TreeSHAP value on the margin (log-odds) scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FractureProbability:
    """A ten-year fracture probability and its explanation."""

    outcome: str
    """``major_osteoporotic`` (hip, clinical spine, forearm, proximal humerus) or ``hip``."""
    value: float
    """Probability within the horizon, 0..1."""
    low: float
    """Lower end of the interval that `RiskEstimate.interval_meaning` explains, 0..1."""
    high: float
    horizon_years: float
    base_log_odds: float
    contributions: tuple[Contribution, ...]
    """Sorted by falling absolute size; ``base_log_odds + sum(log_odds)`` is the model's margin of `model_value`."""
    model_value: float
    """The trees' own probability, before `adjustments`, 0..1."""
    adjustments: tuple["RelativeRisk", ...] = ()
    """Cited factors that the training data could not teach; ``value`` includes them, ``model_value`` does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeRisk:
    """A published relative effect applied on top of the model."""

    factor: str
    ratio: float
    """Hazard or risk ratio, applied to the hazard ``-log(1 - p)``."""
    evidence_id: str
    """Identifier in the evidence base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskEstimate:
    """All that the tabular branch says about one person."""

    model_id: str
    """Name, version and digest prefix, for instance ``fracture-risk-nhanes@1.0.0+ab12cd34``."""
    model_validation: str
    """One sentence: how good the model was measured to be, on what, with sample size."""
    major_osteoporotic: FractureProbability
    hip: FractureProbability
    interval_meaning: str
    """What the intervals stand for, in one sentence."""
    missing: tuple[str, ...] = ()
    """Field names of `RiskFeatures` that the model would have used and did not get."""
    warnings: tuple[str, ...] = ()
    """Dotted codes, ``risk.age.out_of_range``; a colon may add a detail."""
