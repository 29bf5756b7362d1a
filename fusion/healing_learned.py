"""The place of a model of the site's own recorded outcomes: beside the published figures, and only where it earned it.

The model itself is fitted and judged in `tabular.healing`; here its answer arrives as a plain result. No public data
hold healing times of single patients, so without recorded outcomes of the site the published figures stand alone, and
the report says so.
"""

from fusion.facts import CaseFacts
from fusion.results import Certainty, Statement, UnionWeeks
from fusion.statements import MODEL, Writer, percent, weeks
from fusion.union_times import Beside, LogNormal
from tabular.results import LearnedHealing

BLEND = "healing.method.learned_blend"
LEARNED = "healing.note.learned"
REFUSED = "healing.note.learned_refused"


def beside_of(learned: LearnedHealing | None) -> Beside | None:
    """The distribution to mix in; None when the published figures alone are to be used."""
    if learned is None or learned.weight <= 0 or learned.log_median is None or learned.log_sigma is None:
        return None
    return Beside(part=LogNormal(learned.log_median, learned.log_sigma), weight=learned.weight)


def origin_note(learned: LearnedHealing | None, published: UnionWeeks, facts: CaseFacts, writer: Writer) -> Statement:
    """Where the window comes from: published figures alone, or mixed with what this site recorded."""
    if learned is None:
        return writer.say(
            "healing.note.rules_alone",
            "Published figures alone: no recorded outcomes of this site are in use, and no public data exist to learn"
            " from.",
            certainty=Certainty.COMPUTED,
        )
    group = learned.group.replace("_", " ")
    cases = f"{learned.cases} recorded cases of this site ({group}, {learned.events} seen to unite)"
    if beside_of(learned) is None:
        return writer.say(
            REFUSED,
            f"Published figures alone: a model learned from {cases} {_why_not(learned)}.",
            evidence=(BLEND,),
            record=(MODEL,),
        )
    span = f"{weeks(published.low)} to {weeks(published.high)} weeks"
    text = (
        f"Learned from {cases}, weight {percent(learned.weight)}: {_how_much_better(learned)} The published figures"
        f" alone say {span}. Checked on this site's own cases only."
    )
    return writer.say(LEARNED, text, evidence=(BLEND,), record=(MODEL, *facts.fracture_record))


def _why_not(learned: LearnedHealing) -> str:
    found = learned.comparison
    if found is None:
        return "has too few of them to be judged"
    return (
        "was not shown to be better on cases held out (log score per case"
        f" {found.score_gain:+.2f}, {found.score_gain_low:+.2f} to {found.score_gain_high:+.2f})"
    )


def _how_much_better(learned: LearnedHealing) -> str:
    found = learned.comparison
    if found is None:
        return "its comparison was not recorded."
    text = (
        f"on cases held out its log score was {found.score_gain:.2f} per case better than that of the published figures"
        f" ({found.score_gain_low:.2f} to {found.score_gain_high:.2f})"
    )
    if found.coverage_learned is not None and found.coverage_rules is not None:
        text += (
            f"; its 80 % interval held {percent(found.coverage_learned)} of the unions, theirs"
            f" {percent(found.coverage_rules)}"
        )
    if found.concordance_learned is not None and found.concordance_rules is not None:
        text += f"; concordance {found.concordance_learned:.2f} against {found.concordance_rules:.2f}"
    return f"{text}."
