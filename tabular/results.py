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
    would_change: tuple["WouldChange", ...] = ()
    """What the number would become if a missing answer were known, by falling share of the interval that the answer
    would remove; then what it would be without a factor that can be given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfCase:
    """One answer that a person might give, and the number that would follow."""

    value: float
    """The supposed value of the field, in its unit; 1 for yes and 0 for no."""
    weight: float
    """How common this answer is among people alike, 0..1; the weights of all cases add up to 1."""
    probability: float
    """`FractureProbability.value` with this answer, 0..1."""
    low: float
    """Lower end of the interval with this answer, 0..1."""
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WouldChange:
    """What one answer would do to one probability: a missing one if it were known, a habit if it were given up."""

    feature: str
    """Field name of `RiskFeatures`."""
    label: str
    """The field's name in words."""
    kind: str
    """``missing`` (the answer is not known) or ``modifiable`` (it is known and can be changed)."""
    cases: tuple[WhatIfCase, ...]
    """By rising value of the field; one case for a modifiable factor."""
    expected_low: float
    """Lower end of the interval to expect once the answer is known, 0..1; see `tabular.what_if`."""
    expected_high: float
    interval_removed: float
    """Share of the present interval's width, in log-odds, that the answer would remove on average; negative when it
    would widen. 0 for a modifiable factor."""
    origin: str
    """Where the supposed values and their weights come from, in one sentence."""
    evidence_ids: tuple[str, ...] = ()
    """Identifiers in the evidence base of what `origin` rests on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeRisk:
    """A published relative effect applied on top of the model."""

    factor: str
    ratio: float
    """Hazard or risk ratio, applied to the hazard ``-log(1 - p)``."""
    evidence_id: str
    """Identifier in the evidence base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DxaThreshold:
    """A probability from which a bone density scan may be asked for, and how well it sorted people of 50 and over."""

    name: str
    """``sensitive`` (finds most, refers more) or ``specific`` (refers few)."""
    probability: float
    """Refer from here on, 0..1."""
    sensitivity: float
    """Share of people with osteoporosis at or above it, survey-weighted, cross-fitted, 0..1."""
    sensitivity_low: float
    """Lower end of the 95 % interval."""
    sensitivity_high: float
    specificity: float
    """Share of people without osteoporosis below it, 0..1."""
    specificity_low: float
    specificity_high: float
    people: int
    """How many were measured."""
    cases: int
    """How many of them had osteoporosis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsteoporosisEstimate:
    """How likely the femoral neck T-score is -2.5 or lower (NHANES III reference) in someone not yet measured."""

    value: float
    """Probability, 0..1."""
    low: float
    """Lower end of the interval that `interval_meaning` explains, 0..1."""
    high: float
    base_log_odds: float
    contributions: tuple[Contribution, ...]
    """Sorted by falling absolute size; with ``base_log_odds`` they add up to the log-odds of ``value``."""
    thresholds: tuple[DxaThreshold, DxaThreshold]
    """``sensitive``, then ``specific``."""
    validation: str
    """One sentence: how well it was measured to find osteoporosis, with sample size."""
    interval_meaning: str


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
    undiagnosed_osteoporosis: OsteoporosisEstimate | None = None
    """None when osteoporosis is diagnosed or the T-score is known, or the model cannot tell."""
    undiagnosed_osteoporosis_absent: str | None = None
    """Why there is no such estimate: a code of `tabular.warnings`, ``risk.osteoporosis.t_score_known`` ..."""
    anchor: str | None = None
    """The population whose mean risk the probabilities were moved to; None for that of the US survey."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealingComparison:
    """How a model of a site's own outcomes did beside the published figures, on cases held out from its training."""

    score_gain: float
    """Mean log score of the model less that of the figures, per case; above 0 the model was better."""
    score_gain_low: float
    """Lower end of its interval, by a paired bootstrap of the cases."""
    score_gain_high: float
    concordance_learned: float | None
    """Share of comparable pairs that the model puts in the right order, 0..1; None without such a pair."""
    concordance_rules: float | None
    coverage_learned: float | None
    """Share of the fractures seen to unite whose week lies in the model's 80 % interval; None without one."""
    coverage_rules: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedHealing:
    """What a model of a site's own recorded outcomes says of the time to union of one person."""

    model_id: str
    group: str
    """Group of bones that was judged together, such as ``lower_leg``."""
    cases: int
    """Recorded cases of this group."""
    events: int
    """Of these, fractures that were seen to unite."""
    weight: float
    """Share of the model in the mixture, 0..1; 0 when the published figures alone are to be used."""
    log_median: float | None = None
    """Natural logarithm of the median weeks to union; None with weight 0."""
    log_sigma: float | None = None
    """Standard deviation of that logarithm; None with weight 0."""
    comparison: HealingComparison | None = None
    """None when there were too few cases to compare."""
