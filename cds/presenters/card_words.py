"""Words on a card: text of the record made harmless, summaries cut to length, sources and entries cited."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from cds.presenters.citations import link
from fhir_adapters.cds_hooks.response import MAX_SUMMARY
from fusion.evidence_base import EvidenceBase

MAX_RECORD_TEXT = 120
"""Characters of a text of the record that are shown."""
MAX_CITATION = 110
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|~:^=$>])")
_JOINER = "\N{WORD JOINER}"
_REFERENCE = re.compile(r"[A-Z][A-Za-z]{2,40}/[A-Za-z0-9\-.]{1,64}")


def escaped(text: str) -> str:
    """Text of the record as plain words within GitHub Markdown: no markup, no HTML, no link, one line."""
    flat = " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())
    if len(flat) > MAX_RECORD_TEXT:
        flat = flat[: MAX_RECORD_TEXT - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
    # Addresses become links without any markup; a joiner that nobody sees keeps them words.
    flat = re.sub(r"(?i)(://|www\.|@)", lambda found: f"{_JOINER}{_JOINER.join(found[0])}{_JOINER}", flat)
    html = flat.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return _MARKDOWN.sub(r"\\\1", html)


def shortened(text: str, limit: int = MAX_SUMMARY) -> str:
    """Whole words within a limit of characters."""
    if len(text) <= limit:
        return text
    return text[: limit - 1].rsplit(" ", 1)[0].rstrip(" ,;:.") + "\N{HORIZONTAL ELLIPSIS}"


class Cited:
    """Numbers the sources of one card and lists them at its end."""

    def __init__(self, evidence: EvidenceBase, ids: Iterable[str]) -> None:
        """Take the evidence ids of the card, in the order of its lines."""
        self._evidence = evidence
        keys = (key for one in dict.fromkeys(ids) for key in evidence[one].sources)
        self._numbers = {key: number for number, key in enumerate(dict.fromkeys(keys), start=1)}

    def __call__(self, ids: Iterable[str]) -> str:
        """`` [1, 2]``, or that the rule has no source."""
        entries = [self._evidence[one] for one in ids]
        numbers = sorted({self._numbers[key] for entry in entries for key in entry.sources})
        return f" [{', '.join(map(str, numbers))}]" if numbers else " [rule of this software]"

    def sources(self) -> Iterator[str]:
        """The list, one line each."""
        if self._numbers:
            yield ""
        for key, number in self._numbers.items():
            source = self._evidence.sources[key]
            address = link(source.identifier)
            where = f" <{address}>" if address is not None else ""
            yield f"\\[{number}\\] {_plain(source.citation)}{where}  "


def _plain(citation: str) -> str:
    """A citation of the evidence base, short, without accidental markup."""
    return shortened(citation, MAX_CITATION).replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def entries(references: Iterable[str]) -> str:
    """The entries that triggered a line, by their references."""
    shown = [one for one in references if _REFERENCE.fullmatch(one)]
    more = f", {len(shown) - 3} more" if len(shown) > 3 else ""
    return f" (`{'`, `'.join(shown[:3])}`{more})" if shown else ""
