"""Which two bands of bone meet in the box.

From the box's centre, every direction is tried: is there, beyond the box, a band that runs in this direction, brighter
than what lies on both its sides? The two bands that together explain a broken bone best are the fragments.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imaging.geometry.window import Image, Vector, Window

_STEP_DEG: Final = 6.0
_PEAKS: Final = 6
"""Edges looked at per direction and sign."""
_BANDS: Final = 2
"""Kept per direction."""
_MIN_COHERENCE: Final = 0.12
"""An edge must show, on average, this share of a clear edge along its whole length."""
_MIN_WIDTH_PX: Final = 5.0
_MIN_SHELL: Final = 0.45
"""Brightness behind each edge, as a share of the brightest in the band, below which it is no cortex."""
_AIR: Final = 0.1
"""Brightness, between the darkest in the window and the band, up to which both sides may be air."""
_MAX_BEND_DEG: Final = 62.0
_RIVALS: Final = 2
"""Pairs kept for a closer look."""
_RIVAL: Final = 0.5
"""How much worse than the best a pair may look to be kept."""
_SAME_DEG: Final = 12.0
_SLACK: Final = 1.35
"""The box of a detector may be smaller than what it should enclose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A straight band of bone that leaves the box. Window pixels."""

    angle: float
    """Direction away from the box's centre, radians."""
    left: float
    """Offset of the edge at the smaller offset, across the direction (clockwise positive)."""
    right: float
    start: float
    """Distance from the box's centre at which it was looked for."""
    end: float
    contrast: float
    """Grey levels by which the band is brighter than its sides."""
    score: float

    @property
    def width(self) -> float:
        """Across the direction."""
        return self.right - self.left

    @property
    def offset(self) -> float:
        """Of the middle from the box's centre, across the direction."""
        return (self.left + self.right) / 2.0


def clear_edges(values: Image, edge: float, spacing: float) -> Image:
    """Signed change across the columns [..., T, N], -1..1: a half at a clear edge."""
    change = np.zeros_like(values)
    np.subtract(values[..., 2:], values[..., :-2], out=change[..., 1:-1])
    change *= np.float32(0.5 / spacing)
    change /= np.abs(change) + np.float32(edge + 1e-4)
    return change


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two bands that may be the fragments of one bone, and how well they look it."""

    first: Band
    second: Band
    score: float


def find_bands(window: Window) -> tuple[tuple[Pair, ...], Band | None]:
    """The pairs that may be the fragments, the best first, and the best single band."""
    found = [band for profile in _profiles(window) for band in _bands(profile, window.darkest)]
    if not found:
        return (), None
    single = max(found, key=lambda band: band.score)
    together = _together(found)
    order = np.argsort(-together, axis=None)[: 40 * _RIVALS]
    pairs = [
        Pair(first=found[first], second=found[second], score=float(together[first, second]))
        for first, second in zip(*np.unravel_index(order, together.shape), strict=True)
        if together[first, second] >= single.score
    ]
    chosen: list[Pair] = []
    for pair in pairs:
        if pair.score < pairs[0].score - _RIVAL or len(chosen) == _RIVALS:
            break
        if not any(_same(pair, other) for other in chosen):
            chosen.append(pair)
    return tuple(chosen), single


def _same(pair: Pair, other: Pair) -> bool:
    """Whether two pairs follow the same edges."""
    return all(
        any(
            math.degrees(abs(math.remainder(band.angle - rival.angle, 2.0 * math.pi))) < _SAME_DEG
            and max(abs(band.left - rival.left), abs(band.right - rival.right)) < 0.3 * band.width
            for rival in (other.first, other.second)
        )
        for band in (pair.first, pair.second)
    )


def bend_deg(first: float, second: float) -> float:
    """By how much two directions away from a point fail to be opposite, 0..180 degrees."""
    return abs(math.degrees((first - second) % (2.0 * math.pi)) - 180.0)


def _together(bands: Sequence[Band]) -> Image:
    """How well each two bands look like fragments of one bone, [N, N], each pair once: the rest is minus infinity."""
    angle, width, offset, contrast, score = (
        np.asarray(values)
        for values in zip(
            *((band.angle, band.width, band.offset, band.contrast, band.score) for band in bands), strict=True
        )
    )
    bend = np.abs(np.degrees((angle[:, None] - angle[None, :]) % (2.0 * np.pi)) - 180.0)
    ratio = np.abs(np.log(width[:, None] / width[None, :]))
    # The directions are opposite, so offsets on the same side have opposite signs.
    apart = np.abs(offset[:, None] + offset[None, :]) / np.minimum(width[:, None], width[None, :])
    together = score[:, None] + score[None, :] - 0.35 * (bend / 30.0) ** 2
    together -= 1.2 * np.maximum(ratio - 0.12, 0.0) + 0.15 * apart
    together -= 0.5 * np.maximum(np.abs(np.log(contrast[:, None] / contrast[None, :])) - 0.4, 0.0)
    together[(bend > _MAX_BEND_DEG) | np.tri(len(bands), dtype=np.bool_)] = -np.inf
    return np.asarray(together, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """Edges and brightness across one direction. Lists: the parts looked at are too short for arrays to pay."""

    angle: float
    start: float
    end: float
    half_across: float
    reach: float
    first: float
    """Offset of the first place, across the direction; the places are 1 pixel apart."""
    edges: list[float]
    rising: list[int]
    """The clearest edges, the clearest first."""
    falling: list[int]
    level: list[float]
    sums: list[float]
    """Of the levels before each place."""

    def judge(self, left: int, right: int, darkest: float) -> tuple[float, float]:
        """Contrast of a band, and what speaks against a bone, 0 or more; the contrast is 0 for what is none.

        A bone is brighter than both its sides, which are about alike and not air. Right behind its edge lies the
        cortex, as bright as anything in it; behind the skin, in contrast, lies flesh, and the bone comes later.
        """
        size = right - left
        strip, shell = max(size // 4, 3), max(round(0.15 * size), 2)
        sides = self._mean(max(left - strip, 0), left), self._mean(right + 1, min(right + 1 + strip, len(self.level)))
        mean = self._mean(left + 1, right)
        if mean <= max(sides):
            return 0.0, 0.0
        within = self.level[left + 1 : right]
        top = sorted(within)[-max(size // 8, 1)]
        if max(sides) - darkest < _AIR * (top - darkest):
            return 0.0, 0.0
        behind = within[:shell], within[-shell:]
        shells = [(max(part) - side) / max(top - side, 1e-6) for part, side in zip(behind, sides, strict=True)]
        if min(shells) < _MIN_SHELL:
            return 0.0, 0.0
        unlike = abs(sides[0] - sides[1]) / (mean - min(sides))
        # A bone inside the band shows as an edge that rises in its first half or falls in its second.
        reach = max(int(0.55 * size), 4)
        rise, fall = max(self.edges[left + 3 : left + reach]), min(self.edges[right - reach + 1 : right - 2])
        inner = max(rise, -fall, 0.0)
        return mean - (sides[0] + sides[1]) / 2.0, 0.9 * inner + 0.3 * unlike + max(0.75 - min(shells), 0.0)

    def _mean(self, start: int, stop: int) -> float:
        """Of the levels from `start` to before `stop`; infinite for none."""
        return (self.sums[stop] - self.sums[start]) / (stop - start) if stop > start else math.inf


def _bands(profile: _Profile, darkest: float) -> list[Band]:
    """The best bands in one direction."""
    bands: list[Band] = []
    for most, left, right in _candidates(profile):
        # Brightness can only take from what edges and place promise: no later candidate gets among the best.
        if len(bands) == _BANDS and most <= bands[-1].score:
            break
        contrast, lack = profile.judge(left, right, darkest)
        if contrast > 0.0:
            bands.append(Band(angle=profile.angle, left=profile.first + left, right=profile.first + right,
                              start=profile.start, end=profile.end, contrast=contrast, score=most - lack))  # fmt: skip
            bands.sort(key=lambda band: -band.score)
            del bands[_BANDS:]
    return bands


def _candidates(profile: _Profile) -> list[tuple[float, int, int]]:
    """A rising edge left of a falling one, with the score that both and their place would earn; the best first."""
    half_across, found = profile.half_across, []
    narrowest = max(_MIN_WIDTH_PX, 0.3 * half_across)
    for left in profile.rising:
        rise = profile.edges[left]
        for right in profile.falling:
            width, aside = float(right - left), abs(profile.first + (left + right) / 2.0)
            if width < narrowest or aside + width / 2.0 > profile.reach:
                continue
            fall = -profile.edges[right]
            score = rise + fall + min(rise, fall)
            score += 0.45 * min(width / (2.0 * half_across), 1.0)
            score -= 0.25 * aside / half_across
            score -= 2.0 * max((aside + width / 2.0) / half_across - 1.05, 0.0)
            found.append((score, left, right))
    found.sort(key=lambda candidate: -candidate[0])
    return found


def _profiles(window: Window) -> Iterator[_Profile]:
    """Every direction in which enough of the picture lies. All are sampled in one go: that halves the time."""
    angles = [math.radians(step * _STEP_DEG) for step in range(round(360 / _STEP_DEG))]
    half_across = [window.half_across(angle) for angle in angles]
    starts = np.asarray([0.85 * window.exit_distance(angle) for angle in angles])
    length = max(0.65 * window.side, 12.0)
    along = starts[:, None] + np.arange(0.0, length, 1.5)
    firsts = -_SLACK * np.asarray(half_across) - 0.3 * window.side - 2.0
    counts = np.ceil(-2.0 * firsts).astype(np.int64)
    across = firsts[:, None] + np.arange(counts.max())
    values, inside = window.sample_fan(angles, along, across, counts)
    rows = inside.sum(axis=1)
    # The mean of the rows inside, as a product of matrices.
    share = (inside / np.maximum(rows, 1)[:, None]).astype(np.float32)[:, None, :]
    changes = (share @ clear_edges(values, window.edge, 1.0))[:, 0].astype(np.float64)
    levels = (share @ values)[:, 0]
    for index in np.flatnonzero(rows >= 0.6 * along.shape[1]):
        count = int(counts[index])
        change = changes[index, :count]
        change[-1] = 0.0
        edges = np.convolve(change, (0.25, 0.5, 0.25), mode="same")
        level = levels[index, :count]
        yield _Profile(
            angle=angles[index],
            start=float(starts[index]),
            end=float(starts[index]) + length,
            half_across=half_across[index],
            reach=_SLACK * half_across[index],
            first=float(firsts[index]),
            edges=edges.tolist(),
            rising=_peaks(edges),
            falling=_peaks(-edges),
            level=level.tolist(),
            sums=[0.0, *np.cumsum(level, dtype=np.float64).tolist()],
        )


def _peaks(values: Vector) -> list[int]:
    """The strongest local maxima."""
    high = np.flatnonzero(values[1:-1] > _MIN_COHERENCE) + 1
    heights = values.take(high)
    top = (heights >= values.take(high - 1)) & (heights > values.take(high + 1))
    places = high[top]
    found: list[int] = places[np.argsort(-heights[top])][:_PEAKS].tolist()
    return found
