import re
from collections.abc import Iterator

from fhir_adapters import errors
from fhir_adapters.errors import FhirError
from fhir_adapters.warnings import WARNINGS, FhirWarning


def test_every_warning_has_one_sentence_and_no_sentence_is_left_over() -> None:
    assert set(WARNINGS) == {warning.value for warning in FhirWarning}
    for code, sentence in WARNINGS.items():
        assert re.fullmatch(r"fhir(\.[a-z_]+){2}", code)
        assert sentence.endswith(".")
        assert sentence[0].isupper()


def test_every_error_has_its_own_code_and_a_remedy() -> None:
    def tree(root: type[FhirError]) -> Iterator[type[FhirError]]:
        yield root
        for child in root.__subclasses__():
            yield from tree(child)

    classes = [error for error in tree(FhirError) if error.__module__ == errors.__name__]
    assert len({error.code for error in classes}) == len(classes)
    assert all(error.default_remedy.endswith(".") for error in classes)
    assert all(error.code.startswith("fhir.") for error in classes)


def test_a_remedy_closer_to_the_cause_replaces_the_usual_one() -> None:
    assert FhirError("wrong").remedy == FhirError.default_remedy
    assert FhirError("wrong", remedy="Mend it.").remedy == "Mend it."
