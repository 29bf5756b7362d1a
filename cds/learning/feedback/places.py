"""Boxes on a radiograph: when two are one place, and one box from several readers'."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cds.store.feedback import Box
from fusion.context import FractureType

SAME_PLACE: Final = 0.1
"""Boxes that share less than this part of their union are taken as two places; readers draw them very differently."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A place that a reader, or all of them, hold to be fractured."""

    box: Box
    """(x0, y0, x1, y1) in pixels of the radiograph as read."""
    fracture_type: FractureType | None = None
    drawn: bool
    """False for a box of the machine's that readers agreed with and nobody drew anew."""


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Shared area of two boxes (x0, y0, x1, y1) as a part of their union, 0..1."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    if wide <= 0 or high <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return wide * high / (sum(areas) - wide * high)


def meets(box: Box, places: Iterable[Place]) -> bool:
    """Whether a box lies on one of the places."""
    return any(overlap(box, one.box) >= SAME_PLACE for one in places)


def paired(reference: Sequence[Place], others: Sequence[Place]) -> tuple[tuple[int, int], ...] | None:
    """Each of the other places with its place of the reference.

    The pairs that share most are made first, so that the order of the places does not matter.

    Returns:
        Pairs (index in `reference`, index in `others`); None when one of `others` has no place of its own there.
    """
    ranked = sorted(
        (
            (-overlap(one.box, other.box), one.box, other.box, here, there)
            for here, one in enumerate(reference)
            for there, other in enumerate(others)
        )
    )
    pairs: list[tuple[int, int]] = []
    for shared, _, _, here, there in ranked:
        free = all(here != one and there != other for one, other in pairs)
        if free and -shared >= SAME_PLACE:
            pairs.append((here, there))
    return tuple(sorted(pairs)) if len(pairs) == len(others) else None


def joined(members: Sequence[Place]) -> Place:
    """One place from several readers' boxes: the mean of those that were drawn, else of those agreed with.

    The pattern is the one that somebody stated; None where two differ.
    """
    drawn = any(one.drawn for one in members)
    boxes = [one.box for one in members if one.drawn == drawn]
    x0, y0, x1, y1 = (round(math.fsum(box[side] for box in boxes) / len(boxes), 2) for side in range(4))
    types = types_of(members)
    return Place(box=(x0, y0, x1, y1), fracture_type=next(iter(types)) if len(types) == 1 else None, drawn=drawn)


def types_of(places: Iterable[Place]) -> frozenset[FractureType]:
    """Every pattern that was stated of one of the places."""
    return frozenset(one.fracture_type for one in places if one.fracture_type is not None)
