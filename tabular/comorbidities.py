"""Diseases and drugs that no survey at hand could teach, with the hazard ratios of a published cohort.

Source: the coefficients that ClinRisk published in 2012 for its fracture algorithm (English primary care, 30 to 100
years, each ratio adjusted for the others); the evidence base holds the same figures, and a test compares both.

Choices, all on the careful side:

* The ratios are those of the person's sex, and the lower of both where the sex is not known. One that was published for
  one sex only acts in that sex only.
* Bone density was not known in that cohort. Once it is known here, a disease that acts through thin bone says nothing
  new, and only those that also make people fall still count (`Comorbidity.through_falls`).
* A history of smoking is within a tenth of no effect and acts in women only, where it was published above 1.
* Living in a care home is no input: records seldom say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tabular.features import RiskFeatures
from tabular.formula import HEADS
from tabular.results import RelativeRisk

_MAJOR, _HIP = HEADS
_LEAST_EFFECT: Final = 0.02
"""A ratio closer to 1 is left out: it would only lengthen the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comorbidity:
    """One disease, drug or habit and its published hazard ratios."""

    words: str
    evidence_id: str
    women: Mapping[str, float]
    """Hazard ratio by outcome; empty where none was published."""
    men: Mapping[str, float]
    through_falls: bool
    """Whether it counts although bone density is known."""

    def effect(self, head: str, female: bool | None, *, density_known: bool) -> RelativeRisk | None:
        """What it does to one outcome of one person; None for nothing."""
        if density_known and not self.through_falls:
            return None
        published = [table[head] for table, sex in ((self.women, True), (self.men, False))
                     if head in table and female in (sex, None)]  # fmt: skip
        if not published or (female is None and not (self.women and self.men)):
            return None
        ratio = min(published)
        if abs(ratio - 1.0) < _LEAST_EFFECT:
            return None
        return RelativeRisk(factor=self.words, ratio=ratio, evidence_id=self.evidence_id)


def _published(
    name: str,
    words: str,
    *,
    women: tuple[float, float] | None = None,
    men: tuple[float, float] | None = None,
    through_falls: bool = False,
) -> Comorbidity:
    """One row of the source; `women` and `men` are the ratios for the hip and for major osteoporotic fractures."""
    by_sex = [{} if pair is None else {_HIP: pair[0], _MAJOR: pair[1]} for pair in (women, men)]
    return Comorbidity(
        words=words,
        evidence_id=f"risk.{name}_hip_and_mof.clinrisk2012",
        women=by_sex[0],
        men=by_sex[1],
        through_falls=through_falls,
    )


COMORBIDITIES: Final[Mapping[str, Comorbidity]] = {
    "dementia": _published("dementia", "dementia", women=(2.57, 1.97), men=(2.63, 1.90), through_falls=True),
    "parkinson": _published(
        "parkinson", "Parkinson's disease", women=(2.03, 1.64), men=(3.00, 2.45), through_falls=True
    ),
    "epilepsy_or_anticonvulsant": _published(
        "epilepsy_or_anticonvulsant",
        "epilepsy or an anticonvulsant",
        women=(1.62, 1.54),
        men=(2.45, 2.19),
        through_falls=True,
    ),
    "cardiovascular_disease": _published(
        "cvd", "coronary heart disease or stroke", women=(1.22, 1.21), men=(1.31, 1.26), through_falls=True
    ),
    "antidepressant": _published(
        "antidepressant", "an antidepressant", women=(1.39, 1.37), men=(1.69, 1.60), through_falls=True
    ),
    "chronic_kidney_disease": _published("ckd", "chronic kidney disease", women=(1.51, 1.27), men=(1.81, 1.58)),
    "chronic_liver_disease": _published("chronic_liver", "chronic liver disease", women=(1.91, 1.89), men=(2.13, 2.58)),
    "asthma_or_copd": _published("asthma_copd", "asthma or COPD", women=(1.23, 1.27), men=(1.34, 1.33)),
    "cancer": _published("cancer", "cancer", women=(1.31, 1.27), men=(1.48, 1.57)),
    "endocrine_disease": _published("endocrine", "overactive thyroid or parathyroid", women=(1.33, 1.23)),
    "hormone_replacement": _published("hrt", "hormone replacement", women=(0.76, 0.85)),
    "former_smoker": _published("smoke_ex", "former smoking", women=(1.08, 1.04)),
}
"""By the field of `RiskFeatures`."""

NAMED_CAUSES: Final = ("chronic_liver_disease", "endocrine_disease")
"""Causes of secondary osteoporosis that act as themselves, so that the common ratio must not count them again."""


def comorbidity_effects(features: RiskFeatures, head: str) -> tuple[RelativeRisk, ...]:
    """The published effects of one person's diseases and drugs on one outcome, in the order of `COMORBIDITIES`."""
    known = features.femoral_neck_t_score is not None
    effects = (
        one.effect(head, features.female, density_known=known)
        for field, one in COMORBIDITIES.items()
        if getattr(features, field) is True
    )
    return tuple(effect for effect in effects if effect is not None)
