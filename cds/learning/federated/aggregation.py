"""Many updates to one.

Each update is the difference between the weights a hospital sends back and those it was given.

=================  ==================================================================================================
mean               weighted by bounded example counts (FedAvg)
median             coordinate-wise median (Yin et al., ICML 2018)
trimmed-mean       coordinate-wise mean without the share `trim` at each end (same source)
krum               the one update nearest to its neighbours (Blanchard et al., NeurIPS 2017)
=================  ==================================================================================================

Median and trimmed mean survive less than half, respectively less than `trim`, of the hospitals being bad; Krum
survives f of n >= 2 f + 3. None survives a bad majority, and all take honest hospitals with unusual patients for
outliers: with three hospitals of different kinds of patients the mean learns more than they do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cds.learning.federated.errors import UpdateRefusedError
from cds.learning.federated.privacy import clip_factor
from cds.learning.federated.settings import Aggregation, FederationSettings
from cds.learning.federated.wire import Tensors

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One hospital's update as it arrived."""

    hospital: str
    """Name or fingerprint of its key."""
    update: Tensors
    examples: int
    """As the hospital counted them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Combined:
    """The common update and what was done to get it."""

    update: Tensors
    shares: Mapping[str, float]
    """Weight of each hospital, 0..1; equal ones where the rule takes no weights."""
    norms: Mapping[str, float]
    """Euclidean norm of each update before clipping."""
    clipped: tuple[str, ...]
    """Hospitals whose update was scaled down."""


def check_update(update: Tensors, like: Tensors) -> None:
    """Refuse what cannot be an update of these weights.

    Raises:
        UpdateRefusedError: names, shapes or dtypes differ (``shape``), or a value is not finite (``not-finite``).
    """
    if {n: (a.shape, a.dtype) for n, a in update.items()} != {n: (a.shape, a.dtype) for n, a in like.items()}:
        raise UpdateRefusedError("an update does not have the shape of the model", reason="shape")
    if not all(np.isfinite(array).all() for array in update.values()):
        raise UpdateRefusedError("an update holds values that are not finite", reason="not-finite")


def bounded_shares(counts: Mapping[str, int], *, most_examples: int, most_share: float) -> dict[str, float]:
    """Weights from counts that cannot be talked up without end.

    A count above `most_examples` counts as that, and no hospital weighs more than `most_share`, or than one over their
    number where that is larger. The server cannot see the data, so a count within these bounds rests on the hospital's
    own program, which counts the examples that it read and takes no number from anyone.

    Args:
        counts: examples by hospital; none and less count as nothing.
        most_examples: bound on a count.
        most_share: bound on a share, 0..1.

    Returns:
        Shares that sum to 1, or all zeros where nobody has an example.
    """
    held = {name: float(min(max(count, 0), most_examples)) for name, count in counts.items()}
    total = sum(held.values())
    if total <= 0:
        return dict.fromkeys(held, 0.0)
    shares = {name: value / total for name, value in held.items()}
    bound = max(most_share, 1 / sum(value > 0 for value in held.values()))
    capped: set[str] = set()
    while over := {name for name, share in shares.items() if share > bound + 1e-12 and name not in capped}:
        capped |= over
        rest = sum(held[name] for name in held if name not in capped)
        left = 1.0 - bound * len(capped)
        shares = {name: bound if name in capped else (left * held[name] / rest if rest > 0 else 0.0) for name in held}
    return shares


def combine(contributions: Sequence[Contribution], settings: FederationSettings) -> Combined:
    """The common update of checked contributions.

    Args:
        contributions: at least one; of one shape, finite (`check_update`).
        settings: rule, bounds, clipping.

    Raises:
        UpdateRefusedError: too few updates for Krum (``too-few``), or nobody has an example (``no-examples``).
    """
    like = contributions[0].update
    stack = np.stack([flatten(one.update) for one in contributions])
    names = [one.hospital for one in contributions]
    norms = np.linalg.norm(stack, axis=1)
    clipped: tuple[str, ...] = ()
    if settings.clip_norm is not None:
        factors = np.array([clip_factor(float(norm), settings.clip_norm) for norm in norms])
        stack = stack * factors[:, None]
        clipped = tuple(name for name, factor in zip(names, factors, strict=True) if factor < 1)
    shares = bounded_shares(
        {one.hospital: one.examples for one in contributions},
        most_examples=settings.most_examples,
        most_share=settings.most_share,
    )
    if sum(shares.values()) == 0:
        raise UpdateRefusedError("no hospital learnt from any example", reason="no-examples")
    match settings.aggregation:
        case Aggregation.MEAN:
            vector = np.array([shares[name] for name in names]) @ stack
        case Aggregation.MEDIAN:
            vector = np.median(stack, axis=0)
        case Aggregation.TRIMMED_MEAN:
            vector = trimmed_mean(stack, settings.trim)
        case Aggregation.KRUM:
            vector = stack[krum(stack, settings.byzantine)]
    if settings.aggregation is not Aggregation.MEAN:
        shares = dict.fromkeys(names, 1 / len(names))
    return Combined(
        update=unflatten(vector, like),
        shares=shares,
        norms={name: float(norm) for name, norm in zip(names, norms, strict=True)},
        clipped=clipped,
    )


def trimmed_mean(stack: Floats, trim: float) -> Floats:
    """Coordinate-wise mean without the lowest and highest.

    Args:
        stack: one update a row, shape (n, d).
        trim: share cut at each end; at least one row of three or more, and always fewer than half.

    Returns:
        Shape (d,).
    """
    n = len(stack)
    cut = min(max(int(trim * n), 1 if n >= 3 and trim > 0 else 0), (n - 1) // 2)
    ordered = np.sort(stack, axis=0)
    mean: Floats = ordered[cut : n - cut].mean(axis=0)
    return mean


def krum(stack: Floats, byzantine: int) -> int:
    """Row whose n - f - 2 nearest neighbours are nearest.

    Args:
        stack: one update a row, shape (n, d).
        byzantine: f, the bad rows to survive.

    Raises:
        UpdateRefusedError: n < 2 f + 3 (``too-few``).
    """
    n = len(stack)
    if n < 2 * byzantine + 3:
        raise UpdateRefusedError("too few updates for Krum", reason="too-few")
    distances = ((stack[:, None, :] - stack[None, :, :]) ** 2).sum(axis=2) if stack.size < 10**6 else _distances(stack)
    scores = [np.sort(np.delete(row, index))[: n - byzantine - 2].sum() for index, row in enumerate(distances)]
    return int(np.argmin(scores))


def _distances(stack: Floats) -> Floats:
    """Squared distances pair by pair, without an (n, n, d) array."""
    return np.array([[float(((one - other) ** 2).sum()) for other in stack] for one in stack])


def flatten(tensors: Tensors) -> Floats:
    """All values in order, shape (d,)."""
    return np.concatenate([array.astype(np.float64).ravel() for array in tensors.values()] or [np.zeros(0)])


def unflatten(vector: Floats, like: Tensors) -> Tensors:
    """Inverse of `flatten`, with names, shapes and dtypes of `like`."""
    result: Tensors = {}
    start = 0
    for name, array in like.items():
        result[name] = vector[start : start + array.size].reshape(array.shape).astype(array.dtype)
        start += array.size
    return result


def add(weights: Tensors, update: Tensors) -> Tensors:
    """Weights after an update."""
    return {name: (array + update[name]).astype(array.dtype) for name, array in weights.items()}
