"""Evidence on the same question, side by side: nothing is averaged here, and disagreement stays visible."""

import math
import re
from dataclasses import dataclass

from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceEntry, Measure

_SOURCE = re.compile(r"[a-z_]*(19|20)\d{2}[a-z]?(_dm)?|pmc\d+")
"""Last part of an identifier that names a source: ``pearson2016``, ``pmc9532312``."""
_VARIANT = re.compile(r"_(alt|curve|trial|series|ct)$")
"""Ending of an identifier that tells further sources of the same figure apart."""
RATIOS = frozenset({Measure.ODDS_RATIO, Measure.RISK_RATIO, Measure.HAZARD_RATIO, Measure.TIME_RATIO})


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """At least two entries that answer one question in one unit."""

    topic: str
    """What their identifiers have in common, for instance ``healing.nonunion.smoking_current``."""
    entries: tuple[EvidenceEntry, ...]
    """In the order of the evidence base."""
    low: float
    """Lowest figure or lower end among them."""
    high: float
    """Highest figure or upper end among them."""
    apart: bool
    """Some two of them contradict each other: their intervals do not meet, or figures without one differ."""

    @property
    def ratio(self) -> bool:
        """The figures are ratios, and belong on a logarithmic scale."""
        return self.entries[0].measure in RATIOS


def comparisons(evidence: EvidenceBase) -> tuple[Comparison, ...]:
    """Every question that several entries with figures answer."""
    groups: dict[tuple[str, bool, str | None], list[EvidenceEntry]] = {}
    for entry in evidence.entries.values():
        if ends(entry) is not None:
            groups.setdefault((_topic(entry.id), entry.measure in RATIOS, entry.unit), []).append(entry)
    return tuple(_comparison(topic, group) for (topic, _, _), group in groups.items() if len(group) > 1)


def ends(entry: EvidenceEntry) -> tuple[float, float] | None:
    """Lowest and highest figure of an entry; None for an entry without one."""
    stated = [one for one in (entry.low, entry.value, entry.high) if one is not None]
    return (min(stated), max(stated)) if stated else None


def _topic(evidence_id: str) -> str:
    head, _, last = evidence_id.rpartition(".")
    return head if _SOURCE.fullmatch(last) else f"{head}.{_VARIANT.sub('', last)}"


def _comparison(topic: str, group: list[EvidenceEntry]) -> Comparison:
    spans = [found for one in group if (found := ends(one)) is not None]
    return Comparison(
        topic=topic,
        entries=tuple(group),
        low=min(low for low, _ in spans),
        high=max(high for _, high in spans),
        # Two intervals are apart when the later one starts after the earlier one has ended; a bare figure has no width.
        apart=any(
            max(a[0], b[0]) > min(a[1], b[1]) and not math.isclose(max(a[0], b[0]), min(a[1], b[1]))
            for place, a in enumerate(spans)
            for b in spans[place + 1 :]
        ),
    )
