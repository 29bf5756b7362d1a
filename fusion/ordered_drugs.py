"""Safety of a drug that is being ordered, mostly after a recent fracture: the rules of the report, one drug early.

The rules are those of `contraindications`, `drug_safety` and `healing_factors`. They are asked with the record as it
is, so that a line says "already prescribed" only of what is, and once more with the order as if it were taken, for the
lines that only an order brings about.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from fhir_adapters.patient import DrugClass, MedicationEntry, PatientSnapshot, PriorFracture
from fusion.advice_lines import safety_line
from fusion.context import ClinicalContext
from fusion.contraindications import BOTH, supplement_safety
from fusion.drug_safety import drug_safety
from fusion.evidence_base import EvidenceBase
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, FracturePresence
from fusion.healing_factors import nsaid as nsaid_and_union
from fusion.results import Advice, AdviceAction
from fusion.statements import Writer, plain

SUPPLEMENTS = frozenset({DrugClass.CALCIUM_SUPPLEMENT, DrugClass.VITAMIN_D_SUPPLEMENT})
PAIN_DRUGS = frozenset({DrugClass.NSAID, DrugClass.COX2_INHIBITOR})
JUDGED = SUPPLEMENTS | PAIN_DRUGS | {DrugClass.SYSTEMIC_GLUCOCORTICOID}
"""The classes of drugs that are judged when they are ordered."""
EXPOSURE = "risk.threshold.glucocorticoid_exposure"
GLUCOCORTICOID_RISK = "risk.glucocorticoids_mof.rmdopen2017"

_AGENTS: dict[DrugClass, frozenset[str]] = {
    DrugClass.CALCIUM_SUPPLEMENT: frozenset({"calcium", BOTH}),
    DrugClass.VITAMIN_D_SUPPLEMENT: frozenset({"vitamin_d", BOTH}),
    DrugClass.NSAID: frozenset({"nsaid"}),
    DrugClass.COX2_INHIBITOR: frozenset({"nsaid", "cox2_inhibitor"}),
    DrugClass.SYSTEMIC_GLUCOCORTICOID: frozenset({"glucocorticoid"}),
}
_ALSO_VITAMIN_D = frozenset({"safety.kidney_unknown", "safety.interaction.thiazide", "safety.interaction.digoxin"})
"""Lines on calcium whose words are on vitamin D, too."""
_WITHOUT_FRACTURE = frozenset({AdviceAction.AVOID, AdviceAction.SPECIALIST_ONLY, AdviceAction.CORRECT_FIRST})
"""What is said about a supplement whoever orders it; timing and monitoring only after a fracture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OrderFacts(CaseFacts):
    """A record in which a fracture stands, without a radiograph and without the clinician's word."""

    fracture: PriorFracture | None

    @property
    def presence(self) -> FracturePresence:
        """Stated, by the record. An order of a supplement makes it a subject just as a fracture does."""
        return FracturePresence.STATED

    @property
    def fracture_record(self) -> tuple[str, ...]:
        """The entry that holds the fracture."""
        return () if self.fracture is None else (self.fracture.resource,)


def ordered_drug_safety(
    evidence: EvidenceBase,
    *,
    patient: PatientSnapshot,
    fracture: PriorFracture | None,
    ordered: tuple[MedicationEntry, ...],
    as_of: datetime,
) -> tuple[Advice, ...]:
    """What speaks against one order, each line with its evidence and the entries that triggered it.

    Args:
        evidence: the evidence base.
        patient: the record, without the order.
        fracture: the recent fracture, if there is one. Without it only what forbids a supplement is said.
        ordered: the order, one entry for each of its drug classes, `MedicationEntry.resource` naming the order.
        as_of: timezone-aware.

    Returns:
        Lines in the order of the rules; empty when there is nothing to say.
    """
    classes = {one.drug_class for one in ordered} & JUDGED
    if fracture is None:
        classes &= SUPPLEMENTS
    if not classes:
        return ()
    writer = Writer(evidence)
    lines = [one for one in _rules(patient, fracture, ordered, as_of, writer) if _concerns(one, classes)]
    if fracture is None:
        lines = [one for one in lines if one.action in _WITHOUT_FRACTURE]
    if DrugClass.SYSTEMIC_GLUCOCORTICOID in classes and fracture is not None:
        lines.extend(_glucocorticoid(patient, fracture, writer))
    return tuple(_with_order(one, ordered) for one in lines)


def _rules(
    patient: PatientSnapshot,
    fracture: PriorFracture | None,
    ordered: tuple[MedicationEntry, ...],
    as_of: datetime,
    writer: Writer,
) -> list[Advice]:
    def facts(record: PatientSnapshot) -> _OrderFacts:
        return _OrderFacts(
            findings=None, patient=record, risk=None, context=ClinicalContext(), as_of=as_of, fracture=fracture
        )

    before = facts(patient)
    after = facts(replace(patient, medications=(*ordered, *patient.medications)))
    lines = [*supplement_safety(before, writer), *drug_safety(before, writer)]
    said = {one.statement.id for one in lines}
    lines += [one for one in drug_safety(after, writer) if one.statement.id not in said]
    adult = patient.age_years is None or patient.age_years >= ADULT_FROM_YEARS
    factor = nsaid_and_union(after, writer) if fracture is not None and adult else None
    if factor is not None and not any(one.action is AdviceAction.AVOID and one.agent == "nsaid" for one in lines):
        statement = factor.shown.statement
        words = f"Low dose and short course: {statement.text.removeprefix('NSAID: ')}"
        lines.append(Advice(action=AdviceAction.INFORM, agent="nsaid", statement=replace(statement, text=words)))
    return lines


def _concerns(advice: Advice, classes: Iterable[DrugClass]) -> bool:
    """Whether a line is about one of the ordered drugs."""
    return any(
        advice.agent in _AGENTS[one]
        or (one is DrugClass.VITAMIN_D_SUPPLEMENT and advice.statement.id in _ALSO_VITAMIN_D)
        for one in classes
    )


def _glucocorticoid(patient: PatientSnapshot, fracture: PriorFracture, writer: Writer) -> Iterable[Advice]:
    """A glucocorticoid after a fracture: bone protection, where none is taken and the course will be long."""
    treated = any(
        patient.takes(one) is not None
        for one in (
            DrugClass.ORAL_BISPHOSPHONATE,
            DrugClass.INTRAVENOUS_BISPHOSPHONATE,
            DrugClass.DENOSUMAB,
            DrugClass.ANABOLIC_BONE_DRUG,
        )
    )
    if treated or (patient.age_years is not None and patient.age_years < ADULT_FROM_YEARS):
        return
    dose, ratio = plain(writer.value(EXPOSURE)), plain(writer.value(GLUCOCORTICOID_RISK))
    text = (
        f"If it lasts three months: assess fracture risk and bone protection (from {dose} mg of prednisolone a day;"
        f" glucocorticoids go with major fractures, hazard ratio {ratio})."
    )
    yield safety_line(
        writer,
        AdviceAction.INFORM,
        "glucocorticoid",
        "order.glucocorticoid",
        text,
        (EXPOSURE, GLUCOCORTICOID_RISK),
        (fracture.resource,),
    )


def _with_order(advice: Advice, ordered: tuple[MedicationEntry, ...]) -> Advice:
    """The line with the order among its triggers."""
    own = tuple(dict.fromkeys(one.resource for one in ordered))
    record = tuple(dict.fromkeys((*advice.statement.record, *own)))
    return replace(advice, statement=replace(advice.statement, record=record))
