"""What the proofs of the learning loop hand to their common report."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it is shown."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One proof: what was done, what came of it, and pictures of it."""

    heading: str
    paragraphs: tuple[str, ...]
    tables: tuple[Table, ...] = ()
    figures: tuple[Path, ...] = ()
    """PNG files."""
    data: dict[str, object] = field(default_factory=dict)
    """The figures as numbers, for the JSON file beside the page."""


Proof = Sequence[Section]
