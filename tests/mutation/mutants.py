"""Mutants of the numbers that the rules rest on: in the evidence, in module constants, and in comparisons in the code.

Every mutant lives in this process only and is undone when its context closes; no file is changed.
"""

import ast
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import fusion
from fusion.evidence_base import EvidenceBase
from fusion.evidence_model import EvidenceEntry

FACTORS = (1.25, 0.8)
"""What an amount is multiplied with."""
STEPS = (1, -1)
"""What is added to a whole number in the code: an age, a count."""
NOT_RULES = frozenset({"evidence_model", "evidence_reader", "evidence_base", "side_by_side", "rulebook", "errors"})
"""Modules that hold no rule."""
PLACES = frozenset({"_UNLIKELY", "_POSSIBLE", "_LIKELY", "_VERY_LIKELY"})
"""Names of places on a scale of words: numbers, but no amounts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One number changed."""

    place: str
    """Entry and field, or module and name."""
    original: float
    changed: float
    entry: str | None = None
    """The entry that it changes; None for a number in the code."""
    evidence: Callable[[EvidenceBase], EvidenceBase] | None = None
    """Puts the number into an evidence base."""
    patch: Callable[[], AbstractContextManager[None]] | None = None
    """Puts the number into the code for as long as it is open."""

    @property
    def name(self) -> str:
        """How a report names it."""
        return f"{self.place}: {self.original:g} -> {self.changed:g}"


# --- evidence


def evidence_mutants(base: EvidenceBase, read: frozenset[str]) -> Iterator[Mutant]:
    """Every number of every entry that some rule reads."""
    for name, entry in base.entries.items():
        if name not in read:
            continue
        for path, value in _numbers(entry):
            for factor in FACTORS:
                yield _evidence_mutant(entry, path, value, value * factor if value else factor - 1)


def _numbers(entry: EvidenceEntry) -> Iterator[tuple[tuple[str | int, ...], float]]:
    for field in ("value", "low", "high"):
        if (value := getattr(entry, field)) is not None:
            yield (field,), value
    yield from _nested(entry.table, ("table",))


def _nested(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], float]]:
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _nested(one, (*path, key))
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value):
            yield from _nested(one, (*path, place))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)


def _evidence_mutant(entry: EvidenceEntry, path: tuple[str | int, ...], value: float, changed: float) -> Mutant:
    def put(base: EvidenceBase) -> EvidenceBase:
        return replace(base, entries=MappingProxyType({**base.entries, entry.id: _with(entry, path, changed)}))

    return Mutant(
        place=f"{entry.id} {'.'.join(map(str, path))}", original=value, changed=changed, entry=entry.id, evidence=put
    )


def _with(entry: EvidenceEntry, path: tuple[str | int, ...], changed: float) -> EvidenceEntry:
    if path[0] != "table":
        field: dict[str, Any] = {str(path[0]): changed}
        return replace(entry, **field)
    return replace(entry, table=MappingProxyType(_set(entry.table, path[1:], changed)))


def _set(value: Any, path: tuple[str | int, ...], changed: float) -> Any:
    if not path:
        return changed
    if isinstance(value, Mapping):
        return {key: _set(one, path[1:], changed) if key == path[0] else one for key, one in value.items()}
    return [_set(one, path[1:], changed) if place == path[0] else one for place, one in enumerate(value)]


# --- module constants


def modules() -> Iterator[ModuleType]:
    """Every module that may hold a rule."""
    for path in sorted(Path(fusion.__file__).parent.glob("*.py")):
        if path.stem not in NOT_RULES | {"__init__"}:
            yield importlib.import_module(f"fusion.{path.stem}")


def constant_mutants() -> Iterator[Mutant]:
    """Every number that a module of `fusion` gives a name of its own, alone or in a tuple."""
    for module in modules():
        for name in (one for one in _own_names(module) if one not in PLACES):
            value: Any = vars(module).get(name)
            if _is_number(value):
                yield from (_constant(module, name, value, one, one) for one in _changed(value))
            elif isinstance(value, tuple) and value and all(map(_is_number, value)):
                for place, part in enumerate(value):
                    for one in _changed(part):
                        whole = (*value[:place], one, *value[place + 1 :])
                        yield _constant(module, f"{name}[{place}]", part, one, whole)


def _own_names(module: ModuleType) -> list[str]:
    """Names that the module itself assigns, not those it imports."""
    tree = ast.parse(inspect.getsource(module))
    found: list[str] = []
    for node in tree.body:
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            targets = [node.target]
        for target in targets:
            parts = target.elts if isinstance(target, ast.Tuple) else [target]
            found += [one.id for one in parts if isinstance(one, ast.Name)]
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _changed(value: float) -> tuple[float, ...]:
    if isinstance(value, int):
        return tuple(value + one for one in STEPS)
    return tuple(value * one if value else one - 1 for one in FACTORS)


def _constant(module: ModuleType, name: str, value: float, changed: float, whole: object) -> Mutant:
    bare = name.partition("[")[0]
    original = vars(module)[bare]

    @contextmanager
    def patch() -> Iterator[None]:
        # Other modules hold the same object under the same name.
        users = [one for one in _loaded() if vars(one).get(bare) is original]
        try:
            for one in users:
                setattr(one, bare, whole)
            yield
        finally:
            for one in users:
                setattr(one, bare, original)

    return Mutant(place=f"{module.__name__} {name}", original=value, changed=changed, patch=patch)


def _loaded() -> list[ModuleType]:
    return [one for name, one in sys.modules.items() if name.startswith("fusion.")]


# --- numbers in comparisons


def comparison_mutants() -> Iterator[Mutant]:
    """Every number other than 0 and 1 that a function of `fusion` compares with."""
    for module in modules():
        compared = _compared(module)
        for function in _functions(module):
            code = function.__code__
            for value in sorted({one for _, one in compared.get(code.co_firstlineno, ())}):
                for changed in _changed(value):
                    yield _literal(module, function, value, changed)


def _compared(module: ModuleType) -> dict[int, set[tuple[int, float]]]:
    """First line of a function: the numbers in its comparisons, with their lines."""
    found: dict[int, set[tuple[int, float]]] = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if not isinstance(node, ast.FunctionDef):
            continue
        first = node.decorator_list[0].lineno if node.decorator_list else node.lineno
        for one in ast.walk(node):
            if isinstance(one, ast.Compare):
                for part in (one.left, *one.comparators):
                    number: Any = part.value if isinstance(part, ast.Constant) else None
                    if _is_number(number) and number not in {0, 1}:
                        found.setdefault(first, set()).add((one.lineno, number))
    return found


def _functions(module: ModuleType) -> Iterator[FunctionType]:
    for value in vars(module).values():
        if isinstance(value, FunctionType) and value.__module__ == module.__name__:
            yield value
        elif inspect.isclass(value) and value.__module__ == module.__name__:
            for one in vars(value).values():
                inner = one.fget if isinstance(one, property) else one
                if isinstance(inner, FunctionType):
                    yield inner


def _literal(module: ModuleType, function: FunctionType, value: float, changed: float) -> Mutant:
    original = function.__code__

    @contextmanager
    def patch() -> Iterator[None]:
        function.__code__ = _with_constant(original, value, changed)
        try:
            yield
        finally:
            function.__code__ = original

    place = f"{module.__name__}.{function.__qualname__} comparison"
    return Mutant(place=place, original=value, changed=changed, patch=patch)


def _with_constant(code: CodeType, value: float, changed: float) -> CodeType:
    """The code with a number replaced, in its inner functions too."""
    return code.replace(
        co_consts=tuple(
            _with_constant(one, value, changed)
            if isinstance(one, CodeType)
            else changed
            if _is_number(one) and one == value and type(one) is type(value)
            else one
            for one in code.co_consts
        )
    )
