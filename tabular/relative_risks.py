"""Published relative effects of what the survey could not teach, applied on top of the trees.

Rules: the lower of sources that differ; each cause once; the factor acts on the hazard ``-log(1 - p)``. Evidence
identifiers have the form ``risk.<factor>_<outcome>.<source>`` and name entries of the evidence base.

* Type 1 diabetes: of two meta-analyses (hip 4.93 and 5.76) the lower; a British cohort's 4.63 lies well inside its
  interval. For major osteoporotic fracture no pooled ratio is at hand; the one for all non-vertebral fractures stands
  in (its interval, 0.92 to 3.99, includes 1, but the cohort found the same 1.92 in women).
* Type 2 diabetes: the same two meta-analyses agree (hip 1.33 and 1.34).
* Falls: a British cohort adjusted for the other factors; women's ratios, which are the lower, serve both sexes. Larger
  unadjusted ratios are in print and are not used.
* Recent fracture: the risk of a further major osteoporotic fracture is 2.7-fold one year after the first and 1.4-fold
  after ten, so about 2.51-fold after two (log-linear), the far end of "recent". Over all prior fractures it is
  1.86-fold on average; the trees hold that average, so the recent fracture adds 2.51 / 1.86. No ratio for the hip is at
  hand, so none is applied.
* Secondary osteoporosis: the published tool lets it act only while bone density is not known. The lowest ratio in print
  for its causes (malabsorption) is used for major fractures. Type 1 diabetes, liver and endocrine disease are among its
  causes and are counted as themselves, not twice.
* Other diseases and drugs: `tabular.comorbidities`.
"""

import math

from tabular.comorbidities import COMORBIDITIES, NAMED_CAUSES, comorbidity_effects
from tabular.features import RiskFeatures
from tabular.formula import HEADS
from tabular.results import RelativeRisk

_MAJOR, _HIP = HEADS

_TYPE_1 = {
    _MAJOR: RelativeRisk(factor="type 1 diabetes", ratio=1.92, evidence_id="risk.t1dm_nonvertebral.vilaca2020"),
    _HIP: RelativeRisk(factor="type 1 diabetes", ratio=4.93, evidence_id="risk.t1dm_hip.vilaca2020"),
}
_TYPE_2 = {
    _MAJOR: RelativeRisk(factor="type 2 diabetes", ratio=1.19, evidence_id="risk.t2dm_nonvertebral.vilaca2020"),
    _HIP: RelativeRisk(factor="type 2 diabetes", ratio=1.33, evidence_id="risk.t2dm_hip.vilaca2020"),
}
_FALLS_ID = "risk.falls_history_hip_and_mof.clinrisk2012"
_FALLS = {
    _MAJOR: RelativeRisk(factor="falls in the last year", ratio=1.57, evidence_id=_FALLS_ID),
    _HIP: RelativeRisk(factor="falls in the last year", ratio=1.54, evidence_id=_FALLS_ID),
}
_RECENT = {
    _MAJOR: RelativeRisk(
        factor="fracture within the last two years",
        ratio=1.35,
        evidence_id="risk.recent_mof_1y_second_mof.johansson2017",
    ),
}
_SECONDARY = {
    _MAJOR: RelativeRisk(
        factor="secondary osteoporosis", ratio=1.17, evidence_id="risk.malabsorption_hip_and_mof.clinrisk2012"
    ),
}

EVIDENCE_IDS: tuple[str, ...] = tuple(
    sorted(
        {risk.evidence_id for table in (_TYPE_1, _TYPE_2, _FALLS, _RECENT, _SECONDARY) for risk in table.values()}
        | {one.evidence_id for one in COMORBIDITIES.values()}
    )
)
"""Every identifier that an estimate may cite."""


def adjustments_for(features: RiskFeatures, head: str) -> tuple[RelativeRisk, ...]:
    """The published effects that apply to one person and one outcome."""
    tables = []
    if features.diabetes_type_1:
        tables.append(_TYPE_1)
    elif features.diabetes_type_2:
        tables.append(_TYPE_2)
    named = features.diabetes_type_1 or any(getattr(features, field) for field in NAMED_CAUSES)
    if features.secondary_osteoporosis and not named and features.femoral_neck_t_score is None:
        tables.append(_SECONDARY)
    if features.recent_fracture_2y:
        tables.append(_RECENT)
    if features.falls_last_year:
        tables.append(_FALLS)
    cited = tuple(table[head] for table in tables if head in table)
    return cited + comorbidity_effects(features, head)


def apply_to(probability: float, adjustments: tuple[RelativeRisk, ...]) -> float:
    """Probability after the effects: ``1 - (1 - p) ** (product of ratios)``, which is a product of hazards."""
    if not adjustments:
        return probability
    ratio = math.prod(adjustment.ratio for adjustment in adjustments)
    return float(1.0 - (1.0 - probability) ** ratio)
