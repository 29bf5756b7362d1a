"""The evidence base and the catalogue of rules, as the evidence page and its JSON show them."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from cds.presenters import wording
from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceEntry, EvidenceStatus, Measure, Source
from fusion.rulebook import Rule, Rulebook, Use
from fusion.side_by_side import RATIOS, Comparison, comparisons

T = TypeVar("T")

STATUS_WORDS: dict[EvidenceStatus, str] = {
    EvidenceStatus.VERIFIED: "verified",
    EvidenceStatus.WEAK: "weak source",
    EvidenceStatus.UNVERIFIED: "unverified",
    EvidenceStatus.COMPUTED: "rule of this engine",
}
STATUS_EXPLANATIONS: dict[EvidenceStatus, str] = {
    EvidenceStatus.VERIFIED: "read in the cited source",
    EvidenceStatus.WEAK: "read, but in a weak or secondary source",
    EvidenceStatus.UNVERIFIED: "not verified against the source; never drives a recommendation alone",
    EvidenceStatus.COMPUTED: "computed from data or code, or a rule of this engine, not a finding of medicine",
}
GROUPS: tuple[tuple[str, str], ...] = (
    ("severity.red_flag", "Red flags"),
    ("severity.threshold", "Published limits to measure against"),
    ("severity.measured", "Measured on the radiograph"),
    ("severity", "Severity, checks and imaging"),
    ("combination", "Image and patient together"),
    ("healing", "Time to union and non-union"),
    ("growth", "The growing skeleton"),
    ("fragility", "Weak bone or force alone"),
    ("risk", "The next fracture"),
    ("safety", "Safety of supplements and drugs"),
    ("supplementation", "Calcium and vitamin D"),
    ("lifestyle", "Food and habits"),
    ("follow_up", "Follow-up"),
    ("limitation", "What was missing"),
    ("", "The report as a whole"),
)
"""Beginning of a rule's identifier and its heading; the first that fits counts."""
_SINGULAR = frozenset({"hours", "weeks", "days", "months", "years", "minutes"})
FAMILIES: dict[str, str] = {
    "severity": "Severity",
    "healing": "Healing",
    "growth": "Growth",
    "risk": "Risk of fracture",
    "care": "Care",
    "diagnosis": "Diagnosis",
}
_UNITS: dict[str, str] = {
    "1": "",
    "wk": "weeks",
    "mg/d": "mg a day",
    "g/d": "g a day",
    "[iU]/d": "IU a day",
    "g/kg/d": "g per kg a day",
    "mm": "mm",
    "h": "hours",
    "min": "minutes",
    "d": "days",
    "mo": "months",
    "a": "years",
    "deg": "°",
    "mL/min/{1.73_m2}": "mL/min/1.73 m²",
    "mm[Hg]": "mmHg",
}


@dataclass(frozen=True)
class EvidenceView:
    """What the page shows: everything, or what a filter leaves."""

    evidence: EvidenceBase
    book: Rulebook
    words: str = ""
    """The filter as it was given; empty for everything."""

    @classmethod
    def load(cls, words: str = "") -> "EvidenceView":
        """The shipped evidence and catalogue.

        Args:
            words: what a rule or an entry must hold, every word of it; empty for everything.

        Raises:
            EvidenceError: a file is missing or breaks its schema.
        """
        return cls(evidence=EvidenceBase.load(), book=Rulebook.load(), words=" ".join(words.split()))

    @cached_property
    def _matched(self) -> tuple[frozenset[str], frozenset[str]]:
        """Rules and entries that hold the words themselves."""
        rules = frozenset(one.id for one in self.book.rules.values() if self._fits(_rule_text(one)))
        entries = frozenset(one.id for one in self.evidence.entries.values() if self._fits(self._entry_text(one)))
        return rules, entries

    def _fits(self, text: str) -> bool:
        return all(word in text for word in self.words.casefold().split())

    def _entry_text(self, entry: EvidenceEntry) -> str:
        sources = (f"{one.key} {one.citation} {one.identifier or ''}" for one in self.sources_of(entry))
        parts = (entry.id, entry.statement, entry.population, entry.status, entry.grade, entry.note or "", *sources)
        return " ".join(parts).casefold()

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Rules that fit the filter, and those that cite an entry that does."""
        rules, entries = self._matched
        return tuple(one for one in self.book.rules.values() if one.id in rules or not entries.isdisjoint(one.evidence))

    @cached_property
    def entries(self) -> tuple[EvidenceEntry, ...]:
        """Entries that fit the filter, and those that a fitting rule cites."""
        rules, entries = self._matched
        cited = {name for rule in rules for name in self.book.rules[rule].evidence}
        return tuple(one for name, one in self.evidence.entries.items() if name in entries or name in cited)

    @cached_property
    def shown(self) -> frozenset[str]:
        """Anchors on the page, so that no link leads nowhere."""
        return frozenset(
            {rule_anchor(one.id) for one in self.rules} | {evidence_anchor(one.id) for one in self.entries}
        )

    @cached_property
    def rule_groups(self) -> tuple[tuple[str, tuple[Rule, ...]], ...]:
        """Rules under their headings."""
        order = [words for _, words in GROUPS]
        found = _grouped((_heading(one.id), one) for one in self.rules)
        return tuple(sorted(found, key=lambda group: order.index(group[0])))

    @cached_property
    def entry_groups(self) -> tuple[tuple[str, tuple[EvidenceEntry, ...]], ...]:
        """Entries by family and topic."""
        return _grouped((topic(one.id), one) for one in self.entries)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Questions that several sources answer, contradictions first."""
        names = {one.id for one in self.entries}
        found = [one for one in comparisons(self.evidence) if any(entry.id in names for entry in one.entries)]
        return tuple(sorted(found, key=lambda one: not one.apart))

    @cached_property
    def background(self) -> tuple[EvidenceEntry, ...]:
        """Entries on the page that drive nothing."""
        idle = set(self.book.background(self.evidence))
        return tuple(one for one in self.entries if one.id in idle)

    @cached_property
    def unverified(self) -> tuple[EvidenceEntry, ...]:
        """Entries on the page that were not verified."""
        return tuple(one for one in self.entries if one.is_unverified)

    @cached_property
    def uses(self) -> tuple[Use, ...]:
        """What else rests on the entries on the page."""
        names = {one.id for one in self.entries}
        return tuple(one for one in self.book.uses if not names.isdisjoint(one.evidence))

    @cached_property
    def sources(self) -> tuple[Source, ...]:
        """Sources of the entries on the page, by key."""
        keys = sorted({key for one in self.entries for key in one.sources}, key=str.casefold)
        return tuple(self.evidence.sources[key] for key in keys)

    def sources_of(self, entry: EvidenceEntry) -> tuple[Source, ...]:
        """The sources of one entry."""
        return tuple(self.evidence.sources[key] for key in entry.sources)

    def entry(self, evidence_id: str) -> EvidenceEntry:
        """One entry."""
        return self.evidence[evidence_id]

    def count(self, status: EvidenceStatus) -> int:
        """Entries on the page with a status."""
        return sum(one.status is status for one in self.entries)


def rule_anchor(rule_id: str) -> str:
    """Where a rule stands on the page."""
    return f"rule-{rule_id}"


def evidence_anchor(evidence_id: str) -> str:
    """Where an entry stands on the page."""
    return f"evidence-{evidence_id}"


def topic(evidence_id: str) -> str:
    """Family and topic of an entry, in words: ``Healing: non-union``."""
    family, name = evidence_id.split(".")[:2]
    # Among the risks the second part names the factor: one heading for each would be one for each entry.
    heading = FAMILIES.get(family, family.capitalize())
    if family == "risk" and name not in {"threshold", "fragility", "discrimination"}:
        return f"{heading}: published ratios and tables"
    return f"{heading}: {name.replace('_', ' ').replace('nonunion', 'non-union')}"


def figure(entry: EvidenceEntry) -> str:
    """The number of an entry with its interval and unit, in words; empty for an entry without one."""
    rate = entry.measure is Measure.RATE
    show = _as_percent if rate else wording.number
    unit = "%" if rate else _UNITS.get(entry.unit or "", entry.unit or "")
    sign = f"{wording.TIMES} " if entry.measure in RATIOS else ""
    ends = _ends(entry, show)
    if unit in _SINGULAR and 1.0 in (entry.value, entry.low) and entry.high is None:
        unit = unit.removesuffix("s")
    tail = "" if unit == "" else unit if unit == "°" else f" {unit}"
    if entry.value is None:
        return f"{sign}{ends}{tail}" if ends else ""
    text = f"{sign}{show(entry.value)}{tail}"
    return f"{text} ({ends})" if ends else text


def _as_percent(rate: float) -> str:
    return wording.number(100 * rate)


def _ends(entry: EvidenceEntry, show: Callable[[float], str]) -> str:
    if entry.low is not None and entry.high is not None:
        return f"{show(entry.low)} to {show(entry.high)}"
    if entry.low is not None:
        return f"from {show(entry.low)}"
    return "" if entry.high is None else f"up to {show(entry.high)}"


def further_numbers(entry: EvidenceEntry) -> tuple[tuple[str, str], ...]:
    """The further numbers of an entry: name and value in words, nested ones with their path."""
    return tuple(_flat(entry.table))


def _flat(table: Mapping[str, object], path: str = "") -> Iterable[tuple[str, str]]:
    for name, value in table.items():
        words = f"{path}{str(name).replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{words}, ")
        elif isinstance(value, list | tuple):
            yield words, ", ".join(_plain(one) for one in value)
        else:
            yield words, _plain(value)


def _plain(value: object) -> str:
    return wording.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _rule_text(rule: Rule) -> str:
    return " ".join((rule.id, rule.says, rule.fires, rule.silent or "", rule.module)).casefold()


def _heading(rule_id: str) -> str:
    return next(words for start, words in GROUPS if rule_id == start or rule_id.startswith(start and f"{start}."))


def _grouped(pairs: Iterable[tuple[str, T]]) -> tuple[tuple[str, tuple[T, ...]], ...]:
    found: dict[str, list[T]] = {}
    for heading, one in pairs:
        found.setdefault(heading, []).append(one)
    return tuple((heading, tuple(group)) for heading, group in found.items())


def slug(words: str) -> str:
    """A heading as the end of an anchor."""
    return re.sub(r"[^a-z0-9]+", "-", words.casefold()).strip("-")
