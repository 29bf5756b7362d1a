"""The evidence base: cited facts in YAML files beside the code, checked when they are loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fusion.errors import UnknownEvidenceError
from fusion.evidence_model import EvidenceEntry, EvidenceStatus, Source
from fusion.evidence_reader import read_folder
from fusion.results import Certainty, SourceReference

EVIDENCE_DIR = Path(__file__).resolve().parent / "evidence"
"""Folder of the evidence files that ship with the engine."""

_CERTAINTY: dict[EvidenceStatus, Certainty] = {
    EvidenceStatus.VERIFIED: Certainty.VERIFIED,
    EvidenceStatus.WEAK: Certainty.WEAK,
    EvidenceStatus.UNVERIFIED: Certainty.UNVERIFIED,
    EvidenceStatus.COMPUTED: Certainty.COMPUTED,
}
_WEAKEST_FIRST = (Certainty.UNVERIFIED, Certainty.WEAK, Certainty.COMPUTED, Certainty.VERIFIED)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceBase:
    """All entries and sources, with the version a report prints."""

    version: str
    """Version and digest prefix, for instance ``evidence@1.0.0+ab12cd34ef56``."""
    digest: str
    """SHA-256 over names and bytes of the files."""
    entries: Mapping[str, EvidenceEntry]
    sources: Mapping[str, Source]

    @classmethod
    def load(cls, folder: Path = EVIDENCE_DIR) -> "EvidenceBase":
        """Read and check every file of a folder; the result is kept for the next call.

        Raises:
            EvidenceError: a file is missing, is no YAML or breaks the schema.
        """
        return _load(Path(folder))

    def __getitem__(self, evidence_id: str) -> EvidenceEntry:
        """One entry by identifier.

        Raises:
            UnknownEvidenceError: there is no such entry.
        """
        try:
            return self.entries[evidence_id]
        except KeyError:
            raise UnknownEvidenceError(
                f"The evidence base holds no entry {evidence_id}.",
                remedy="Correct the identifier or add the entry to the evidence files.",
            ) from None

    def __contains__(self, evidence_id: object) -> bool:
        """Whether an identifier is known."""
        return evidence_id in self.entries

    def existing(self, evidence_ids: Iterable[str]) -> tuple[EvidenceEntry, ...]:
        """The entries among some identifiers that exist, in the order given."""
        return tuple(self.entries[one] for one in evidence_ids if one in self.entries)

    def certainty(self, evidence_ids: Iterable[str]) -> Certainty:
        """The weakest certainty among some entries; COMPUTED for none."""
        found = {_CERTAINTY[self[one].status] for one in evidence_ids}
        return next((one for one in _WEAKEST_FIRST if one in found), Certainty.COMPUTED)

    def only_unverified(self, evidence_ids: Iterable[str]) -> bool:
        """True when nothing but unverified entries stands behind a statement; False for no evidence at all.

        Rules of this engine are no evidence of their own: they lend an unverified figure no weight.
        """
        entries = [self[one] for one in evidence_ids]
        sourced = [entry for entry in entries if entry.status is not EvidenceStatus.COMPUTED]
        return bool(sourced) and all(entry.is_unverified for entry in sourced)

    def reference(self, evidence_id: str) -> SourceReference:
        """An entry as a report cites it.

        Raises:
            UnknownEvidenceError: there is no such entry.
        """
        entry = self[evidence_id]
        sources = [self.sources[key] for key in entry.sources]
        return SourceReference(
            id=entry.id,
            statement=entry.statement,
            citation=" | ".join(source.citation for source in sources),
            identifier=next((source.identifier for source in sources if source.identifier is not None), None),
            certainty=_CERTAINTY[entry.status],
        )


@lru_cache(maxsize=4)
def _load(folder: Path) -> EvidenceBase:
    files = read_folder(folder)
    return EvidenceBase(
        version=f"evidence@{files.version}+{files.digest[:12]}",
        digest=files.digest,
        entries=files.entries,
        sources=files.sources,
    )
