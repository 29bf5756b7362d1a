"""Unverified evidence never drives a recommendation alone: what rests on nothing else loses its date, dose and rank.

The rule is enforced here, on what the rules produced, so that marking an entry as unverified in the evidence files is
enough. Safety lines and red flags stay, because silence is not safer; `fusion.statements` marks their words.
"""

from collections.abc import Iterable
from dataclasses import replace

from fusion.evidence_base import EvidenceBase
from fusion.results import Advice, AdviceAction, FollowUp, Urgency


def guarded_follow_ups(found: Iterable[FollowUp], evidence: EvidenceBase) -> list[FollowUp]:
    """The same appointments; one that only unverified evidence asks for keeps its words and loses its weeks."""
    return [
        replace(one, earliest_week=None, latest_week=None, urgency=Urgency.ROUTINE)
        if evidence.only_unverified(one.statement.evidence)
        else one
        for one in found
    ]


def guarded_advice(found: Iterable[Advice], evidence: EvidenceBase) -> list[Advice]:
    """The same advice; what only unverified evidence recommends becomes information without a dose."""
    return [
        replace(one, action=AdviceAction.INFORM, dose_low=None, dose_high=None, dose_unit=None)
        if one.action is AdviceAction.CONSIDER and evidence.only_unverified(one.statement.evidence)
        else one
        for one in found
    ]
