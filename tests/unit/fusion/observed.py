"""Which rules speak over many cases, from which module, and what they cite or read; the catalogue is held against it.

``python -m tests.unit.fusion.observed`` prints where `fusion/rules.yaml` and the engine differ.
"""

import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import date
from functools import cache
from itertools import product
from typing import Any

import fusion.statements
from fhir_adapters.patient import ConditionKind, DiabetesType, DrugClass, Sex
from fusion.context import ClinicalContext, FractureType, Gustilo, Mechanism
from fusion.diabetic_foot import FOOT_SITES
from fusion.engine import FusionEngine
from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceEntry
from fusion.ordered_drugs import ordered_drug_safety
from fusion.results import Advice, Assessment, Statement
from fusion.sites import FractureSite
from fusion.statements import Writer
from imaging.labels import BodyRegion
from imaging.results import FractureCall
from tests.unit.fusion.cases import NOW, condition, drug, findings, patient, sourced
from tests.unit.fusion.random_cases import random_case
from tests.unit.fusion.test_measured import FRONTAL, LATERAL, around, image

WRAPPERS = frozenset({"fusion.statements", "fusion.advice_lines"})
"""Modules that write down what another module's rule says."""
PARTS = frozenset({"image", "person", "estimate", "bone_age", "learned"})
"""Parts of a case beside what the clinician stated."""
RANDOM_CASES = 2_000
SEED = 7

Case = dict[str, Any]
Outcome = Assessment | tuple[Advice, ...]


@dataclass(slots=True)
class Spoken:
    """What was seen of one rule."""

    modules: set[str] = field(default_factory=set)
    evidence: set[str] = field(default_factory=set)


class ReadEntries(dict[str, EvidenceEntry]):
    """The entries of an evidence base, noting which were read."""

    def __init__(self, entries: Mapping[str, EvidenceEntry]) -> None:
        super().__init__(entries)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> EvidenceEntry:
        self.read.add(key)
        return super().__getitem__(key)


def run(engine: FusionEngine, case: Case) -> Outcome:
    """One case through an engine of the caller's choice; a case with an order is one of the order's safety."""
    if "ordered" in case:
        return ordered_drug_safety(
            engine.evidence,
            patient=case["person"],
            fracture=case["fracture"],
            ordered=case["ordered"],
            as_of=NOW,
        )
    context = {name: value for name, value in case.items() if name not in PARTS}
    return engine.assess(
        findings=case.get("image"),
        patient=case.get("person"),
        risk=case.get("estimate"),
        context=ClinicalContext(**context),
        as_of=NOW,
        bone_age=case.get("bone_age"),
        learned_healing=case.get("learned"),
    )


def every_statement(part: object) -> Iterator[Statement]:
    """Every statement within an assessment, wherever it stands."""
    if isinstance(part, Statement):
        yield part
    elif isinstance(part, tuple):
        for one in part:
            yield from every_statement(one)
    elif is_dataclass(part):
        for one in fields(part):
            yield from every_statement(getattr(part, one.name))


def rules_of(engine: FusionEngine, case: Case) -> set[str]:
    """The rules that speak in a case."""
    return {one.id for one in every_statement(run(engine, case))}


@contextmanager
def noting_modules(modules: dict[str, set[str]]) -> Iterator[None]:
    """While open, every statement notes the module that wrote it."""
    original = Writer.say

    def say(self: Writer, rule: str, *args: Any, **kwargs: Any) -> Statement:
        frame = sys._getframe(1)
        while frame.f_globals["__name__"] in WRAPPERS and frame.f_back is not None:
            frame = frame.f_back
        modules[rule].add(frame.f_globals["__name__"])
        return original(self, rule, *args, **kwargs)

    fusion.statements.Writer.say = say  # type: ignore[method-assign]
    try:
        yield
    finally:
        fusion.statements.Writer.say = original  # type: ignore[method-assign]


def sweep() -> Iterator[Case]:
    """Every site, region and age band, with what decides on an intake or a dose."""
    ages = (0, 1, 4, 9, 12, 14, 16, 18, 19, 30, 50, 51, 60, 65, 71, 80, None)
    for site, age in product(FractureSite, (0, 1, 4, 9, 12, 16, 30, 70, None)):
        yield {"person": patient(age), "site": site}
    for site, age in product(FractureSite, (14, 30, 55)):
        yield {"person": patient(age), "site": site, "displaced": True, "mechanism": Mechanism.HIGH_ENERGY}
    for site, kind in product(FractureSite, (FractureType.SPIRAL, FractureType.TRANSVERSE)):
        yield {"person": patient(40), "site": site, "fracture_type": kind, "operated": True}
    yield from ({"person": patient(40), "site": site, "gustilo": Gustilo.IIIC} for site in FractureSite)
    for region, age in product(BodyRegion, (8, 40, 70, None)):
        yield {"image": findings(FractureCall.DEFINITE, region), "person": patient(age)}
        yield {"image": findings(FractureCall.NOT_SEEN, region), "person": patient(age)}
    diabetes = sourced(DiabetesType.TYPE_2, "Condition/diabetes")
    for site, operated in product(sorted(FOOT_SITES), (True, None)):
        yield {"person": patient(60, diabetes=diabetes), "site": site, "operated": operated}
    for views in (FRONTAL, LATERAL):
        tilted = image(views=views, angulation_deg=around(22, 1))
        yield {"image": tilted, "person": patient(10), "site": FractureSite.TIBIAL_SHAFT}
    yield from _intakes(ages)


def _intakes(ages: Iterable[int | None]) -> Iterator[Case]:
    """Diet and vitamin D level at every age: each meets every other once, but not every combination of all."""
    pregnant, heavy = condition(ConditionKind.PREGNANCY), sourced(40.0, "Observation/bmi")
    takes = (drug(DrugClass.CALCIUM_SUPPLEMENT), drug(DrugClass.VITAMIN_D_SUPPLEMENT))
    diets, levels = (None, 100.0, 1_400.0, 4_000.0), (None, 10.0, 60.0)
    infants = [replace(patient(0), birth_date=born) for born in (None, *(date(2026, m, 1) for m in (11, 8, 3)))]
    people = [*(patient(age, sex=sex) for age in ages for sex in (Sex.FEMALE, Sex.MALE, None)), *infants]
    for person, diet in product(people, diets):
        for place, level in enumerate(levels):
            labs: dict[str, Any] = {} if level is None else {"vitamin_d_nmol_l": sourced(level, "Observation/d")}
            taken = takes if place == 1 and diet != 1_400.0 else takes[:1] if diet is None else ()
            site = FractureSite.CLAVICLE if diet is None or diet == 4_000.0 or level is None else None
            case = {"person": replace(person, medications=taken, bmi_kg_m2=heavy, **labs), "site": site}
            yield {**case, "calcium_diet_mg_per_day": diet}
        yield {"person": replace(person, conditions=(pregnant,), medications=takes), "calcium_diet_mg_per_day": diet}


@cache
def random_cases() -> tuple[Case, ...]:
    """The same few thousand cases every time."""
    chance = random.Random(SEED)
    return tuple(random_case(chance) for _ in range(RANDOM_CASES))


@cache
def every_case() -> tuple[Case, ...]:
    """The table of rules, the walk of the guard, the sweep and the random cases."""
    from tests.unit.fusion.rule_cases import RULE_CASES
    from tests.unit.fusion.test_guard import walked

    table = [one for pair in RULE_CASES.values() for one in (pair.fires, pair.silent) if one is not None]
    return (*table, *walked(), *sweep(), *random_cases())


@cache
def observed() -> tuple[dict[str, Spoken], frozenset[str]]:
    """What every rule did over every case, and every evidence entry that was read."""
    base = EvidenceBase.load()
    entries = ReadEntries(base.entries)
    engine = FusionEngine(replace(base, entries=entries))
    modules: dict[str, set[str]] = defaultdict(set)
    found: dict[str, Spoken] = defaultdict(Spoken)
    with noting_modules(modules):
        for case in every_case():
            for one in every_statement(run(engine, case)):
                found[one.id].evidence.update(one.evidence)
    for rule, spoken in found.items():
        # A statement that was made from another one has no writer of its own.
        spoken.modules = modules.get(rule, set())
    return dict(found), frozenset(entries.read)


def differences() -> list[str]:
    """Where the catalogue and the engine differ, in words."""
    from fusion.rulebook import Rulebook
    from tests.unit.fusion.rule_cases import RULE_CASES

    book = Rulebook.load()
    found, _ = observed()
    lines = []
    for rule, spoken in sorted(found.items()):
        entry = book.rule_for(rule)
        if entry is None:
            lines.append(f"{rule}: not catalogued; {sorted(spoken.modules)} cites {sorted(spoken.evidence)}")
            continue
        if spoken.modules not in ({entry.module}, set()):
            lines.append(f"{rule}: module is {sorted(spoken.modules)}, not {entry.module}")
        if missing := spoken.evidence - set(entry.evidence):
            lines.append(f"{rule}: cites {sorted(missing)}, not catalogued")
    for entry in book.rules.values():
        said = [one for name, one in found.items() if entry.matches(name)]
        if not said:
            lines.append(f"{entry.id}: catalogued, never says anything")
        elif extra := set(entry.evidence) - {name for one in said for name in one.evidence}:
            lines.append(f"{entry.id}: never cites {sorted(extra)}")
    lines += [f"{rule}: catalogued, has no case" for rule in book.rules if rule not in RULE_CASES]
    return lines


if __name__ == "__main__":
    print("\n".join(differences()) or "The catalogue and the engine agree.")
