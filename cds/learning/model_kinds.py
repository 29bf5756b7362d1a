"""The kinds of models that a site may replace: how a weights folder names itself, and how it is checked."""

import hashlib
import json
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cds.errors import ModelStoreError, error_code
from imaging.errors import ImagingError
from tabular.errors import TabularError

if TYPE_CHECKING:  # at run time it loads pydantic, which the command line's help need not wait for
    from cds.settings import Settings


class ModelKind(StrEnum):
    """What can be adopted, promoted and rolled back by itself."""

    DETECTOR = "detector"
    """Fracture detector with its attribute heads and scope model: `Settings.detector_dir`."""
    RISK = "risk"
    """Fracture risk: `Settings.risk_dir`."""
    HEALING = "healing"
    """This site's healing times: `Settings.healing_dir`; none is shipped."""
    BONE_AGE = "bone_age"
    """Skeletal age: `Settings.bone_age_dir`."""


class Question(StrEnum):
    """What of a model the gate judges, by the name that the commands give it."""

    DETECTOR = "detector"
    """The whole detector folder, its heads included."""
    FRACTURE_TYPE = "fracture-type"
    """The heads alone, on a detector that stays as it is."""
    RISK = "risk"
    HEALING = "healing"
    BONE_AGE = "bone-age"

    @property
    def kind(self) -> ModelKind:
        """The kind of model that is replaced: heads live in the detector's folder."""
        return ModelKind.DETECTOR if self is Question.FRACTURE_TYPE else ModelKind(self.key)

    @property
    def key(self) -> str:
        """As margins and reports name it."""
        return self.value.replace("-", "_")

    @classmethod
    def of(cls, word: str) -> "Question":
        """The question of a word or of a `ModelKind`, with a hyphen or an underscore.

        Raises:
            ValueError: there is none.
        """
        return cls(word.replace("_", "-"))


SHIPPED: Final = "shipped"
"""How the model that came with the package is called where an id is printed."""


def identify(kind: ModelKind, folder: Path) -> str:
    """The id of the model in a folder, its manifest and the digests of its weights checked; nothing is loaded.

    Raises:
        ModelStoreError: the folder is not there, is damaged, or holds no model of this kind.
    """
    if not folder.is_dir():
        raise ModelStoreError(
            f"There is no folder of a {kind.value} model at the place given.",
            remedy="Give the folder that holds manifest.json and the weights.",
        )
    try:
        return _IDENTIFY[kind](folder)
    except ModelStoreError:
        raise
    except (ImagingError, TabularError) as error:
        raise ModelStoreError(
            f"The folder holds no {kind.value} model that can be used [{error_code(error)}]: {error}",
            remedy="Make the model again, or copy the whole folder again.",
        ) from error
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ModelStoreError(
            f"The folder holds no {kind.value} model that can be read ({type(error).__name__}).",
            remedy="Make the model again, or copy the whole folder again.",
        ) from error


def own_folder(kind: ModelKind, settings: "Settings") -> Path | None:
    """The folder that the settings name; it wins over the store."""
    folders = {
        ModelKind.DETECTOR: settings.detector_dir,
        ModelKind.RISK: settings.risk_dir,
        ModelKind.HEALING: settings.healing_dir,
        ModelKind.BONE_AGE: settings.bone_age_dir,
    }
    return folders[kind]


def shipped_folder(kind: ModelKind) -> Path | None:
    """The folder of the model that came with the package; None where none is shipped."""
    from imaging.bone_age.manifest import SHIPPED_BONE_AGE
    from imaging.manifest import SHIPPED_WEIGHTS
    from tabular.model import DEFAULT_DIRECTORY

    folders = {
        ModelKind.DETECTOR: SHIPPED_WEIGHTS,
        ModelKind.RISK: DEFAULT_DIRECTORY,
        ModelKind.HEALING: None,
        ModelKind.BONE_AGE: SHIPPED_BONE_AGE,
    }
    return folders[kind]


def is_pair(kind: ModelKind, folder: Path) -> bool:
    """Whether a folder holds a pair of detectors, which is not whole without the folder around it."""
    if kind is not ModelKind.DETECTOR or not (folder / "manifest.json").is_file():
        return False
    from imaging.manifest import read_manifest

    return read_manifest(folder).companion is not None


def sha256_of_file(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _detector(folder: Path) -> str:
    from imaging.manifest import read_manifest

    manifest = read_manifest(folder)
    for part in manifest.parts:
        _same(part.weights, part.sha256)
    return manifest.model_id


def _bone_age(folder: Path) -> str:
    from imaging.bone_age.manifest import read_manifest

    manifest = read_manifest(folder)
    _same(manifest.weights, manifest.sha256)
    return manifest.model_id


def _risk(folder: Path) -> str:
    document = _manifest(folder)
    files: Mapping[str, str] = document["files"]
    for name, digest in files.items():
        _same(folder / name, digest)
    text = "".join(f"{name}:{digest};" for name, digest in sorted(files.items()))
    return f"{document['name']}@{document['version']}+{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _healing(folder: Path) -> str:
    document = _manifest(folder)
    _same(folder / str(document["file"]), str(document["sha256"]))
    return str(document["model_id"])


def _manifest(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    if not isinstance(document, dict):
        raise ValueError("no table")
    return document


def _same(path: Path, digest: str) -> None:
    if path.parent.is_dir() and path.is_file() and sha256_of_file(path) == digest:
        return
    raise ModelStoreError(
        "A file of the model is missing, or is not the one that its manifest names.",
        remedy="Copy the whole folder again, or make the model again.",
    )


_IDENTIFY: Final[Mapping[ModelKind, Callable[[Path], str]]] = {
    ModelKind.DETECTOR: _detector,
    ModelKind.RISK: _risk,
    ModelKind.HEALING: _healing,
    ModelKind.BONE_AGE: _bone_age,
}
