"""order-select and order-sign: what an order should know about the patient's bones, as news.

* A radiograph of a limb: fractures, bone health and drugs that change how it is taken and read.
* An NSAID, a glucocorticoid, calcium or vitamin D: what speaks against it after a recent fracture, and what forbids a
  supplement to anybody.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from cds.hooks.news import DrugNews, HistoryEntry, HistoryNews, News, Pressure
from cds.hooks.risk import OSTEOPENIC_T_SCORE, is_deceased
from cds.mapping import PRESENT_FRACTURE_WINDOW
from fhir_adapters.cds_hooks.orders import DraftOrder, as_taken, is_limb_radiograph, order_of
from fhir_adapters.cds_hooks.prefetch import bundle_of
from fhir_adapters.patient import (
    ConditionKind,
    DrugClass,
    FractureSiteGroup,
    MedicationEntry,
    PatientSnapshot,
    PriorFracture,
)
from fusion.contraindications import HYPERCALCAEMIA
from fusion.evidence_base import EvidenceBase
from fusion.ordered_drugs import JUDGED, ordered_drug_safety
from fusion.results import Advice, AdviceAction

SHOWN_FRACTURES = 5
_URGENT_FIRST = (
    AdviceAction.AVOID,
    AdviceAction.CORRECT_FIRST,
    AdviceAction.SPECIALIST_ONLY,
    AdviceAction.CAUTION,
    AdviceAction.SEPARATE,
    AdviceAction.CONSIDER,
    AdviceAction.INFORM,
)
_WARNING = frozenset(_URGENT_FIRST[:4])
_DISEASES: Mapping[ConditionKind, str] = {
    ConditionKind.PREGNANCY: "pregnancy",
    ConditionKind.CANCER: "cancer",
    ConditionKind.OSTEOGENESIS_IMPERFECTA: "osteogenesis imperfecta",
    ConditionKind.RHEUMATOID_ARTHRITIS: "rheumatoid arthritis",
    ConditionKind.REPEATED_FALLS: "repeated falls",
}
_DRUGS: Mapping[DrugClass, str] = {
    DrugClass.ANTICOAGULANT: "takes an anticoagulant",
    DrugClass.SYSTEMIC_GLUCOCORTICOID: "takes a systemic glucocorticoid",
    DrugClass.ORAL_BISPHOSPHONATE: "takes a bisphosphonate",
    DrugClass.INTRAVENOUS_BISPHOSPHONATE: "has an intravenous bisphosphonate",
    DrugClass.DENOSUMAB: "has denosumab",
    DrugClass.ANABOLIC_BONE_DRUG: "takes an anabolic bone drug",
}

RecordReader = Callable[..., PatientSnapshot]


def order_news(
    patient: PatientSnapshot,
    orders: Sequence[DraftOrder],
    *,
    draft_bundle: Mapping[str, Any],
    read_record: RecordReader,
    evidence: EvidenceBase,
) -> tuple[News, ...]:
    """What is worth saying about some orders.

    Args:
        patient: the record.
        orders: the new orders of the session.
        draft_bundle: all its drafts, for the Medications that orders refer to.
        read_record: `cds.pipeline.RecordReader`, which knows the classes of drugs.
        evidence: the evidence base.
    """
    if is_deceased(patient):
        return ()
    found: list[News] = []
    radiographs = tuple(one for one in orders if is_limb_radiograph(one))
    if radiographs and (entries := tuple(_history(patient))):
        found.append(HistoryNews(patient=patient, orders=radiographs, entries=entries))
    found.extend(_drug_news(patient, orders, draft_bundle, read_record, evidence))
    return tuple(found)


def recent_fracture(patient: PatientSnapshot) -> PriorFracture | None:
    """The newest fracture within the time that long bones take to unite; one without any date does not count."""
    return next((one for one in patient.prior_fractures if _days(one, patient.as_of) is not None), None)


def _days(fracture: PriorFracture, as_of: datetime) -> int | None:
    moment = fracture.onset or fracture.recorded
    if moment is None or fracture.site is FractureSiteGroup.SKULL or as_of - moment > PRESENT_FRACTURE_WINDOW:
        return None
    return (as_of - moment).days


# --- drugs


def _drug_news(
    patient: PatientSnapshot,
    orders: Sequence[DraftOrder],
    draft_bundle: Mapping[str, Any],
    read_record: RecordReader,
    evidence: EvidenceBase,
) -> Iterator[DrugNews]:
    if not any(one.resource.get("resourceType") == "MedicationRequest" for one in orders):
        return
    entries = as_taken(orders, draft_bundle, patient.patient_id)
    drafts = read_record(bundle_of(entries), as_of=patient.as_of, patient_id=patient.patient_id)
    fracture = recent_fracture(patient)
    # What is being ordered anew is in the record already when a draft is saved: it must not speak against itself.
    own = {one.reference for one in orders}
    before = replace(patient, medications=tuple(one for one in patient.medications if one.resource not in own))
    for place, order in enumerate(orders):
        ordered = tuple(
            replace(one, resource=order.reference or "the order")
            for one in drafts.medications
            if order_of(one.resource) == place
        )
        advice = ordered_drug_safety(evidence, patient=before, fracture=fracture, ordered=ordered, as_of=patient.as_of)
        if advice:
            yield _news(before, order, ordered, fracture, advice)


def _news(
    patient: PatientSnapshot,
    order: DraftOrder,
    ordered: tuple[MedicationEntry, ...],
    fracture: PriorFracture | None,
    advice: tuple[Advice, ...],
) -> DrugNews:
    ranked = tuple(sorted(advice, key=lambda one: _URGENT_FIRST.index(one.action)))
    pressure = Pressure.WARNING if any(one.action in _WARNING for one in ranked) else Pressure.INFO
    if patient.has_condition(ConditionKind.HYPERCALCAEMIA) is not None and any(
        HYPERCALCAEMIA in one.statement.evidence for one in ranked
    ):
        pressure = Pressure.CRITICAL
    return DrugNews(
        patient=patient,
        pressure=pressure,
        order=order,
        classes=tuple(dict.fromkeys(one.drug_class for one in ordered if one.drug_class in JUDGED)),
        fracture=fracture,
        fracture_days=None if fracture is None else _days(fracture, patient.as_of),
        advice=ranked,
    )


# --- history


def _history(patient: PatientSnapshot) -> Iterator[HistoryEntry]:
    """What matters for a radiograph, most telling first."""
    pregnancy = ConditionKind.PREGNANCY
    if (entry := patient.has_condition(pregnancy)) is not None:
        yield HistoryEntry(words=_DISEASES[pregnancy], resources=(entry.resource,))
    yield from _fractures(patient)
    yield from _bone_health(patient)
    for drug_class, words in _DRUGS.items():
        if (drug := patient.takes(drug_class)) is not None:
            since = "" if drug.start is None else f" (since {drug.start:%Y-%m})"
            yield HistoryEntry(words=words + since, resources=(drug.resource,))
    for kind, words in _DISEASES.items():
        if kind is not pregnancy and (disease := patient.has_condition(kind)) is not None:
            yield HistoryEntry(words=words, resources=(disease.resource,))


def _fractures(patient: PatientSnapshot) -> Iterator[HistoryEntry]:
    gathered: dict[str, list[str]] = {}
    for one in patient.prior_fractures:
        gathered.setdefault(fracture_words(one), []).append(one.resource)
    for words, resources in list(gathered.items())[:SHOWN_FRACTURES]:
        yield HistoryEntry(words=words, resources=tuple(resources))
    rest = list(gathered.values())[SHOWN_FRACTURES:]
    if rest:
        yield HistoryEntry(
            words=f"{len(rest)} older fractures" if len(rest) > 1 else "1 older fracture",
            resources=tuple(one for resources in rest for one in resources),
        )


def fracture_words(fracture: PriorFracture) -> str:
    """``hip fracture 2024-03``."""
    site = "" if fracture.site is FractureSiteGroup.OTHER else f"{fracture.site.value.replace('_', ' ')} "
    cause = " due to a tumour" if fracture.neoplastic else " of diseased bone" if fracture.pathological else ""
    if fracture.onset is not None:
        return f"{site}fracture{cause} {fracture.onset:%Y-%m}"
    if fracture.recorded is not None:
        return f"{site}fracture{cause}, recorded {fracture.recorded:%Y-%m}"
    return f"{site}fracture{cause}, undated"


def _bone_health(patient: PatientSnapshot) -> Iterator[HistoryEntry]:
    known = patient.osteoporosis
    if known is not None and known.value:
        yield HistoryEntry(words="osteoporosis", resources=(known.resource,))
    scores = [
        ("femoral neck", patient.t_score_femoral_neck),
        ("total hip", patient.t_score_total_hip),
        ("spine", patient.t_score_spine),
        ("site not recorded", patient.t_score_unspecified),
    ]
    measured = [(name, value) for name, value in scores if value is not None and value.value < OSTEOPENIC_T_SCORE]
    if measured:
        name, lowest = min(measured, key=lambda one: one[1].value)
        when = "" if lowest.effective is None else f", {lowest.effective:%Y}"
        value = f"{lowest.value:.1f}".replace("-", "\N{MINUS SIGN}")
        yield HistoryEntry(words=f"T-score {value} ({name}{when})", resources=(lowest.resource,))
