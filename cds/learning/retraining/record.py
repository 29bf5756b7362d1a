"""``provenance.json`` of a candidate: where it comes from, and the digest of every image that it ever learnt from.

The gate reads the digests (`cds.learning.provenance`); a reader of the change report reads the rest. Digests of earlier
models in the line are taken over, since what they saw the candidate has seen.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cds.learning.provenance import Provenance, read_provenance
from cds.version import engine_version


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCount:
    """What one source gave."""

    name: str
    role: str
    """``new`` or ``replay``."""
    n: int
    """Cases that are learnt from or set thresholds."""
    n_positive: int | None = None
    """Of these, fractured or seen to unite."""
    held_out: int = 0
    """Of `n`, those that set thresholds and calibration only."""
    left_out: int = 0
    """Rows that could not be used; each stands among the problems."""
    sha256: str = ""
    """Of the source as it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What a retraining did, for its provenance."""

    kind: str
    """As the gate names models: ``detector``, ``risk`` or ``healing``."""
    parent_id: str | None
    """``model_id`` of the model that it went on from."""
    parent_sha256: str | None
    why: str
    method: str
    command: str
    """With words in place of this machine's folders."""
    seed: int
    config: Mapping[str, Any]
    sources: tuple[SourceCount, ...]
    digests: frozenset[str] = frozenset()
    screen: Mapping[str, Any] | None = None
    noise_of_rounds: tuple[float | None, ...] = ()
    """Estimated share of wrong labels of this round and of those before."""
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What was decided and why."""
    further: Mapping[str, Any] = field(default_factory=dict)


def write_record(record: Record, folder: Path, *, parent: Path | None) -> Path:
    """Write ``provenance.json``, with the digests of the parent's own provenance added.

    Args:
        record: what was done.
        folder: of the candidate.
        parent: folder of the model that it went on from.

    Raises:
        InputError: the parent's provenance cannot be read.
    """
    earlier = None if parent is None else read_provenance(parent)
    inherited = frozenset() if earlier is None else earlier.digests
    details = {
        "command": record.command,
        "engine_version": engine_version(),
        "seed": record.seed,
        "config": _plain(record.config),
        "parent_sha256": record.parent_sha256,
        "counts": {one.name: _counts(one) for one in record.sources},
        "inherited_digests": len(inherited - record.digests),
        "screen": record.screen,
        "noise_of_rounds": list(record.noise_of_rounds),
        "problems": list(record.problems),
        "notes": list(record.notes),
        **_plain(record.further),
    }
    provenance = Provenance(
        kind=record.kind,
        parent=record.parent_id,
        why=record.why,
        method=record.method,
        data=tuple({name: value for name, value in asdict(one).items() if value != ""} for one in record.sources),
        digests=record.digests | inherited,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        details=details,
    )
    return provenance.write(folder)


def _counts(one: SourceCount) -> dict[str, Any]:
    return {"learnt": one.n - one.held_out, "held_out": one.held_out, "left_out": one.left_out}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def earlier_details(parent: Path | None) -> Mapping[str, Any]:
    """Details of the provenance in a model's folder; empty where it carries none."""
    found = None if parent is None else read_provenance(parent)
    return {} if found is None else found.details


def names(sources: Iterable[SourceCount], *, role: str) -> str:
    """The names of the sources of a role, in words."""
    chosen: Sequence[str] = [one.name for one in sources if one.role == role]
    return ", ".join(chosen) or "nothing"
