"""What an assessment decides, and the numbers it gives: what a mutant may change."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from fusion.results import Statement
from tests.unit.fusion.observed import Outcome

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def decisions(assessment: Outcome) -> Counter[str]:
    """Which rules spoke, and every coded answer beside them: action, urgency, grade, likelihood, pathway."""
    return Counter(_decisions(assessment, ""))


def _decisions(part: object, path: str) -> Iterator[str]:
    if isinstance(part, Statement):
        yield f"{path}:{part.id}"
    elif isinstance(part, Enum | bool):
        yield f"{path}={part}"
    elif isinstance(part, tuple):
        for one in part:
            yield from _decisions(one, path)
    elif is_dataclass(part):
        rule = getattr(getattr(part, "statement", None), "id", "")
        for one in fields(part):
            yield from _decisions(getattr(part, one.name), f"{path}/{one.name}{f'({rule})' if rule else ''}")


def numbers(assessment: Outcome, rules: frozenset[str] | None = None) -> dict[str, str]:
    """By rule, the numbers in its words and those beside its statement, to four significant digits.

    Args:
        assessment: one case.
        rules: only these rules; all of them by default.
    """
    found: dict[str, list[str]] = {}
    for rule, number in _numbers(assessment):
        if rules is None or rule in rules:
            found.setdefault(rule, []).append(number)
    return {rule: " ".join(given) for rule, given in found.items()}


def _numbers(part: object) -> Iterator[tuple[str, str]]:
    if isinstance(part, Statement):
        yield from ((part.id, one) for one in _NUMBER.findall(part.text))
    elif isinstance(part, tuple):
        for one in part:
            yield from _numbers(one)
    elif is_dataclass(part):
        yield from _beside(part)
        for one in fields(part):
            if one.name != "sources":
                yield from _numbers(getattr(part, one.name))


def _beside(part: Any) -> Iterator[tuple[str, str]]:
    """Numbers that stand in the same part as a statement, under the name of its rule."""
    own = getattr(part, "statement", None) or getattr(part, "baseline", None)
    if not isinstance(own, Statement):
        return
    for one in fields(part):
        value = getattr(part, one.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield own.id, f"{one.name}={value:.4g}"
