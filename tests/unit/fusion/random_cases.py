"""Seeded random cases: anything that a record, a radiograph and a clinician may say, in any combination."""

import random
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, TypeVar

from fhir_adapters.patient import (
    ConditionKind,
    DiabetesType,
    DrugClass,
    FractureSiteGroup,
    PatientSnapshot,
    Sex,
    SmokingStatus,
)
from fusion.context import FractureType, Gustilo, Mechanism
from fusion.sites import FractureSite
from imaging.labels import BodyRegion, FracturePattern, LimbGroup, View
from imaging.results import (
    AgeDiscrepancyVerdict,
    BoneAgeEstimate,
    BoxPx,
    FractureCall,
    FractureDetection,
    FractureGeometry,
    ImageAttributes,
    ImageFindings,
    Measurement,
    PatternEstimate,
)
from tabular.results import RelativeRisk, RiskEstimate
from tests.unit.fusion.cases import condition, drug, findings, patient, prior, risk, sourced
from tests.unit.fusion.test_growth_plate import skeletal

E = TypeVar("E", bound=StrEnum)
FLAGS = (
    "displaced",
    "intra_articular",
    "open_wound",
    "vascular_deficit",
    "neurological_deficit",
    "compartment_signs",
    "skin_threatened",
    "dislocation",
    "clinical_suspicion_high",
    "non_ambulant_infant",
    "operated",
    "growth_plate",
)
LABORATORY: dict[str, tuple[float, float]] = {
    "vitamin_d_nmol_l": (5.0, 400.0),
    "calcium_mmol_l": (1.8, 3.0),
    "egfr_ml_min_1_73m2": (8.0, 110.0),
    "bmi_kg_m2": (15.0, 45.0),
    "alcohol_units_per_week": (0.0, 60.0),
    "t_score_femoral_neck": (-4.0, 1.0),
    "t_score_spine": (-4.0, 1.0),
}
"""Field of `PatientSnapshot` and the range it is drawn from, in the unit of its name."""


def random_case(chance: random.Random) -> dict[str, Any]:
    """A case for `tests.unit.fusion.observed.run`; every part is missing now and then."""
    return {
        "image": _image(chance) if chance.random() < 0.7 else None,
        "person": _person(chance) if chance.random() < 0.9 else None,
        "estimate": _estimate(chance) if chance.random() < 0.4 else None,
        "bone_age": _bone_age(chance) if chance.random() < 0.2 else None,
        **_context(chance),
    }


def _maybe(chance: random.Random, members: type[E], share: float) -> E | None:
    return chance.choice(list(members)) if chance.random() < share else None


def _some(chance: random.Random, members: type[E], most: int) -> Sequence[E]:
    return chance.sample(list(members), chance.randrange(most + 1))


def _context(chance: random.Random) -> dict[str, Any]:
    given: dict[str, Any] = {name: chance.choice((True, False, None, None)) for name in FLAGS}
    return given | {
        "site": _maybe(chance, FractureSite, 0.6),
        "fracture_type": _maybe(chance, FractureType, 0.3),
        "mechanism": _maybe(chance, Mechanism, 0.6),
        "gustilo": _maybe(chance, Gustilo, 0.1),
        "calcium_diet_mg_per_day": chance.choice((None, None, 300.0, 900.0, 2_600.0, 20_000.0)),
    }


def _person(chance: random.Random) -> PatientSnapshot:
    labs: dict[str, Any] = {
        name: sourced(round(chance.uniform(*ends), 2), f"Observation/{name}", days=chance.choice((10, 800)))
        for name, ends in LABORATORY.items()
        if chance.random() < 0.4
    }
    if chance.random() < 0.3:
        labs["smoking"] = sourced(chance.choice(list(SmokingStatus)), "Observation/smoking")
    if chance.random() < 0.2:
        labs["diabetes"] = sourced(chance.choice(list(DiabetesType)), "Condition/diabetes")
    if chance.random() < 0.2:
        labs["osteoporosis"] = sourced(chance.random() < 0.8, "Condition/osteoporosis")
    if chance.random() < 0.2:
        labs["falls_last_year"] = sourced(chance.randrange(4), "Observation/falls")
    return patient(
        chance.choice((None, 0, 1, 2, 9, 11, 12, 15, 16, 17, 18, 39, 40, 49, 50, 59, 60, 64, 65, 70, 71, 75, 90)),
        sex=chance.choice((Sex.FEMALE, Sex.MALE, None)),
        medications=tuple(drug(one, active=chance.random() < 0.9) for one in _some(chance, DrugClass, 5)),
        conditions=tuple(condition(one, active=chance.random() < 0.9) for one in _some(chance, ConditionKind, 5)),
        prior_fractures=tuple(
            replace(prior(one, active=chance.random() < 0.2), pathological=chance.random() < 0.1)
            for one in _some(chance, FractureSiteGroup, 2)
        ),
        **labs,
    )


def _measure(chance: random.Random, most: float) -> Measurement | None:
    if chance.random() < 0.4:
        return None
    value, half = chance.uniform(0, most), chance.uniform(0, most / 4)
    return Measurement(value=value, low=max(0.0, value - half), high=value + half)


def _image(chance: random.Random) -> ImageFindings:
    call = chance.choice(list(FractureCall))
    found: tuple[FractureDetection, ...] = ()
    if call in {FractureCall.DEFINITE, FractureCall.SUSPECTED}:
        pattern = PatternEstimate(
            pattern=chance.choice(list(FracturePattern)),
            probabilities=(),
            displaced_probability=chance.choice((None, 0.2, 0.8)),
        )
        geometry = FractureGeometry(
            angulation_deg=_measure(chance, 40.0),
            shortening_mm=_measure(chance, 40.0),
            shortening_px=_measure(chance, 90.0),
            displacement_px=_measure(chance, 90.0),
            displacement_percent=_measure(chance, 130.0),
        )
        found = (
            FractureDetection(
                box=BoxPx(x1=1, y1=1, x2=9, y2=9),
                score=0.9,
                call=call,
                label="fracture",
                geometry=geometry if chance.random() < 0.7 else None,
                pattern=pattern if chance.random() < 0.5 else None,
            ),
        )
    attributes = ImageAttributes(
        model_id="m",
        limb=((LimbGroup.LEG_FOOT, 1.0),),
        views=tuple((view, chance.random()) for view in View),
        hardware_probability=chance.choice((None, 0.1, 0.9)),
    )
    return findings(
        call,
        _maybe(chance, BodyRegion, 0.9),
        detections=found,
        attributes=attributes if chance.random() < 0.7 else None,
        fracture_probability=_probability(chance),
        calibration_prevalence=chance.choice((None, 0.18)),
        synthetic=chance.random() < 0.1,
    )


def _probability(chance: random.Random) -> Measurement | None:
    if chance.random() < 0.4:
        return None
    value = chance.uniform(0.02, 0.98)
    return Measurement(value=value, low=0.7 * value, high=min(1.0, 1.2 * value))


def _bone_age(chance: random.Random) -> BoneAgeEstimate:
    low = chance.uniform(2.0, 17.0)
    return skeletal(low, low + chance.uniform(0.5, 3.0), chance.choice((None, *AgeDiscrepancyVerdict)))


def _estimate(chance: random.Random) -> RiskEstimate:
    factor = RelativeRisk(factor="type 1 diabetes", ratio=2.0, evidence_id="risk.t1dm_hip.vilaca2020")
    return risk(
        round(chance.uniform(0.01, 0.6), 3),
        round(chance.uniform(0.001, 0.3), 3),
        *((factor,) if chance.random() < 0.3 else ()),
        missing=("hba1c_percent",) if chance.random() < 0.5 else (),
    )
