"""What the gate concluded, as data that a report prints and a machine keeps."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

SCHEMA: Final = "fracture-cds.gate/1"


class Standing(StrEnum):
    """How a metric of the candidate stands."""

    HELD = "held"
    """The lower bound lies above the margin."""
    NOT_SHOWN = "not_shown"
    """It does not, but the estimate does: this set cannot rule a loss beyond the margin out."""
    FELL = "fell"
    """The estimate itself lies beyond the margin."""
    MISSING = "missing"
    """The current model gives this metric and the candidate does not."""
    UNTOLD = "untold"
    """A margin is set, but this locked set cannot tell: it holds no positives, for instance."""
    SHOWN_ONLY = "shown_only"
    """No margin is set for it, or the subgroup is too small to judge by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One metric of both models."""

    metric: str
    current: float
    candidate: float
    gain: float
    """Positive where the candidate is better, whichever way the metric runs."""
    low: float
    """One-sided lower bound of the gain, at the level of the margins."""
    high: float
    """One-sided upper bound."""
    margin: float | None
    """Largest loss that is put up with; None: not judged."""
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class SubgroupResult:
    """The metrics of one subgroup."""

    column: str
    value: str
    n: int
    n_positive: int | None
    """None where the set has no yes-or-no truth."""
    judged: bool
    """Whether it is large enough."""
    differences: tuple[Difference, ...]
    harmed: tuple[str, ...] = ()
    """Metrics in which harm is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationCheck:
    """The candidate's calibration slope; 1 is perfect."""

    current: float
    candidate: float
    low: float
    high: float
    allowed_low: float
    allowed_high: float
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Promoted or refused, with all it rests on."""

    kind: str
    current_id: str
    candidate_id: str
    promoted: bool
    reasons: tuple[str, ...]
    """Why it is refused, one sentence each; empty when promoted."""
    notes: tuple[str, ...]
    """What a reader should bear in mind."""
    n: int
    n_positive: int | None
    n_groups: int
    differences: tuple[Difference, ...]
    subgroups: tuple[SubgroupResult, ...]
    calibration: CalibrationCheck | None
    """None where the models give no probabilities."""
    shared_items: int | None
    """Items of the locked set among the candidate's training data; None: not known."""
    confidence: float
    """Of each one-sided bound."""
    rounds: int
    seed: int
    data_sha256: str
    data_name: str
    looks: int | None = None
    """How often this locked set was used to decide, this time included; None where nobody counts."""

    def as_document(self) -> dict[str, Any]:
        """Plain content for JSON."""
        return {"schema": SCHEMA, **asdict(self)}


def verdict_of(document: Mapping[str, Any]) -> Verdict:
    """The verdict of `Verdict.as_document`, also after a way through JSON.

    Raises:
        KeyError, TypeError, ValueError: it is no such document.
    """
    fields = {name: value for name, value in document.items() if name != "schema"}
    check = fields.pop("calibration")
    subgroups = tuple(
        SubgroupResult(
            **{
                **one,
                "differences": tuple(_difference(each) for each in one["differences"]),
                "harmed": tuple(one["harmed"]),
            }
        )
        for one in fields.pop("subgroups")
    )
    return Verdict(
        **{
            **fields,
            "reasons": tuple(fields["reasons"]),
            "notes": tuple(fields["notes"]),
            "differences": tuple(_difference(one) for one in fields["differences"]),
        },
        subgroups=subgroups,
        calibration=None if check is None else CalibrationCheck(**check),
    )


def _difference(document: Mapping[str, Any]) -> Difference:
    return Difference(**{**document, "standing": Standing(document["standing"])})
