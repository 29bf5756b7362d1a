"""Every language says the same things, and a broken file of messages is refused by name."""

from pathlib import Path

import pytest

from cds.localisation.catalogue import MESSAGES_DIR, SCHEMA, load_catalogue
from cds.localisation.errors import CatalogueError, LocalisationError, MessageValueError, UnknownMessageError
from cds.localisation.language import Language

OTHERS = [language for language in Language if language is not Language.EN]


def test_every_file_is_a_language_and_the_other_way_round() -> None:
    assert {path.stem for path in MESSAGES_DIR.iterdir()} == {language.value for language in Language}


@pytest.mark.parametrize("language", OTHERS)
def test_languages_hold_the_same_keys_with_the_same_placeholders(language: Language) -> None:
    english, other = load_catalogue(Language.EN).messages, load_catalogue(language).messages
    assert set(english) == set(other)
    assert {key for key in english if english[key].placeholders != other[key].placeholders} == set()


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_was_left_untranslated(language: Language) -> None:
    english, other = load_catalogue(Language.EN).messages, load_catalogue(language).messages
    same = {key for key in english if english[key].forms == other[key].forms}
    # The same word in both languages.
    assert same <= {"patient.sign.name", "patient.region.hand", "patient.unit.range"}


def test_no_language_claims_a_review_that_nobody_made() -> None:
    assert {load_catalogue(language).reviewed for language in Language} == {False}


def _write(folder: Path, messages: str, head: str = f"schema: {SCHEMA}\nlanguage: en\nreviewed: false\n") -> Path:
    (folder / "en.yaml").write_text(f"{head}messages:\n{messages}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("messages", "named"),
    [
        ("  a: ''\n", "a"),
        ("  a: ' b'\n", "a"),
        ("  a: {one: '{count} x'}\n", "a"),
        ("  a: {one: '{count} x', few: '{count} x', other: '{count} x'}\n", "a"),
        ("  a: {one: 'x', other: 'y'}\n", "a"),
        ("  a: {one: '{b} x', other: '{count} x'}\n", "a"),
        ("  a: '{0}'\n", "a"),
        ("  a: '{b.c}'\n", "a"),
        ("  a: '{b:>3}'\n", "a"),
        ("  a: '{b'\n", "a"),
        ("  a: 3\n", "a"),
        ("  a: {}\n", "a"),
        ("  3: x\n", "3"),
        ("  a.b: x\n  a: {b: y}\n", "a.b"),
    ],
)
def test_a_broken_message_is_refused_by_its_key(tmp_path: Path, messages: str, named: str) -> None:
    with pytest.raises(CatalogueError, match=named):
        load_catalogue(Language.EN, _write(tmp_path, messages))


@pytest.mark.parametrize(
    "head",
    [
        "schema: other/1\nlanguage: en\nreviewed: false\n",
        f"schema: {SCHEMA}\nlanguage: de\nreviewed: false\n",
        f"schema: {SCHEMA}\nlanguage: en\nreviewed: 'no'\n",
        f"schema: {SCHEMA}\nlanguage: en\n",
        ": [",
    ],
)
def test_a_broken_head_is_refused(tmp_path: Path, head: str) -> None:
    with pytest.raises(CatalogueError, match=r"en\.yaml"):
        load_catalogue(Language.EN, _write(tmp_path, "  a: x\n", head))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"de\.yaml"):
        load_catalogue(Language.DE, tmp_path)


def test_errors_form_one_tree_with_codes_and_remedies() -> None:
    tree = (LocalisationError, CatalogueError, UnknownMessageError, MessageValueError)
    assert len({one.code for one in tree}) == len(tree)
    assert all(issubclass(one, LocalisationError) for one in tree)
    assert LocalisationError("x", remedy="y").remedy == "y"
