"""The numbers that the engine gives in known cases, written down: a changed figure shows here, wherever it comes from.

``python -m tests.mutation.pins`` compares; with ``--write`` it writes the file anew, to be read before it is kept.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from fhir_adapters.patient import DiabetesType, DrugClass, Sex
from fusion.context import FractureType, Gustilo, Mechanism
from fusion.engine import FusionEngine
from fusion.sites import FractureSite
from imaging.labels import View
from tests.mutation.outcomes import numbers
from tests.unit.fusion.cases import drug, patient, sourced
from tests.unit.fusion.observed import Case, run
from tests.unit.fusion.rule_cases import RULE_CASES
from tests.unit.fusion.test_growth_plate import skeletal
from tests.unit.fusion.test_measured import around, image

PINS = Path(__file__).parent / "pins.json"
S = FractureSite


@cache
def pinned_cases() -> dict[str, tuple[Case, frozenset[str]]]:
    """Name of a case, the case, and the rules whose numbers are pinned in it."""
    found = {f"rule {rule}": (pair.fires, frozenset({rule})) for rule, pair in RULE_CASES.items()}
    for name, case, *rules in _further():
        found[name] = (case, frozenset(rules))
    return found


def _further() -> Iterator[tuple[Any, ...]]:
    yield from _union()
    yield from _intake()
    yield from _infants()
    yield from _weak_bone()
    yield from _growth()
    yield from _measured()
    yield from _factors()
    hip = {"person": patient(70), "site": S.FEMORAL_NECK}
    yield "hip dislocation", {**hip, "dislocation": True}, "severity.red_flag.dislocation"
    yield "hip protein", hip, "lifestyle.protein"
    wrist = {"person": patient(60), "site": S.DISTAL_RADIUS, "mechanism": Mechanism.LOW_ENERGY}
    yield "imminent after a major fracture", wrist, "risk.imminent"
    man = patient(40, sex=Sex.MALE, alcohol_units_per_week=sourced(60.0, "Observation/a"))
    yield "man's alcohol", {"person": man}, "lifestyle.alcohol"
    weak = patient(45, vitamin_d_nmol_l=sourced(20.0, "Observation/d"), bmi_kg_m2=sourced(40.0, "Observation/b"))
    yield "raised need", {"person": weak, "site": S.CLAVICLE}, "supplementation.vitamin_d.deficient"


def _union() -> Iterator[tuple[Any, ...]]:
    rules = ("healing.baseline", "healing.nonunion")
    for site, age in product(S, (0, 5, 11, 12, 40)):
        yield f"union {site.value} {age}", {"person": patient(age), "site": site}, *rules
    moved = {"person": patient(40), "site": S.CLAVICLE, "displaced": True}
    yield "union displaced clavicle", moved, *rules
    yield "union newborn", {"person": replace(patient(0), birth_date=None), "site": S.CLAVICLE}, *rules
    yield "union open tibia", {"person": patient(40), "site": S.TIBIAL_SHAFT, "gustilo": Gustilo.IIIB}, *rules
    for site, pattern in product((S.HUMERUS_SHAFT, S.TIBIAL_SHAFT), (FractureType.SPIRAL, FractureType.TRANSVERSE)):
        case = {"person": patient(40), "site": site, "fracture_type": pattern}
        yield f"perkins {site.value} {pattern.value}", case, "healing.note.perkins"


def _intake() -> Iterator[tuple[Any, ...]]:
    rules = ("supplementation.calcium.target", "supplementation.calcium.ask_diet", "supplementation.vitamin_d.target")
    high = ("safety.above_limit", *rules)
    for age, sex in product((0, 1, 4, 9, 19, 50, 51, 70, 71), (Sex.FEMALE, Sex.MALE)):
        person = patient(age, sex=sex)
        for site in (None, S.CLAVICLE):
            taken = replace(person, medications=(drug(DrugClass.VITAMIN_D_SUPPLEMENT),))
            yield f"intake {age} {sex.value} {site}", {"person": taken, "site": site}, *rules
        excess = {"person": person, "site": S.CLAVICLE, "calcium_diet_mg_per_day": 9_999.0}
        yield f"excess {age} {sex.value}", excess, *high


def _weak_bone() -> Iterator[tuple[Any, ...]]:
    rules = ("fragility.likelihood", "fragility.mechanism", "fragility.density", "combination.weak_bone")
    sites = (S.FEMORAL_NECK, S.DISTAL_RADIUS, S.CLAVICLE, S.ANKLE)
    for site, age, force in product(sites, (30, 45, 55, 70), (Mechanism.LOW_ENERGY, Mechanism.HIGH_ENERGY)):
        person = patient(age, t_score_femoral_neck=sourced(0.5, "Observation/t"))
        case = {"person": person, "site": site, "mechanism": force}
        yield f"weak bone {site.value} {age} {force.value}", case, *rules


def _growth() -> Iterator[tuple[Any, ...]]:
    rules = ("growth.remaining", "growth.little_left", "growth.remodelling_good", "growth.remodelling_poor")
    for low in (9.0, 11.5, 12.4, 15.5):
        case = {"person": patient(11), "site": S.DISTAL_RADIUS, "bone_age": skeletal(low, low + 1.3)}
        yield f"growth by skeletal age {low}", case, *rules


def _infants() -> Iterator[tuple[Any, ...]]:
    rules = ("supplementation.calcium.target", "safety.above_limit")
    for month in (11, 8, 3):
        infant = replace(patient(0), birth_date=date(2026, month, 1))
        case = {"person": infant, "site": S.CLAVICLE}
        yield f"infant born in month {month}", case, *rules
        yield f"infant born in month {month}, excess", {**case, "calcium_diet_mg_per_day": 9_999.0}, *rules


def _measured() -> Iterator[tuple[Any, ...]]:
    names = ("angulation", "shortening", "displacement")
    rules = tuple(f"severity.measured.{name}" for name in names)
    sites = (S.TIBIAL_SHAFT, S.HUMERUS_SHAFT, S.CLAVICLE, S.METACARPAL, S.FOREARM_SHAFT)
    for site, view, age in product(sites, (View.FRONTAL, View.LATERAL), (8, 40)):
        measures: dict[str, Any] = {
            "angulation_deg": around(20, 1),
            "shortening_mm": around(20, 1),
            "displacement_percent": around(20, 1),
        }
        case = {"image": image(views=((view, 0.9),), **measures), "person": patient(age), "site": site}
        yield f"measured {site.value} {view.value} {age}", case, *rules


def _factors() -> Iterator[tuple[Any, ...]]:
    tibia = {"site": S.TIBIAL_SHAFT, "mechanism": Mechanism.HIGH_ENERGY, "open_wound": True}
    for kind in DiabetesType:
        person = patient(40, diabetes=sourced(kind, "Condition/d"))
        yield (
            f"factors {kind.value}",
            {"person": person, **tibia},
            "healing.factor.diabetes",
            "healing.factor.open_fracture",
            "healing.factor.high_energy",
            "healing.nonunion",
        )
    for age in (8, 40):
        person = patient(age, medications=(drug(DrugClass.NSAID), drug(DrugClass.COX2_INHIBITOR)))
        yield f"factors nsaid {age}", {"person": person, "site": S.CLAVICLE}, "healing.factor.nsaid", "healing.nonunion"


def pinned_numbers(engine: FusionEngine, name: str) -> dict[str, str]:
    """The numbers of one pinned case; empty when its rules give none."""
    case, rules = pinned_cases()[name]
    return dict(sorted(numbers(run(engine, case), rules).items()))


@cache
def pins() -> dict[str, dict[str, str]]:
    """The numbers as they are written down."""
    found: dict[str, dict[str, str]] = json.loads(PINS.read_text(encoding="utf-8"))
    return found


def main() -> int:
    """Compare or write."""
    engine = FusionEngine.load()
    now = {name: found for name in pinned_cases() if (found := pinned_numbers(engine, name))}
    if "--write" in sys.argv[1:]:
        PINS.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{len(now)} cases written")
        return 0
    changed = [name for name in {**now, **pins()} if now.get(name) != pins().get(name)]
    for name in changed:
        print(f"{name}\n  pinned {pins().get(name)}\n  now    {now.get(name)}")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
