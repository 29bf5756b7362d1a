"""The catalogue of rules: what each says, when it speaks, when it is silent, and which evidence it may cite.

The rules themselves are code; ``rules.yaml`` is what a clinician reads of them. Tests hold the two together: every
statement of the engine is catalogued, and every catalogued rule has a case that makes it speak and one that does not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import yaml

from fusion.errors import EvidenceError
from fusion.evidence_base import EvidenceBase

RULES_FILE = Path(__file__).resolve().parent / "rules.yaml"
"""The catalogue that ships with the engine."""
SCHEMA = "fracture-cds.rules/1"

_RULE_TEXTS = ("id", "says", "fires", "module")
_RULE_FIELDS = frozenset({*_RULE_TEXTS, "silent", "evidence"})
_USE_FIELDS = frozenset({"what", "module", "evidence"})
_ID = re.compile(r"[a-z0-9_]+(\.([a-z0-9_]+|\*))*")
_MODULE = re.compile(r"[a-z_]+(\.[a-z_0-9]+)+")
# libyaml's safe loader reads the file several times faster; the pure one gives the same result.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of the engine, as a reader meets it."""

    id: str
    """`Statement.id`; a part that is ``*`` stands for any one part."""
    says: str
    fires: str
    """What makes it speak."""
    silent: str | None
    """What keeps it silent; None for a rule that always speaks."""
    module: str
    """Where it is written, for instance ``fusion.severity``."""
    evidence: tuple[str, ...]
    """Every entry it may cite; empty for a rule that states what was given or not given."""

    def matches(self, statement_id: str) -> bool:
        """Whether a statement comes from this rule."""
        own, other = self.id.split("."), statement_id.split(".")
        return len(own) == len(other) and all(a in {"*", b} for a, b in zip(own, other, strict=True))

    @property
    def anchor(self) -> str:
        """Identifier for a link, for instance ``rule-severity.grade``."""
        return f"rule-{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Evidence that the software rests on without a statement that cites it: methods, model terms, screening."""

    what: str
    module: str
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """Every rule and every other use of the evidence base."""

    rules: Mapping[str, Rule]
    """By identifier, in the order of the file."""
    uses: tuple[Use, ...]

    @classmethod
    def load(cls, path: Path = RULES_FILE) -> "Rulebook":
        """Read and check the catalogue; the result is kept for the next call.

        Raises:
            EvidenceError: the file is missing, is no YAML, breaks the schema or cites an unknown entry.
        """
        return _load(Path(path))

    def rule_for(self, statement_id: str) -> Rule | None:
        """The rule behind a statement; None when it is not catalogued."""
        exact = self.rules.get(statement_id)
        if exact is not None:
            return exact
        return next((rule for rule in self.rules.values() if rule.matches(statement_id)), None)

    def citing(self, evidence_id: str) -> tuple[Rule, ...]:
        """The rules that may cite an entry: where it fires."""
        return tuple(rule for rule in self.rules.values() if evidence_id in rule.evidence)

    def using(self, evidence_id: str) -> tuple[Use, ...]:
        """What else rests on an entry."""
        return tuple(use for use in self.uses if evidence_id in use.evidence)

    def background(self, evidence: EvidenceBase) -> tuple[str, ...]:
        """Entries that nothing cites and nothing else rests on: read, kept, and driving nothing."""
        used = {name for rule in self.rules.values() for name in rule.evidence}
        used |= {name for use in self.uses for name in use.evidence}
        return tuple(name for name in evidence.entries if name not in used)


@lru_cache(maxsize=4)
def _load(path: Path) -> Rulebook:
    document = _document(path)
    evidence = EvidenceBase.load()
    rules: dict[str, Rule] = {}
    for place, fields in enumerate(document["rules"], start=1):
        rule = _rule(path.name, place, fields, evidence)
        if rule.id in rules:
            _refuse(path.name, rule.id, "the identifier is used twice")
        rules[rule.id] = rule
    uses = tuple(_use(path.name, place, fields, evidence) for place, fields in enumerate(document["uses"], start=1))
    return Rulebook(rules=MappingProxyType(rules), uses=uses)


def _refuse(file: str, where: str, reason: str) -> NoReturn:
    raise EvidenceError(f"{file}, {where}: {reason}.", remedy=f"Correct {where} in {file}; see the other rules.")


def _document(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_bytes(), Loader=_Loader)
    except OSError as error:
        raise EvidenceError(
            f"The rule catalogue {path.name} cannot be read ({error.strerror}).", remedy="Restore the file."
        ) from error
    except yaml.YAMLError as error:
        raise EvidenceError(f"{path.name} is no valid YAML: {error}", remedy=f"Correct {path.name}.") from error
    if not isinstance(document, dict) or set(document) != {"schema", "rules", "uses"}:
        _refuse(path.name, "(top)", "the file must hold exactly schema, rules and uses")
    if document["schema"] != SCHEMA:
        _refuse(path.name, "(top)", f"the schema must be {SCHEMA}")
    if not isinstance(document["rules"], list) or not isinstance(document["uses"], list):
        _refuse(path.name, "(top)", "rules and uses must be lists")
    return document


def _rule(file: str, place: int, fields: object, evidence: EvidenceBase) -> Rule:
    where = f"rule number {place}"
    if not isinstance(fields, dict):
        _refuse(file, where, "it is no mapping")
    where = str(fields.get("id", where))
    if set(fields) != _RULE_FIELDS:
        _refuse(file, where, f"it must hold exactly {', '.join(sorted(_RULE_FIELDS))}")
    texts = {name: _text(file, where, fields, name) for name in _RULE_TEXTS}
    if not _ID.fullmatch(texts["id"]):
        _refuse(file, where, "the identifier must read like severity.grade")
    return Rule(
        **texts,
        silent=None if fields["silent"] is None else _text(file, where, fields, "silent"),
        evidence=_evidence(file, where, fields, evidence),
    )


def _use(file: str, place: int, fields: object, evidence: EvidenceBase) -> Use:
    where = f"use number {place}"
    if not isinstance(fields, dict) or set(fields) != _USE_FIELDS:
        _refuse(file, where, f"it must hold exactly {', '.join(sorted(_USE_FIELDS))}")
    found = _evidence(file, where, fields, evidence)
    if not found:
        _refuse(file, where, "it names no evidence")
    return Use(what=_text(file, where, fields, "what"), module=_text(file, where, fields, "module"), evidence=found)


def _text(file: str, where: str, fields: Mapping[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str) or not value.strip():
        _refuse(file, where, f"{name} must be text")
    if name == "module" and not _MODULE.fullmatch(value):
        _refuse(file, where, "the module must read like fusion.severity")
    return value


def _evidence(file: str, where: str, fields: Mapping[str, Any], evidence: EvidenceBase) -> tuple[str, ...]:
    listed = fields["evidence"]
    if not isinstance(listed, list) or len(set(map(str, listed))) != len(listed):
        _refuse(file, where, "evidence must be a list without repetition")
    if unknown := [str(one) for one in listed if one not in evidence]:
        _refuse(file, where, f"unknown evidence {', '.join(unknown)}")
    return tuple(map(str, listed))
