"""How far skeletal age scatters about chronological age in healthy children, and what lies beyond that.

The standard deviations are those of the Brush Foundation study as printed with the atlas of Greulich and Pyle: white
children of well-off families in Cleveland, Ohio, between the wars. Children of other descent differ in the mean: Asian
and Hispanic adolescents in the United States were read as up to about a year ahead of their age (Zhang et al.,
Radiology 2009;250:228, doi 10.1148/radiol.2493080468; Thodberg & Saevendahl, Acad Radiol 2010;17:1425), which the table
cannot show. Two standard deviations either way is the usual limit of normal.

The comparison is with chronological age itself, as radiologists report it, not with the study's mean skeletal age.
"""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from imaging.results import AgeDiscrepancy, AgeDiscrepancyVerdict, Measurement

SOURCE: Final = (
    "Greulich WW, Pyle SI. Radiographic Atlas of Skeletal Development of the Hand and Wrist, 2nd ed. Stanford "
    "University Press 1959: variability of skeletal age, Brush Foundation study"
)
LIMIT_SD: Final = 2.0
NO_STANDARD: Final = "imaging.bone_age.no_standard"
NO_SEX: Final = "imaging.bone_age.no_standard_without_sex"

_COMMON = (3, 6, 9, 12, 18, 24, 30, 36, 42, 48, 54, 60, 72, 84, 96, 108, 120, 132, 144, 156, 168, 180, 192)
_MALE = (
    *(0.69, 1.13, 1.43, 1.97, 3.52, 3.92, 4.52, 5.08, 5.40, 6.66, 8.36, 8.79),
    *(9.17, 8.91, 9.10, 9.00, 9.79, 10.09, 10.38, 10.44, 10.72, 11.32, 12.86, 13.05),
)
_FEMALE = (
    *(0.72, 1.16, 1.36, 1.77, 3.49, 4.64, 5.37, 5.97, 7.48, 8.98, 10.73, 11.65),
    *(10.23, 9.64, 10.23, 10.74, 11.73, 11.94, 10.24, 10.67, 11.30, 9.23, 7.31),
)
STANDARD_DEVIATIONS: Final[Mapping[bool, tuple[tuple[int, float], ...]]] = MappingProxyType(
    {
        False: tuple(zip((*_COMMON, 204), _MALE, strict=True)),
        True: tuple(zip(_COMMON, _FEMALE, strict=True)),
    }
)
"""Female (True) or male (False) to (chronological age, standard deviation of skeletal age), both in months."""


def standard_deviation(chronological_months: float, *, female: bool) -> float | None:
    """Standard deviation of skeletal age in months, linear between the table's ages.

    Args:
        chronological_months: age since birth, months.
        female: sex.

    Returns:
        None outside of the table: 3 months to 16 years in girls, to 17 years in boys.
    """
    table = STANDARD_DEVIATIONS[female]
    if not table[0][0] <= chronological_months <= table[-1][0]:
        return None
    place = min(bisect_right([age for age, _ in table], chronological_months), len(table) - 1)
    (left_age, left), (right_age, right) = tuple(pairwise(table))[place - 1]
    return left + (right - left) * (chronological_months - left_age) / (right_age - left_age)


def compare(months: Measurement, *, chronological_months: float, female: bool | None) -> AgeDiscrepancy:
    """Skeletal age beside chronological age.

    The verdict is held to the model's own error: a difference beyond the limit is told as a fact only when the whole
    90 % interval lies beyond it, and as a possibility when the estimate does but the interval reaches back.

    Args:
        months: skeletal age with its 90 % interval, months.
        chronological_months: age since birth, months, at the time of the radiograph.
        female: sex; None when not known.
    """
    difference = months.value - chronological_months
    deviation = None if female is None else standard_deviation(chronological_months, female=female)
    if deviation is None:
        score, verdict = None, None
        not_judged = NO_SEX if female is None else NO_STANDARD
    else:
        value, low, high = ((one - chronological_months) / deviation for one in (months.value, months.low, months.high))
        score, verdict, not_judged = Measurement(value=value, low=low, high=high), _verdict(value, low, high), None
    return AgeDiscrepancy(
        chronological_months=chronological_months,
        difference_months=difference,
        sd_months=deviation,
        sd_score=score,
        verdict=verdict,
        not_judged=not_judged,
        source=SOURCE,
    )


def _verdict(value: float, low: float, high: float) -> AgeDiscrepancyVerdict:
    if high < -LIMIT_SD:
        return AgeDiscrepancyVerdict.DELAYED
    if low > LIMIT_SD:
        return AgeDiscrepancyVerdict.ADVANCED
    if value < -LIMIT_SD:
        return AgeDiscrepancyVerdict.MAY_BE_DELAYED
    if value > LIMIT_SD:
        return AgeDiscrepancyVerdict.MAY_BE_ADVANCED
    return AgeDiscrepancyVerdict.WITHIN
