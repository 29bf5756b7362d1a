"""``cds evidence``: what the rules cite, one fact a paragraph, so that it can be searched and paged."""

from fusion.evidence_base import EvidenceBase


def print_evidence() -> None:
    """Print every entry of the evidence base with its status and sources, then the sources.

    Raises:
        EvidenceError: a file of the evidence base is missing or broken.
    """
    base = EvidenceBase.load()
    print(f"{base.version}: {len(base.entries)} entries from {len(base.sources)} sources\n")
    for entry in base.entries.values():
        print(f"{entry.id} [{entry.status.value}] {', '.join(entry.sources)}\n    {entry.statement}")
    print("\nSources\n")
    for source in base.sources.values():
        identifier = "" if source.identifier is None else f" {source.identifier}"
        print(f"{source.key}{identifier}\n    {source.citation}")
