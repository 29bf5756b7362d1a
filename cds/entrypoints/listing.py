"""``cds evidence``: the rules and what they rest on, as text, as a page or as JSON."""

import tempfile
from pathlib import Path

from cds.errors import OutputError
from cds.presenters.evidence_page import render_evidence_html, render_evidence_json
from cds.presenters.evidence_view import EvidenceView


def print_evidence(words: str = "") -> None:
    """Print every entry with its status, its sources and the rules that cite it, then the sources.

    Args:
        words: only entries that hold every one of these words, or that a rule with all of them cites.

    Raises:
        EvidenceError: a file of the evidence base or the catalogue of rules is missing or broken.
    """
    view = EvidenceView.load(words)
    base = view.evidence
    print(f"{base.version}: {len(view.entries)} entries from {len(view.sources)} sources, {len(view.rules)} rules\n")
    for entry in view.entries:
        rules = ", ".join(rule.id for rule in view.book.citing(entry.id)) or "no rule"
        print(f"{entry.id} [{entry.status.value}] {', '.join(entry.sources)}")
        print(f"    {entry.statement}\n    fires in: {rules}")
    print("\nSources\n")
    for source in view.sources:
        identifier = "" if source.identifier is None else f" {source.identifier}"
        print(f"{source.key}{identifier}\n    {source.citation}")


def write_evidence(words: str, html: Path | None, json: Path | None) -> None:
    """Write the page, the JSON, or both.

    Args:
        words: the filter; empty for everything.
        html: file for the page.
        json: file for the JSON.

    Raises:
        EvidenceError: a file of the evidence base or the catalogue of rules is missing or broken.
        OutputError: a file cannot be written.
    """
    view = EvidenceView.load(words)
    for path, render in ((html, render_evidence_html), (json, render_evidence_json)):
        if path is not None:
            _write(path, render(view))
            print(f"{path}: {len(view.rules)} rules, {len(view.entries)} entries")


def _write(path: Path, text: str) -> None:
    """Put a file in place whole: nobody ever reads half of it."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.absolute().parent, prefix=f".{path.name}.", delete=False
        ) as stream:
            stream.write(text)
        staged = Path(stream.name)
        try:
            staged.chmod(0o644)
            staged.replace(path)
        except OSError:
            staged.unlink()
            raise
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or type(error).__name__}.",
            remedy="Give a file in a folder that exists and can be written.",
        ) from error
