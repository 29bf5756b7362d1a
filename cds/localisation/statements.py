"""The report's English in another language: statements of the rules and the words around them.

Two files of phrases are read as one: ``statements/<language>.yaml`` for what the rules of `fusion` say, and
``report/<language>.yaml`` for headings, labels, warnings and figures of the report. English needs none.
"""

from functools import lru_cache
from pathlib import Path

from cds.localisation.language import Language
from cds.localisation.phrasebook import Phrasebook, load_phrases

_HERE = Path(__file__).resolve().parent
FOLDERS = (_HERE / "statements", _HERE / "report")


class StatementTranslator:
    """Translates what the report prints; what it does not know it returns as None, to be shown in English."""

    def __init__(self, phrases: Phrasebook) -> None:
        """Takes the phrases of one language."""
        self.phrases = phrases

    @property
    def reviewed(self) -> bool:
        """Whether a clinician who is a native speaker has read every phrase."""
        return self.phrases.reviewed

    def translate(self, text: str) -> str | None:
        """One statement, label or figure; None when a part of it is not known.

        Every number of the text is in the translation with the same value, written as the language writes it.
        """
        return self.phrases.translate(text)


@lru_cache(maxsize=4)
def translator(language: Language) -> StatementTranslator | None:
    """The translator of a language; None for English, which the report is written in.

    Raises:
        CatalogueError: a file of phrases is missing or breaks its schema.
    """
    if language is Language.EN:
        return None
    return StatementTranslator(load_phrases(language, FOLDERS))
