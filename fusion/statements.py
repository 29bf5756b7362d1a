"""Makes the sentences of a report, each with its provenance checked."""

from dataclasses import dataclass
from datetime import datetime

from fusion.evidence_base import EvidenceBase
from fusion.results import Certainty, Statement

CLINICIAN = "clinician"
IMAGE = "image"
MODEL = "model"

UNVERIFIED = "(Source not verified.)"
"""Ends every other statement that rests on unverified evidence alone."""
UNVERIFIED_SAFETY = "(Unverified source; confirm with a pharmacist.)"
"""Ends a safety statement that rests on unverified evidence alone: it is still shown, because silence is not safer."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes `Statement`s: every citation resolves, and words that rest on unverified evidence alone say so."""

    evidence: EvidenceBase

    def say(
        self,
        rule: str,
        text: str,
        *,
        evidence: tuple[str, ...] = (),
        record: tuple[str, ...] = (),
        certainty: Certainty | None = None,
    ) -> Statement:
        """One sentence.

        Args:
            rule: stable identifier of the rule.
            text: the sentence, without patient identifiers.
            evidence: identifiers in the evidence base.
            record: what triggered the rule: FHIR references, ``clinician``, ``image`` or ``model``.
            certainty: by default the weakest of the evidence; without evidence RECORDED if something was recorded,
                else COMPUTED.

        Raises:
            UnknownEvidenceError: an identifier that the evidence base does not hold.
        """
        ids = tuple(dict.fromkeys(evidence))
        if certainty is None:
            certainty = self.evidence.certainty(ids) if ids or not record else Certainty.RECORDED
        if self.evidence.only_unverified(ids) and not text.endswith((UNVERIFIED, UNVERIFIED_SAFETY)):
            text = f"{text} {UNVERIFIED}"
        return Statement(id=rule, text=text, certainty=certainty, evidence=ids, record=tuple(dict.fromkeys(record)))

    def warn(self, rule: str, text: str, *, evidence: tuple[str, ...], record: tuple[str, ...] = ()) -> Statement:
        """A safety sentence: shown even when its evidence is unverified, and then marked in its own words."""
        ending = f" {UNVERIFIED_SAFETY}" if self.evidence.only_unverified(evidence) else ""
        return self.say(rule, text + ending, evidence=evidence, record=record)

    def value(self, evidence_id: str, name: str = "value") -> float:
        """A number of an evidence entry.

        Raises:
            UnknownEvidenceError: no such entry, or it has no such number.
        """
        return self.evidence[evidence_id].number(name)


def plain(number: float) -> str:
    """A number without needless zeros: 2.50 as ``2.5``, 1000.0 as ``1000``."""
    return f"{number:.4g}" if abs(number) < 1000 else f"{number:.0f}"


def iso_day(moment: datetime) -> str:
    """The day of a moment as the report writes it: ``2024-03-12``."""
    return moment.date().isoformat()


def percent(probability: float) -> str:
    """A probability, 0..1, as whole percent from 10 % and one decimal below; never rounded to 0 or 100 %."""
    value = 100 * probability
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.9 < value < 100:
        return ">99.9 %"
    return f"{value:.0f} %" if value >= 10 else f"{value:.1f} %"


def weeks(value: float) -> str:
    """A number of weeks to half a week."""
    return f"{round(2 * value) / 2:g}"


def join(parts: tuple[str, ...] | list[str], last: str = "and") -> str:
    """A list in words: "a, b and c"."""
    items = list(parts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def sentence(text: str) -> str:
    """The text with a capital first letter; the rest stays as it is."""
    return text[:1].upper() + text[1:]
