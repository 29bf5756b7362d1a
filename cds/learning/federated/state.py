"""A federation on disk: after a restart the server goes on with the round it was in.

The folder holds ``state.json`` (settings, round, history, digest of the weights) and ``round-NNNN.npz`` (the common
weights after that round). The weights are written first and the state last, each in one step, so that a crash between
them loses at most the round that was being finished. Weights of the last two rounds are kept.
"""

import hashlib
import io
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cds.learning.federated.errors import FederationError
from cds.learning.federated.settings import FederationSettings
from cds.learning.federated.wire import Tensors

STATE_NAME = "state.json"


class StateDamagedError(FederationError):
    """The state on disk is not what was written, or belongs to another federation."""

    code = "cds.federation.state"


@dataclass(slots=True, kw_only=True)
class FederationState:
    """Where a federation is."""

    run: str
    """Random name of this federation; part of every signature."""
    round: int
    """Finished rounds."""
    attempts: int = 0
    """Rounds that were begun, lost ones too: signatures and masks are bound to this number, which never returns."""
    weights: Tensors
    history: list[dict[str, Any]] = field(default_factory=list)
    """One entry a round, lost ones too: who contributed, who was refused and why."""


def load_or_begin(folder: Path, settings: FederationSettings, initial: Tensors) -> FederationState:
    """The state in a folder, or a fresh one.

    Args:
        folder: of the server; may be empty or missing.
        settings: must be those that the state was made with, but for the number of rounds and the times.
        initial: weights of a fresh federation.

    Raises:
        StateDamagedError: the files are damaged, or the settings are others.
    """
    path = folder / STATE_NAME
    if not path.is_file():
        state = FederationState(run=secrets.token_hex(8), round=0, weights=initial)
        save(folder, settings, state)
        return state
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        blob = (folder / content["weights"]).read_bytes()
        if hashlib.sha256(blob).hexdigest() != content["sha256"]:
            raise ValueError("digest")
        with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
            weights = {name: archive[name] for name in archive.files}
        if _binding(content["settings"]) != _binding(settings.to_json()):
            raise _damaged("the state in this folder belongs to a federation with other settings")
        return FederationState(
            run=str(content["run"]),
            round=int(content["round"]),
            attempts=int(content["attempts"]),
            weights=weights,
            history=list(content["history"]),
        )
    except (OSError, ValueError, KeyError) as error:
        raise _damaged("the state of the federation cannot be read, or is not what was written") from error


def save(folder: Path, settings: FederationSettings, state: FederationState) -> None:
    """Write the state so that a crash at any moment leaves the old or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **state.weights)  # type: ignore[arg-type]
    blob = buffer.getvalue()
    name = f"round-{state.round:04d}.npz"
    _replace(folder / name, blob)
    content = {
        "schema": "fracture-cds.federation/1",
        "run": state.run,
        "round": state.round,
        "attempts": state.attempts,
        "weights": name,
        "sha256": hashlib.sha256(blob).hexdigest(),
        "settings": settings.to_json(),
        "history": state.history,
    }
    _replace(folder / STATE_NAME, json.dumps(content, indent=1).encode())
    for old in sorted(folder.glob("round-*.npz"))[:-2]:
        old.unlink()


def _replace(path: Path, blob: bytes) -> None:
    fresh = path.with_name(path.name + ".new")
    with fresh.open("wb") as stream:
        stream.write(blob)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _binding(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings that must not change under way."""
    free = {"rounds", "wait_s", "round_timeout_s", "most_failed_rounds"}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return {name: value for name, value in plain.items() if name not in free}


def _damaged(message: str) -> StateDamagedError:
    return StateDamagedError(message, remedy="Restore the folder, or begin in an empty one.")
