"""English sentences of the report to another language, by templates with named placeholders.

The rules compose English; nothing here reads what a sentence means. A sentence is put into the other language only
when a template matches it from its first to its last letter, so that a word which no template knows leaves the whole
text English instead of half translated.

A file of phrases holds ``schema``, ``language``, ``reviewed``, ``vocabularies`` (terms that fill placeholders, each
one text or its grammatical forms), ``prefixes`` (what may stand before a sentence) and ``templates`` (groups of an
English template and its translation). A placeholder is

    {name}            a number, written again for the locale
    {name:site}       a term of the vocabulary ``site``
    {name:list site}  terms in a row, "a, b and c" or "a, b or c"
    {name:chain part} terms divided by semicolons
    {name:row part}   terms divided by middle dots or commas
    {name:as_is}      anything, left as it is: identifiers, names of models
    {name:phrase}     anything that the phrases themselves translate

and in the translation ``{name}`` or ``{name:form}``, the form being a grammatical one of the vocabulary.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Formatter

import yaml

from cds.localisation.errors import CatalogueError
from cds.localisation.language import Language
from cds.localisation.numbers import NUMBER, german, kept_together

SCHEMA = "fracture-cds.phrases/1"
_KINDS_OF_ROWS: Mapping[str, Mapping[str, str]] = {
    "list": {", ": ", ", " and ": " und ", " or ": " oder "},
    "chain": {"; ": "; "},
    "row": {" \N{MIDDLE DOT} ": " \N{MIDDLE DOT} ", ", ": ", "},
}
"""Kind of a row of terms to its English separators and what stands in their place."""
_FIELDS = frozenset({"schema", "language", "reviewed", "vocabularies", "prefixes", "templates"})
_NUMBER_KIND, _AS_IS, _PHRASE = "number", "as_is", "phrase"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z(<>0-9\"“])")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The compiled reader where there is one: the files are long."""
_MAX_CHARS = 4_000
"""Longer texts are no sentences of the report."""
Forms = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A placeholder of an English template."""

    name: str
    kind: str
    joined: str
    """Kind of the row: ``list``, ``chain`` or ``row``; empty for a single term."""


@dataclass(frozen=True, slots=True)
class Template:
    """One English template and its translation, in one or several grammatical forms."""

    group: str
    english: str
    forms: Forms
    slots: tuple[Slot, ...]
    source: str
    """Regular expression of the whole English text, with a group for every slot."""
    head: str
    """What the English text begins with, its first letter small; empty where a slot comes first."""
    tail: str
    """What it ends with; empty where a slot comes last."""

    def match(self, text: str) -> re.Match[str] | None:
        """The text against the template; the expression is made when a text first comes near."""
        if text.endswith(self.tail) and _uncapitalised(text[: len(self.head)]) == self.head:
            return _compiled(self.source).fullmatch(text)
        return None


class Phrasebook:
    """The phrases of one language, ready to translate."""

    def __init__(self, content: Mapping[str, object], *, file: str) -> None:
        """Takes the content of a file, already of the right shape.

        Raises:
            CatalogueError: a template names an unknown vocabulary, or its translation other placeholders.
        """
        self._file = file
        self.reviewed = bool(content["reviewed"])
        self._raw: Mapping[str, Mapping[str, object]] = _mapping(content["vocabularies"], file)
        self._patterns: dict[str, str] = {}
        self._terms: dict[str, tuple[Template, ...]] = {}
        self._rows: dict[tuple[str, str], re.Pattern[str]] = {}
        for name in self._raw:
            self._pattern_of(name)
        self._prefixes = {str(key): str(value) for key, value in _mapping(content["prefixes"], file).items()}
        self.templates = tuple(self._templates(_mapping(content["templates"], file)))
        literal = [one for one in self.templates if not one.slots]
        self._exact = {_uncapitalised(one.english): one for one in literal} | {one.english: one for one in literal}
        self._open = tuple(one for one in self.templates if one.slots)
        self.used: set[str] = set()
        """English templates that matched something since the phrases were read."""
        self._cached: Callable[[str], str | None] = lru_cache(maxsize=20_000)(self._translated)

    def translate(self, text: str) -> str | None:
        """The text in the other language; None when any part of it is not known.

        Args:
            text: one or several English sentences, or a label.
        """
        return self._cached(text) if 0 < len(text) <= _MAX_CHARS else None

    def _translated(self, text: str) -> str | None:
        found = self._whole(text)
        if found is not None:
            return kept_together(_capitalised(found) if text[0].isupper() else found)
        for english, other in self._prefixes.items():
            if text.startswith(english) and (rest := self.translate(text[len(english) :])) is not None:
                return other + rest
        sentences = _SENTENCE_END.split(text)
        if len(sentences) == 1:
            return None
        parts = [self.translate(one) for one in sentences]
        known = [one for one in parts if one is not None]
        return " ".join(known) if len(known) == len(parts) else None

    def _whole(self, text: str) -> str | None:
        exact = self._exact.get(text) or self._exact.get(_uncapitalised(text))
        if exact is not None:
            self.used.add(exact.english)
            return _first_of(exact.forms)
        for template in self._open:
            found = template.match(text)
            if found is None:
                continue
            written = self._written(template, found, None)
            if written is not None:
                self.used.add(template.english)
                return written
        return None

    def _written(self, template: Template, found: re.Match[str], form: str | None) -> str | None:
        """The translation with its placeholders filled; None where a phrase inside is not known."""
        text = template.forms.get(form or "", _first_of(template.forms))
        parts: list[str] = []
        for literal, name, wanted, _ in Formatter().parse(text):
            parts.append(literal)
            if name is None:
                continue
            slot = next(one for one in template.slots if one.name == name)
            value = self._filled(slot, found[name], wanted or None)
            if value is None:
                return None
            parts.append(value)
        return "".join(parts)

    def _filled(self, slot: Slot, value: str, form: str | None) -> str | None:
        if slot.kind == _NUMBER_KIND:
            return german(value)
        if slot.kind == _AS_IS:
            return value
        if slot.kind == _PHRASE:
            return self.translate(value)
        if not slot.joined:
            return self._term(slot.kind, value, form)
        return self._row(slot.kind, value, slot.joined, form)

    def _row(self, kind: str, value: str, joined: str, form: str | None) -> str | None:
        """Terms in a row, the first of them such that a row is left behind it."""
        separators = _KINDS_OF_ROWS[joined]
        if (kind, joined) not in self._rows:
            between, one = "|".join(map(re.escape, separators)), self._patterns[kind]
            self._rows[kind, joined] = re.compile(rf"({one})(?:({between})((?:{one})(?:(?:{between})(?:{one}))*))?")
        row = self._rows[kind, joined]
        parts: list[str] = []
        rest: str | None = value
        while rest is not None:
            found = row.fullmatch(rest)
            term = None if found is None else self._term(kind, found[1], form)
            if found is None or term is None:
                return None
            parts.append(term)
            if found[2] is not None:
                parts.append(separators[found[2]])
            rest = found[3]
        return "".join(parts)

    def _term(self, kind: str, value: str, form: str | None) -> str | None:
        for one in self._terms[kind]:
            found = one.match(value)
            if found is not None:
                return self._written(one, found, form)
        return None

    # --- reading

    def _pattern_of(self, vocabulary: str) -> str:
        """The alternatives of a vocabulary without groups, its terms kept beside."""
        if vocabulary not in self._patterns:
            if vocabulary not in self._raw:
                raise _broken(self._file, f"names no vocabulary {vocabulary}")
            terms = tuple(
                self._template("", english, forms)
                for english, forms in sorted(self._raw[vocabulary].items(), key=lambda item: -len(item[0]))
            )
            self._terms[vocabulary] = terms
            self._patterns[vocabulary] = "|".join(re.sub(r"\(\?P<\w+>", "(?:", one.source) for one in terms)
        return self._patterns[vocabulary]

    def _templates(self, groups: Mapping[str, object]) -> Iterator[Template]:
        seen: set[str] = set()
        for group, entries in groups.items():
            for english, forms in _mapping(entries, self._file).items():
                if english in seen:
                    raise _broken(self._file, f"holds this template twice: {english}")
                seen.add(english)
                yield self._template(group, english, forms)

    def _template(self, group: str, english: str, translation: object) -> Template:
        forms: Forms = (
            {"": translation}
            if isinstance(translation, str)
            else {k: str(v) for k, v in _mapping(translation, "").items()}
        )
        pattern, slots, first = [], [], True
        for literal, name, kind, _ in Formatter().parse(english):
            pattern.append(_either_case(literal) if first and literal else re.escape(literal))
            first = first and not literal and name is None
            if name is None:
                continue
            slot = _slot(name, kind or _NUMBER_KIND)
            slots.append(slot)
            pattern.append(f"(?P<{name}>{self._slot_pattern(slot)})")
        names = {one.name for one in slots}
        for text in forms.values():
            if {name for _, name, _, _ in Formatter().parse(text) if name is not None} != names:
                raise _broken(self._file, f"has other placeholders in the translation of: {english}")
        parts = list(Formatter().parse(english))
        tail = parts[-1][0] if len(parts) > 1 and parts[-1][1] is None else ""
        return Template(group, english, forms, tuple(slots), "".join(pattern), _uncapitalised(parts[0][0]), tail)

    def _slot_pattern(self, slot: Slot) -> str:
        if slot.kind == _NUMBER_KIND:
            return NUMBER
        if slot.kind in {_AS_IS, _PHRASE}:
            return ".+?"
        one = self._pattern_of(slot.kind)
        # A row is held against its vocabulary when it is written: alternatives twice over would make long patterns.
        return ".+?" if slot.joined else one


@lru_cache(maxsize=8)
def load_phrases(language: Language, folders: tuple[Path, ...]) -> Phrasebook:
    """Read and check the phrases of one language; the result is kept for the next call.

    Args:
        language: names the file in every folder.
        folders: whose files are read as one; no vocabulary, prefix or group stands in two of them.

    Raises:
        CatalogueError: a file is missing, is no YAML or breaks the schema.
    """
    whole: dict[str, dict[str, object]] = {"vocabularies": {}, "prefixes": {}, "templates": {}}
    reviewed = True
    for folder in folders:
        content = _content(folder / f"{language.value}.yaml", language)
        reviewed = reviewed and content["reviewed"] is True
        for part, held in whole.items():
            found = _mapping(content[part], language.value)
            if twice := set(held) & set(found):
                raise _broken(f"{folder.name}/{language.value}.yaml", f"repeats {', '.join(sorted(twice))}")
            held.update(found)
    return Phrasebook({"reviewed": reviewed, **whole}, file=f"{language.value}.yaml")


def _content(path: Path, language: Language) -> dict[str, object]:
    file = f"{path.parent.name}/{path.name}"
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise _broken(file, "cannot be read as YAML") from None
    if not isinstance(content, dict) or set(content) != _FIELDS:
        raise _broken(file, f"must hold {', '.join(sorted(_FIELDS))} and nothing else")
    if content["schema"] != SCHEMA or content["language"] != language.value:
        raise _broken(file, f"must name the schema {SCHEMA} and the language {language.value}")
    return content


@lru_cache(maxsize=4_096)
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)


def _slot(name: str, kind: str) -> Slot:
    joined, _, vocabulary = kind.rpartition(" ")
    return Slot(name, vocabulary, joined)


def _mapping(value: object, file: str) -> Mapping[str, Mapping[str, object]]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _broken(file, "holds something else where a table of texts is asked for")
    return value


def _either_case(literal: str) -> str:
    first = literal[0]
    if first.lower() == first.upper():
        return re.escape(literal)
    return f"[{first.upper()}{first.lower()}]{re.escape(literal[1:])}"


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _first_of(forms: Forms) -> str:
    return next(iter(forms.values()))


def _broken(file: str, what: str) -> CatalogueError:
    return CatalogueError(f"The file of phrases {file} {what}.", remedy="Correct the file; its schema is documented.")


__all__: Sequence[str] = ("Phrasebook", "Template", "load_phrases")
