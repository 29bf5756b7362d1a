"""Two detectors on the same radiographs: the difference of their figures, resampled together.

What makes one set of radiographs harder than another is in both, so the difference varies less than either figure.
"""

from collections.abc import Sequence

import numpy as np

from imaging.training.metrics import COMPARED, Floats, ImageRecord, Interval, PrecisionTable, area_under_curve


def differences(
    first: Sequence[ImageRecord], second: Sequence[ImageRecord], *, rounds: int = 1000
) -> dict[str, Interval]:
    """Each figure of `COMPARED` of the second less that of the first, with 95 % bootstrap intervals by image.

    Args:
        first: one record per radiograph.
        second: the other detector's, of the same radiographs in the same order.
        rounds: resamples.

    Returns:
        Those figures that the radiographs can give: without a known box no ``map50``, with one class no ``image_auc``.

    Raises:
        ValueError: the records are not of the same radiographs.
    """
    if [record.image_id for record in first] != [record.image_id for record in second]:
        raise ValueError("both detectors must have looked at the same radiographs, in the same order")
    sides = (_Side(first), _Side(second))
    count = len(first)
    rng = np.random.default_rng(0)
    whole = np.subtract(*(side.figures(np.ones(count)) for side in reversed(sides)))
    draws = np.empty((rounds, len(COMPARED)))
    for number in range(rounds):
        counts = np.bincount(rng.integers(0, count, count), minlength=count).astype(np.float64)
        draws[number] = np.subtract(*(side.figures(counts) for side in reversed(sides)))
    result = {}
    for name, value, values in zip(COMPARED, whole, draws.T, strict=True):
        finite = values[np.isfinite(values)]
        if np.isfinite(value) and len(finite):
            low, high = np.percentile(finite, [2.5, 97.5])
            result[name] = Interval(value=float(value), low=min(float(low), value), high=max(float(high), value))
    return result


class _Side:
    """One detector's records, matched once."""

    def __init__(self, records: Sequence[ImageRecord]) -> None:
        self._known = np.array([record.boxes_known for record in records], dtype=bool)
        located = [record for record in records if record.boxes_known]
        self._table = PrecisionTable(located) if located else None
        self._positive = np.array([record.fractured for record in records], dtype=bool)
        self._scores = np.array([record.image_score for record in records])

    def figures(self, counts: Floats) -> Floats:
        """[3] as in `COMPARED` when image i occurs ``counts[i]`` times; NaN where it cannot be told."""
        precisions = np.full(10, np.nan) if self._table is None else self._table.average_precision(counts[self._known])
        drawn = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
        area = area_under_curve(self._positive[drawn], self._scores[drawn])
        return np.array([precisions[0], precisions.mean(), area])
