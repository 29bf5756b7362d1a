"""Skeletal age in words: the value with its interval, chronological age beside it, or why there is none."""

from cds.case import CaseResult
from cds.presenters.image_view import Fact
from cds.presenters.messages import WARNING_TEXTS
from imaging.bone_age.standards import LIMIT_SD
from imaging.results import AgeDiscrepancy, AgeDiscrepancyVerdict, BoneAgeEstimate

LABEL = "Skeletal age"
VERDICTS: dict[AgeDiscrepancyVerdict, str] = {
    AgeDiscrepancyVerdict.WITHIN: "the estimate lies within 2 standard deviations",
    AgeDiscrepancyVerdict.MAY_BE_DELAYED: "may be delayed: the estimate lies more than 2 standard deviations below",
    AgeDiscrepancyVerdict.MAY_BE_ADVANCED: "may be advanced: the estimate lies more than 2 standard deviations above",
    AgeDiscrepancyVerdict.DELAYED: "delayed: the whole interval lies more than 2 standard deviations below",
    AgeDiscrepancyVerdict.ADVANCED: "advanced: the whole interval lies more than 2 standard deviations above",
}
UNSURE = ", but the model's own error reaches beyond: delay or advance is not excluded"
CAVEAT = (
    "Estimated from the image for a clinician to confirm against a radiologist's reading. Compared with the age on the"
    " day of the assessment: of an older radiograph the difference is wrong."
)


def years_and_months(months: float) -> str:
    """An age as it is spoken, to the month: "12 y 3 mo"; infants in months alone."""
    years, rest = divmod(round(months), 12)
    return f"{years} y {rest} mo" if years else f"{rest} mo"


def with_interval(estimate: BoneAgeEstimate) -> str:
    """The age with its interval: "12 y 3 mo (90% interval 10 y 11 mo to 13 y 7 mo)"."""
    low, high = years_and_months(estimate.low), years_and_months(estimate.high)
    return f"{years_and_months(estimate.months)} (90% interval {low} to {high})"


def difference(one: AgeDiscrepancy) -> str:
    """Skeletal minus chronological age, with its standard deviations: "14 mo behind, -1.4 SD (-3.1 to 0.2)"."""
    months = round(abs(one.difference_months))
    side = "behind" if one.difference_months < 0 else "ahead"
    text = "no difference to the month" if months == 0 else f"{months} mo {side}"
    if one.sd_score is None:
        return text
    value, low, high = (_signed(number) for number in (one.sd_score.value, one.sd_score.low, one.sd_score.high))
    return f"{text}, {value} SD ({low} to {high})"


def verdict(one: AgeDiscrepancy) -> str:
    """The verdict in words, or why there is none."""
    if one.verdict is not None:
        reaches = one.sd_score is not None and max(-one.sd_score.low, one.sd_score.high) > LIMIT_SD
        within = one.verdict is AgeDiscrepancyVerdict.WITHIN
        return VERDICTS[one.verdict] + (UNSURE if within and reaches else "")
    return WARNING_TEXTS.get(one.not_judged or "", one.not_judged or "not judged")


def unavailable(result: CaseResult) -> str | None:
    """Why there is no skeletal age, in a sentence, where a reader misses it; otherwise None."""
    reason = result.bone_age_unavailable
    return WARNING_TEXTS.get(reason, reason) if reason is not None and result.bone_age_expected else None


def facts(result: CaseResult) -> tuple[Fact, ...]:
    """The lines of the report; empty when there is nothing to say."""
    estimate = result.bone_age
    if estimate is None:
        reason = unavailable(result)
        return (Fact(label=LABEL, value="not estimated", note=reason),) if reason is not None else ()
    sex = "not recorded" if estimate.sex_used is None else estimate.sex_used
    rows = [
        Fact(label=LABEL, value=with_interval(estimate), note=f"standard: {estimate.standard}; sex: {sex}"),
    ]
    compared = estimate.discrepancy
    if compared is None:
        rows.append(Fact(label="Chronological age", value="not known to the day", note="so no difference is given"))
    else:
        rows += [
            Fact(label="Chronological age", value=years_and_months(compared.chronological_months)),
            Fact(label="Difference", value=difference(compared), note=_deviation(compared)),
            Fact(label="Against the standards", value=verdict(compared)),
        ]
    return tuple(rows)


def notes(estimate: BoneAgeEstimate) -> tuple[str, ...]:
    """What a reader must know beside the figures."""
    cautions = tuple(WARNING_TEXTS.get(code.partition(":")[0], code) for code in estimate.warnings)
    source = (f"Standard deviations: {estimate.discrepancy.source}.",) if estimate.discrepancy is not None else ()
    return (CAVEAT, *cautions, estimate.interval_meaning, *source)


def summary_lines(result: CaseResult) -> list[str]:
    """The lines for the terminal; empty when there is nothing to say."""
    estimate = result.bone_age
    if estimate is None:
        reason = unavailable(result)
        return [] if reason is None else [reason]
    lines = [with_interval(estimate)]
    if estimate.discrepancy is not None:
        lines.append(f"{difference(estimate.discrepancy)}: {verdict(estimate.discrepancy)}")
    return lines


def _deviation(one: AgeDiscrepancy) -> str:
    return "" if one.sd_months is None else f"1 SD at this age and sex is {one.sd_months:.1f} mo"


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
