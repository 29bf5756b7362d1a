"""What a model of healing times foretold of recorded outcomes; without a model the published figures answer."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cds.errors import InputError
from cds.learning.model_kinds import sha256_of_file
from cds.learning.retraining.cases import OUTCOMES_TABLE
from cds.learning.scored import Answer, Scored
from cds.learning.subgroups import NOT_STATED, age_band

if TYPE_CHECKING:  # at run time they load xgboost
    from tabular.healing.engine import HealingModel
    from tabular.healing.forecasts import Forecast
    from tabular.healing.outcomes import HealingRow

PUBLISHED: Final = "published figures"
"""Stands for the model where a site has none of its own."""
SHOWN: Final = (0.1, 0.9)
"""Quantiles of the interval that is shown."""


def outcome_table(data: Path) -> Path:
    """The table of a locked set: the file itself, or that of a feedback export.

    Raises:
        InputError: there is none.
    """
    table = data / OUTCOMES_TABLE if data.is_dir() else data
    if not table.is_file():
        raise InputError(
            "The locked set of a healing model is a table of recorded outcomes, or a feedback export that holds one.",
            remedy="Give a CSV or Parquet file in the layout of `cds train healing --outcomes`.",
        )
    return table


def score_healing(folder: Path | None, data: Path) -> Scored:
    """A model on recorded outcomes, none of which it was fitted to.

    The target is the logarithm of the weeks to union, the middle of two checks where it fell between them; fractures
    that were not seen to unite have none and count in the log score, which is proper for such data.

    Args:
        folder: the model; None for the published figures alone.
        data: see `outcome_table`.

    Raises:
        InputError: there is no table.
        TabularError: the table or the model cannot be used.
    """
    from cds.healing_outcomes import forecast_of_row
    from tabular.healing.engine import HealingModel
    from tabular.healing.outcomes import read_outcomes

    table = outcome_table(data)
    outcomes = read_outcomes(table)
    model = None if folder is None else HealingModel.load(folder)
    whole = sha256_of_file(table)
    cases = case_digests(data, len(outcomes.rows))
    answers = tuple(
        _answer(n, row, _blended(model, row, forecast_of_row(row)), low, high, digests=(whole, *cases[n]))
        for n, (row, low, high) in enumerate(zip(outcomes.rows, outcomes.lower, outcomes.upper, strict=True))
    )
    return Scored(model_id=PUBLISHED if model is None else model.model_id, answers=answers, data_name=data.name)


def case_digests(data: Path, n: int) -> Sequence[tuple[str, ...]]:
    """Of each row the digest of its case's pseudonym, where an export tells it; see `digest_of_case`."""
    from cds.learning.retraining.healing import cases_of

    found = cases_of(data, n) if data.is_dir() else [None] * n
    return [() if one is None else (digest_of_case(one),) for one in found]


def cases_learned(candidate: Path) -> frozenset[str]:
    """Digests of the cases that a candidate was fitted to, from its work folder; empty where that is gone."""
    from cds.learning.retraining.healing import CASES_NAME, WORK_NAME

    try:
        found = json.loads((candidate / WORK_NAME / CASES_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(digest_of_case(one) for one in found if isinstance(one, str))


def digest_of_case(pseudonym: str) -> str:
    """SHA-256 of a pseudonym with its key's fingerprint: to compare two lists within one run, and not to be kept."""
    return hashlib.sha256(f"case:{pseudonym}".encode()).hexdigest()


def _blended(model: "HealingModel | None", row: "HealingRow", rules: "Forecast") -> "Forecast":
    """The mixture that the report shows: the model's share is that of its group of bones."""
    from tabular.healing.forecasts import Forecast, Part

    learned = None if model is None else model.estimate(row, rules.base_log_median)
    if learned is None or learned.log_median is None or learned.log_sigma is None:
        return rules
    kept = (Part((1 - learned.weight) * one.weight, one.mu, one.sigma) for one in rules.parts)
    own = Part(learned.weight, learned.log_median, learned.log_sigma)
    return Forecast(parts=(*kept, own), never=rules.never, base_log_median=rules.base_log_median)


def _answer(
    n: int, row: "HealingRow", forecast: "Forecast", low: float, high: float, *, digests: tuple[str, ...]
) -> Answer:
    united = math.isfinite(high)
    week = (low + high) / 2
    begin, end = (forecast.quantile(share) for share in SHOWN)
    return Answer(
        id=str(n),
        group=f"row{n}",
        target=math.log(week) if united else None,
        estimate=math.log(forecast.quantile(0.5)),
        log_score=forecast.score(low, high),
        inside=begin <= week <= end if united else None,
        subgroups=_subgroups(row),
        digests=digests,
    )


def _subgroups(row: "HealingRow") -> Mapping[str, str]:
    def word(flag: bool | None, yes: str = "yes", no: str = "no") -> str:
        return NOT_STATED if flag is None else yes if flag else no

    return {
        "bones": row.group,
        "sex": word(row.female, "female", "male"),
        "age_band": NOT_STATED if row.age_years is None else age_band(row.age_years),
        "smoking": word(row.smoking),
        "diabetes": word(row.diabetes),
        "treatment": word(row.operated, "operative", "conservative"),
    }
