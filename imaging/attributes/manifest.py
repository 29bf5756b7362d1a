"""``attributes.json`` beside the attribute heads: which detector they read, how they answer, how good they are."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from imaging.attributes.pooling import PATTERN_STATISTICS_ID, STATISTICS_ID
from imaging.errors import ModelFilesError
from imaging.labels import FracturePattern, LimbGroup, View
from imaging.manifest import SHIPPED_WEIGHTS

ATTRIBUTES_NAME = "attributes.json"
REFIT = "Fit the attribute heads anew with `cds train fracture-type`, or remove their files."


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternNetworkEntry:
    """The network that the pattern head reads, where that is not the detector."""

    weights: Path
    sha256: str
    sides: Mapping[str, int]
    """Name of each backbone, and the side in pixels to which it reduces the canvas."""

    @classmethod
    def of(cls, folder: Path, entry: Mapping[str, Any]) -> Self:
        """From an entry ``pattern_network``.

        Raises:
            ModelFilesError: it was made for another pooling.
            KeyError, TypeError, ValueError: it is malformed.
        """
        if entry["pooling"] != PATTERN_STATISTICS_ID:
            raise ModelFilesError(f"The pattern head needs pooling {entry['pooling']!r}.", remedy=REFIT)
        return cls(
            weights=folder / entry["weights"],
            sha256=entry["sha256"],
            sides={name: int(side) for name, side in entry["sides"].items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeManifest:
    """The part of ``attributes.json`` that the model acts on; the whole of it is kept in `document`."""

    name: str
    version: str
    weights: Path
    sha256: str
    detector_sha256: str
    """Digest of the detector whose features the heads read, `imaging.manifest.DetectorManifest.digest`."""
    patterns: tuple[FracturePattern, ...]
    limbs: tuple[LimbGroup, ...]
    views: tuple[View, ...]
    undetermined_below: float
    """A pattern is named only when its probability, 0..1, reaches this."""
    training_images: frozenset[str]
    """SHA-256 of the image files the pattern head was fitted on."""
    pattern_network: PatternNetworkEntry | None
    """What the heads for pattern and displacement read; None: the same as the others."""
    document: Mapping[str, Any]

    @property
    def model_id(self) -> str:
        """``name@version+digest`` with the first eight digits of the heads' SHA-256."""
        return f"{self.name}@{self.version}+{self.sha256[:8]}"


def read_attribute_manifest(directory: Path | None = None) -> AttributeManifest | None:
    """The manifest of a weights folder, the shipped one by default; None when the folder has no attribute heads.

    Raises:
        ModelFilesError: it is malformed, or made for another pooling or other answers.
    """
    folder = SHIPPED_WEIGHTS if directory is None else directory
    path = folder / ATTRIBUTES_NAME
    if not path.is_file():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["pooling"] != STATISTICS_ID:
            raise ModelFilesError(f"The attribute heads need pooling {document['pooling']!r}.", remedy=REFIT)
        answers, network = document["answers"], document.get("pattern_network")
        return AttributeManifest(
            name=document["name"],
            version=document["version"],
            weights=folder / document["weights"],
            sha256=document["sha256"],
            detector_sha256=document["detector_sha256"],
            patterns=tuple(FracturePattern(word) for word in answers["pattern"]),
            limbs=tuple(LimbGroup(word) for word in answers["limb"]),
            views=tuple(View(word) for word in answers["view"]),
            undetermined_below=float(document["undetermined_below"]),
            training_images=frozenset(document["training_images"]),
            pattern_network=None if network is None else PatternNetworkEntry.of(folder, network),
            document=document,
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelFilesError(f"{ATTRIBUTES_NAME} cannot be used: {error!r}.", remedy=REFIT) from error
