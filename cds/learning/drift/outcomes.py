"""Feedback as one verdict per case: was there a fracture, and did the detector say so?

Of each author only the newest word counts, a correction replaces what it corrects, and an adjudication is the last
word. Where authors differ and nobody adjudicated, the case says nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cds.store.feedback import Feedback, FeedbackKind

_POSITIVE = frozenset({FeedbackKind.AGREE, FeedbackKind.CORRECT, FeedbackKind.MISSED})
"""What only somebody says who sees a fracture; to agree without naming a place is to agree with the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One case with the verdict of the clinicians."""

    case_id: str
    moment: datetime
    """Of the first word on it: later ones may change the verdict, not its place in time."""
    fracture: bool


def judged(feedback: Iterable[Feedback], positive: Mapping[str, bool]) -> tuple[Judged, ...]:
    """The verdicts, by the time of the first word.

    Args:
        feedback: what was said, superseded words left out.
        positive: what the detector said of each case that it judged; other cases are left out.
    """
    by_case: dict[str, list[Feedback]] = defaultdict(list)
    for one in sorted(feedback, key=lambda said: (said.created, said.id)):
        if one.case_id in positive:
            by_case[one.case_id].append(one)
    found = []
    for case_id, said in by_case.items():
        fracture = verdict(said, called=positive[case_id])
        if fracture is not None:
            found.append(Judged(case_id=case_id, moment=said[0].created, fracture=fracture))
    return tuple(sorted(found, key=lambda one: (one.moment, one.case_id)))


def verdict(said: Sequence[Feedback], *, called: bool) -> bool | None:
    """Whether there is a fracture by what was said of one case; None where it is open.

    Args:
        said: in order of time.
        called: whether the detector said there is one.
    """
    last_words = [one.content.fracture for one in said if one.kind is FeedbackKind.ADJUDICATION]
    if last_words and last_words[-1] is not None:
        return last_words[-1]
    by_author: dict[str, list[Feedback]] = defaultdict(list)
    for one in said:
        by_author[one.author].append(one)
    views = {_view(words, called=called) for words in by_author.values()} - {None}
    return views.pop() if len(views) == 1 else None


def _view(said: Sequence[Feedback], *, called: bool) -> bool | None:
    """One author's view: what was said about the machine's finding, else the own read before it was shown."""
    about = [one for one in said if one.kind in _POSITIVE or one.kind is FeedbackKind.REJECT]
    if any(one.kind in _POSITIVE and (one.finding is not None or one.kind is not FeedbackKind.AGREE) for one in about):
        return True
    if any(one.kind is FeedbackKind.REJECT for one in about):
        return False
    if about:
        return called
    reads = [one.content.fracture for one in said if one.kind is FeedbackKind.OWN_READ]
    return reads[-1] if reads else None


def outcome_numbers(*, called: bool, probability: float | None, fracture: bool) -> dict[str, float]:
    """What the outcome monitors read of a judged case; what says nothing of it is left out."""
    numbers = {"agreement": float(called == fracture)}
    if called:
        numbers["false_alarm"] = float(not fracture)
    if fracture:
        numbers["missed"] = float(not called)
    if probability is not None:
        numbers["calibration"] = float(fracture) - probability
    return numbers
