"""How strange is a case among those before it? Ranks that are uniform on 0..1 while cases are exchangeable.

Conformal p-values (Vovk, Gammerman & Shafer, Algorithmic Learning in a Random World, 2nd edition 2022, chapter 8): the
rank of each value among all values up to it, ties broken at random, is uniform on 0..1 and independent of the ranks
before it, whatever the distribution of the values. No distribution is assumed and none is estimated, so that also a
small reference raises no false alarm; and what is new becomes usual once there is as much of it as of the old.

The random numbers that break ties come from a case's identifier: the same cases always give the same ranks.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BLOCK: Final = 128
"""Values that are ranked in one go."""
Ranks = NDArray[np.float64]


def number_ranks(reference: Sequence[float], values: Sequence[float], ties: Sequence[float]) -> Ranks:
    """Ranks of numbers.

    Args:
        reference: values to begin with, in any order.
        values: [n], in order of time.
        ties: [n], 0..1, one random number per value.

    Returns:
        [n], 0..1: near 1 for a value above all before it, near 0 for one below all.
    """
    known = np.sort(np.asarray(reference, dtype=np.float64))
    series = np.asarray(values, dtype=np.float64)
    breaks = np.asarray(ties, dtype=np.float64)
    ranks = np.empty(len(series))
    for first in range(0, len(series), _BLOCK):
        block = series[first : first + _BLOCK]
        # Among what came before the block, and within the block among what came before the value.
        below = np.searchsorted(known, block, side="left").astype(np.float64)
        same = np.searchsorted(known, block, side="right") - below + 1
        earlier = np.tri(len(block), k=-1, dtype=bool)
        below += ((block[None, :] < block[:, None]) & earlier).sum(axis=1)
        same += ((block[None, :] == block[:, None]) & earlier).sum(axis=1)
        before = len(known) + np.arange(len(block))
        ranks[first : first + len(block)] = (below + breaks[first : first + len(block)] * same) / (before + 1)
        known = np.sort(np.concatenate((known, block)), kind="stable")
    return ranks


def category_ranks(reference: Sequence[str], values: Sequence[str], ties: Sequence[float]) -> Ranks:
    """Ranks of categories by how often each was seen, the value itself included: near 0 for a new or rare one.

    Args:
        reference: values to begin with, in any order.
        values: [n], in order of time.
        ties: [n], 0..1, one random number per value.
    """
    names, codes = np.unique(np.asarray([*reference, *values], dtype=str), return_inverse=True)
    breaks = np.asarray(ties, dtype=np.float64)
    known = np.bincount(codes[: len(reference)], minlength=len(names))
    ranks = np.empty(len(values))
    for first in range(0, len(values), _BLOCK):
        block = codes[len(reference) + first : len(reference) + first + _BLOCK]
        counts = known + np.cumsum(block[:, None] == np.arange(len(names)), axis=0)
        own = counts[np.arange(len(block)), block][:, None]
        rarer, same = (np.where(which, counts, 0).sum(axis=1) for which in (counts < own, counts == own))
        part = slice(first, first + len(block))
        ranks[part] = (rarer + breaks[part] * same) / counts.sum(axis=1)
        known = counts[-1]
    return ranks


def tie_breaker(identifier: str, monitor: str) -> float:
    """A number in 0..1 that looks random and is always the same for a case and a monitor."""
    digest = hashlib.blake2b(f"{monitor}|{identifier}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 0.5) / 2**64
