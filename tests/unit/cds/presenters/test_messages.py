import pytest

from cds.presenters import messages
from cds.presenters.messages import WARNING_TEXTS, case_warnings, explain
from tests.support.cases import full_case, patient_only_case


def test_unknown_code_stands_for_itself() -> None:
    (message,) = explain(["nobody.knows:Observation/1"])
    assert (message.code, message.text, message.details) == ("nobody.knows", "nobody.knows", ("Observation/1",))


def test_occurrences_of_one_code_are_gathered_in_order() -> None:
    first, second = explain(["a.b:2", "c.d", "a.b:1", "a.b:2"], {"a.b": "Sentence."})
    assert (first.text, first.details) == ("Sentence.", ("2", "1"))
    assert (second.code, second.details) == ("c.d", ())


def test_detail_may_hold_colons() -> None:
    (message,) = explain(["a.b:urn:uuid:1"], {})
    assert message.details == ("urn:uuid:1",)


def test_case_warnings_come_once_in_pipeline_order() -> None:
    codes = case_warnings(full_case())
    assert codes == ("imaging.spacing.detector_plane", "fhir.unit.unknown:Observation/calcium-1")
    assert case_warnings(patient_only_case()) == ("fhir.unit.unknown:Observation/calcium-1",)


def test_tables_hold_one_sentence_per_dotted_code() -> None:
    for code, text in WARNING_TEXTS.items():
        assert "." in code and ":" not in code
        assert text.rstrip().endswith("."), code


def test_missing_package_is_skipped() -> None:
    assert messages._merged_tables(("cds.presenters.no_such_module",)) == {}


@pytest.mark.parametrize("module", messages._TABLES)
def test_every_package_that_offers_a_table_is_merged(module: str) -> None:
    table = messages._merged_tables((module,))
    assert table.items() <= dict(WARNING_TEXTS).items()
