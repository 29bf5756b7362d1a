"""From candidate observations to the fields of the snapshot."""

from dataclasses import dataclass
from datetime import timedelta

from fhir_adapters.codes.observations import (
    NO_ANSWERS,
    PREGNANT_ANSWERS,
    SMOKING_ANSWERS,
    UNITS_PER_WEEK_CODE,
    YES_ANSWERS,
    Observable,
)
from fhir_adapters.codes.snomed import FEMORAL_NECK, HIP_STRUCTURES, SMOKING, SPINE_STRUCTURES
from fhir_adapters.codes.systems import CodeSystem, system_of
from fhir_adapters.observations import (
    ADULT_YEARS,
    Candidate,
    NextOlder,
    Usable,
    Verdict,
    judge_number,
    judge_quantity,
    newest,
    quantity_of,
    sort_newest_first,
)
from fhir_adapters.patient import SmokingStatus, Sourced
from fhir_adapters.reading import Reading
from fhir_adapters.shapes import as_number, codings
from fhir_adapters.units import Measure, unit_texts
from fhir_adapters.warnings import FhirWarning

BMI_WINDOW_ADULT = timedelta(days=365)
"""Weight and height of an adult may be this far apart for the body mass index to be computed from them."""
BMI_WINDOW_CHILD = timedelta(days=92)
BMI_TOLERANCE = 0.1
"""A recorded body mass index may differ by this share from that of weight and height of the same time."""
T_SCORE_TOLERANCE = 1.0
"""Both hips are often measured at once; they differ, but seldom by more than one standard deviation."""

FALLS_WINDOW = timedelta(days=365)
"""'Falls in the past year' says nothing about this year once it is older than that."""

_TScores = dict[str, list[Candidate]]
_ANSWER = "valueCodeableConcept"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """The measured part of a snapshot."""

    weight_kg: Sourced[float] | None
    height_cm: Sourced[float] | None
    bmi_kg_m2: Sourced[float] | None
    smoking: Sourced[SmokingStatus] | None
    alcohol_units_per_week: Sourced[float] | None
    falls_last_year: Sourced[int] | None
    parental_hip_fracture: Sourced[bool] | None
    pregnancy: tuple[Sourced[bool], str] | None
    """Pregnant by the newest answer, and the ``system|code`` of that answer."""
    vitamin_d_nmol_l: Sourced[float] | None
    calcium_mmol_l: Sourced[float] | None
    egfr_ml_min_1_73m2: Sourced[float] | None
    hba1c_percent: Sourced[float] | None
    t_score_femoral_neck: Sourced[float] | None
    t_score_total_hip: Sourced[float] | None
    t_score_spine: Sourced[float] | None
    t_score_unspecified: Sourced[float] | None


def measure(found: dict[Observable, list[Candidate]], reading: Reading, age_years: int | None) -> Measurements:
    """Choose and convert the newest value of everything measured."""

    def quantity(observable: Observable, measured: Measure) -> Sourced[float] | None:
        candidates = found.get(observable)
        return None if candidates is None else newest(candidates, reading, judge_quantity(measured))

    def t_score(site: str) -> Sourced[float] | None:
        return newest(sites[site], reading, judge_quantity(Measure.T_SCORE), _t_scores_differ)

    weight = quantity(Observable.WEIGHT, Measure.WEIGHT)
    height = quantity(Observable.HEIGHT, Measure.HEIGHT)
    computed = compute_bmi(weight, height, age_years)
    bmi = quantity(Observable.BMI, Measure.BMI) or computed
    if bmi is not None and computed is not None and _contradicts(bmi, computed):
        reading.notes.add(FhirWarning.BMI_CONTRADICTION, bmi.resource)
    sites = _t_scores_by_site(found)
    unspecified = t_score("unspecified")
    if unspecified is not None:
        reading.notes.add(FhirWarning.T_SCORE_SITE_UNKNOWN, unspecified.resource)
    return Measurements(
        weight_kg=weight,
        height_cm=height,
        bmi_kg_m2=bmi,
        smoking=_smoking(found.get(Observable.SMOKING, []), reading),
        alcohol_units_per_week=newest(found.get(Observable.ALCOHOL, []), reading, _judge_alcohol),
        falls_last_year=newest(found.get(Observable.FALLS, []), reading, _judge_falls),
        parental_hip_fracture=newest(found.get(Observable.PARENTAL_HIP_FRACTURE, []), reading, _judge_finding),
        pregnancy=_pregnancy(found.get(Observable.PREGNANCY, []), reading),
        vitamin_d_nmol_l=quantity(Observable.VITAMIN_D, Measure.VITAMIN_D),
        calcium_mmol_l=quantity(Observable.CALCIUM, Measure.CALCIUM),
        egfr_ml_min_1_73m2=quantity(Observable.EGFR, Measure.EGFR),
        hba1c_percent=quantity(Observable.HBA1C, Measure.HBA1C),
        t_score_femoral_neck=t_score("neck"),
        t_score_total_hip=t_score("hip"),
        t_score_spine=t_score("spine"),
        t_score_unspecified=unspecified,
    )


def compute_bmi(
    weight: Sourced[float] | None, height: Sourced[float] | None, age_years: int | None
) -> Sourced[float] | None:
    """Body mass index in kg/m2 from weight and height, if both are dated and close enough in time.

    The window is a year, and three months below 18 years or at unknown age. The later of the two is named as the
    source, both as what the value was derived from.
    """
    if weight is None or height is None or weight.effective is None or height.effective is None:
        return None
    adult = age_years is not None and age_years >= ADULT_YEARS
    if abs(weight.effective - height.effective) > (BMI_WINDOW_ADULT if adult else BMI_WINDOW_CHILD):
        return None
    newer = weight if weight.effective >= height.effective else height
    return Sourced(
        value=weight.value / (height.value / 100) ** 2,
        resource=newer.resource,
        effective=newer.effective,
        derived_from=(weight.resource, height.resource),
    )


def _contradicts(bmi: Sourced[float], computed: Sourced[float]) -> bool:
    """Whether a recorded body mass index of the same day as weight and height differs from theirs."""
    if bmi.effective is None or computed.effective is None or bmi.effective.date() != computed.effective.date():
        return False
    return abs(bmi.value - computed.value) > BMI_TOLERANCE * computed.value


def _t_scores_differ(value: float, other: float) -> bool:
    return abs(value - other) > T_SCORE_TOLERANCE


def _t_scores_by_site(found: dict[Observable, list[Candidate]]) -> _TScores:
    """Sort T-scores by where they were measured: by the code, made precise by the body site."""
    sites: _TScores = {"neck": [], "hip": [], "spine": [], "unspecified": []}
    by_code = {
        Observable.T_SCORE_SPINE: "spine",
        Observable.T_SCORE_HIP: "hip",
        Observable.T_SCORE_FEMUR: "unspecified",
        Observable.T_SCORE_ANY: "unspecified",
    }
    for observable, site in by_code.items():
        for candidate in found.get(observable, ()):
            place = _place(candidate, site)
            if place is not None:
                sites[place].append(candidate)
    for candidates in sites.values():
        sort_newest_first(candidates)
    return sites


def _place(candidate: Candidate, by_code: str) -> str | None:
    """Where a T-score was measured; None for a place that no field holds, such as the forearm."""
    body_site = candidate.entry.resource.get("bodySite")
    structures = {code for system, code in codings(body_site) if system_of(system) is CodeSystem.SNOMED_CT}
    if not structures:
        return by_code
    if FEMORAL_NECK in structures:
        return "neck"
    if structures & HIP_STRUCTURES:
        return "hip"
    if structures & SPINE_STRUCTURES:
        return "spine"
    # An unknown structure contradicts nothing when the code names the place, but cannot name one itself.
    return by_code if by_code != "unspecified" else None


def _stated(candidate: Candidate) -> bool | None:
    """Yes or no to a finding that stands in the place of the question; None for any other answer."""
    holder = candidate.holder
    if not any(name.startswith("value") for name in holder):
        return None if "dataAbsentReason" in holder else True
    if isinstance(holder.get("valueBoolean"), bool):
        return holder["valueBoolean"] is True
    answers = {(system_of(system), code) for system, code in codings(holder.get(_ANSWER))}
    return True if answers & YES_ANSWERS else False if answers & NO_ANSWERS else None


def _judge_finding(candidate: Candidate, reading: Reading) -> Verdict[bool]:
    stated = _stated(candidate)
    if stated is None:
        reading.notes.add(FhirWarning.VALUE_MISSING, candidate.reference)
        return NextOlder()
    return Usable(stated)


def _judge_smoking(candidate: Candidate, reading: Reading) -> Verdict[SmokingStatus]:
    if candidate.code in SMOKING:
        if _stated(candidate) is True:
            return Usable(SMOKING[candidate.code])
        reading.notes.add(FhirWarning.VALUE_MISSING, candidate.reference)
        return NextOlder()
    answers = list(codings(candidate.holder.get(_ANSWER)))
    for system, code in answers:
        known = system_of(system)
        status = SMOKING_ANSWERS.get((known, code)) if known is not None else None
        if status is not None:
            return Usable(status)
    warning = FhirWarning.VALUE_CODE_UNKNOWN if answers else FhirWarning.VALUE_MISSING
    reading.notes.add(warning, candidate.reference)
    return NextOlder()


def _smoking(candidates: list[Candidate], reading: Reading) -> Sourced[SmokingStatus] | None:
    """The newest status; 'unknown' only if no entry says more, and a warning when 'never' follows 'smoked'."""

    def informative(candidate: Candidate, reading: Reading) -> Verdict[SmokingStatus]:
        verdict = _judge_smoking(candidate, reading)
        unknown = isinstance(verdict, Usable) and verdict.value is SmokingStatus.UNKNOWN
        return NextOlder() if unknown else verdict

    status = newest(candidates, reading, informative)
    if status is None:
        return newest(candidates, reading, _judge_smoking)
    if status.value is SmokingStatus.NEVER and any(_says_smoked(candidate) for candidate in candidates):
        reading.notes.add(FhirWarning.SMOKING_CONTRADICTION, status.resource)
    return status


def _says_smoked(candidate: Candidate) -> bool:
    smoked = {SmokingStatus.CURRENT, SmokingStatus.FORMER}
    if candidate.code in SMOKING:
        return SMOKING[candidate.code] in smoked and _stated(candidate) is True
    for system, code in codings(candidate.holder.get(_ANSWER)):
        known = system_of(system)
        if known is not None and SMOKING_ANSWERS.get((known, code)) in smoked:
            return True
    return False


def _judge_alcohol(candidate: Candidate, reading: Reading) -> Verdict[float]:
    """Units per week, from units, grams or drinks."""
    quantity = quantity_of(candidate, reading)
    value = as_number(quantity.get("value"))
    if value is None:
        reading.notes.add(FhirWarning.VALUE_MISSING, candidate.reference)
        return NextOlder()
    if candidate.code == UNITS_PER_WEEK_CODE and not (set(unit_texts(quantity)) - {"/wk", "1/wk", "1", "{units}"}):
        quantity = quantity | {"code": Measure.ALCOHOL.value, "system": None}
    return judge_number(value, quantity, Measure.ALCOHOL, candidate, reading)


def _judge_falls(candidate: Candidate, reading: Reading) -> Verdict[int]:
    """A number of falls, or yes (at least one) or no."""
    moment = candidate.moment
    if moment is None or reading.as_of - moment.until(reading.as_of) > FALLS_WINDOW:
        reading.notes.add(FhirWarning.FALLS_OUTDATED, candidate.reference)
        return NextOlder()
    answers = {(system_of(system), code) for system, code in codings(candidate.holder.get(_ANSWER))}
    fell = candidate.holder.get("valueBoolean")
    if answers & NO_ANSWERS or fell is False:
        return Usable(0)
    if answers & YES_ANSWERS or fell is True:
        reading.notes.add(FhirWarning.VALUE_BOUND, candidate.reference)
        return Usable(1, ">=")
    quantity = quantity_of(candidate, reading)
    value = as_number(quantity.get("value"))
    if value is None:
        reading.notes.add(FhirWarning.VALUE_MISSING, candidate.reference)
        return NextOlder()
    if not value.is_integer():
        reading.notes.add(FhirWarning.VALUE_IMPLAUSIBLE, candidate.reference)
        return NextOlder()
    verdict = judge_number(value, quantity, Measure.FALLS, candidate, reading)
    return Usable(int(verdict.value), verdict.comparator) if isinstance(verdict, Usable) else verdict


def _pregnancy(candidates: list[Candidate], reading: Reading) -> tuple[Sourced[bool], str] | None:
    """Whether the newest pregnancy status that is coded says pregnant."""
    for candidate in candidates:
        answers = [(system_of(system), code) for system, code in codings(candidate.holder.get(_ANSWER))]
        if not answers or candidate.moment is None:
            continue
        hit = next((answer for answer in answers if answer in PREGNANT_ANSWERS), None)
        if hit is None:
            return None
        effective = candidate.moment.until(reading.as_of)
        return Sourced(value=True, resource=candidate.reference, effective=effective), f"{hit[0]}|{hit[1]}"
    return None
