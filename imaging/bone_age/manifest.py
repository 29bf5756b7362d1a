"""``manifest.json`` beside the bone-age weights: what they are, how they answer, how good they were measured to be."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imaging.bone_age.ensemble import PLAIN, View
from imaging.bone_age.errors import BoneAgeNotInstalledError
from imaging.errors import ModelFilesError
from imaging.manifest import MANIFEST_NAME, SHIPPED_WEIGHTS

SHIPPED_BONE_AGE: Final = SHIPPED_WEIGHTS / "bone_age"
"""The folder of the weights that come with the package."""
SCHEMA: Final = "fracture-cds.bone-age/1"
WEIGHTS_NAME: Final = "bone_age.safetensors"
_AGAIN: Final = "Write the release again with `cds train bone-age`, or install the package again."


@dataclass(frozen=True, slots=True, kw_only=True)
class BoneAgeManifest:
    """The part of ``manifest.json`` that the engine acts on; the whole of it is kept in `document`."""

    name: str
    version: str
    weights: Path
    sha256: str
    graph: str
    """``lite0`` or ``residual``."""
    width: float
    """Factor of the networks' channels."""
    zooms: tuple[float, ...]
    """Of the networks of each fold, factors by which they enlarge the picture first."""
    views: tuple[View, ...]
    """Ways in which each network is shown a picture."""
    folds: tuple[int, ...]
    """Numbers of the folds whose networks are in the weight file."""
    fold_count: int
    """Into how many folds the hands were split."""
    preprocessing: str
    factor_with_sex: float
    """What a stated scale is multiplied by to give half the 90 % interval, months; with the sex known."""
    factor_without_sex: float
    """The same where the sex is not known."""
    standard: str
    validation: str
    interval_meaning: str
    document: dict[str, Any]

    @property
    def model_id(self) -> str:
        """``name@version+digest`` with the first eight digits of the weights' SHA-256."""
        return f"{self.name}@{self.version}+{self.sha256[:8]}"


def read_manifest(directory: Path | None = None) -> BoneAgeManifest:
    """Read and check the manifest of a bone-age folder; the shipped one by default.

    Raises:
        BoneAgeNotInstalledError: there is none.
        ModelFilesError: it is malformed, or of another schema.
    """
    folder = SHIPPED_BONE_AGE if directory is None else directory
    try:
        document = json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BoneAgeNotInstalledError from error
    except (OSError, ValueError) as error:
        raise ModelFilesError(f"The bone-age {MANIFEST_NAME} cannot be read as JSON.", remedy=_AGAIN) from error
    try:
        return _parse(folder, document)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFilesError(
            f"The bone-age {MANIFEST_NAME} lacks a required entry: {error}.", remedy=_AGAIN
        ) from error


def _parse(folder: Path, document: dict[str, Any]) -> BoneAgeManifest:
    if document["schema"] != SCHEMA:
        raise ModelFilesError(f"The bone-age {MANIFEST_NAME} is not of schema {SCHEMA}.", remedy=_AGAIN)
    interval, network = document["interval"], document["network"]
    manifest = BoneAgeManifest(
        name=str(document["name"]),
        version=str(document["version"]),
        weights=folder / str(document["weights"]),
        sha256=str(document["sha256"]),
        graph=str(network["graph"]),
        width=float(network["width"]),
        zooms=tuple(float(zoom) for zoom in network.get("zooms") or (network.get("zoom", 1.0),)),
        views=tuple(View(**view) for view in network["views"]) if "views" in network else PLAIN,
        folds=tuple(int(number) for number in network["folds"]),
        fold_count=int(network["fold_count"]),
        preprocessing=str(document["preprocessing"]),
        factor_with_sex=float(interval["factor_with_sex"]),
        factor_without_sex=float(interval["factor_without_sex"]),
        standard=str(document["standard"]),
        validation=str(document["validation"]),
        interval_meaning=str(interval["meaning"]),
        document=document,
    )
    if (
        not manifest.folds
        or not manifest.zooms
        or not manifest.views
        or min(manifest.factor_with_sex, manifest.factor_without_sex) <= 0
    ):
        raise ValueError("no network, no view, or a factor that is not positive")
    return manifest
