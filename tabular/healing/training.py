"""Fits a site's own model of healing times and decides, group of bones by group, whether it may speak.

Every fracture is foretold by trees, level and spread that had not seen it (cross-fitting within cross-fitting), and so
compared with the published figures. A group of bones is blended only when it has `LEAST_EVENTS` unions and the lower
end of the paired interval of the gain in log score lies above 0; that end allows for the number of groups looked at.
The weight is ``events / (events + HALF_WEIGHT_EVENTS)``. The log score of a mixture is at least the mixture of the log
scores, so a mixture with a model that wins wins too.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabular.healing.boosting import FEATURES, SLOWER, Spread, fit, fit_spread, held_out, learned_forecast, log_weeks
from tabular.healing.boosting import folds as split
from tabular.healing.comparison import compare
from tabular.healing.errors import OutcomesError
from tabular.healing.forecasts import Forecast
from tabular.healing.outcomes import HealingRow, Outcomes
from tabular.model import sha256_of
from tabular.results import HealingComparison

SCHEMA = "fracture-cds.healing/1"
NAME = "fracture-healing-site"
BOOSTER_FILE = "healing.json"
MANIFEST_FILE = "manifest.json"
LEAST_EVENTS = 40
"""Unions that a group of bones needs before it is judged at all."""
HALF_WEIGHT_EVENTS = 60
"""Unions at which model and published figures weigh alike; as ``healing.method.learned_blend`` states."""
OUTER_FOLDS = 5
INNER_FOLDS = 3
ERROR = 0.05
"""Chance, over all groups together, that a model no better than the figures is let in; one-sided."""
LIMITS = (
    "Fitted to the recorded outcomes of one site and compared on them alone: no public data hold healing times of"
    " single patients, so nothing outside this site could check it.",
    "An association of what was recorded with the time to union; not what a treatment or giving up smoking brings.",
    "Looking must have ended for reasons other than healing; a table of complicated fractures teaches their times.",
    "The share that never unites is that of the published figures, for the model and for them alike.",
)

Forecaster = Callable[[HealingRow], Forecast]
"""The published forecast of a fracture; it comes from outside, since this branch knows no clinical rule."""


def train(
    table: Outcomes, forecaster: Forecaster, out: Path, *, seed: int = 20260101, progress: Callable[[str], None] = print
) -> dict[str, Any]:
    """Fit, compare, decide and write ``healing.json`` and ``manifest.json``.

    Args:
        table: the recorded outcomes.
        forecaster: the published forecast.
        out: folder to write to; made if it is not there.
        seed: of every random choice; the same table and seed give the same files.
        progress: takes a line about each step.

    Returns:
        The manifest.

    Raises:
        OutcomesError: fewer than `LEAST_EVENTS` fractures of the table were seen to unite.
    """
    if sum(table.united) < LEAST_EVENTS:
        raise OutcomesError(
            f"fewer than {LEAST_EVENTS} fractures of the table were seen to unite",
            remedy="Record more outcomes; until then the published figures stand alone.",
            code="healing.outcomes.too_few",
        )
    rules = [forecaster(row) for row in table.rows]
    starts = [one.base_log_median for one in rules]
    progress("cross-fitting")
    learned = _cross_fitted(table, rules, starts, seed)
    progress("comparing with the published figures")
    groups = judge(table, learned, rules, seed=seed)
    progress("fitting on every row")
    everyone = range(len(table.rows))
    booster = fit(table, starts, everyone, seed=seed)
    unseen = held_out(table, starts, everyone, OUTER_FOLDS, seed=seed)
    spread = fit_spread([unseen[n] for n in everyone], [one.never for one in rules], table.lower, table.upper)
    out.mkdir(parents=True, exist_ok=True)
    booster.save_model(out / BOOSTER_FILE)
    manifest = _manifest(table, groups, spread, sha256_of(out / BOOSTER_FILE), seed)
    (out / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return manifest


def _cross_fitted(
    table: Outcomes, rules: Sequence[Forecast], starts: Sequence[float], seed: int
) -> dict[int, Forecast]:
    found: dict[int, Forecast] = {}
    parts = split(table, range(len(table.rows)), OUTER_FOLDS, seed=seed)
    for fold in parts:
        rest = [n for part in parts if part is not fold for n in part]
        unseen = held_out(table, starts, rest, INNER_FOLDS, seed=seed)
        spread = fit_spread(
            [unseen[n] for n in rest],
            [rules[n].never for n in rest],
            [table.lower[n] for n in rest],
            [table.upper[n] for n in rest],
        )
        booster = fit(table, starts, rest, seed=seed)
        values = log_weeks(booster, [table.rows[n] for n in fold], [starts[n] for n in fold])
        for n, value in zip(fold, values, strict=True):
            found[n] = learned_forecast(value, spread, rules[n].never)
    return found


def judge(
    table: Outcomes, learned: dict[int, Forecast], rules: Sequence[Forecast], *, seed: int
) -> dict[str, dict[str, Any]]:
    """Cases, events, weight and comparison of every group of bones in the table."""
    members: dict[str, list[int]] = {}
    for n, row in enumerate(table.rows):
        members.setdefault(row.group, []).append(n)
    events = {group: sum(table.united[n] for n in chosen) for group, chosen in members.items()}
    judged = [group for group in members if events[group] >= LEAST_EVENTS]
    found: dict[str, dict[str, Any]] = {}
    for group, chosen in sorted(members.items()):
        comparison: HealingComparison | None = None
        if group in judged:
            mine, theirs = [learned[n] for n in chosen], [rules[n] for n in chosen]
            tail = ERROR / len(judged)
            comparison = compare(table, chosen, mine, theirs, tail=tail, seed=seed)
        found[group] = {
            "cases": len(chosen),
            "events": events[group],
            "weight": weight(events[group], comparison),
            "comparison": None if comparison is None else asdict(comparison),
        }
    return found


def weight(events: int, comparison: HealingComparison | None) -> float:
    """Share of the model in the mixture, 0..1; 0 unless it was shown to be better."""
    if comparison is None or comparison.score_gain_low <= 0:
        return 0.0
    return events / (events + HALF_WEIGHT_EVENTS)


def _manifest(
    table: Outcomes, groups: dict[str, dict[str, Any]], spread: Spread, digest: str, seed: int
) -> dict[str, Any]:
    ages = [row.age_years for row in table.rows if row.age_years is not None]
    sites: dict[str, int] = {}
    for row in table.rows:
        sites[row.site] = sites.get(row.site, 0) + 1
    return {
        "schema": SCHEMA,
        "name": NAME,
        "model_id": f"{NAME}+{digest[:12]}",
        "file": BOOSTER_FILE,
        "sha256": digest,
        "features": list(FEATURES),
        "never_faster_with": sorted(SLOWER),
        "shift": spread.shift,
        "sigma": spread.sigma,
        "groups": groups,
        "data": {
            "file": table.file,
            "sha256": table.sha256,
            "cases": len(table.rows),
            "united": sum(table.united),
            "between_two_checks": sum(
                math.isfinite(high) and low != high for low, high in zip(table.lower, table.upper, strict=True)
            ),
            "ages": [min(ages), max(ages)] if ages else None,
            "sites": dict(sorted(sites.items())),
        },
        "rule": {
            "least_events": LEAST_EVENTS,
            "half_weight_events": HALF_WEIGHT_EVENTS,
            "one_sided_error_over_all_groups": ERROR,
            "folds": OUTER_FOLDS,
        },
        "seed": seed,
        "limits": list(LIMITS),
    }
