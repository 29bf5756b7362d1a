"""Re-anchoring: the same ranking and the same reasons, moved to the mean risk of another population.

Ten-year fracture probabilities differ between countries by a factor of two and more. A table of a population's mean
probability by sex and age, from its own register, moves the model there: for each entry of the table one shift of the
log-odds is found with which the survey's people of that sex and age would have, on average, the stated probability.
The shift is added to the base, so the contributions still add up; interval ends move alike; cited relative risks act
afterwards, as before. Where the table says nothing, nothing is moved, and a warning says so.

The file is JSON::

    {"schema": "fracture-cds.risk-anchor/1",
     "name": "county register 2024",
     "source": "where the figures were published",
     "outcomes": {
       "major_osteoporotic": [
         {"sex": "female", "age_from": 50, "age_to": 59, "mean_probability": 0.045},
         {"sex": "female", "age_from": 60, "age_to": null, "mean_probability": 0.14}],
       "hip": 0.021}}

An outcome holds either entries or one number, the mean of everyone of 40 years or more *in a population with the age
and sex structure of the US survey*. An outcome left out stays as it is. Ages run in bands of five years from 40 (40, 45
... 80): ``age_from`` is the first year of a band, ``age_to`` the last year of one, or null for no upper end. An entry
without ``sex`` speaks for both. Between entries the probability steps: entries of five years step least.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tabular.errors import AnchorError
from tabular.features import RiskFeatures
from tabular.formula import HEADS, FloatArray, probability
from tabular.reference import BAND_YEARS, BANDS, OLDEST_BAND, YOUNGEST_BAND, ReferencePopulation, band_of

SCHEMA = "fracture-cds.risk-anchor/1"
_SMALLEST, _LARGEST = 1e-5, 0.9
_WIDEST_SHIFT = 4.0
"""Log-odds; a shift beyond it, a factor of 50, is a mistake of unit rather than another population."""
_HALVINGS = 60
_LARGEST_FILE_BYTES = 1_000_000

Cell = tuple[bool, int]
"""Female, and the first year of a five-year age band."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskTarget:
    """A stated mean probability of one outcome in a group of a population."""

    outcome: str
    cells: tuple[Cell, ...]
    mean_probability: float
    """0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskAnchor:
    """Shifts of the log-odds that bring the model to a stated population's mean risk."""

    name: str
    source: str
    shifts: Mapping[str, Mapping[Cell, float]]
    """By outcome and cell: log-odds to add."""
    shares: Mapping[Cell, float]
    """Share of the survey's population in each cell; weighs both sexes when a person's sex is not known."""

    @property
    def label(self) -> str:
        """Name and source in one line."""
        return f"{self.name} ({self.source})"

    def shift(self, outcome: str, *, age_years: float, female: bool | None) -> float | None:
        """Log-odds to add for one person.

        Args:
            outcome: ``major_osteoporotic`` or ``hip``.
            age_years: Age, 40 or more.
            female: None when the sex is not known: then the average of both, if both are in the table.

        Returns:
            None where the table says nothing.
        """
        cells, band = self.shifts.get(outcome, {}), band_of(age_years)
        if female is not None:
            return cells.get((female, band))
        both = [cells.get((sex, band)) for sex in (True, False)]
        if both[0] is None or both[1] is None:
            return None
        women, men = (self.shares[sex, band] for sex in (True, False))
        return (women * both[0] + men * both[1]) / (women + men)

    def shift_for(self, person: RiskFeatures, outcome: str) -> float | None:
        """`shift` of a person whose age is known."""
        if person.age_years is None:
            return None
        return self.shift(outcome, age_years=person.age_years, female=person.female)

    def warnings(self, person: RiskFeatures) -> tuple[str, ...]:
        """What the reader is told of each outcome: that it was moved, or that the table does not reach the person."""
        moved = {outcome: self.shift_for(person, outcome) is not None for outcome in self.shifts}
        return tuple(
            f"risk.anchor.applied:{outcome}" if done else f"risk.anchor.not_covered:{outcome}"
            for outcome, done in moved.items()
        )


def read_anchor(path: Path, reference: ReferencePopulation | None) -> RiskAnchor:
    """Read a table of a population's risk and find the shifts.

    Args:
        path: JSON file; see the module's docstring.
        reference: The model's risk in the survey's population; None for model folders that do not hold it.

    Raises:
        AnchorError: The file cannot be read (``risk.anchor.unreadable``), is not of the form described
            (``risk.anchor.invalid``), states what no shift can meet (``risk.anchor.out_of_reach``), or the model folder
            has no reference population (``risk.anchor.no_reference``).
    """
    if reference is None:
        raise AnchorError("the model folder holds no reference population", code="risk.anchor.no_reference")
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise AnchorError("the file is too large", code="risk.anchor.unreadable")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AnchorError("the file cannot be read as JSON", code="risk.anchor.unreadable") from error
    return make_anchor(content, reference)


def make_anchor(content: object, reference: ReferencePopulation) -> RiskAnchor:
    """`read_anchor` for content already read.

    Raises:
        AnchorError: As `read_anchor`.
    """
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise AnchorError(f"its schema is not {SCHEMA}")
    name, source, outcomes = (content.get(key) for key in ("name", "source", "outcomes"))
    if not isinstance(name, str) or not name.strip() or not isinstance(source, str) or not source.strip():
        raise AnchorError("it needs a name and a source")
    if not isinstance(outcomes, dict) or not outcomes or not set(outcomes) <= set(HEADS):
        raise AnchorError(f"its outcomes are not among {' and '.join(HEADS)}")
    shifts: dict[str, dict[Cell, float]] = {}
    for outcome, stated in outcomes.items():
        shifts[outcome] = {}
        for target in _targets(outcome, stated):
            if any(cell in shifts[outcome] for cell in target.cells):
                raise AnchorError(f"entries of {outcome} overlap")
            shifts[outcome] |= dict.fromkeys(target.cells, _find_shift(target, reference))
    return RiskAnchor(name=name.strip(), source=source.strip(), shifts=shifts, shares=reference.shares)


def _targets(outcome: str, stated: object) -> list[RiskTarget]:
    if isinstance(stated, list) and stated:
        return [_target(outcome, entry) for entry in stated]
    if isinstance(stated, list):
        raise AnchorError(f"{outcome} holds no entry")
    return [_target(outcome, {"mean_probability": stated})]


def _target(outcome: str, entry: Any) -> RiskTarget:
    known = {"sex", "age_from", "age_to", "mean_probability"}
    if not isinstance(entry, dict) or not set(entry) <= known:
        raise AnchorError(f"an entry of {outcome} has other keys than {', '.join(sorted(known))}")
    mean = entry.get("mean_probability")
    if isinstance(mean, bool) or not isinstance(mean, int | float) or not _SMALLEST <= mean <= _LARGEST:
        raise AnchorError(f"a mean probability of {outcome} is not a number from {_SMALLEST} to {_LARGEST}")
    sex = entry.get("sex")
    if sex not in (None, "female", "male"):
        raise AnchorError(f"the sex of an entry of {outcome} is neither female nor male")
    first, last = entry.get("age_from"), entry.get("age_to")
    first = YOUNGEST_BAND if first is None else first
    last = None if last is None or last == OLDEST_BAND + BAND_YEARS - 1 else last
    if isinstance(first, bool) or first not in BANDS:
        raise AnchorError(f"age_from of an entry of {outcome} is not one of {', '.join(map(str, BANDS))}")
    ends = [band + BAND_YEARS - 1 for band in BANDS[:-1]]
    if last is not None and (isinstance(last, bool) or last not in ends or last < first):
        raise AnchorError(f"age_to of an entry of {outcome} is not the last year of a band from its age_from on")
    bands = [band for band in BANDS if band >= first and (last is None or band <= last)]
    sexes = (True, False) if sex is None else (sex == "female",)
    return RiskTarget(
        outcome=outcome, cells=tuple((each, band) for each in sexes for band in bands), mean_probability=float(mean)
    )


def _find_shift(target: RiskTarget, reference: ReferencePopulation) -> float:
    """The shift with which the group's mean is the stated one, by bisection."""
    groups = reference.margins[target.outcome]
    cells = [cell for cell in target.cells if cell in groups]
    if not cells:
        raise AnchorError(f"the survey has nobody in a group of {target.outcome}", code="risk.anchor.out_of_reach")
    points: FloatArray = np.concatenate([np.asarray(groups[cell]) for cell in cells])
    weights = np.concatenate([np.full(len(groups[cell]), reference.shares[cell] / len(groups[cell])) for cell in cells])
    weights = weights / weights.sum()
    low, high = -_WIDEST_SHIFT, _WIDEST_SHIFT
    if not weights @ probability(points + low) <= target.mean_probability <= weights @ probability(points + high):
        raise AnchorError(
            f"a mean probability of {target.outcome} is more than fifty times from the model's; is it a percentage?",
            code="risk.anchor.out_of_reach",
        )
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if weights @ probability(points + middle) < target.mean_probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def mean_risk(reference: ReferencePopulation, outcome: str, anchor: RiskAnchor | None = None) -> float:
    """Mean probability of the survey's people of 40 or more, moved by an anchor or not, 0..1."""
    total = 0.0
    for (female, band), points in reference.margins[outcome].items():
        shift = anchor.shift(outcome, age_years=float(band), female=female) if anchor is not None else None
        total += reference.shares[female, band] * float(probability(np.asarray(points) + (shift or 0.0)).mean())
    return total / math.fsum(reference.shares[cell] for cell in reference.margins[outcome])
