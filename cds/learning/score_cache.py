"""Answers of models to locked sets, kept by digest of model and set."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import numpy as np

from cds.learning.model_kinds import ModelKind, is_pair, sha256_of_file, shipped_folder
from cds.learning.provenance import PROVENANCE_NAME
from cds.learning.scored import Answer, Scored
from cds.version import engine_version

CACHE_SCHEMA: Final = "fracture-cds.scores/1"


def cached(cache: Path | None, kind: ModelKind, folder: Path | None, content: str, ask: Callable[[], Scored]) -> Scored:
    """The kept answers of a model, recognised by all its files, to a set, recognised by its content.

    Args:
        cache: folder of the answers; None keeps none.
        kind: of model.
        folder: its weights; None for the shipped one, or where none is shipped for what stands in its place.
        content: of the set and of what was asked; its digest stands for it.
        ask: asks the model.
    """
    place = folder or shipped_folder(kind)
    files = [one for folder in _folders(kind, place) for one in sorted(folder.iterdir()) if one.is_file()]
    weights = "|".join(f"{one.name}:{sha256_of_file(one)}" for one in files if one.name != PROVENANCE_NAME)
    data_sha256 = hashlib.sha256(content.encode()).hexdigest()
    if cache is None:
        return replace(ask(), data_sha256=data_sha256)
    key = hashlib.sha256(f"{CACHE_SCHEMA}|{engine_version()}|{weights}|{data_sha256}".encode()).hexdigest()
    path = cache / f"{kind.value}-{key[:32]}.json"
    try:
        return _read(path)
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or from a crash or another version: asked anew
    scored = replace(ask(), data_sha256=data_sha256)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{uuid4().hex}")
    aside.write_text(json.dumps(_document(scored)), encoding="utf-8")
    aside.replace(path)
    return scored


def _folders(kind: ModelKind, place: Path | None) -> tuple[Path, ...]:
    """Where a model's files lie; none where there is no such folder."""
    if place is None or not place.is_dir():
        return ()
    if not is_pair(kind, place):
        return (place,)
    from imaging.manifest import read_manifest

    return (place, read_manifest(place).heads)


def _document(scored: Scored) -> dict[str, Any]:
    arrays = ("truth", "boxes", "box_scores")
    answers = [
        {name: value.tolist() if name in arrays else value for name, value in asdict(one).items()}
        for one in scored.answers
    ]
    return {
        "schema": CACHE_SCHEMA,
        "model_id": scored.model_id,
        "thresholds": dict(scored.thresholds),
        "data_sha256": scored.data_sha256,
        "data_name": scored.data_name,
        "answers": answers,
    }


def _read(path: Path) -> Scored:
    document = json.loads(path.read_text(encoding="utf-8"))
    if document.pop("schema") != CACHE_SCHEMA:
        raise ValueError("another schema")
    answers = tuple(
        Answer(
            **{
                **one,
                "truth": np.array(one["truth"], dtype=float).reshape(-1, 4),
                "boxes": np.array(one["boxes"], dtype=float).reshape(-1, 4),
                "box_scores": np.array(one["box_scores"], dtype=float),
                "digests": tuple(one["digests"]),
            }
        )
        for one in document.pop("answers")
    )
    return Scored(answers=answers, **document)
