"""Statements as markup of the layout engine. Every text that is not written here goes through `escaped`."""

import re
from collections.abc import Iterable
from xml.sax.saxutils import escape

from cds.presenters import wording
from cds.presenters.citations import Citations
from cds.presenters.pdf.styles import MONO
from fusion.results import Certainty, SourceReference, Statement

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff]")
_MUTED = "#4a5866"
_BADGES: dict[Certainty, str] = {
    Certainty.VERIFIED: "#1f5236",
    Certainty.WEAK: "#8a4300",
    Certainty.COMPUTED: "#3a4855",
    Certainty.UNVERIFIED: "#8c1d18",
    Certainty.RECORDED: "#3a4855",
}


def escaped(text: str) -> str:
    """A text that the layout engine prints as it is: no markup, no control characters, no half characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return escape(_CONTROL.sub(" ", whole), {'"': "&quot;", "'": "&#39;"})


def bold(text: str) -> str:
    """A text in bold."""
    return f"<b>{escaped(text)}</b>"


def muted(text: str) -> str:
    """A text in grey."""
    return f'<font color="{_MUTED}">{escaped(text)}</font>'


def code(text: str) -> str:
    """An identifier in the fixed-width font, at a size that fits the text around it."""
    return f'<font name="{MONO}" size="7.4">{escaped(text)}</font>'


def badge(certainty: Certainty) -> str:
    """How far a statement can be trusted, in brackets, so that it needs no colour to be read."""
    word = wording.CERTAINTIES[certainty]
    shown = f"<b>{word}</b>" if certainty is Certainty.UNVERIFIED else word
    return f'<font size="7" color="{_BADGES[certainty]}">({shown})</font>'


class Words:
    """Writes the statements of one report and remembers which it wrote."""

    def __init__(self, sources: tuple[SourceReference, ...], origins: dict[str, str]) -> None:
        """Numbers the sources as the HTML report does, and takes the words for what triggered a statement."""
        self._citations = Citations(sources)
        self._origins = origins
        self._told: set[Statement] = set()

    def told(self, statement: Statement) -> bool:
        """Whether a statement was written."""
        return statement in self._told

    def say(self, statement: Statement) -> str:
        """A statement with its badge, citations and what triggered it."""
        origin = f' <font size="7" color="{_MUTED}">from {self.origins(statement.record)}</font>'
        return f"{self.sentence(statement)} {self.marks(statement)}{origin if statement.record else ''}"

    def sentence(self, statement: Statement) -> str:
        """The words of a statement alone; the caller puts marks and origin elsewhere."""
        self._told.add(statement)
        return escaped(statement.text)

    def marks(self, statement: Statement) -> str:
        """Badge and citations."""
        return badge(statement.certainty) + self.cites(statement.evidence)

    def cites(self, evidence: Iterable[str]) -> str:
        """Numbers of sources, each a link into the list of sources."""
        parts = []
        for one in self._citations(evidence):
            if one.number is None:
                parts.append(f' <font size="7">[{escaped(one.evidence_id)}: not listed]</font>')
            else:
                parts.append(
                    f' <a href="#source-{one.number}" color="#0b4f7d"><font size="7">[{one.number}]</font></a>'
                )
        return "".join(parts)

    def origins(self, record: Iterable[str], *, full: bool = False) -> str:
        """What triggered a statement, in words; with the FHIR reference beside them where `full`."""
        parts = []
        for one in record:
            word = self._origins.get(one)
            reference = f" {code(one)}" if full and word is not None and "/" in one else ""
            parts.append(escaped(one if word is None else word) + reference)
        return ", ".join(parts)
