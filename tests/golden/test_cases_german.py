"""The written cases in German: every sentence has its translation, with the same numbers, and one report as a whole.

``UPDATE_GOLDEN=1`` rewrites ``expected.de.txt`` of the case that is kept whole.
"""

import re
from collections import Counter

import pytest

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.localisation.statements import translator
from fusion.results import Statement
from tests.golden.cases.load import case_names, load, run
from tests.support.golden import assert_golden

WHOLE = "05_diabetic_ankle"
_ENGLISH = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
_GERMAN = re.compile(r"(?<![\w,])\d[\d.]*(?:,\d+)?")


def statements(result: CaseResult) -> list[Statement]:
    """Everything the rules say of a case, in the order of the report."""
    answer = result.assessment
    severity, healing, fragility = answer.severity, answer.healing, answer.fragility
    found = [answer.summary, *(flag.statement for flag in severity.red_flags)]
    found += [*severity.reasons, *severity.clinician_must_check, *severity.not_judged]
    if healing is not None:
        found += [healing.baseline, *(one.statement for one in healing.factors), *healing.notes]
        found += [] if healing.nonunion is None else [healing.nonunion]
    if fragility is not None:
        found += [fragility.statement, *fragility.reasons, *fragility.remarks]
    found += [*answer.risk_statements, *(one.statement for one in answer.supplementation)]
    return [*found, *(one.statement for one in answer.follow_up), *answer.limitations, *answer.growth]


def german(text: str) -> str:
    """The sentence in German.

    Raises:
        AssertionError: the catalogue does not know it.
    """
    catalogue = translator(Language.DE)
    assert catalogue is not None
    found = catalogue.translate(text)
    assert found is not None, text
    return found


def numbers(text: str, pattern: re.Pattern[str], group: str, point: str) -> Counter[float]:
    """The numbers of a text as values; a full stop that ends a sentence is none of them."""
    found = (one.rstrip(".,").replace(group, "").replace(point, ".") for one in pattern.findall(text))
    return Counter(float(one) for one in found)


@pytest.mark.parametrize("name", case_names())
def test_every_sentence_is_german_and_holds_the_same_numbers(name: str) -> None:
    result = run(load(name))
    said = [one.text for one in statements(result)] + [one.what for one in result.assessment.follow_up]
    assert said
    for text in said:
        other = german(text)
        assert other != text or not re.search(r"\b(the|of|and|with|week)\b", text), text
        assert numbers(text, _ENGLISH, ",", ".") == numbers(other, _GERMAN, ".", ","), (text, other)


def test_one_report_as_a_reader_meets_it() -> None:
    lines = [f"[{one.id}]\n{german(one.text)}" for one in statements(run(load(WHOLE)))]
    assert_golden(f"cases/{WHOLE}/expected.de.txt", "\n".join(lines) + "\n")
