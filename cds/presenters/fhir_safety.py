"""What may harm, as FHIR: a DetectedIssue per line of safety advice, a CommunicationRequest per red flag.

Why a CommunicationRequest: a red flag is a message about this injury to whoever is treating it now, and R4 defines the
resource as just that, a proposal by decision support that a provider be alerted. A Flag has no draft state (it would
stand in the banner of the chart as a confirmed and lasting warning), and a Communication records what somebody has
already been told.

An issue's severity follows what the rule asks for: high where the agent must not be given as things stand, moderate
where it needs a specialist, care or distance in time, low where nothing in this record triggered the line.
"""

from collections.abc import Sequence

from cds.presenters import wording
from cds.presenters.citations import link
from cds.presenters.fhir_devices import EVIDENCE_SYSTEM
from cds.presenters.fhir_transaction import Transaction
from fhir_adapters import builders, proposals
from fhir_adapters.proposals import Priority
from fhir_adapters.r4_types import Code, Concept, IssueSeverity, JsonObject, ObservationStatus
from fusion.results import Advice, AdviceAction, RedFlag, Statement, Urgency

PRIORITIES: dict[Urgency, Priority] = {
    Urgency.IMMEDIATE: Priority.STAT,
    Urgency.WITHIN_HOURS: Priority.URGENT,
    Urgency.CLINIC: Priority.ROUTINE,
    Urgency.ROUTINE: Priority.ROUTINE,
}
REASON_TYPES = ("Condition", "Observation", "DiagnosticReport")
"""What a request may name as its reason."""
_ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_INTERACTION = Code(system=_ACT_CODE, code="DRG", display="Drug Interaction Alert")
_CONDITION = Code(system=_ACT_CODE, code="COND", display="Condition Alert")
_OBSERVATION = Code(system=_ACT_CODE, code="OBSA", display="Observation Alert")
_BY_TRIGGER: tuple[tuple[str, Code], ...] = (
    ("Medication", _INTERACTION),
    ("Condition", _CONDITION),
    ("Observation", _OBSERVATION),
)
_PROPOSALS: dict[AdviceAction, tuple[IssueSeverity, str]] = {
    AdviceAction.AVOID: (IssueSeverity.HIGH, "avoid {agent}"),
    AdviceAction.CORRECT_FIRST: (IssueSeverity.HIGH, "correct this before any {agent}"),
    AdviceAction.SPECIALIST_ONLY: (IssueSeverity.MODERATE, "leave {agent} to a specialist"),
    AdviceAction.SEPARATE: (IssueSeverity.MODERATE, "take {agent} at another time of day"),
    AdviceAction.CAUTION: (IssueSeverity.MODERATE, "use {agent} with caution"),
}
"""Safety actions with their severity and what they ask for; the actions that are no safety line are missing."""


def _issue_code(advice: Advice) -> Concept:
    """The action and agent in words, with the code of what kind of entry triggered it."""
    text = f"{wording.ACTIONS[advice.action]}: {wording.words(advice.agent)}"
    codes = tuple(code for kind, code in _BY_TRIGGER if any(one.startswith(kind) for one in advice.statement.record))
    return Concept(text=text, codes=codes[:1])


def _evidence(bundle: Transaction, statement: Statement) -> tuple[Concept, ...]:
    """The entries of the evidence base that the rule rests on, with their citations."""
    return tuple(
        Concept(
            text=f"{source.statement} {source.citation} ({wording.CERTAINTIES[source.certainty]})",
            codes=(Code(system=EVIDENCE_SYSTEM, code=source.id, display=source.statement),),
        )
        for one in statement.evidence
        if (source := bundle.citations.get(one)) is not None
    )


def _source_url(bundle: Transaction, statement: Statement) -> str:
    cited = (bundle.citations.get(one) for one in statement.evidence)
    links = (link(one.identifier) for one in cited if one is not None)
    return next((one for one in links if one is not None), "")


def is_safety_line(advice: Advice) -> bool:
    """Whether a line speaks against an agent, or asks for care with it."""
    return advice.action in _PROPOSALS


def add_issues(bundle: Transaction, advice: Sequence[Advice]) -> tuple[JsonObject, ...]:
    """One DetectedIssue per line of safety advice; references to them."""
    made: list[JsonObject] = []
    for place, one in enumerate(filter(is_safety_line, advice), start=1):
        name = f"issue-{place}"
        severity, words = _PROPOSALS[one.action]
        triggers = bundle.record(one.statement)
        if one.action is AdviceAction.CAUTION and not triggers:
            severity = IssueSeverity.LOW
        resource = builders.detected_issue(
            business_id=bundle.business_id(name),
            status=ObservationStatus.PRELIMINARY,
            code=_issue_code(one),
            severity=severity,
            patient=bundle.subject,
            identified=bundle.created,
            author=bundle.device,
            implicated=triggers,
            detail=one.statement.text,
            evidence=bundle.record(one.statement, ("Observation",)),
            sources=_evidence(bundle, one.statement),
            source_url=_source_url(bundle, one.statement),
            proposal=f"Proposed, nothing done yet: {words.format(agent=wording.words(one.agent))}.",
        )
        made.append(bundle.add(name, resource, _issue_code(one).text))
    return tuple(made)


def add_red_flags(bundle: Transaction, flags: Sequence[RedFlag], severity: JsonObject) -> None:
    """One CommunicationRequest per red flag.

    Args:
        bundle: The transaction.
        flags: The red flags.
        severity: Reference to the Observation of the grade that they led to.
    """
    for place, flag in enumerate(flags, start=1):
        name = f"red-flag-{place}"
        resource = proposals.communication_request(
            business_id=bundle.business_id(name),
            priority=PRIORITIES[flag.urgency],
            subject=bundle.subject,
            message=flag.statement.text,
            authored=bundle.created,
            requester=bundle.device,
            reasons=(severity, *bundle.record(flag.statement, REASON_TYPES)),
            notes=bundle.sources(flag.statement),
        )
        bundle.add(name, resource)
