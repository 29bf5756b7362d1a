"""Small model folders: enough for a store that checks digests and loads nothing."""

import hashlib
import json
from pathlib import Path

from imaging.manifest import CLASSIFIER_KEY, SHIPPED_WEIGHTS


def healing_folder(folder: Path, model_id: str) -> Path:
    """A folder that names itself as a model of healing times; its trees are no trees."""
    folder.mkdir(parents=True)
    content = f"trees of {model_id}".encode()
    (folder / "model.ubj").write_bytes(content)
    manifest = {"model_id": model_id, "file": "model.ubj", "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def detector_folder(folder: Path, version: str) -> Path:
    """A folder that names itself as a detector of a version: the shipped manifest, and weights that are none."""
    folder.mkdir(parents=True)
    document = json.loads((SHIPPED_WEIGHTS / "manifest.json").read_text(encoding="utf-8"))
    document.pop(CLASSIFIER_KEY, None)
    content = f"weights of {version}".encode()
    (folder / "detector.safetensors").write_bytes(content)
    changed = {"version": version, "weights": "detector.safetensors", "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps({**document, **changed}), encoding="utf-8")
    return folder
