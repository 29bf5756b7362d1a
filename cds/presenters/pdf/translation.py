"""The language of the document being laid out: blocks and drawings pass their texts through here.

The layout engine calls back into the drawings, so that the language travels with the call and not as an argument.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from cds.localisation.language import Language
from cds.presenters.translated import TranslatedReport

_REPORT: ContextVar[tuple[TranslatedReport, Language] | None] = ContextVar("report", default=None)


@contextmanager
def written_in(report: TranslatedReport | None, language: Language) -> Iterator[None]:
    """While open, every text is translated; nothing is where there is no translation."""
    token = _REPORT.set(None if report is None else (report, language))
    try:
        yield
    finally:
        _REPORT.reset(token)


def said(text: str) -> str:
    """A plain text in the language of the document."""
    found = _REPORT.get()
    return text if found is None else found[0].whole_text(text)


def marked(markup: str, *, literature: bool = False) -> str:
    """A text with inline tags in the language of the document.

    Args:
        markup: tags of the layout engine around escaped texts.
        literature: a cited source, which may stay in the language it was written in.
    """
    found = _REPORT.get()
    return markup if found is None else found[0].markup(markup, literature=literature)


def language_tag() -> str:
    """BCP 47 tag of the texts."""
    found = _REPORT.get()
    return Language.EN.tag if found is None else found[1].tag
