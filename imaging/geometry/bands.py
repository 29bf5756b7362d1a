"""Which two bands of bone meet in the box.

From the box's centre, every direction is tried: is there, beyond the box, a band that runs in this direction, brighter
than what lies on both its sides? The two bands that together explain a broken bone best are the fragments.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from imaging.geometry.window import Image, Vector, Window

_STEP_DEG: Final = 6.0
_PEAKS: Final = 6
"""Edges looked at per direction and sign."""
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
    """Signed change across the columns, -1..1: a half at a clear edge."""
    change = np.zeros_like(values)
    change[:, 1:-1] = (values[:, 2:] - values[:, :-2]) / np.float32(2.0 * spacing)
    scale = np.float32(edge + 1e-4)
    return np.asarray(change / (np.abs(change) + scale), dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two bands that may be the fragments of one bone, and how well they look it."""

    first: Band
    second: Band
    score: float


def find_bands(window: Window) -> tuple[tuple[Pair, ...], Band | None]:
    """The pairs that may be the fragments, the best first, and the best single band."""
    found = [band for step in range(round(360 / _STEP_DEG)) for band in _bands(window, math.radians(step * _STEP_DEG))]
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


def _bands(window: Window, angle: float) -> list[Band]:
    """The best bands in one direction."""
    half_across = window.half_across(angle)
    start = 0.85 * window.exit_distance(angle)
    length = max(0.65 * window.side, 12.0)
    along = np.arange(start, start + length, 1.5)
    reach = _SLACK * half_across
    across = np.arange(-reach - 0.3 * window.side - 2.0, reach + 0.3 * window.side + 2.0)
    values, inside = window.sample(angle, along, across)
    if int(inside.sum()) < 0.6 * len(along):
        return []
    edges = clear_edges(values[inside], window.edge, 1.0).mean(axis=0)
    edges = np.convolve(edges, (0.25, 0.5, 0.25), mode="same")
    level = values[inside].mean(axis=0)
    rising, falling = _peaks(edges), _peaks(-edges)
    bands = []
    for left in rising:
        for right in falling:
            width = float(across[right] - across[left])
            middle = float(across[right] + across[left]) / 2.0
            if width < max(_MIN_WIDTH_PX, 0.3 * half_across) or abs(middle) + width / 2.0 > reach:
                continue
            contrast, score = _score(edges, level, left, right, window.darkest)
            if contrast <= 0.0:
                continue
            score += 0.45 * min(width / (2.0 * half_across), 1.0)
            score -= 0.25 * abs(middle) / half_across
            score -= 2.0 * max((abs(middle) + width / 2.0) / half_across - 1.05, 0.0)
            bands.append(Band(angle=angle, left=float(across[left]), right=float(across[right]), start=start,
                              end=start + length, contrast=contrast, score=score))  # fmt: skip
    bands.sort(key=lambda band: -band.score)
    return bands[:2]


def _score(edges: Vector, level: Vector, left: int, right: int, darkest: float) -> tuple[float, float]:
    """Contrast, and strength of both edges less what speaks against a bone; the contrast is 0 for what is none.

    A bone is brighter than both its sides, which are about alike and not air. Right behind its edge lies the cortex, as
    bright as anything in it; behind the skin, in contrast, lies flesh, and the bone comes later.
    """
    size = right - left
    strip, shell = max(size // 4, 3), max(round(0.15 * size), 2)
    within = level[left + 1 : right]
    beside = level[max(left - strip, 0) : left], level[right + 1 : right + 1 + strip]
    sides = [float(part.mean()) if len(part) else math.inf for part in beside]
    mean = float(within.mean())
    if mean <= max(sides):
        return 0.0, 0.0
    top = float(np.partition(within, -max(size // 8, 1))[-max(size // 8, 1)])
    if max(sides) - darkest < _AIR * (top - darkest):
        return 0.0, 0.0
    behind = within[:shell], within[-shell:]
    shells = [(float(part.max()) - side) / max(top - side, 1e-6) for part, side in zip(behind, sides, strict=True)]
    if min(shells) < _MIN_SHELL:
        return 0.0, 0.0
    unlike = abs(sides[0] - sides[1]) / (mean - min(sides))
    # A bone inside the band shows as an edge that rises in its first half or falls in its second.
    reach = max(int(0.55 * size), 4)
    inner = max(float(edges[left + 3 : left + reach].max()), float(-edges[right - reach + 1 : right - 2].min()), 0.0)
    strength = float(edges[left] - edges[right]) + min(float(edges[left]), float(-edges[right]))
    score = strength - 0.9 * inner - 0.3 * unlike - 1.0 * max(0.75 - min(shells), 0.0)
    return mean - (sides[0] + sides[1]) / 2.0, score


def _peaks(values: Vector) -> list[int]:
    """The strongest local maxima."""
    inner = (values[1:-1] >= values[:-2]) & (values[1:-1] > values[2:]) & (values[1:-1] > _MIN_COHERENCE)
    places = np.flatnonzero(inner) + 1
    return [int(place) for place in places[np.argsort(-values[places])][:_PEAKS]]
