"""Sources as a report cites them: numbered in the order of `Assessment.sources`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from fusion.results import SourceReference

_DOI = re.compile(r"(?:doi:\s*)?(10\.\d{4,9}/[^\s\"<>]+)", re.IGNORECASE)
_PUBMED = re.compile(r"(?:PMID|PubMed)[:\s]*(\d{1,9})", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """One evidence id where it is cited."""

    evidence_id: str
    number: int | None
    """Place in the list of sources, from 1; None when the list does not hold it."""


def link(identifier: str | None) -> str | None:
    """The address behind a DOI or PubMed id; None for any other identifier, so that no text becomes a link."""
    if identifier is None:
        return None
    if doi := _DOI.fullmatch(identifier.strip()):
        return f"https://doi.org/{quote(doi.group(1), safe='/.:;()-_')}"
    if pubmed := _PUBMED.fullmatch(identifier.strip()):
        return f"https://pubmed.ncbi.nlm.nih.gov/{pubmed.group(1)}/"
    return None


class Citations:
    """Looks up the number of an evidence id."""

    def __init__(self, sources: Sequence[SourceReference]) -> None:
        """Numbers the sources in the order given, from 1."""
        self._numbers = {source.id: place for place, source in enumerate(sources, start=1)}

    def __call__(self, evidence: Iterable[str]) -> tuple[Citation, ...]:
        """The citations of some evidence ids, in falling order of usefulness: numbered first, by number."""
        cited = (Citation(evidence_id=name, number=self._numbers.get(name)) for name in dict.fromkeys(evidence))
        return tuple(sorted(cited, key=lambda one: (one.number is None, one.number or 0)))
