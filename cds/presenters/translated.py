"""A finished report in another language: every text of its markup goes through the phrases, tags stay as they are.

The views and the templates compose English; translating what they made keeps one report instead of two, and leaves
the English one untouched. Identifiers, numbers and dates are no language: numbers and dates are written again for the
reader, identifiers stay. What no phrase knows stays English, is marked so, and is remembered.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from cds.case import CaseResult
from cds.localisation.language import Language
from cds.localisation.numbers import NUMBER, german
from cds.localisation.statements import StatementTranslator, translator

UNREVIEWED = (
    "Translated by fixed templates; no clinician has reviewed the translation. Where in doubt the English report holds."
)
NOT_TRANSLATED = "Texts left in English for want of a translation: {count}."
_TOKEN = re.compile(r"(<!--.*?-->|<style.*?</style>|<[^>]+>)", re.DOTALL)
_TAG = re.compile(r"<(/?)([a-zA-Z][\w-]*)")
_ATTRIBUTE = re.compile(r'\b(alt|aria-label|title)="([^"]*)"')
_CODE = re.compile(r'class="[^"]*\bcode\b|name="\w+Mono"')
_NUMBER = re.compile(NUMBER)
_ISO_DAY = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_IDENTIFIER = re.compile(r"\S*\w[/_.:@]+\w*\S*|\S+[/:]|[0-9a-f]{12,}")
_BLANK, _BEFORE, _BEHIND = r"\s*", r"[\s(\[:;,.]*", r"[\s)\]:;,.]*"
_EDGES = ((_BLANK, _BLANK), (_BEFORE, _BLANK), (_BEFORE, _BEHIND))
"""What may stand before and behind a text that the phrases know, tried in this order."""
_WORD = re.compile(r"[^\W\d_]{2,}")
_DRAWN = frozenset({"svg", "title", "head"})
"""Elements in which no span may stand."""


class TranslatedReport:
    """Translates the texts of one report and remembers those it could not."""

    def __init__(self, translation: StatementTranslator, result: CaseResult) -> None:
        """Takes the phrases and the case, whose identifiers stay what they are."""
        self._translation = translation
        self._verbatim = frozenset(_identifiers(result))
        self.left: list[str] = []
        """Texts that stayed English, in order, the cited literature left out."""

    def text(self, english: str) -> str | None:
        """One text with its edges; None when it stays English."""
        if not any(one.isalnum() for one in english):
            return english
        for known in (self._phrase, self._name):
            for edge in _EDGES:
                head, core, tail = _split(english, *edge)
                found = known(core)
                if found is not None:
                    return f"{head}{found}{tail}"
        return None

    def _phrase(self, core: str) -> str | None:
        """Words, numbers and days; an identifier that looks like a number stays as it is."""
        if core in self._verbatim and not core.isalpha():
            return core
        if _NUMBER.fullmatch(core):
            return german(core)
        if found := _ISO_DAY.fullmatch(core):
            return f"{found[3]}.{found[2]}.{found[1]}"
        known = self._translation.translate(core)
        return self._listed(core) if known is None else known

    def _name(self, core: str) -> str | None:
        """What is no language: identifiers and signs."""
        same = core in self._verbatim or _IDENTIFIER.fullmatch(core) is not None or not _WORD.search(core)
        return core if same else None

    def _listed(self, core: str) -> str | None:
        """Parts between commas, each known."""
        parts = [self._phrase(one) or self._name(one) for one in core.split(", ")] if ", " in core else [None]
        known = [one for one in parts if one is not None]
        return ", ".join(known) if len(known) == len(parts) else None

    def whole_text(self, english: str, *, literature: bool = False) -> str:
        """One text without markup; English where it is not known."""
        found = self.text(english)
        if found is None and not literature:
            self.left.append(english.strip())
        return english if found is None else found

    def markup(self, marked: str, *, literature: bool = False) -> str:
        """A text with inline tags, for the PDF; what stays English in cited literature is not counted."""
        parts: list[str] = []
        code: str | None = None
        for place, one in enumerate(_TOKEN.split(marked)):
            if place % 2:
                found = _TAG.match(one)
                code = code if found is None else _after(code, found[1] == "/", found[2], one)
            plain = place % 2 or code is not None or not one.strip()
            parts.append(one if plain else html.escape(self.whole_text(html.unescape(one), literature=literature)))
        return "".join(parts)

    def page(self, document: str) -> str:
        """A whole HTML page, with its language in its first tag and its notice below the first."""
        parts: list[str] = []
        inside: list[str] = []
        code: str | None = None
        for place, one in enumerate(_TOKEN.split(document)):
            if place % 2:
                parts.append(_ATTRIBUTE.sub(self._attribute, one))
                found = _TAG.match(one)
                if found is None or one.startswith(("<!--", "<style")):
                    continue
                closing, name = found[1] == "/", found[2]
                code = _after(code, closing, name, one)
                if name in {*_DRAWN, "ol"}:
                    _enter_or_leave(inside, closing, name)
            elif one.strip() and code is None:
                parts.append(self._node(html.unescape(one), inside))
            else:
                parts.append(one)
        return "".join(parts)

    def _node(self, english: str, inside: list[str]) -> str:
        found = self.text(english)
        if found is not None:
            return html.escape(found, quote=False)
        if "ol" not in inside:
            self.left.append(" ".join(english.split()))
        shown = html.escape(english, quote=False)
        if _DRAWN.intersection(inside):
            return shown
        head, core, tail = _split(shown, _BLANK, _BLANK)
        return f'{head}<span lang="en">{core}</span>{tail}'

    def _attribute(self, found: re.Match[str]) -> str:
        return f'{found[1]}="{html.escape(self.whole_text(html.unescape(found[2])))}"'


def translated_page(result: CaseResult, document: str, language: Language) -> str:
    """A finished English page in another language; the same page for English.

    Args:
        result: the case it tells of.
        document: a whole HTML page, its literature in the one ordered list.
        language: of the reader.
    """
    translation = translator(language)
    if translation is None:
        return document
    report = TranslatedReport(translation, result)
    page = report.page(document)
    page = page.replace('<html lang="en-GB">', f'<html lang="{language.tag}">', 1)
    notes = "".join(f'<p class="notice" role="note">{html.escape(one)}</p>\n' for one in notices(report, translation))
    first, _, rest = page.partition("<header>")
    return f"{first}{notes}<header>{rest}"


def notices(report: TranslatedReport, translation: StatementTranslator) -> tuple[str, ...]:
    """What a reader must know of the translation: that nobody checked it, and how many texts it leaves out."""
    said: list[str] = [] if translation.reviewed else [UNREVIEWED]
    if report.left:
        said.append(NOT_TRANSLATED.format(count=len(report.left)))
    return tuple(translation.translate(one) or one for one in said)


def _split(text: str, before: str, behind: str) -> tuple[str, str, str]:
    """A text between its edges, its blanks as one space each."""
    found = re.fullmatch(rf"({before})(.*?)({behind})", text, re.DOTALL)
    return (found[1], " ".join(found[2].split()), found[3]) if found is not None else ("", text, "")


def _after(code: str | None, closing: bool, name: str, tag: str) -> str | None:
    """The element of code that the text after a tag stands in."""
    if code is None:
        return name if not closing and _CODE.search(tag) else None
    return None if closing and name == code else code


def _enter_or_leave(inside: list[str], closing: bool, name: str) -> None:
    if not closing:
        inside.append(name)
    elif name in inside:
        inside.reverse()
        inside.remove(name)
        inside.reverse()


def _identifiers(part: object) -> Iterator[str]:
    """Every plain text of a result that names something: cases, people, resources, models, files."""
    if type(part) is str:
        if " " not in part:
            yield part
            yield from (f"{one}/" for one in part.split("/")[:-1])
            yield part.rpartition("/")[2]
    elif isinstance(part, tuple):
        for one in part:
            yield from _identifiers(one)
    elif is_dataclass(part) and not isinstance(part, type):
        for one in fields(part):
            yield from _identifiers(getattr(part, one.name))


__all__ = ("NOT_TRANSLATED", "UNREVIEWED", "TranslatedReport", "notices", "translated_page")
