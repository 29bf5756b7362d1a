"""``provenance.json`` beside a candidate's weights: what it was made from, so that the gate can tell its own exam."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cds.errors import InputError

PROVENANCE_NAME: Final = "provenance.json"
SCHEMA: Final = "fracture-cds.provenance/1"
DIGEST_LENGTH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a candidate comes from."""

    kind: str
    """``detector``, ``risk``, ``healing`` or ``bone_age``."""
    parent: str | None
    """Id of the model that it was fine-tuned from; None for one from scratch."""
    why: str
    """Why it was made, one sentence."""
    method: str
    """How it was made: command and settings in words."""
    data: tuple[Mapping[str, Any], ...] = ()
    """One entry per source: ``name``, ``role`` (``new`` or ``replay``), ``n``, ``n_positive``, ``sha256``, as known."""
    digests: frozenset[str] = field(default_factory=frozenset)
    """SHA-256 of every item that it learned from or was tuned on: an image's file or its pixels (see
    `cds.learning.digests`), the file of a table."""
    created: str = ""
    """ISO 8601."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What `cds.learning.retraining.record` adds: command, settings, seed, counts by source, rows left out."""

    def write(self, folder: Path) -> Path:
        """Write ``provenance.json`` into the weights folder."""
        path = folder / PROVENANCE_NAME
        document = {
            "schema": SCHEMA,
            "kind": self.kind,
            "parent": self.parent,
            "why": self.why,
            "method": self.method,
            "created": self.created,
            "data": [dict(one) for one in self.data],
            "details": dict(self.details),
            "digests": sorted(self.digests),
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        return path


def read_provenance(folder: Path) -> Provenance | None:
    """The provenance of a weights folder; None where it carries none.

    Raises:
        InputError: the file is there and cannot be used.
    """
    try:
        document = json.loads((folder / PROVENANCE_NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        raise _unusable() from None
    try:
        if document["schema"] != SCHEMA:
            raise _unusable()
        return Provenance(
            kind=str(document["kind"]),
            parent=None if document["parent"] is None else str(document["parent"]),
            why=str(document["why"]),
            method=str(document["method"]),
            data=tuple(dict(one) for one in document["data"]),
            digests=checked_digests(document["digests"]),
            created=str(document.get("created", "")),
            details=dict(document.get("details", {})),
        )
    except (KeyError, TypeError, ValueError):
        raise _unusable() from None


def checked_digests(digests: Iterable[object]) -> frozenset[str]:
    """The digests as a set.

    Raises:
        ValueError: one is no SHA-256 in hexadecimal digits.
    """
    found = frozenset(str(one) for one in digests)
    if any(len(one) != DIGEST_LENGTH or set(one) - set("0123456789abcdef") for one in found):
        raise ValueError("not a SHA-256")
    return found


def _unusable() -> InputError:
    return InputError(
        f"The candidate's {PROVENANCE_NAME} cannot be used.",
        remedy="Make the candidate again with `cds learn retrain`, which writes it.",
    )
