"""Distributions of the week of union, and how well one foretold what was seen.

A forecast is a mixture of log-normal weeks, and a share that never unites. The score is the logarithm of the
probability (or density) it gave to what was recorded: the week of union, the two checks union fell between, or union
not yet seen by a week. It is proper for such data while looking ended for reasons other than healing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST = 1e-9
"""No outcome is given less, so that one row cannot decide a comparison."""
_ROOT_TWO = math.sqrt(2.0)
_ROOT_TWO_PI = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True, slots=True)
class Part:
    """One log-normal distribution of a mixture."""

    weight: float
    """Share of those that unite, 0..1; the parts of a forecast add up to 1."""
    mu: float
    """Mean of the natural logarithm of the weeks."""
    sigma: float
    """Standard deviation of that logarithm, above 0."""

    def cdf(self, weeks: float) -> float:
        """Probability of union by a week, 0 or later."""
        if weeks <= 0:
            return 0.0
        return 0.5 * math.erfc(-(math.log(weeks) - self.mu) / (self.sigma * _ROOT_TWO))

    def density(self, weeks: float) -> float:
        """Density per week, at a week above 0."""
        away = (math.log(weeks) - self.mu) / self.sigma
        return math.exp(-0.5 * away * away) / (weeks * self.sigma * _ROOT_TWO_PI)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What was foretold for one fracture."""

    parts: tuple[Part, ...]
    never: float = 0.0
    """Share that never unites, 0..1 exclusive of 1."""
    base_log_median: float = 0.0
    """Logarithm of the median weeks of the site and age before any factor; where the model starts."""

    def cdf(self, weeks: float) -> float:
        """Probability of union by a week among those that unite."""
        return sum(part.weight * part.cdf(weeks) for part in self.parts)

    def score(self, lower: float, upper: float) -> float:
        """Log score of one outcome; higher is better.

        Args:
            lower: week at which it was not united, at least 0; the week of union where it equals `upper`.
            upper: week by which it was united; infinity where union was not seen.
        """
        if math.isinf(upper):
            found = self.never + (1.0 - self.never) * (1.0 - self.cdf(lower))
        elif lower == upper:
            found = (1.0 - self.never) * sum(part.weight * part.density(lower) for part in self.parts)
        else:
            found = (1.0 - self.never) * (self.cdf(upper) - self.cdf(lower))
        return math.log(max(found, _LEAST))

    def quantile(self, probability: float) -> float:
        """The week by which a share of those that unite has united.

        Args:
            probability: 0..1, exclusive.
        """
        low = min(math.exp(part.mu - 8 * part.sigma) for part in self.parts)
        high = max(math.exp(part.mu + 8 * part.sigma) for part in self.parts)
        for _ in range(60):
            middle = math.sqrt(low * high)
            low, high = (middle, high) if self.cdf(middle) < probability else (low, middle)
        return math.sqrt(low * high)


def mean_score(forecasts: Sequence[Forecast], lower: Sequence[float], upper: Sequence[float]) -> float:
    """Mean log score over some outcomes."""
    scores = [one.score(low, high) for one, low, high in zip(forecasts, lower, upper, strict=True)]
    return sum(scores) / len(scores)
