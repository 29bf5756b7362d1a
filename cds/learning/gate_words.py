"""What the gate says in words: why it refuses, and what to bear in mind."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cds.learning.margins import Margins
from cds.learning.verdict import CalibrationCheck, Difference, Standing, SubgroupResult

METRIC_WORDS: Final = {
    "auc": "area under the ROC curve",
    "ap50": "average precision of the boxes (IoU .5)",
    "sensitivity_high_sensitivity": "sensitivity at the high-sensitivity point",
    "specificity_high_sensitivity": "specificity at the high-sensitivity point",
    "sensitivity_high_specificity": "sensitivity at the high-specificity point",
    "specificity_high_specificity": "specificity at the high-specificity point",
    "calibration_error": "expected calibration error",
    "type_accuracy": "share of types that are named rightly",
    "type_auc": "mean area under the ROC curve of one type against the others",
    "displaced_auc": "area under the ROC curve of displacement",
    "absolute_error": "mean absolute error",
    "log_score": "mean log score of what was found",
    "interval_coverage": "share of truths inside the interval",
}
TYPES_UNJUDGED: Final = (
    "The types of the fractures are shown and not judged: too few types of the set have enough fractures. Give a set of"
    " types with --locked-types."
)
UNKNOWN_ORIGIN: Final = "The candidate does not say what it learned from, so it may have seen this set."
MANY_LOOKS: Final = 5
"""From so many candidates on a locked set should be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a locked set holds, as far as the fewest-each rule counts it; None for a question that it does not ask."""

    positives: int | None = None
    """Items with the finding."""
    negatives: int | None = None
    """Items without it."""
    by_class: Mapping[str, int] = field(default_factory=dict)
    """Items of each class (type of fracture)."""
    types_tell: bool = False
    """Whether enough classes have enough items."""
    amounts: int | None = None
    """Items whose true amount is known."""


def signed(value: float) -> str:
    """Three decimals and a sign, with a minus as in print."""
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")


def reasons_of(
    differences: Sequence[Difference],
    subgroups: Sequence[SubgroupResult],
    calibration: CalibrationCheck | None,
    shared: int | None,
    n_groups: int,
    margins: Margins,
    contents: Contents,
) -> Iterator[str]:
    """Why a candidate is refused, one sentence each; nothing where it passes.

    Args:
        differences: of the whole set.
        subgroups: of its parts.
        calibration: None where there is none to check.
        shared: items that the candidate learned from; None where that is not known.
        n_groups: independent groups behind the judged metric that has the fewest.
        margins: what must be kept.
        contents: of the set.
    """
    if shared:
        yield f"{shared} items of the locked set are among the candidate's training data: it has seen its exam."
    if n_groups < margins.fewest_groups:
        yield f"The locked set holds {n_groups} independent groups; {margins.fewest_groups} are the least."
    yield from _too_few(contents, margins)
    for one in differences:
        words = METRIC_WORDS.get(one.metric, one.metric)
        if one.standing is Standing.UNTOLD:
            yield f"This locked set cannot tell the {words}."
        elif one.standing is Standing.MISSING:
            yield f"The candidate does not give the {words}, which the current model does."
        elif one.standing is Standing.FELL:
            yield f"The {words} falls by {-one.gain:.3f}, beyond the margin of {one.margin:g}."
        elif one.standing is Standing.NOT_SHOWN:
            yield (
                f"For the {words} a loss of up to {-one.low:.3f} cannot be ruled out; the margin is {one.margin:g}"
                f" (estimate {signed(one.gain)})."
            )
    if calibration is not None and not calibration.holds:
        yield (
            f"The calibration slope is {calibration.candidate:.2f} ({calibration.low:.2f} to {calibration.high:.2f}),"
            f" outside {calibration.allowed_low:g} to {calibration.allowed_high:g}."
        )
    for part in subgroups:
        for metric in part.harmed:
            found = next(one for one in part.differences if one.metric == metric)
            yield (
                f"Among {part.column} = {part.value} (n = {part.n}) the {METRIC_WORDS.get(metric, metric)} falls by"
                f" {-found.gain:.3f} (bounds {-found.high:.3f} and {-found.low:.3f})."
            )


def _too_few(contents: Contents, margins: Margins) -> Iterator[str]:
    """What the set holds too few of to show anything."""
    least = margins.fewest_each
    positives, negatives = contents.positives, contents.negatives
    if positives is not None and negatives is not None and min(positives, negatives) < least:
        yield (
            f"The locked set holds {positives} items with the finding and {negatives} without;"
            f" {least} of each are the least."
        )
    if "type_accuracy" in margins.by_metric and contents.by_class and not contents.types_tell:
        held = ", ".join(f"{name} {n}" for name, n in sorted(contents.by_class.items()))
        yield f"The locked set holds too few fractures of each type ({held}); two types with {least} are the least."
    if contents.amounts is not None and contents.amounts < least:
        yield f"The locked set holds {contents.amounts} items whose true amount is known; {least} are the least."


def notes_of(
    differences: Sequence[Difference],
    subgroups: Sequence[SubgroupResult],
    n_groups: int,
    looks: int | None,
    shared: int | None,
) -> Iterator[str]:
    """What a reader of the verdict should bear in mind."""
    yield f"Intervals are from {n_groups} groups that are drawn whole; the same draws for both models."
    unjudged = [one.metric for one in differences if one.standing is Standing.SHOWN_ONLY]
    if unjudged:
        yield f"Shown and not judged, since no margin is set: {', '.join(unjudged)}."
    small = sum(not one.judged for one in subgroups)
    if small:
        yield f"{small} of {len(subgroups)} subgroups are too small to judge by; harm there cannot be seen."
    if shared is None:
        yield "Whether the candidate learned from this set is not known; of tables only whole files can be compared."
    if looks is not None and looks > 1:
        often = " Keep a fresh set for the next decision." if looks >= MANY_LOOKS else ""
        yield (
            f"This locked set has decided on {looks} candidates. Candidates that are chosen by it come to fit it, and"
            f" each further look tells less.{often}"
        )
