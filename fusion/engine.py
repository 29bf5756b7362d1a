"""Findings, record, risk and bedside facts to one `Assessment`: the order in which the rules are asked."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from fhir_adapters.patient import PatientSnapshot
from fusion.aftercare import follow_up
from fusion.combination import combine, statements_of_combined
from fusion.context import ClinicalContext
from fusion.contraindications import supplement_safety
from fusion.drug_safety import drug_safety
from fusion.errors import InputError
from fusion.evidence_base import EvidenceBase
from fusion.facts import CaseFacts
from fusion.fragility import assess_fragility
from fusion.growth_plate import growth_statements
from fusion.guard import guarded_advice
from fusion.healing import estimate_healing
from fusion.lifestyle import lifestyle_advice
from fusion.narrative import cited_sources, limitations, old_results, statements_of, summary
from fusion.prognosis import risk_statements
from fusion.results import Advice, AdviceAction, Assessment, Statement
from fusion.severity import assess_severity
from fusion.statements import Writer
from fusion.supplementation import supplement_advice
from imaging.results import BoneAgeEstimate, ImageFindings
from tabular.results import LearnedHealing, RiskEstimate

_ACTION_ORDER = (
    AdviceAction.AVOID,
    AdviceAction.CORRECT_FIRST,
    AdviceAction.SPECIALIST_ONLY,
    AdviceAction.CAUTION,
    AdviceAction.SEPARATE,
    AdviceAction.CONSIDER,
    AdviceAction.INFORM,
)
"""What may harm comes first."""


def _evidence_of(statements: Iterable[Statement]) -> Iterator[str]:
    for statement in statements:
        yield from statement.evidence


class FusionEngine:
    """Applies the rules to one case after another; holds no state but the evidence base.

    Every rule is a small function of the case and the evidence base. Nothing is random: the same case gives the same
    assessment, byte for byte.
    """

    def __init__(self, evidence: EvidenceBase, *, local_share: float | None = None) -> None:
        """Takes the evidence base that every citation must resolve in.

        Args:
            evidence: the evidence base.
            local_share: the share of limb radiographs that show a fracture where the engine is used, strictly between
                0 and 1; None for the published shares.

        Raises:
            InputError: the share is no such number.
        """
        if local_share is not None and not 0 < local_share < 1:
            raise InputError(
                "The share of radiographs with a fracture lies outside of 0 to 1.",
                remedy="Give a share strictly between 0 and 1, such as 0.2.",
            )
        self._evidence = evidence
        self._writer = Writer(evidence)
        self._local_share = local_share

    @classmethod
    def load(cls, *, local_share: float | None = None) -> "FusionEngine":
        """An engine with the evidence base that ships with the code.

        Args:
            local_share: see the constructor.

        Raises:
            EvidenceError: a file of the evidence base is missing or breaks its schema.
            InputError: the share is no share.
        """
        return cls(EvidenceBase.load(), local_share=local_share)

    @property
    def evidence(self) -> EvidenceBase:
        """The evidence base in use."""
        return self._evidence

    def assess(
        self,
        *,
        findings: ImageFindings | None,
        patient: PatientSnapshot | None,
        risk: RiskEstimate | None,
        context: ClinicalContext,
        as_of: datetime,
        learned_healing: LearnedHealing | None = None,
        bone_age: BoneAgeEstimate | None = None,
    ) -> Assessment:
        """Combine what is known into one assessment; any part may be missing, and the assessment says so.

        Args:
            findings: what the image branch saw; None without a radiograph.
            patient: what the record says; None without a record.
            risk: the risk of the next fracture; None when it was not estimated.
            context: what only the clinician knows.
            as_of: time of the assessment, timezone-aware.
            learned_healing: what a model of this site's own recorded outcomes says of the time to union.
            bone_age: skeletal age; None where none was read.

        Raises:
            InputError: `as_of` has no time zone.
            UnknownEvidenceError: a rule cites an entry that the evidence base does not hold.
        """
        if as_of.tzinfo is None:
            raise InputError("The time of the assessment has no time zone.", remedy="Give a timezone-aware time.")
        facts = CaseFacts(
            findings=findings, patient=patient, risk=risk, context=context, as_of=as_of, bone_age=bone_age
        )
        writer = self._writer
        severity = assess_severity(facts, writer)
        healing = estimate_healing(facts, writer, learned_healing)
        advice = self._advice(facts)
        follow_ups = follow_up(facts, writer, healing)
        risks = risk_statements(facts, writer)
        fragility = assess_fragility(facts, writer)
        combined = combine(facts, writer, fragility, self._local_share)
        growth = growth_statements(facts, writer)
        limits = limitations(facts, writer)
        head = summary(facts, writer, severity, healing)
        statements = (head, *statements_of(severity, healing, advice, follow_ups, fragility), *growth, *risks, *limits)
        cited = [one for part in (statements, statements_of_combined(combined)) for one in _evidence_of(part)]
        return Assessment(
            created=as_of,
            summary=head,
            severity=severity,
            healing=healing,
            risk_statements=risks,
            supplementation=advice,
            follow_up=follow_ups,
            limitations=limits,
            sources=cited_sources(self._evidence, cited),
            evidence_version=self._evidence.version,
            warnings=self._warnings(facts),
            fragility=fragility,
            combined=combined,
            growth=growth,
        )

    def _advice(self, facts: CaseFacts) -> tuple[Advice, ...]:
        """Safety first: what it blocks, no other rule may advise."""
        safety = supplement_safety(facts, self._writer)
        lines = (
            *safety,
            *drug_safety(facts, self._writer),
            *supplement_advice(facts, self._writer, safety),
            *lifestyle_advice(facts, self._writer),
        )
        return tuple(sorted(guarded_advice(lines, self._evidence), key=lambda one: _ACTION_ORDER.index(one.action)))

    def _warnings(self, facts: CaseFacts) -> tuple[str, ...]:
        """Codes of `fusion.warnings.WARNINGS`, some with a detail."""
        found = [f"fusion.context.contradiction:{name}" for name in facts.contradictions()]
        if facts.site_contradicts_region:
            found.append("fusion.context.site_region_mismatch")
        if not facts.plausible_diet:
            found.append("fusion.calcium_diet.implausible")
        found += [f"fusion.lab.old:{one.resource}" for one in old_results(facts, self._writer)]
        if facts.risk is not None:
            outcomes = (facts.risk.major_osteoporotic, facts.risk.hip)
            cited = dict.fromkeys(one.evidence_id for outcome in outcomes for one in outcome.adjustments)
            found += [f"fusion.evidence.unknown_id:{one}" for one in cited if one not in self._evidence]
        return tuple(found)
