"""What lengthens the time to union or raises the odds of non-union in this person, and how sure that is.

A factor counts only when at least one of its sources was verified; unverified sources of the same factor then stand
beside it and widen it. A factor that rests on unverified sources alone is shown and not counted. Sources that
disagree stand side by side: `fusion.healing_simulation` draws from each alike. Their mean on the log scale, with their
disagreement added to their own error, only ranks the factors.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean, pvariance

from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass, SmokingStatus
from fusion.context import Mechanism
from fusion.evidence_model import EvidenceEntry
from fusion.facts import ADULT_FROM_YEARS, CaseFacts, references
from fusion.results import Certainty, HealingFactor
from fusion.sites import LOWER_LIMB_SITES, FractureSite
from fusion.statements import CLINICIAN, Writer, join, plain

_Z95 = 1.959964
NO_INTERVAL = "healing.method.no_interval"
OVERLAP = "healing.method.overlapping_factors"
SMOKING_ERROR = "healing.time.smoking_error"
OTHER_SITE_WIDENING = 2.0
"""A time effect measured at one site is carried to another with this many times its log error."""
KIDNEY_FROM_EGFR = 60.0
"""Below, renal insufficiency is named among the uncounted factors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A ratio on the log scale with its standard error."""

    log_ratio: float
    log_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Factor:
    """One factor of the case."""

    shown: HealingFactor
    time: Effect | None = None
    odds: Effect | None = None
    """On the odds of non-union, all sources together; None when it is not counted."""
    odds_sources: tuple[Effect, ...] = ()
    """The same source by source; empty when it is not counted."""


Rule = Callable[[CaseFacts, Writer], Factor | None]


def healing_factors(facts: CaseFacts, writer: Writer) -> tuple[Factor, ...]:
    """Every factor of a case. Adults' factors are left out for children, whose union they were not measured in."""
    rules = CHILD_RULES if facts.younger_than(ADULT_FROM_YEARS) else ADULT_RULES
    return tuple(factor for rule in rules if (factor := rule(facts, writer)) is not None)


def pooled(entries: tuple[EvidenceEntry, ...], writer: Writer) -> Effect:
    """The sources of one factor as one effect: mean of the logs, mean error plus disagreement.

    Risk ratios are used as odds ratios; at the usual rates of non-union the two differ little.
    """
    effects = one_by_one(entries, writer)
    logs = [one.log_ratio for one in effects]
    error = math.sqrt(fmean(one.log_error**2 for one in effects) + pvariance(logs))
    return Effect(log_ratio=fmean(logs), log_error=error)


def one_by_one(entries: tuple[EvidenceEntry, ...], writer: Writer) -> tuple[Effect, ...]:
    """Every source of one factor as an effect of its own."""
    return tuple(Effect(log_ratio=math.log(entry.number()), log_error=_log_error(entry, writer)) for entry in entries)


def _log_error(entry: EvidenceEntry, writer: Writer) -> float:
    if entry.low is None or entry.high is None:
        return writer.value(NO_INTERVAL)
    return (math.log(entry.high) - math.log(entry.low)) / (2 * _Z95)


def _range_words(entries: tuple[EvidenceEntry, ...]) -> str:
    values = sorted(entry.number() for entry in entries)
    low, high = plain(values[0]), plain(values[-1])
    if len(values) == 1:
        return f"× {low}"
    unverified = sum(entry.is_unverified for entry in entries)
    aside = f", {unverified} unverified" if 0 < unverified < len(entries) else ""
    return f"× {low} to × {high} ({len(values)} sources{aside})"


def _certainty(ids: tuple[str, ...], writer: Writer) -> Certainty:
    """That of the sources that let the factor count; the unverified ones beside them only widen it."""
    grounds = tuple(one for one in ids if not writer.evidence[one].is_unverified)
    return writer.evidence.certainty(grounds or ids)


def _nonunion(
    factor: str,
    words: str,
    ids: tuple[str, ...],
    writer: Writer,
    record: tuple[str, ...],
    *,
    after: str = "",
    counted: bool = True,
) -> Factor:
    """A factor known for non-union only."""
    entries = tuple(writer.evidence[one] for one in ids)
    counts = counted and not writer.evidence.only_unverified(ids)
    why = "" if counts else " Not counted."
    statement = writer.say(
        f"healing.factor.{factor}",
        f"{words}: odds of non-union {_range_words(entries)}.{after}{why}",
        evidence=ids,
        record=record,
        certainty=_certainty(ids, writer),
    )
    shown = HealingFactor(
        factor=factor, time_ratio=None, time_ratio_low=None, time_ratio_high=None, statement=statement
    )
    if not counts:
        return Factor(shown=shown)
    return Factor(shown=shown, odds=pooled(entries, writer), odds_sources=one_by_one(entries, writer))


def _with_time(
    factor: str,
    words: str,
    time_id: str,
    time: Effect,
    odds_ids: tuple[str, ...],
    writer: Writer,
    record: tuple[str, ...],
    *,
    after: str = "",
) -> Factor:
    """A factor known for the time to union and for non-union."""
    ratio = math.exp(time.log_ratio)
    low, high = (math.exp(time.log_ratio + sign * _Z95 * time.log_error) for sign in (-1, 1))
    entries = tuple(writer.evidence[one] for one in odds_ids)
    statement = writer.say(
        f"healing.factor.{factor}",
        f"{words}: union takes about {ratio:.2f} times as long ({low:.2f} to {high:.2f}); odds of non-union"
        f" {_range_words(entries)}.{after}",
        evidence=(time_id, *odds_ids),
        record=record,
        certainty=_certainty((time_id, *odds_ids), writer),
    )
    shown = HealingFactor(
        factor=factor, time_ratio=ratio, time_ratio_low=low, time_ratio_high=high, statement=statement
    )
    return Factor(shown=shown, time=time, odds=pooled(entries, writer), odds_sources=one_by_one(entries, writer))


# --- rules


def smoking(facts: CaseFacts, writer: Writer) -> Factor | None:
    """Current smoking."""
    status = facts.smoking
    if status is None or status.value is not SmokingStatus.CURRENT:
        return None
    name = "healing.time.smoking.schenker2013"
    time = Effect(log_ratio=math.log(writer.value(name)), log_error=writer.value(SMOKING_ERROR))
    ids = tuple(f"healing.nonunion.smoking_current.{key}" for key in ("pearson2016", "schenker2013", "zura2016"))
    return _with_time("current_smoking", "Current smoking", name, time, ids, writer, (status.resource,))


def osteoporosis(facts: CaseFacts, writer: Writer) -> Factor | None:
    """Recorded osteoporosis or a T-score of -2.5 or lower."""
    resource = facts.osteoporosis
    if resource is None:
        return None
    name = "healing.time.osteoporosis.nikolaou"
    entry = writer.evidence[name]
    measured_here = facts.sites == (FractureSite.FEMORAL_SHAFT,)
    error = _log_error(entry, writer) * (1.0 if measured_here else OTHER_SITE_WIDENING)
    after = "" if measured_here else " The time was measured at the femoral shaft and is carried over with care."
    ids = ("healing.nonunion.osteoporosis.zura2016", "healing.nonunion.osteoporosis.quan2021")
    time = Effect(log_ratio=math.log(entry.number()), log_error=error)
    return _with_time("osteoporosis", "Osteoporosis", name, time, ids, writer, (resource,), after=after)


def open_fracture(facts: CaseFacts, writer: Writer) -> Factor | None:
    """An open fracture."""
    if facts.open_fracture is not True:
        return None
    ids = tuple(f"healing.nonunion.open_fracture.{key}" for key in ("quan2021", "kantor2023", "zura2016"))
    if FractureSite.TIBIAL_SHAFT in facts.sites:
        ids += ("healing.nonunion.open_fracture_tibia.bjo2021",)
    return _nonunion("open_fracture", "Open fracture", ids, writer, (CLINICIAN,))


def diabetes(facts: CaseFacts, writer: Writer) -> Factor | None:
    """Diabetes of either type."""
    recorded = facts.diabetes
    if recorded is None:
        return None
    ids: tuple[str, ...] = ("healing.nonunion.diabetes_any.ding2020",)
    if facts.sites and all(site in LOWER_LIMB_SITES for site in facts.sites):
        ids += ("healing.nonunion.diabetes_lower_limb.ding2020",)
    by_type = {DiabetesType.TYPE_1: "t1dm", DiabetesType.TYPE_2: "t2dm"}.get(recorded.value)
    if by_type is not None:
        ids += (f"healing.nonunion.{by_type}.hernandez2012",)
    return _nonunion("diabetes", "Diabetes", ids, writer, (recorded.resource,))


def nsaid(facts: CaseFacts, writer: Writer) -> Factor | None:
    """A non-selective NSAID that is being taken."""
    drugs = facts.drugs(DrugClass.NSAID)
    if not drugs:
        return None
    ids = (
        *(f"healing.nonunion.nsaid_any.{key}" for key in ("wheatley2019", "quan2021", "hernandez2012", "chuang2024")),
        "healing.nonunion.nonselective_nsaid.george2020",
    )
    after = " The sources disagree; low dose and short use showed no clear effect."
    return _nonunion("nsaid", "NSAID", ids, writer, references(drugs), after=after)


def cox2_inhibitor(facts: CaseFacts, writer: Writer) -> Factor | None:
    """A COX-2 inhibitor that is being taken."""
    drugs = facts.drugs(DrugClass.COX2_INHIBITOR)
    if not drugs:
        return None
    return _nonunion(
        "cox2_inhibitor", "COX-2 inhibitor", ("healing.nonunion.cox2.george2020",), writer, references(drugs)
    )


def obesity(facts: CaseFacts, writer: Writer) -> Factor | None:
    """A body mass index of 30 or more."""
    resource = facts.obese
    if resource is None:
        return None
    return _nonunion("obesity", "Obesity", ("healing.nonunion.obesity.kantor2023",), writer, (resource,))


def high_energy(facts: CaseFacts, writer: Writer) -> Factor | None:
    """High-energy trauma."""
    if facts.context.mechanism is not Mechanism.HIGH_ENERGY:
        return None
    ids: tuple[str, ...] = (
        "healing.nonunion.motor_vehicle_accident.hernandez2012",
        "healing.nonunion.high_energy.zura2016",
    )
    if FractureSite.TIBIAL_SHAFT in facts.sites:
        ids += ("healing.nonunion.high_energy_tibia.bjo2021",)
    return _nonunion("high_energy", "High-energy trauma", ids, writer, (CLINICIAN,))


def bisphosphonate_humerus(facts: CaseFacts, writer: Writer) -> Factor | None:
    """A bisphosphonate with a humeral fracture: shown so that nobody withholds it for this reason."""
    drugs = facts.drugs(DrugClass.ORAL_BISPHOSPHONATE, DrugClass.INTRAVENOUS_BISPHOSPHONATE)
    humerus = {FractureSite.HUMERUS_SHAFT, FractureSite.HUMERUS_PROXIMAL}
    if not drugs or not humerus & set(facts.sites):
        return None
    return _nonunion(
        "bisphosphonate",
        "Bisphosphonate after a humeral fracture",
        ("healing.nonunion.bisphosphonate_humerus.solomon2009",),
        writer,
        references(drugs),
        after=" The absolute risk was 0.4 %; this is no reason to withhold bone protection.",
        counted=False,
    )


def opioid(facts: CaseFacts, writer: Writer) -> Factor | None:
    """An opioid: associated, but confounded by severity and pain."""
    drugs = facts.drugs(DrugClass.OPIOID)
    if not drugs:
        return None
    return _nonunion(
        "opioid",
        "Opioid",
        ("healing.nonunion.opioid.george2020",),
        writer,
        references(drugs),
        after=" Likely a sign of severity and pain rather than a cause.",
        counted=False,
    )


def anticoagulant(facts: CaseFacts, writer: Writer) -> Factor | None:
    """An anticoagulant; unverified, so not counted."""
    drugs = facts.drugs(DrugClass.ANTICOAGULANT)
    if not drugs:
        return None
    ids = ("healing.nonunion.anticoagulant.zura2016",)
    return _nonunion("anticoagulant", "Anticoagulant", ids, writer, references(drugs))


def vitamin_d_deficiency(facts: CaseFacts, writer: Writer) -> Factor | None:
    """Recorded or measured vitamin D deficiency; an unverified association, so not counted."""
    record = vitamin_d_deficient(facts, writer)
    if record is None:
        return None
    return _nonunion(
        "vitamin_d_deficiency",
        "Vitamin D deficiency",
        ("healing.nonunion.vitamin_d_deficiency.zura2016",),
        writer,
        (record,),
        after=" An association only: supplements are not shown to change union.",
    )


def vitamin_d_deficient(facts: CaseFacts, writer: Writer) -> str | None:
    """Reference of a low 25-hydroxyvitamin D or of a recorded deficiency, the measurement before the diagnosis."""
    measured = None if facts.patient is None else facts.patient.vitamin_d_nmol_l
    if measured is not None:
        return measured.resource if measured.value < writer.value("care.vitamin_d.deficient_nmol_l") else None
    entry = facts.condition(ConditionKind.VITAMIN_D_DEFICIENCY)
    return None if entry is None else entry.resource


def renal_insufficiency(facts: CaseFacts, writer: Writer) -> Factor | None:
    """Kidney disease; unverified, so not counted."""
    disease = facts.condition(ConditionKind.CHRONIC_KIDNEY_DISEASE)
    record: tuple[str, ...] = () if disease is None else (disease.resource,)
    if facts.egfr is not None and facts.egfr.value < KIDNEY_FROM_EGFR:
        record += (facts.egfr.resource,)
    if not record:
        return None
    ids = ("healing.nonunion.renal_insufficiency.zura2016",)
    return _nonunion("renal_insufficiency", "Renal insufficiency", ids, writer, record)


def nsaid_child(facts: CaseFacts, writer: Writer) -> Factor | None:
    """An NSAID in a child: no sign of harm to union."""
    drugs = facts.drugs(DrugClass.NSAID, DrugClass.COX2_INHIBITOR)
    if not drugs:
        return None
    return _nonunion(
        "nsaid",
        "NSAID in a child",
        ("healing.nonunion.nsaid_child.wheatley2019",),
        writer,
        references(drugs),
        after=" Not significant.",
        counted=False,
    )


ADULT_RULES: tuple[Rule, ...] = (
    open_fracture,
    smoking,
    osteoporosis,
    diabetes,
    nsaid,
    cox2_inhibitor,
    high_energy,
    obesity,
    bisphosphonate_humerus,
    opioid,
    anticoagulant,
    renal_insufficiency,
    vitamin_d_deficiency,
)
CHILD_RULES: tuple[Rule, ...] = (nsaid_child,)


_SPELLED = {"nsaid": "NSAID", "cox2_inhibitor": "COX-2 inhibitor"}


def names(factors: tuple[Factor, ...]) -> str:
    """The counted factors in words; empty when none counts."""
    counted = [one.shown.factor for one in factors if one.odds is not None]
    return join([_SPELLED.get(one, one.replace("_", " ")) for one in counted])
