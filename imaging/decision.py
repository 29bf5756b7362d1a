"""The image-level call: definite, suspected, not seen, or cannot judge."""

from collections.abc import Sequence

from imaging.results import FractureCall, OperatingPoint

SCOPE_REFUSAL = 0.02
"""A radiograph further out than all but this share of in-scope ones is refused."""
SCOPE_CAUTION = 0.05
"""Further out than all but this share: judged, with a word of caution."""

VOID = frozenset({"imaging.quality.blank"})
"""Nothing is on the plate: whatever the detector marks there is no finding."""
UNFIT = frozenset(
    {
        "imaging.content.low_contrast",
        "imaging.content.few_grey_levels",
        "imaging.quality.too_bright",
        "imaging.quality.too_dark",
        "imaging.quality.blurred",
    }
)
"""Warnings after which "not seen" would claim too much; a fracture that is seen all the same is still reported."""

TOLD_SHARE = 0.05
"""Boxes with less than this share of the best one's score are not told. An image classifier makes the high-sensitivity
point low, for radiographs that look healthy to it; elsewhere that point alone would tell every faint box: 5.8 in each
radiograph called, with this rule 3.1, and of the 51 true ones on 232 validation radiographs 30 instead of 32."""


def decide(
    max_score: float | None,
    points: tuple[OperatingPoint, OperatingPoint],
    scope_score: float | None,
    warnings: Sequence[str],
) -> tuple[FractureCall, tuple[str, ...]]:
    """Call one radiograph.

    Args:
        max_score: highest detector score in the image, 0..1; None when it was not judged.
        points: high-sensitivity and high-specificity point, in this order.
        scope_score: share of in-scope radiographs that lie further out, 0..1; None when no scope model is loaded.
        warnings: codes known so far, those of the reader and of `imaging.quality`.

    Returns:
        The call and the warnings it adds: ``imaging.scope.outside``, ``imaging.scope.unusual`` or
        ``imaging.scope.not_checked``. With CANNOT_JUDGE by scope or on a blank plate no detection may be reported.
    """
    added = _scope_warnings(scope_score)
    codes = {warning.partition(":")[0] for warning in warnings}
    if max_score is None or "imaging.scope.outside" in added or codes & VOID:
        return FractureCall.CANNOT_JUDGE, added
    sensitive, specific = points
    if max_score >= max(specific.threshold, sensitive.threshold):
        return FractureCall.DEFINITE, added
    if max_score >= sensitive.threshold:
        return FractureCall.SUSPECTED, added
    return (FractureCall.CANNOT_JUDGE if codes & UNFIT else FractureCall.NOT_SEEN), added


def _scope_warnings(scope_score: float | None) -> tuple[str, ...]:
    if scope_score is None:
        return ("imaging.scope.not_checked",)
    if scope_score < SCOPE_REFUSAL:
        return ("imaging.scope.outside",)
    return ("imaging.scope.unusual",) if scope_score < SCOPE_CAUTION else ()
