"""Boosted trees of log weeks (XGBoost ``survival:aft``), monotone where medicine says so, and their spread.

The trees start at the published median of site and age (`Forecast.base_log_median`) and learn what this site adds to
it; with nothing to learn they stay there. Rows may be interval-censored. What the trees cannot know, the level and the
spread of the logarithm of the weeks, is fitted afterwards by maximum likelihood on rows the trees had not seen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from tabular.healing.forecasts import Forecast, Part, mean_score
from tabular.healing.outcomes import FLAGS, PATTERNS, SITE_GROUPS, HealingRow, Outcomes

FEATURES: tuple[str, ...] = (
    "age_years",
    "female",
    *FLAGS,
    "operated",
    *(f"site_{name}" for name in SITE_GROUPS),
    *(f"pattern_{name}" for name in PATTERNS),
)
SLOWER = frozenset({"diabetes", "smoking", "osteoporosis", "open", "comminuted"})
"""These never shorten the time; an NSAID is left free, since its sources disagree."""
ROUNDS = 60
HIDDEN_SHARE = 0.4
"""Of the second copy of the rows, the share of answers that is hidden from the trees."""
_PARAMETERS: dict[str, object] = {
    "objective": "survival:aft",
    "eval_metric": "aft-nloglik",
    "aft_loss_distribution": "normal",
    "aft_loss_distribution_scale": 0.5,
    "tree_method": "hist",
    "max_depth": 3,
    "eta": 0.1,
    "lambda": 5.0,
    "min_child_weight": 4.0,
    "nthread": 1,
    "monotone_constraints": "(" + ",".join("1" if name in SLOWER else "0" for name in FEATURES) + ")",
}
_SIGMAS = tuple(0.08 * 1.15**step for step in range(21))
"""Spreads that are tried, 0.08 to 1.3 on the log scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What is fitted beside the trees."""

    shift: float
    """Added to the trees' log weeks."""
    sigma: float
    """Standard deviation of the log weeks around them."""


def matrix(rows: Sequence[HealingRow]) -> NDArray[np.float32]:
    """[N, features] in the order of `FEATURES`; NaN for what is not known."""
    return np.array([[_value(row, name) for name in FEATURES] for row in rows], dtype=np.float32)


def _value(row: HealingRow, name: str) -> float:
    if name.startswith("site_"):
        return float(row.site == name.removeprefix("site_"))
    if name.startswith("pattern_"):
        return math.nan if row.pattern is None else float(row.pattern == name.removeprefix("pattern_"))
    found = getattr(row, name)
    return math.nan if found is None else float(found)


def fit(table: Outcomes, starts: Sequence[float], chosen: Sequence[int], *, seed: int) -> xgb.Booster:
    """Trees for some rows.

    Args:
        table: all outcomes.
        starts: the published log median of every row.
        chosen: places of the rows to learn from.
        seed: of every random choice.
    """
    known = matrix([table.rows[n] for n in chosen])
    both = np.concatenate([known, _hidden(known, seed)])
    data = xgb.DMatrix(both, feature_names=list(FEATURES), weight=np.full(len(both), 0.5))
    data.set_float_info("label_lower_bound", np.array([max(table.lower[n], 1e-3) for n in chosen] * 2))
    data.set_float_info("label_upper_bound", np.array([table.upper[n] for n in chosen] * 2))
    data.set_base_margin(np.array([starts[n] for n in chosen] * 2))
    return xgb.train({**_PARAMETERS, "seed": seed}, data, num_boost_round=ROUNDS)


def _hidden(known: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The same rows with some answers taken away, so that an unknown one means the average and no arbitrary branch.

    Args:
        known: [N, features].
        seed: of what is hidden.
    """
    hidden = known.copy()
    chance = np.random.RandomState(seed)
    patterns = [place for place, name in enumerate(FEATURES) if name.startswith("pattern_")]
    single = [[place] for place, name in enumerate(FEATURES) if not name.startswith(("pattern_", "site_"))]
    for columns in (*single, patterns):
        away = chance.uniform(size=len(known)) < HIDDEN_SHARE
        for column in columns:
            hidden[away, column] = np.nan
    return hidden


def log_weeks(booster: xgb.Booster, rows: Sequence[HealingRow], starts: Sequence[float]) -> list[float]:
    """The trees' log weeks, before `Spread`."""
    data = xgb.DMatrix(matrix(rows), feature_names=list(FEATURES))
    data.set_base_margin(np.array(starts))
    return [float(one) for one in booster.predict(data, output_margin=True)]


def learned_forecast(log_median: float, spread: Spread, never: float) -> Forecast:
    """The model's forecast for one row."""
    return Forecast(parts=(Part(1.0, log_median + spread.shift, spread.sigma),), never=never)


def fit_spread(
    predicted: Sequence[float], never: Sequence[float], lower: Sequence[float], upper: Sequence[float]
) -> Spread:
    """Level and spread with the highest likelihood on rows the trees had not seen."""
    best, shift = (-math.inf, Spread(shift=0.0, sigma=0.35)), 0.0
    for _ in range(2):  # the level hardly depends on the spread: twice round is enough
        for sigma in _SIGMAS:
            best = max(best, _scored(predicted, never, lower, upper, shift, sigma), key=lambda one: one[0])
        for step in np.linspace(-0.4, 0.4, 17):
            found = _scored(predicted, never, lower, upper, float(step), best[1].sigma)
            best = max(best, found, key=lambda one: one[0])
        shift = best[1].shift
    return best[1]


def _scored(
    predicted: Sequence[float],
    never: Sequence[float],
    lower: Sequence[float],
    upper: Sequence[float],
    shift: float,
    sigma: float,
) -> tuple[float, Spread]:
    spread = Spread(shift=shift, sigma=sigma)
    forecasts = [learned_forecast(one, spread, share) for one, share in zip(predicted, never, strict=True)]
    return mean_score(forecasts, lower, upper), spread


def folds(table: Outcomes, chosen: Sequence[int], count: int, *, seed: int) -> list[list[int]]:
    """Rows in folds that hold like shares of every group of bones and of unions seen."""
    order = np.random.RandomState(seed).permutation(len(chosen))
    shuffled = sorted(
        (chosen[place] for place in order), key=lambda n: (table.rows[n].group, table.united[n])
    )  # the sort is stable, so the order within stays random
    return [shuffled[start::count] for start in range(count)]


def held_out(
    table: Outcomes, starts: Sequence[float], chosen: Sequence[int], count: int, *, seed: int
) -> dict[int, float]:
    """Log weeks of every chosen row by trees that had not seen it."""
    found: dict[int, float] = {}
    parts = folds(table, chosen, count, seed=seed)
    for fold in parts:
        rest = [n for part in parts if part is not fold for n in part]
        booster = fit(table, starts, rest, seed=seed)
        values = log_weeks(booster, [table.rows[n] for n in fold], [starts[n] for n in fold])
        found.update(zip(fold, values, strict=True))
    return found
