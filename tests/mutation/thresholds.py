"""Changes every number that the rules rest on and reports which changes some test notices.

``python -m tests.mutation.thresholds [--json FILE] [PART ...]`` runs every mutant whose name holds one of the parts.

A mutant is *killed* by a boundary case, whose expectation is written out beside a literal on either side of a
threshold; or by a pin, a number that the engine gives in a known case. One that survives both is run over random
cases: when it changes what is decided there, a boundary case is missing; otherwise it has no effect that a reader could
see, and is named.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from pathlib import Path

from fusion.engine import FusionEngine
from fusion.evidence_base import EvidenceBase
from fusion.rulebook import Rulebook
from tests.mutation.boundaries import boundaries
from tests.mutation.mutants import Mutant, comparison_mutants, constant_mutants, evidence_mutants
from tests.mutation.outcomes import decisions
from tests.mutation.pins import pinned_cases, pinned_numbers, pins
from tests.unit.fusion.observed import Case, ReadEntries, run
from tests.unit.fusion.random_cases import random_case

RANDOM_CASES = 150
SEED = 11


class Fate(StrEnum):
    """What became of a mutant."""

    BOUNDARY = "killed by a boundary case"
    PIN = "killed by a pinned number"
    MISSED = "changes a decision, and no test notices"
    NO_EFFECT = "changes nothing that a reader sees"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One mutant and what noticed it."""

    mutant: Mutant
    fate: Fate
    by: str = ""


@cache
def _reads() -> dict[str, frozenset[str]]:
    """Entries that each boundary and each pinned case reads."""
    base = EvidenceBase.load()
    cases: dict[str, Case] = {f"b{place}": one.case for place, one in enumerate(boundaries())}
    cases |= {name: pinned_cases()[name][0] for name in pins() if name in pinned_cases()}
    cases |= {f"r{place}": one for place, one in enumerate(_random())}
    found = {}
    for name, case in cases.items():
        entries = ReadEntries(base.entries)
        run(FusionEngine(replace(base, entries=entries)), case)
        found[name] = frozenset(entries.read)
    return found


@cache
def _random() -> tuple[Case, ...]:
    chance = random.Random(SEED)
    return tuple(random_case(chance) for _ in range(RANDOM_CASES))


@cache
def _usual(place: int) -> Counter[str]:
    return decisions(run(FusionEngine.load(), _random()[place]))


def every_mutant() -> tuple[Mutant, ...]:
    """All of them: numbers of the evidence that a rule reads, constants and comparisons of the code."""
    base = EvidenceBase.load()
    read = frozenset().union(*_reads().values())
    return (*evidence_mutants(base, read), *constant_mutants(), *comparison_mutants())


def try_mutant(mutant: Mutant) -> Result:
    """Run one mutant until something notices it."""
    base = EvidenceBase.load()
    engine = FusionEngine(mutant.evidence(base)) if mutant.evidence is not None else FusionEngine(base)
    with _applied(mutant):
        try:
            return _fate(mutant, engine)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            return Result(mutant=mutant, fate=Fate.BOUNDARY, by=f"it breaks the engine: {type(error).__name__}")


def _applied(mutant: Mutant) -> AbstractContextManager[None]:
    return nullcontext() if mutant.patch is None else mutant.patch()


def _fate(mutant: Mutant, engine: FusionEngine) -> Result:
    likely, others = _ordered(mutant)
    if (by := _contradicted(engine, likely)) is not None:
        return Result(mutant=mutant, fate=Fate.BOUNDARY, by=by)
    for name in pins():
        if _touches(mutant, name) and pinned_numbers(engine, name) != pins()[name]:
            return Result(mutant=mutant, fate=Fate.PIN, by=name)
    if (by := _contradicted(engine, others)) is not None:
        return Result(mutant=mutant, fate=Fate.BOUNDARY, by=by)
    for place, case in enumerate(_random()):
        if _touches(mutant, f"r{place}") and decisions(run(engine, case)) != _usual(place):
            return Result(mutant=mutant, fate=Fate.MISSED)
    return Result(mutant=mutant, fate=Fate.NO_EFFECT)


def _contradicted(engine: FusionEngine, places: Iterable[int]) -> str | None:
    """The first boundary case whose expectation no longer holds."""
    found = (boundaries()[place] for place in places)
    return next((one.name for one in found if not one.holds(run(engine, one.case))), None)


def _touches(mutant: Mutant, name: str) -> bool:
    return mutant.entry is None or mutant.entry in _reads()[name]


def _ordered(mutant: Mutant) -> tuple[list[int], list[int]]:
    """Boundary cases that the number may concern, and the others that read it.

    A number of the evidence concerns the rules that cite its entry, a number of the code those of its module.
    """
    rules = Rulebook.load().rules
    likely: list[int] = []
    others: list[int] = []
    for place, one in enumerate(boundaries()):
        rule = rules.get(one.rule)
        if not _touches(mutant, f"b{place}"):
            continue
        near = rule is not None and (
            mutant.entry in rule.evidence if mutant.entry is not None else mutant.place.startswith(rule.module)
        )
        (likely if near or mutant.entry is None else others).append(place)
    if mutant.entry is None:
        likely.sort(key=lambda place: not _of_module(mutant, boundaries()[place].rule))
    return likely, others


def _of_module(mutant: Mutant, rule: str) -> bool:
    found = Rulebook.load().rules.get(rule)
    return found is not None and mutant.place.startswith(found.module)


def main() -> int:
    """Run and report; 1 when a decision hangs on a number that no test notices."""
    parser = argparse.ArgumentParser(description="Mutates every number that the rules rest on.")
    parser.add_argument("parts", nargs="*", help="only mutants whose name holds one of these")
    parser.add_argument("--json", type=Path, help="write the result of every mutant to this file")
    chosen = parser.parse_args()
    mutants = [one for one in every_mutant() if not chosen.parts or any(part in one.name for part in chosen.parts)]
    results: list[Result] = []
    for mutant in mutants:
        results.append(try_mutant(mutant))
        print(f"{results[-1].fate.name.lower():10s} {mutant.name}", file=sys.stderr, flush=True)
    counts = Counter(one.fate for one in results)
    print(f"{len(results)} mutants of {len({one.mutant.place for one in results})} numbers")
    for fate in Fate:
        print(f"  {counts[fate]:5d} {fate.value}")
    for fate in (Fate.MISSED, Fate.NO_EFFECT):
        for one in results:
            if one.fate is fate:
                print(f"{fate.name.lower()}: {one.mutant.name}")
    if chosen.json is not None:
        report = [{"mutant": one.mutant.name, "fate": one.fate.name.lower(), "by": one.by} for one in results]
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 1 if counts[Fate.MISSED] else 0


if __name__ == "__main__":
    sys.exit(main())
