"""News to CDS Hooks cards: words for a clinician with ten seconds, each statement with its source and its entries.

Text of the record (the name of an ordered drug) appears only through `escaped`; everything else on a card is written
here or in the evidence base.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from uuid import UUID, uuid5

from cds.batch.care_gaps import GAP_EVIDENCE, CareGapKind, is_treated
from cds.hooks.news import DrugNews, HistoryNews, News, NewsKind, Pressure, RiskNews
from cds.hooks.orders import fracture_words
from cds.hooks.risk import DXA_DUE
from cds.presenters.card_actions import drug_suggestions, history_suggestions, risk_suggestions
from cds.presenters.card_words import Cited, entries, escaped, shortened
from cds.presenters.wording import NOTICE, feature_name, percent, ratio
from fhir_adapters.cds_hooks.response import (
    Card,
    Coding,
    Indicator,
    Link,
    LinkType,
    Selection,
    Source,
    Suggestion,
)
from fhir_adapters.patient import DrugClass
from fusion.evidence_base import EvidenceBase
from fusion.statements import UNVERIFIED_SAFETY
from tabular.results import RelativeRisk

SHOWN_MISSING = 5
SHOWN_APPLIED = 6
OVERRIDE_SYSTEM = "urn:fracture-cds:card-override"
_THRESHOLDS = ("risk.threshold.bhof_mof", "risk.threshold.bhof_hip")
_NAMESPACE = UUID("6d1d0a52-6f0e-4a6b-9a37-0d5b0c1b7e55")
_CLASSES: dict[DrugClass, str] = {
    DrugClass.NSAID: "NSAID",
    DrugClass.COX2_INHIBITOR: "COX-2 inhibitor",
    DrugClass.SYSTEMIC_GLUCOCORTICOID: "Glucocorticoid",
    DrugClass.CALCIUM_SUPPLEMENT: "Calcium",
    DrugClass.VITAMIN_D_SUPPLEMENT: "Vitamin D",
}
_REASONS: dict[NewsKind, tuple[tuple[str, str], ...]] = {
    NewsKind.RISK: (
        ("done-elsewhere", "Scan or treatment done elsewhere"),
        ("declined", "Patient declined"),
        ("not-appropriate", "Not appropriate for this patient"),
        ("not-fragility", "Fracture had another cause (high-energy trauma, tumour)"),
        ("later", "Will do at another visit"),
    ),
    NewsKind.HISTORY: (("known", "Already known"), ("not-relevant", "Not relevant for this examination")),
    NewsKind.DRUG: (
        ("benefit-outweighs", "Benefit outweighs the risk"),
        ("already-managed", "Already known and managed"),
        ("specialist", "Agreed with a specialist"),
        ("record-wrong", "The record is wrong or out of date"),
        ("topical", "Short or topical use"),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CardContext:
    """What every card of one call shares."""

    hook_instance: str
    evidence: EvidenceBase
    launch_url: str
    app_context: str | None
    gaps: tuple[str, ...]
    """What was not there to be read, as clauses."""


def cards_of(news: Sequence[News], context: CardContext) -> tuple[Card, ...]:
    """One card for each piece of news."""
    return tuple(_card(one, place, context) for place, one in enumerate(news))


def kind_of(news: News) -> NewsKind:
    """What a piece of news is about."""
    return {RiskNews: NewsKind.RISK, HistoryNews: NewsKind.HISTORY, DrugNews: NewsKind.DRUG}[type(news)]


def rules_of(news: News) -> tuple[str, ...]:
    """What made a piece of news, for the feedback on its card."""
    if isinstance(news, RiskNews):
        return tuple(gap.kind.value for gap in news.gaps) or ("risk_at_threshold",)
    if isinstance(news, DrugNews):
        return tuple(one.statement.id for one in news.advice)
    return ("history",)


def _card(news: News, place: int, context: CardContext) -> Card:
    kind = kind_of(news)
    uuid = uuid5(_NAMESPACE, f"{context.hook_instance}/{kind}/{place}")
    if isinstance(news, RiskNews):
        words, lines, pressure = _risk_summary(news), _risk_lines(news, context), news.pressure
        suggestions = risk_suggestions(news, uuid)
    elif isinstance(news, DrugNews):
        words, lines, pressure = _drug_summary(news), _drug_lines(news, context), news.pressure
        suggestions = drug_suggestions(news, uuid, context.evidence)
    else:
        words, lines, pressure = _history_summary(news), _history_lines(news), Pressure.INFO
        suggestions = history_suggestions(news, uuid)
    return Card(
        uuid=str(uuid),
        summary=shortened(words),
        detail="\n".join((*lines, *_closing(context))),
        indicator=Indicator(pressure.value),
        source=Source(
            label="fracture-cds (investigational)",
            topic=Coding(system="urn:fracture-cds:card", code=kind.value, display=kind.value.replace("-", " ")),
        ),
        suggestions=suggestions or None,
        selectionBehavior=_selection(kind, suggestions),
        overrideReasons=tuple(Coding(system=OVERRIDE_SYSTEM, code=c, display=d) for c, d in _REASONS[kind]),
        links=(
            Link(
                label="Open the fracture form",
                url=context.launch_url,
                type=LinkType.SMART,
                appContext=context.app_context,
            ),
        ),
    )


def _selection(kind: NewsKind, suggestions: Sequence[Suggestion]) -> Selection | None:
    """Suggestions about one order exclude each other."""
    if not suggestions:
        return None
    return Selection.AT_MOST_ONE if kind is NewsKind.DRUG else Selection.ANY


# --- risk


def _risk_summary(news: RiskNews) -> str:
    risk = _risk_words(news)
    if news.lead is CareGapKind.FRACTURE:
        if news.fracture is None:
            return "Fracture from 50 years: no bone density scan or bone-protecting treatment recorded since."
        fracture, age = fracture_words(news.fracture.fracture), news.fracture.age_years
        if news.fracture.days <= DXA_DUE.days:
            return f"{_capital(fracture)} at {age}: bone density is due within 12 weeks (fracture liaison)."
        return f"{_capital(fracture)} at {age}: no bone density scan or bone-protecting treatment recorded since."
    if news.lead is CareGapKind.T_SCORE and news.t_score is not None:
        when = "" if news.t_score.effective is None else f" ({news.t_score.effective:%Y})"
        return f"T-score {_signed(news.t_score.value)}{when}: no current bone-protecting treatment recorded."
    if news.lead is CareGapKind.GLUCOCORTICOID:
        return "Glucocorticoids for 3 months or more: no bone density scan or bone-protecting treatment recorded."
    if news.lead is CareGapKind.HIGH_RISK:
        return f"{risk}: no bone density scan or bone-protecting treatment recorded."
    value = "" if news.t_score is None else f" with T-score {_signed(news.t_score.value)}"
    return f"{risk}{value}: at the treatment threshold, no treatment recorded."


def _risk_words(news: RiskNews) -> str:
    if news.risk is None:
        return "Fracture risk not estimated"
    major, hip = news.risk.major_osteoporotic.value, news.risk.hip.value
    return f"10-year fracture risk {percent(major)} major, {percent(hip)} hip"


def _risk_lines(news: RiskNews, context: CardContext) -> Iterator[str]:
    cited = Cited(context.evidence, _risk_evidence(news))
    for gap in news.gaps:
        if gap.kind is CareGapKind.HIGH_RISK and news.lead is CareGapKind.FRACTURE:
            continue  # the line on the probability says it
        yield f"- {gap.words}.{cited(GAP_EVIDENCE[gap.kind])}{entries(gap.resources)}"
    if news.lead is CareGapKind.FRACTURE:
        yield (
            "- After a fragility fracture bone density is measured within 12 weeks; treatment, if indicated, starts"
            f" within 16 weeks.{cited(('care.fls.dxa', 'care.fls.drug_started'))}"
        )
    if news.lead is None and news.t_score is not None:
        yield (
            "- Treatment is considered with osteopenia and a ten-year probability of 20 % (major) or 3 % (hip)."
            f"{cited(_THRESHOLDS)}{entries((news.t_score.resource,))}"
        )
    yield from _probabilities(news, cited)
    yield "- The record may be silent on what was done elsewhere: ask."
    yield from cited.sources()


def _risk_evidence(news: RiskNews) -> Iterator[str]:
    for gap in news.gaps:
        yield from GAP_EVIDENCE[gap.kind]
    yield from ("care.fls.dxa", "care.fls.drug_started") if news.lead is CareGapKind.FRACTURE else ()
    yield from _THRESHOLDS if news.lead is None else ()
    yield from (one.evidence_id for one in _applied(news))


def _applied(news: RiskNews) -> tuple[RelativeRisk, ...]:
    """Diseases, drugs and events that act with a published ratio on top of the model, the strongest first."""
    found = () if news.risk is None else news.risk.major_osteoporotic.adjustments
    return tuple(sorted(found, key=lambda one: abs(log(one.ratio)), reverse=True)[:SHOWN_APPLIED])


def _probabilities(news: RiskNews, cited: Cited) -> Iterator[str]:
    risk = news.risk
    if risk is None:
        yield "- The ten-year risk could not be estimated from this record."
        return
    major, hip = risk.major_osteoporotic, risk.hip
    yield (
        f"- Ten-year probability: major osteoporotic fracture **{percent(major.value)}** ({percent(major.low)} to"
        f" {percent(major.high)}), hip **{percent(hip.value)}** ({percent(hip.low)} to {percent(hip.high)})"
        f"{_threshold(news, cited)}"
    )
    if applied := _applied(news):
        told = ", ".join(f"{one.factor} \N{MULTIPLICATION SIGN}{ratio(one.ratio)}" for one in applied)
        yield (f"- In it, with published ratios (major fracture): {told}.{cited([one.evidence_id for one in applied])}")
    if is_treated(news.patient):
        yield "- A bone-protecting drug is taken; the estimate does not allow for it."
    if risk.missing:
        names = [feature_name(one).lower() for one in risk.missing[:SHOWN_MISSING]]
        more = f" and {len(risk.missing) - SHOWN_MISSING} more" if len(risk.missing) > SHOWN_MISSING else ""
        yield f"- Not in the record: {', '.join(names)}{more}."


def _threshold(news: RiskNews, cited: Cited) -> str:
    """That the probability reaches the treatment threshold, where nothing else on the card says so."""
    if not any(gap.kind is CareGapKind.HIGH_RISK for gap in news.gaps) and news.lead is not None:
        return ""
    return f"; at the treatment threshold of 20 % or 3 %, which was set for another risk tool.{cited(_THRESHOLDS)}"


# --- orders


def _history_summary(news: HistoryNews) -> str:
    return f"For the radiograph: {'; '.join(one.words for one in news.entries)}."


def _history_lines(news: HistoryNews) -> Iterator[str]:
    for one in news.entries:
        yield f"- {_capital(one.words)}{entries(one.resources)}"


def _drug_summary(news: DrugNews) -> str:
    drug = " and ".join(_CLASSES[one] for one in news.classes)
    first = news.advice[0].statement.text.removesuffix(UNVERIFIED_SAFETY).strip()
    if news.fracture is None or news.fracture_days is None:
        return f"{drug} ordered. {first}"
    return f"{drug} ordered, {fracture_words(news.fracture)}. {first}"


def _drug_lines(news: DrugNews, context: CardContext) -> Iterator[str]:
    cited = Cited(context.evidence, (one for line in news.advice for one in line.statement.evidence))
    own = news.order.reference
    name = news.order.text
    if name is not None:
        yield f"Ordered: {escaped(name)}"
        yield ""
    for line in news.advice:
        statement = line.statement
        others = tuple(one for one in statement.record if one != own)
        yield f"- {statement.text}{cited(statement.evidence)}{entries(others)}"
    if news.fracture is not None and not any(news.fracture.resource in one.statement.record for one in news.advice):
        yield f"- {_capital(fracture_words(news.fracture))}{entries((news.fracture.resource,))}"
    yield from cited.sources()


# --- common


def _closing(context: CardContext) -> Iterator[str]:
    yield ""
    if context.gaps:
        yield f"Not read: {'; '.join(context.gaps)}.  "
    yield f"*{NOTICE}*"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _signed(value: float) -> str:
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")
