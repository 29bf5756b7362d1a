"""Settings of a training from a YAML file: names, types, ranges and choices, as the type hints of a dataclass say them.

A field is annotated with what it may hold, for instance ``Annotated[float, Range(0, 1)]`` or one of the names below;
`read_settings` says of every value that does not fit what it is and what is allowed.
"""

import dataclasses
import difflib
import math
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from imaging.training.errors import TrainingDataError

T = TypeVar("T")


class Rule(Protocol):
    """What a value must fulfil beside its type."""

    def allows(self, value: Any) -> bool:
        """Whether a value of the right type is allowed."""
        ...

    def words(self, kind: str) -> str:
        """What is allowed, given the words for the type."""
        ...


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`; None is no bound."""

    low: float
    high: float | None = None
    above: bool = False
    """Whether `low` itself is not allowed."""
    below: bool = False
    """Whether `high` itself is not allowed."""

    def allows(self, value: Any) -> bool:
        """Whether the number lies inside."""
        if value < self.low or (self.above and value == self.low):
            return False
        return self.high is None or value < self.high or (value == self.high and not self.below)

    def words(self, kind: str) -> str:
        """For instance "a number from 0 to 1"."""
        if self.high is None:
            return f"{kind} above {self.low:g}" if self.above else f"{kind} of at least {self.low:g}"
        low = f"above {self.low:g} and up to" if self.above else f"from {self.low:g} to"
        return f"{kind} {low} {'below ' if self.below else ''}{self.high:.12g}"


@dataclass(frozen=True, slots=True)
class MultipleOf:
    """Whole numbers that `divisor` divides."""

    divisor: int

    def allows(self, value: Any) -> bool:
        """Whether nothing is left over."""
        return bool(value % self.divisor == 0)

    def words(self, kind: str) -> str:
        """For instance "a multiple of 32"."""
        return f"{kind} that {self.divisor} divides"


class OneOf:
    """One of a few words."""

    def __init__(self, choices: Iterable[str]) -> None:
        self.choices = tuple(str(one) for one in choices)

    def allows(self, value: Any) -> bool:
        """Whether it is one of them."""
        return value in self.choices

    def words(self, kind: str) -> str:
        """The choices; what kind of value they are is plain."""
        return f"one of {', '.join(self.choices)}"


Count = Annotated[int, Range(1)]
Whole = Annotated[int, Range(0)]
Folds = Annotated[int, Range(2)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Side = Annotated[int, Range(32), MultipleOf(32)]
"""Pixels; the networks halve a picture five times."""
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
ShareBelowOne = Annotated[float, Range(0, 1, below=True)]
ShareAboveZero = Annotated[float, Range(0, 1, above=True)]

_KINDS: Final[Mapping[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text, in quotes where it looks like a number",
}


def read_settings(path: Path, kind: type[T]) -> T:
    """A YAML mapping of the fields of a dataclass; what it does not name keeps its default.

    Args:
        path: the file.
        kind: the dataclass; a field that is a dataclass itself is given by its own fields, without its name.

    Raises:
        TrainingDataError: no YAML, unknown settings, or a value of the wrong type or outside its range.
    """
    return settings_of(read_mapping(path), kind, source=path.name)


def read_mapping(path: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds; empty when the file is.

    Raises:
        TrainingDataError: the file cannot be read, or holds something else.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        what = error.problem or error.context or "it cannot be parsed"
        raise TrainingDataError(
            f"{path.name} is no YAML{place}: {what}", "mend that line; settings are lines of the form 'name: value'"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise TrainingDataError(
            f"{path.name} cannot be read as YAML", "give a text file in UTF-8 with lines of the form 'name: value'"
        ) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise TrainingDataError(f"{path.name} holds no settings", "write lines of the form 'name: value'")
    return {str(name): value for name, value in loaded.items()}


def settings_of(values: Mapping[str, Any], kind: type[T], *, source: str) -> T:
    """The dataclass with these values, checked against its type hints.

    Args:
        values: by field, as YAML gives them.
        kind: the dataclass.
        source: what they come from, for the message.

    Raises:
        TrainingDataError: unknown settings, or a value of the wrong type or outside its range.
    """
    hints = _hints(kind)
    if unknown := sorted(set(values) - set(hints)):
        raise TrainingDataError(
            f"{source} has unknown settings: {', '.join(unknown)}", f"{_likely(unknown, hints)}known: {_listed(hints)}"
        )
    fitted: dict[str, Any] = {}
    wrong: list[str] = []
    for name, value in values.items():
        try:
            fitted[name] = _fitted(value, hints[name])
        except ValueError:
            wrong.append(name)
    if wrong:
        raise TrainingDataError(
            f"{source}: {'; '.join(_fault(name, values[name], hints[name]) for name in wrong)}",
            f"give {'; '.join(f'{name} {_words(hints[name])}' for name in wrong)}",
        )
    return _built(kind, fitted)


def _hints(kind: Any) -> dict[str, Any]:
    """Type hint of each setting; those of a field that is a dataclass stand in its place."""
    hints: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if name in {field.name for field in dataclasses.fields(kind)}:
            hints |= _hints(hint) if dataclasses.is_dataclass(hint) else {name: hint}
    return hints


def _built(kind: type[T], values: Mapping[str, Any]) -> T:
    given: dict[str, Any] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            inside = _hints(hint)
            given[name] = _built(hint, {key: value for key, value in values.items() if key in inside})
        elif name in values:
            given[name] = values[name]
    return kind(**given)


def _fitted(value: object, hint: Any) -> object:
    """The value as its hint wants it.

    Raises:
        ValueError: it does not fit.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        fitted = _fitted(value, arguments[0])
        if not all(rule.allows(fitted) for rule in arguments[1:]):
            raise ValueError
        return fitted
    if origin in (Union, UnionType):
        return None if value is None else _fitted(value, _without_none(arguments))
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(_fitted(one, arguments[0]) for one in value)
    if hint is float:
        return _number(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ValueError
    return value


def _number(value: object) -> float:
    """A finite number; YAML 1.1 takes ``1e-3``, without a point, for a text.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _fault(name: str, value: object, hint: Any) -> str:
    """What is wrong with a setting that does not fit."""
    chosen = isinstance(value, str) and any(isinstance(rule, OneOf) for rule in get_args(hint))
    return f"there is no {name} {value!r}" if chosen else f"{name} cannot be {reprlib.repr(value)}"


def _words(hint: Any) -> str:
    """What a setting may be."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        words = _words(arguments[0])
        for rule in arguments[1:]:
            words = rule.words(words)
        return words
    if origin in (Union, UnionType):
        return f"{_words(_without_none(arguments))}, or null"
    if origin is tuple:
        return "a list of texts such as [one, another]"
    return _KINDS[hint]


def _without_none(arguments: tuple[Any, ...]) -> Any:
    return next(one for one in arguments if one is not NoneType)


def _likely(unknown: Iterable[str], known: Iterable[str]) -> str:
    """What was probably meant, as the beginning of a sentence; empty when nothing is like it."""
    pairs = [(name, difflib.get_close_matches(name, known, 1)) for name in unknown]
    return "".join(f"perhaps {near[0]} for {name}; " for name, near in pairs if near)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
