"""Warning codes to sentences: the one place where the packages' ``WARNINGS`` tables meet."""

import importlib
import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cds.case import CaseResult

_TABLES: tuple[str, ...] = (
    "imaging.warnings",
    "fhir_adapters.warnings",
    "fhir_adapters.client.warnings",
    "tabular.warnings",
    "fusion.warnings",
    "cds.warnings",
)
"""Modules that may offer ``WARNINGS: dict[str, str]``; a package that raises no warning has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A warning as a reader sees it."""

    code: str
    """The code without its detail."""
    text: str
    """One sentence; the code itself when no package explains it."""
    details: tuple[str, ...] = ()
    """What the code's occurrences point at, for instance ``Observation/12``; no patient data."""


def _merged_tables(modules: Iterable[str] = _TABLES) -> dict[str, str]:
    """All known codes with their sentences."""
    merged: dict[str, str] = {}
    for name in modules:
        if importlib.util.find_spec(name) is not None:
            merged.update(importlib.import_module(name).WARNINGS)
    return merged


WARNING_TEXTS: Mapping[str, str] = _merged_tables()
"""Code without detail to one sentence."""


def explain(codes: Iterable[str], texts: Mapping[str, str] = WARNING_TEXTS) -> tuple[Message, ...]:
    """Warning codes as messages: one per code, in order of appearance, occurrences gathered.

    Args:
        codes: Dotted codes, each with an optional ``:detail``.
        texts: Code to sentence.

    Returns:
        One message per distinct code.
    """
    gathered: dict[str, dict[str, None]] = {}
    for entry in codes:
        code, _, detail = entry.partition(":")
        details = gathered.setdefault(code, {})
        if detail:
            details[detail] = None
    return tuple(
        Message(code=code, text=texts.get(code, code), details=tuple(details)) for code, details in gathered.items()
    )


def case_warnings(result: CaseResult) -> tuple[str, ...]:
    """Every warning code of a case, in the order of the pipeline, without repeats."""
    parts = (result.radiograph, result.findings, result.patient, result.risk, result.assessment)
    return tuple(dict.fromkeys(code for part in parts if part is not None for code in part.warnings))
