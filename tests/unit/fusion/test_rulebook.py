"""The catalogue of rules: complete, true to the code, each with a case that fires it and one that does not."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fusion.errors import EvidenceError
from fusion.evidence_base import EvidenceBase
from fusion.rulebook import RULES_FILE, Rule, Rulebook
from tests.unit.fusion.cases import engine
from tests.unit.fusion.observed import differences, observed, rules_of
from tests.unit.fusion.rule_cases import RULE_CASES
from tests.unit.fusion.rule_names import rule_patterns

BOOK = Rulebook.load()
BASE = EvidenceBase.load()


@pytest.mark.parametrize("rule", BOOK.rules)
def test_a_case_makes_the_rule_speak_and_one_change_keeps_it_silent(rule: str) -> None:
    pair = RULE_CASES[rule]
    assert rule in rules_of(engine(), pair.fires)
    assert (pair.silent is None) == (BOOK.rules[rule].silent is None)
    if pair.silent is not None:
        changed = {name for name in {*pair.fires, *pair.silent} if pair.fires.get(name) != pair.silent.get(name)}
        assert len(changed) == 1, changed
        assert rule not in rules_of(engine(), pair.silent)


def test_every_case_belongs_to_a_catalogued_rule() -> None:
    assert set(RULE_CASES) == set(BOOK.rules)


def test_catalogue_and_engine_agree_over_thousands_of_cases() -> None:
    """Nothing speaks uncatalogued, from another module or with other evidence; nothing catalogued is never seen."""
    assert not differences()


def test_every_rule_name_in_the_code_is_catalogued() -> None:
    patterns = rule_patterns()
    assert len(patterns) > 150
    unknown = {
        pattern: modules
        for pattern, modules in patterns.items()
        if not any(re.fullmatch(pattern, rule) for rule in BOOK.rules)
    }
    assert not unknown


def test_what_is_read_and_not_cited_is_named_as_a_use() -> None:
    _, read = observed()
    cited = {name for rule in BOOK.rules.values() for name in rule.evidence}
    named = {name for use in BOOK.uses if use.module.startswith("fusion.") for name in use.evidence}
    assert read - cited <= named


def test_every_use_stands_in_the_module_it_names() -> None:
    for use in BOOK.uses:
        found = importlib.util.find_spec(use.module)
        assert found is not None and found.origin is not None, use.module
        text = Path(found.origin).read_text(encoding="utf-8")
        for name in use.evidence:
            # Some identifiers are put together from a family name and a source.
            assert name in text or name.rpartition(".")[2] in text, (use.module, name)


def test_every_entry_drives_something_or_is_background() -> None:
    background = set(BOOK.background(BASE))
    for name in BASE.entries:
        drives = bool(BOOK.citing(name) or BOOK.using(name))
        assert drives is (name not in background)


def test_a_pattern_stands_for_one_part() -> None:
    rule = Rule(id="risk.*.probability", says="s", fires="f", silent=None, module="fusion.x", evidence=())
    assert rule.matches("risk.hip.probability")
    assert not rule.matches("risk.hip.neck.probability") and not rule.matches("risk.probability")
    assert BOOK.rule_for("severity.grade") is BOOK.rules["severity.grade"]
    assert BOOK.rule_for("nothing.of.this") is None


RULE: dict[str, Any] = {
    "id": "a.b",
    "says": "s",
    "fires": "f",
    "silent": None,
    "module": "fusion.a",
    "evidence": ["severity.grade.mild"],
}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rules": [{**RULE, "evidence": ["no.such.entry"]}]}, "unknown evidence no.such.entry"),
        ({"rules": [{**RULE, "evidence": ["severity.grade.mild"] * 2}]}, "without repetition"),
        ({"rules": [{**RULE, "id": "A b"}]}, "must read like"),
        ({"rules": [{**RULE, "says": " "}]}, "says must be text"),
        ({"rules": [{**RULE, "module": "x"}]}, "must read like fusion.severity"),
        ({"rules": [RULE, RULE]}, "used twice"),
        ({"rules": [{"id": "a.b"}]}, "must hold exactly"),
        ({"rules": ["a.b"]}, "no mapping"),
        ({"rules": {}}, "must be lists"),
        ({"uses": [{"what": "w", "module": "fusion.a", "evidence": []}]}, "names no evidence"),
        ({"uses": [{"what": "w"}]}, "must hold exactly"),
        ({"schema": "fracture-cds.rules/0"}, "the schema must be"),
        ({"more": 1}, "exactly schema, rules and uses"),
    ],
)
def test_a_broken_catalogue_is_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"schema": "fracture-cds.rules/1", "rules": [RULE], "uses": [], **change}))
    with pytest.raises(EvidenceError, match=re.escape(words)):
        Rulebook.load(path)


def test_a_missing_or_unreadable_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="cannot be read"):
        Rulebook.load(tmp_path / "none.yaml")
    path = tmp_path / "rules.yaml"
    path.write_text("a: [")
    with pytest.raises(EvidenceError, match="no valid YAML"):
        Rulebook.load(path)
    assert Rulebook.load(RULES_FILE) is BOOK
